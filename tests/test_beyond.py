"""Experiment "beyond": training light, learned numbers, weights that are handed on, and which runs there are."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facelight import layers, models, train
from facelight_lab import experiments
from facelight_lab.landmarks import beyond, face_sets, landmarks, lights, regressor, training
from facelight_lab.landmarks.beyond import FEW, LIGHTS, STATISTICS, STRONG, configs
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import Landmarks, Pretraining
from facelight_lab.landmarks.training_light import TrainingLight
from facelight_lab.stems import LOCAL, NORMALIZED, OURS
from facelight_render import landmarks as render
from test_landmarks_experiment import SETS, Body

RECIPE = train.Recipe(epochs=2, batch=7, learning_rate=0.01, bf16=False)
CONFIG = Landmarks("wflw", size=32, network=Network(head_width=8), recipe=RECIPE, held_out=0.25)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny body, a few lights, a cache of its own, few rendered faces."""
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "torchvision_body", lambda backbone, weights: Body())
    monkeypatch.setattr(beyond, "FEW", {name: FEW[name] for name in (*lights.MAIN, *STATISTICS)})
    monkeypatch.setattr("facelight_render.landmarks", functools.lru_cache(render))


# --- light


def test_lights_that_count_are_there_and_those_of_short_runs_are_among_all() -> None:
    assert len(STRONG) == len(set(STRONG)) == 14
    assert [sum(word in name for name in STRONG) for word in ("ramp", "spot")] == [6, 4]
    assert set(STRONG) | set(STATISTICS) | set(lights.CURVES) <= set(FEW) <= set(LIGHTS)
    assert set(lights.LIGHTS) < set(LIGHTS)


def test_a_hard_shadow_has_an_edge_of_less_than_a_pixel() -> None:
    x = torch.full((1, 3, 4, 64), 0.8)
    dark = LIGHTS["/12 hard left"](x)[0, 0, 0]
    assert torch.equal(dark[33:], torch.full((31,), 204 / 255))
    assert torch.equal(dark[:31], torch.full((31,), 17 / 255))


def test_uneven_light_in_linear_light_is_a_factor_on_it() -> None:
    from facelight.illumination import linear_to_srgb, srgb_to_linear

    x = torch.full((1, 3, 64, 64), 0.9)
    expected = linear_to_srgb(srgb_to_linear(x) / 25)
    for name, place in (("left", (0, 0)), ("ramp left", (0, 0)), ("spot upper left", (63, 63))):
        found = LIGHTS[f"/25 {name} linear light"](x)[0, 0][place]
        assert found.item() == pytest.approx(expected[0, 0][place].item(), abs=0.02), name


