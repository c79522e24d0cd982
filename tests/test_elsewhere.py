"""Experiment "elsewhere": other sets and what they share, runs from files to records, and what is read of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import facelight_lab as lab
from facelight import metrics
from facelight.augment import Augmentation, augment_faces, mirror
from facelight.data import LandmarkFaces, crops, net7876, w300, wflw_crops
from facelight.data.crops import BoxRule
from facelight.data.landmarks import FLIP_5, FLIP_68, FLIP_98, LANDMARKS_68, SHARED_68, mean_shape
from facelight.data.sources import DataError
from facelight.metrics.landmarks import eye_distance
from facelight_lab import experiments, fingerprints, plan, results
from facelight_lab.landmarks import atlas, elsewhere, face_sets, grid, lights
from facelight_lab.landmarks import map as lab_map
from facelight_lab.landmarks.elsewhere import JUDGED, REAL, RENDERED, WEB
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import FEW_SEEDS, RECIPE, RENDERED_RECIPE, Landmarks, Pretraining
from facelight_lab.stems import NORMALIZED

RUNS = elsewhere.configs("laptop")
FIVE = np.array([[-0.33, 0.0], [0.33, 0.0], [0.0, 0.35], [-0.28, 0.7], [0.28, 0.7]])  # as `mean_shape`
TESTED = 4 * grid.GROUPS  # so that one in four are as many as there are groups
TINY = Landmarks(
    size=32, network=Network(head_width=8), recipe=replace(RECIPE, epochs=1, batch=8, bf16=False), duplicates=False
)


# --- what both schemes share


def test_shared_points_are_those_that_the_face_defines():
    """By hand, from the figures of both annotations: number of 300-W -> number of WFLW."""
    by_hand = {27 + i: 51 + i for i in range(9)}  # bridge and wings of the nose
    by_hand |= {36: 60, 39: 64, 42: 68, 45: 72}  # outer, inner, inner, outer corner
    by_hand |= {48: 76, 50: 78, 51: 79, 52: 80, 54: 82, 57: 85}  # outer lips: corner, bow, corner, middle below
    by_hand |= {60: 88, 62: 90, 64: 92, 66: 94}  # inner lips: corner, middle above, corner, middle below
    assert {i: LANDMARKS_68[i] for i in SHARED_68} == by_hand
    assert len(SHARED_68) == 23


def test_shared_points_are_the_same_places_of_a_mean_face_and_the_others_less_so():
    """From side to side: up and down the mouths of two sets of people differ."""
    gap = np.abs(mean_shape("wflw98")[list(LANDMARKS_68)] - mean_shape("w300_68"))[:, 0]
    others = [i for i in range(68) if i not in SHARED_68]
    assert gap[list(SHARED_68)].max() < 0.02
    assert 0.065 < gap[others].max() < 0.075
    assert gap[others].mean() > 2.5 * gap[list(SHARED_68)].mean()


def test_shared_points_are_their_own_mirror_image():
    assert {FLIP_68[i] for i in SHARED_68} == {*SHARED_68}
    assert all(FLIP_98[LANDMARKS_68[i]] == LANDMARKS_68[FLIP_68[i]] for i in SHARED_68)


def test_the_corners_that_errors_are_divided_by_are_the_same_in_both():
    shape = torch.rand(3, 98, 2)
    assert torch.equal(eye_distance(shape), eye_distance(shape[:, list(LANDMARKS_68)]))


# --- five points


def test_five_points_change_places_with_the_mirror():
    assert sorted(FLIP_5) == list(range(5))
    shape = torch.from_numpy(FIVE * 0.3 + [0.5, 0.4])[None]
    assert torch.allclose(mirror(shape), shape)  # it is symmetric
    turned = augment_faces(torch.rand(1, 3, 16, 16), shape, Augmentation(1.0, 0, 0, 0), torch.Generator())[1]
    assert torch.allclose(turned, shape)


def test_five_points_are_divided_by_the_distance_of_the_eyes():
    target = torch.tensor([[[0.2, 0.4], [0.6, 0.4], [0.4, 0.6], [0.3, 0.8], [0.5, 0.8]]])
    pred = target + torch.tensor([0.03, 0.04])
    assert metrics.nme(pred, target, normalizer="inter-pupil").item() == pytest.approx(0.05 / 0.4)
    assert lights.scores(pred, target) == pytest.approx([0.05, 0.125, 1.0, 0.0])
    assert lights.score_names(5) == ["image-size", "inter-pupil", "failures", "auc"]
    assert lights.score_names(68) == list(lights.SCORES)


def test_a_face_whose_eyes_coincide_is_named():
    eyes = torch.zeros(2, 5, 2)
    eyes[0, 1] = 4.0
    faces = LandmarkFaces(
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8), eyes, torch.ones(2, 5, dtype=torch.bool), torch.zeros(2, 4),
        torch.zeros(2, 6, dtype=torch.bool), ("good", "bad"), "made up", "-",
    )  # fmt: skip
    with pytest.raises(DataError, match="bad: its eyes coincide, so there is no inter-pupil error"):
        face_sets.require_eyes(faces)


def test_five_points_cannot_be_learned_from_rendered_faces():
    with pytest.raises(ValueError, match="pretraining: rendered faces do not have the five points"):
        Landmarks(WEB, pretraining=Pretraining())


# --- what is judged


@pytest.mark.parametrize("points", [5, 68, 98])
def test_errors_are_those_of_the_points_that_are_judged(points: int):
    target = torch.rand(4, points, 2, dtype=torch.float64)
    moved = target.clone()
    moved[:, [i for i in range(points) if i not in JUDGED[points]]] += 9  # these do not count
    assert elsewhere.errors(moved, target).abs().max() == 0
    moved = target.clone()
    moved[:, JUDGED[points][0]] += torch.tensor([3.0, 4.0])
    left, right = {5: (0, 1), 68: (36, 45), 98: (60, 72)}[points]
    expected = 5 / len(JUDGED[points]) / (target[:, left] - target[:, right]).norm(dim=-1)
    assert torch.allclose(elsewhere.errors(moved, target), expected)


def test_a_network_of_98_points_and_one_of_68_are_judged_alike():
    pred, target = torch.rand(2, 3, 98, 2, dtype=torch.float64)
    few = list(LANDMARKS_68)
    assert torch.equal(elsewhere.errors(pred, target), elsewhere.errors(pred[:, few], target[:, few]))


# --- from files to records


def picture(path: Path, side: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def write_csv(top: Path, header: tuple[str, ...], lines: list[list[Any]]) -> None:
    with (top / "landmarks.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])


def placed(shape: np.ndarray, side: int, seed: int) -> np.ndarray:
    """A face in a square picture of some pixels, a little moved."""
    return shape * 0.36 * side + side / 2 + np.random.default_rng(seed).normal(0, 1, 2) - [0, 0.12 * side]


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small sets in the layouts of net7876, WFLW_crops and 300-W where data sets are looked for."""
    names = [*(f"train/{i:05d}.jpg" for i in range(12)), *(f"test/{i:05d}.jpg" for i in range(12, 12 + TESTED))]
    for i, name in enumerate(names):
        picture(tmp_path / "net7876" / name, 48, i)
    rows = [[name, name.split("/")[0], 48, *placed(FIVE, 48, i).ravel()] for i, name in enumerate(names)]
    write_csv(tmp_path / "net7876", net7876.KIND.header, rows)
    monkeypatch.setattr(net7876, "KIND", replace(net7876.KIND, counts={"train": 12, "test": TESTED}))
    for i in range(grid.GROUPS):
        picture(tmp_path / "WFLW_crops" / f"{i}.png", 112, i)
    shapes = [placed(mean_shape("wflw98"), 112, i) / 112 for i in range(grid.GROUPS)]
    write_csv(
        tmp_path / "WFLW_crops",
        wflw_crops.KIND.header,
        [[f"{i}.png", *shape.ravel(), *[0] * 6] for i, shape in enumerate(shapes)],
    )
    monkeypatch.setattr(wflw_crops, "KIND", replace(wflw_crops.KIND, counts={"test": grid.GROUPS}))
    for i in range(12):
        path = tmp_path / "300w" / "afw" / f"{i}.jpg"
        picture(path, 100, i)
        points = "\n".join(f"{x:.3f} {y:.3f}" for x, y in placed(mean_shape("w300_68"), 100, i) + 1)
        path.with_suffix(".pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    monkeypatch.setenv("FACELIGHT_DATA", str(tmp_path))
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(face_sets, "RENDERED", (12, 12))
    monkeypatch.setattr(face_sets.load, "__defaults__", ((12, 12),))
    return tmp_path


def test_a_set_has_the_test_faces_of_another_and_the_points_of_its_own(sets: Path):
    real, rendered = face_sets.load(REAL), face_sets.load(RENDERED)
    assert (real.source, rendered.source) == (
        "300-W; WFLW, 200 test faces",
        "synthetic landmarks, 12; WFLW, 200 test faces",
    )
    assert real.train.name == w300.load("train", partial=True).name
    assert real.test.name == rendered.test.name == wflw_crops.load().name
    whole = wflw_crops.load()
    assert torch.equal(rendered.test.landmarks, whole.landmarks)
    assert torch.equal(real.test.landmarks, whole.landmarks[:, list(LANDMARKS_68)])
    assert torch.equal(real.test.box[:, 2:], real.test.landmarks.amax(1))  # as the loader of 300-W makes it
    assert real.sha256 != rendered.sha256
    web = face_sets.load(WEB)
    assert (web.source, len(web.train), len(web.test), web.train.landmarks.shape[1]) == ("net7876", 12, TESTED, 5)


def test_faces_that_are_tested_are_not_learned(sets: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(face_sets, "DUPLICATES", ("train/00003.jpg",))
    (record,) = run(monkeypatch, replace(TINY, dataset=WEB, held_out=0.25))
    assert record.metrics["trained_on"] == 8  # of eleven, three held out


def run(monkeypatch: pytest.MonkeyPatch, *configs: Landmarks) -> list[results.Record]:
    monkeypatch.setattr(elsewhere, "configs", lambda profile: list(configs))
    few = {name: lab_map.UNDER[name] for name in ("x1", "/6", "/6 noise")}
    monkeypatch.setattr(elsewhere, "UNDER", few)
    measure = grid.measure
    monkeypatch.setattr(grid, "measure", lambda model, faces: measure(model, faces, grid.CELLS[:4]))
    return experiments.run("elsewhere", "laptop")


@pytest.mark.parametrize(("dataset", "normalizer"), [(WEB, "inter-pupil"), (REAL, "inter-ocular")])
def test_a_run_goes_from_files_to_a_record(sets: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, normalizer: str):
    config = replace(TINY, dataset=dataset)
    (record,) = run(monkeypatch, config)
    assert record.data["name"] == face_sets.load(dataset).source
    assert record.data["sha256"] == face_sets.load(dataset).sha256
    told = record.metrics
    assert told["scores"] == ["image-size", normalizer, "failures", "auc"]
    assert told.keys() - {"map"} == {"scores", "lights", "errors", "held_out", "trained_on"}
    assert ("map" in told) == (dataset == WEB)
    groups = elsewhere.by_light(told)
    assert {*groups} == {"x1", "/6", "/6 noise"}
    if dataset == WEB:  # every point is judged, so the mean over groups is the score
        assert groups["/6"].mean() == pytest.approx(told["lights"]["/6"][1], abs=2e-5)
        assert grid.unpacked(told["map"]["errors"], grid.GROUPS).shape == (4, grid.GROUPS)
    else:
        assert groups["/6"].mean() != pytest.approx(told["lights"]["/6"][1], abs=2e-5)
    assert results.find("elsewhere", config, 0) == record


def test_rendered_faces_are_learned_and_real_ones_are_asked_about(sets: Path, monkeypatch: pytest.MonkeyPatch):
    (record,) = run(monkeypatch, replace(TINY, dataset=RENDERED, duplicates=True, variant=NORMALIZED))
    assert record.metrics["trained_on"] == 11  # one of twelve is held out
    assert record.data["count"] == 12 + grid.GROUPS


def spoil_csv(path: Path) -> None:
    path.write_text(path.read_text().replace("train,48", "dev,48", 1))


@pytest.mark.parametrize(
    ("dataset", "spoil", "message"),
    [
        (WEB, lambda top: (top / "net7876/landmarks.csv").unlink(), "landmarks.csv: there is no such file"),
        (WEB, lambda top: spoil_csv(top / "net7876/landmarks.csv"), "line 2: expected the split train or test"),
        (REAL, lambda top: (top / "WFLW_crops/3.png").unlink(), "1 pictures of landmarks.csv are missing, 3.png first"),
        (REAL, lambda top: (top / "300w/afw/3.pts").write_text("x"), r"3.pts: expected `n_points: 68`"),
    ],
)
def test_damaged_files_stop_a_run_before_anything_is_trained(
    sets: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, spoil: Callable[[Path], None], message: str
):
    spoil(sets)
    with pytest.raises(DataError, match=message):
        run(monkeypatch, replace(TINY, dataset=dataset))
    assert not list((sets / "results").glob("elsewhere/*.json"))


class Right(nn.Module):
    """Predicts the same landmarks, moved to the right as far as the picture is dark."""

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target = nn.Parameter(target)

    def forward(self, x: Tensor) -> Tensor:
        """Landmarks (B, K, 2)."""
        return self.target + 0.1 * (1 - x.mean((1, 2, 3)))[:, None, None]


def test_what_is_asked_is_asked_of_the_pictures_in_each_light(sets: Path):
    faces = face_sets.crop(face_sets.load(RENDERED).test, 32, BoxRule())
    target = crops.pixels_to_unit(faces.landmarks, 32)
    model = Right(target[:1])
    scores, found = elsewhere.asked(model, faces)
    assert {*scores} == {*found} == {*lab_map.UNDER}
    x = lab_map.UNDER["/12 left"](faces.image.float() / 255)
    pred = model(x).detach()
    assert scores["/12 left"] == pytest.approx(lights.scores(pred, target), abs=1e-4)
    assert found["/12 left"] == pytest.approx(elsewhere.errors(pred, target).numpy(), abs=1e-5)


# --- runs


def test_runs_are_those_of_the_map_and_of_rendered_faces_with_three_seeds():
    seeds: dict[Landmarks, set[int]] = {}
    for config in RUNS:
        seeds.setdefault(replace(config, seed=0), set()).add(config.seed)
    assert all(found == {*FEW_SEEDS} for found in seeds.values())
    kinds = [(kind.dataset, kind.variant, kind.light) for kind in seeds]
    assert [kind[1:] for kind in kinds if kind[0] == WEB] == [
        (variant, light) for variant in lab_map.HEADLINE for light in lab_map.LIGHTS
    ]
    for dataset in (REAL, RENDERED):
        lit = [(variant, light) for variant in lab_map.HEADLINE for light in (None, lab_map.SEEN)]
        assert [kind[1:] for kind in kinds if kind[0] == dataset] == lit
    of_map = {*lab_map.configs("laptop")}
    for config in RUNS:  # nothing is chosen here: but for the set, the runs are those of the map and of "beyond"
        if config.dataset == RENDERED:
            assert config == Landmarks(
                RENDERED, config.variant, config.seed, light=config.light, recipe=RENDERED_RECIPE
            )
        else:
            assert replace(config, dataset="w300") in of_map
    assert len(RUNS) == len({*RUNS}) == 36 + 24 + 24


def test_the_plan_lists_them(monkeypatch: pytest.MonkeyPatch, repository: Path):
    monkeypatch.chdir(repository)
    assert [run.key for run in plan.runs("elsewhere", "laptop")] == list(
        experiments.named("elsewhere", "laptop").runs()
    )


def test_fingerprints_tell_sets_and_what_is_judged_apart(monkeypatch: pytest.MonkeyPatch):
    web, real, rendered = (fingerprints.of("elsewhere", Landmarks(dataset)) for dataset in (WEB, REAL, RENDERED))
    assert len({tuple(found["steps"]) for found in (web, real, rendered)}) == 3
    assert real["steps"] == fingerprints.of("landmarks", Landmarks("w300"))["steps"]  # it learns the same
    assert rendered["steps"] == fingerprints.of("landmarks", Landmarks("synthetic"))["steps"]
    monkeypatch.setitem(elsewhere.JUDGED, 68, SHARED_68[1:])
    fingerprints._judged.cache_clear()
    assert results.differences(real, fingerprints.of("elsewhere", Landmarks(REAL))) == ["lights"]
    fingerprints._judged.cache_clear()


def test_book_measures_a_few_rendered_faces_and_saves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "records"))
    (key, _) = experiments.named("elsewhere", "book").runs()
    (found,) = experiments.run("elsewhere", "book", only=[key])
    assert {*found.metrics["lights"]} == {*lab_map.UNDER}
    assert not (tmp_path / "records").exists()


# --- reading


def saved(folder: Path, seed: int, shift: float) -> None:
    """A record as `measure` makes it: errors of 0.02 and 0.04, and of 0.1 more in the dark, by groups."""
    table = {"x1": np.full(grid.GROUPS, 0.02), "/6": np.linspace(0.04, 0.14, grid.GROUPS) + shift}
    told = {
        "scores": lights.score_names(5),
        "lights": dict.fromkeys(table, [0.0] * 4),
        "errors": grid.packed(np.stack([table[name] for name in sorted(table)])),
        "map": {"cells": 123, "groups": 24, "errors": grid.packed(np.full((123, 24), 0.03 + shift))},
    }
    data = {"name": WEB, "sha256": "0" * 64, "split": "test", "count": 1}
    results.save(
        results.record("elsewhere", Landmarks(WEB, seed=seed), told, data=data, seconds=1.0, seed=seed), folder
    )


def test_errors_are_read_back_by_seed_and_group(tmp_path: Path):
    for seed, shift in ((0, 0.0), (1, 0.01)):
        saved(tmp_path, seed, shift)
    runs = lab.recorded("elsewhere", folder=tmp_path)
    dark = elsewhere.by_seed(runs, ["/6"])
    assert dark.shape == (2, grid.GROUPS)
    assert dark.loc[1].to_numpy() == pytest.approx(np.linspace(0.05, 0.15, grid.GROUPS), abs=0.6 * grid.STEP)
    both = elsewhere.by_seed(runs, ["x1", "/6"])
    assert both.loc[0].mean() == pytest.approx((0.02 + 0.09) / 2, abs=0.6 * grid.STEP)
    assert lab.versus_faces(dark, elsewhere.by_seed(runs, ["x1"])).mean == pytest.approx(0.075, abs=grid.STEP)
    assert atlas.errors(runs)["linear"].values.shape == (2, 123, grid.GROUPS)  # the map of one in four
    with pytest.raises(ValueError, match="several of one seed"):
        elsewhere.by_seed(lab.recorded("elsewhere", "elsewhere", folder=tmp_path), ["/6"])