def test_training_light_by_hand() -> None:
    x = torch.rand((400, 3, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.9 + 0.1

    def light(local: bool, seed: int = 0) -> Tensor:
        return TrainingLight(local=local).of(x, torch.Generator().manual_seed(seed)) / x

    assert torch.equal(light(True), light(True))
    assert not torch.equal(light(True), light(True, seed=1))
    for local in (False, True):
        field = light(local)
        assert 1 / 25.1 < field.min() < 1 / 20
        assert field.max() <= 1 + 1e-6
        alike = (field.amax((1, 2, 3)) - field.amin((1, 2, 3))) < 1e-5
        untouched = (field - 1).abs().amax((1, 2, 3)) < 1e-6
        assert 0.4 < untouched.float().mean() < 0.6
        assert alike.float().mean().item() == pytest.approx(0.75 if local else 1.0, abs=0.07 if local else 0)
        torch.testing.assert_close(field[:, 0], field[:, 2])  # light, not color
        some = field[~untouched].amin((1, 2, 3)).log() / -math.log(25)
        assert some.mean().item() == pytest.approx(0.5, abs=0.06)  # uniform in the logarithm


def test_training_pictures_are_relit_and_rounded(small: None) -> None:
    faces = face_sets.crop(SETS.train, 32, CONFIG.rule)
    rows = torch.arange(len(faces))
    plain, changed = (
        regressor.feeder(faces, rows, None, "cpu", how)(rows, torch.Generator().manual_seed(0))[0]
        for how in (None, TrainingLight(local=True))
    )
    assert torch.equal(plain, faces.image.float() / 255)
    assert 0.2 < (changed != plain).flatten(1).any(1).float().mean() < 0.8
    torch.testing.assert_close(255 * changed, (255 * changed).round(), rtol=0, atol=1e-4)


# --- learned numbers and weights that are handed on


def test_scalars_learn_as_much_faster_as_is_said(small: None) -> None:
    """With AdamW the first steps move every parameter by its rate."""
    chosen = replace(CONFIG, variant="ln(1 + x / epsilon), epsilon trained")
    moved = {}
    for scale in (1.0, 30.0):
        config = replace(chosen, scalar_lr_scale=scale)
        found = landmarks.measure(config, SETS, under=beyond.FEW, statistics=STATISTICS)
        numbers = found["numbers"]
        assert set(numbers) == {"body.conv1.layer.gamma", "body.conv1.layer.log_epsilon"}
        moved[scale] = abs(numbers["body.conv1.layer.log_epsilon"][0])
    assert moved[30.0] > 5 * moved[1.0] > 0
    assert "numbers" not in landmarks.measure(CONFIG, SETS, under=beyond.FEW, statistics=STATISTICS)


def handed_on(variant: str, teacher: str, adapt: bool) -> tuple[nn.Module, nn.Module]:
    """The network that learned rendered faces, and the one that goes on."""
    first = Pretraining(6, replace(RECIPE, epochs=1))
    config = replace(CONFIG, variant=variant, pretraining=replace(first, teacher=teacher, adapt=adapt))
    alone = replace(config, variant=teacher, pretraining=first)
    return training.started(alone), training.started(config)


def test_another_layer_goes_on_from_what_a_linear_one_learned(small: None) -> None:
    teacher, copied = handed_on(OURS, "linear", adapt=False)
    _, fitted = handed_on(OURS, "linear", adapt=True)
    states = [dict(net.state_dict()) for net in (teacher, copied, fitted)]
    stem = "body.conv1.layer"
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), name
        assert torch.equal(states[0][name], states[2][name]) != (name == f"{stem}.weight"), name
    conv = copied.get_submodule(stem)
    assert isinstance(conv, layers.LogConv2d)
    assert conv.zero_mean
    torch.testing.assert_close(states[2][f"{stem}.weight"], (0.45 + 1 / 255) * states[0][f"{stem}.weight"])


def test_rendered_faces_are_learned_once_for_all_who_go_on(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    before = regressor.fit
    monkeypatch.setattr(regressor, "fit", lambda *a, **k: calls.append(1) or before(*a, **k))
    handed_on(OURS, "linear", adapt=False)
    handed_on(OURS, "linear", adapt=True)
    assert len(calls) == 1


def test_a_teacher_whose_kernels_have_no_place_is_refused(small: None) -> None:
    with pytest.raises(ValueError, match=r"teacher: 'zero-mean ln\(1 \+ 255x\), contrast normalized' has no place for"):
        handed_on(NORMALIZED, "linear", adapt=False)


# --- configurations


@pytest.mark.parametrize("profile", ["book", "laptop", "full"])
def test_no_run_twice(profile: str) -> None:
    assert max(Counter(configs(profile)).values()) == 1


def seeds(runs: list[Landmarks]) -> dict[Landmarks, set[int]]:
    return {run: {r.seed for r in runs if replace(r, seed=0) == run} for run in {replace(r, seed=0) for r in runs}}


def test_laptop_has_six_seeds_of_the_headline_with_the_recipe_of_landmarks() -> None:
    found = seeds([run for run in configs("laptop") if run.recipe.epochs == 25])
    assert {(run.variant, run.light) for run in found} == {(v, None) for v in beyond.HEADLINE} | {
        ("linear", TrainingLight(25.0, local=True))
    }
    assert {OURS, LOCAL} < set(beyond.HEADLINE)
    assert all(value == set(range(6)) for value in found.values())
    theirs = [run for run in landmarks.configs("laptop") if run == Landmarks("w300", run.variant, run.seed)]
    assert {(run.variant, run.seed) for run in theirs} >= set(
        itertools.product(("linear", "divided by mean"), range(6))
    )


def test_laptop_has_three_seeds_of_everything_else_under_the_same_recipe() -> None:
    found = seeds([run for run in configs("laptop") if run.recipe.epochs != 25])
    validated = {run.variant for run in found if run.part == "validation"}
    assert validated == set(beyond.CANDIDATES)
    tested = {run: value for run, value in found.items() if run.part == "test"}
    assert all(value == {0, 1, 2} for value in tested.values())
    short = [run for run in tested if run.recipe == beyond.SHORT]
    assert len({replace(run, variant="linear", light=None, scalar_lr_scale=1.0) for run in short}) == 1


def test_book_measures_two_networks_and_saves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "records"))
    monkeypatch.setattr(landmarks, "load_few", lambda dataset: SETS)
    found = experiments.run("beyond", "book")
    assert [item.config["variant"] for item in found] == ["linear", OURS]
    assert set(found[0].metrics["lights"]) == set(FEW)
    assert set(found[0].metrics["batch_statistics"]) == set(STATISTICS)
    assert not (tmp_path / "records").exists()


def test_short_runs_record_fewer_lights_and_neither_curves_nor_groups(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beyond, "LIGHTS", beyond.FEW | {"x2": LIGHTS["x2"]})
    monkeypatch.setattr(beyond, "RECIPE", RECIPE)
    long = beyond.measure(CONFIG, SETS)
    brief = replace(CONFIG, recipe=replace(RECIPE, epochs=1))
    short = beyond.measure(brief, SETS)
    assert set(long) - set(short) == {"groups", "ced"}
    assert set(long["lights"]) - set(short["lights"]) == {"x2"}
    rendered = beyond.measure(replace(brief, dataset="synthetic"), SETS)
    assert set(rendered) == set(long)
    assert set(rendered["lights"]) == set(short["lights"])