# --- the real sets


@pytest.mark.realdata
def test_duplicates_of_the_web_faces_are_all_that_there_are(net7876_root: Path):
    def pictures(split: str) -> dict[bytes, str]:
        faces = net7876.load(split, net7876_root)
        return {path.read_bytes(): name for path, name in zip(faces.path, faces.name, strict=True)}

    train, test = pictures("train"), pictures("test")
    both = {train[content]: test[content] for content in train.keys() & test.keys()}
    assert both == {
        "train/00796.jpg": "test/06472.jpg",
        "train/03850.jpg": "test/07094.jpg",
        "train/05511.jpg": "test/07758.jpg",
    }
    assert {*both} < {*face_sets.DUPLICATES}


@pytest.mark.realdata
def test_the_rule_of_the_book_cuts_all_faces_whole(net7876_root: Path, wflw_crops_root: Path):
    for faces in (
        *(net7876.load(split, net7876_root) for split in ("train", "test")),
        wflw_crops.load(wflw_crops_root),
        face_sets.reduced(wflw_crops.load(wflw_crops_root)),
    ):
        unit = crops.squares_of(faces, BoxRule()).to_crop(faces.landmarks)
        assert unit.amin() >= 0
        assert unit.amax() <= 1
        eyes = eye_distance(unit, "inter-pupil").median().item()
        assert 0.3 < eyes < 0.45  # of the side; 0.35 in 300-W
