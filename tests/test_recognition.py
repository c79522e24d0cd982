"""Experiment "recognition" on made-up faces: what is counted, what is run, and that an interruption changes nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelight import train
from facelight.data import LitFaces
from facelight.data.ar import ArFaces
from facelight.data.pie import PieFaces
from facelight.data.yale_lights import YALE_LIGHTS, subset_of
from facelight_lab import _code, experiments, fingerprints, results
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.recognition import competitors, networks, protocols, recognition, scoring
from facelight_lab.recognition.networks import Network
from facelight_lab.recognition.settings import Recognition
from facelight_lab.stems import NORMALIZED
from patience import python

LIGHTS = ((0, 0), (5, 10), (-10, 0), (20, 10), (-25, 0), (35, 15), (-50, 0), (60, -20), (-70, 45), (85, 20), (110, 40))
PEOPLE = (3, 4, 8, 20)
SIZE = (12, 10)


def made_up(
    lights: tuple[tuple[int, int], ...] = LIGHTS, size: tuple[int, int] = (24, 20), noise: float = 0.04
) -> LitFaces:
    """Random patterns as faces of four people, noisier the further the light is from the camera; gaps in identity."""
    generator = torch.Generator().manual_seed(4)
    width = size[1]
    pattern = torch.rand((len(PEOPLE), 1, 1, 4, 4), generator=generator).flatten(0, 1)
    pattern = F.interpolate(pattern, size, mode="bicubic").clamp(0, 1)[:, None]
    azimuth, elevation = torch.tensor(lights, dtype=torch.float32).T
    side = torch.exp(-azimuth[:, None] / 90 * torch.linspace(-1, 1, width)).view(-1, 1, 1, width)
    subset = torch.tensor([subset_of(*light) for light in lights])
    grain = noise * torch.randn((len(PEOPLE), len(lights), 1, *size), generator=generator)
    image = (0.1 + 0.5 * pattern) * side / side.amax() + subset.view(-1, 1, 1, 1) * grain
    total = len(PEOPLE) * len(lights)
    return LitFaces(
        image=(255 * image.clamp(0, 1)).round().byte().flatten(0, 1),
        identity=torch.tensor(PEOPLE).repeat_interleave(len(lights)),
        azimuth=azimuth.repeat(len(PEOPLE)),
        elevation=elevation.repeat(len(PEOPLE)),
        subset=subset.repeat(len(PEOPLE)),
        name=tuple(map(str, range(total))),
        source="made up",
        sha256="0" * 64,
    )


def as_pie(faces: LitFaces, session: str, flash: list[int], camera: list[int]) -> PieFaces:
    columns = {f.name: getattr(faces, f.name) for f in dataclasses.fields(faces)}
    unknown = torch.full((len(faces),), float("nan"))
    columns |= {"azimuth": unknown, "elevation": unknown, "subset": torch.zeros_like(faces.subset)}
    return PieFaces(
        **columns,
        camera=torch.tensor(camera),
        flash=torch.tensor(flash),
        room_lights=torch.zeros(len(faces), dtype=torch.bool),
        session=(session,) * len(faces),
    )


def tiny(network: Network, classes: int) -> nn.Module:
    """In place of a network of millions: something with running means, and with chance in its passes."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(4 * ((SIZE[0] - 1) // 2) * ((SIZE[1] - 1) // 2), classes),
    )  # fmt: skip


TINY = Recognition(
    "synthetic",
    "random",
    FAMILY["CLAHE 2, OpenCV"],
    size=SIZE,
    network=Network(changes=networks.CHANGES, flip_test=True, recipe=train.Recipe(epochs=6, batch=3)),
)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network, and a checkpoint after each epoch."""
    monkeypatch.setattr(networks, "build", tiny)
    monkeypatch.setattr(train, "fit", functools.partial(train.fit, seconds_between_saves=0.0))


# --- what is measured


def slow(config: Recognition, faces: LitFaces, probe: int, gallery: list[int], reach: int) -> int:
    """The identity of one picture, one comparison after the other."""
    height, width = config.size
    x = F.interpolate(faces.image.double(), config.size, mode="bilinear", antialias=True)
    y = config.enhancer((x.round() / 255).clamp(0, 1).float()).double().numpy()[:, 0]

    def inner(i: int, dy: int = 0, dx: int = 0) -> np.ndarray:
        return y[i, reach + dy : height - reach + dy, reach + dx : width - reach + dx].ravel()

    shifts = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    alike = {g: max(np.corrcoef(inner(probe), inner(g, *s))[0, 1] for s in shifts) for g in gallery}
    return int(faces.identity[max(alike, key=lambda g: alike[g])])


@pytest.mark.parametrize("protocol", ["subset 1", "one image", "held-out lights"])
def test_what_is_counted_against_a_plain_loop(protocol: str) -> None:
    faces = made_up()
    config = Recognition("synthetic", protocol, Enhancer("equalize"), 2, SIZE, ("nearest", "shifted nearest"))
    found = recognition.measure(config, faces)
    part = protocols.split(faces, protocol, 2)
    assert found["trained_on"] == len(part.train)
    mistakes = 0
    for method, reach in (("nearest", 0), ("shifted nearest", 1)):
        right, count, wrong, confused = Counter(), Counter(), Counter(), Counter()
        for i in part.test.tolist():
            named, true = slow(config, faces, i, part.train.tolist(), reach), int(faces.identity[i])
            group = str(int(faces.subset[i]))
            count[group] += 1
            right[group] += named == true
            if named != true:
                wrong[f"{int(faces.azimuth[i]):+04d}{int(faces.elevation[i]):+03d}"] += 1
                confused[f"{named} for {true}"] += 1
        assert found[method]["right"] == right
        assert found[method]["count"] == count
        assert confused.items() >= found[method]["confused"].items()
        assert len(found[method]["confused"]) == min(5, len(confused))
        assert found[method].get("wrong", wrong if method == "nearest" else None) == wrong
        mistakes += wrong.total()
    assert 0 < mistakes < 2 * len(part.test)


def test_right_count_wrong_and_confused_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = made_up(((0, 0), (20, 0), (-25, 0), (60, 0), (-120, 0)))  # subsets 1, 2, 2, 4, 5
    of_person = {3: [3, 4, 3, 8], 4: [4, 8, 3, 4], 8: [8, 3, 3, 3], 20: [20, 3, 20, 8]}
    named = [name for names in of_person.values() for name in names]
    monkeypatch.setattr(competitors, "recognize", lambda *_: torch.tensor(named))
    config = Recognition("synthetic", "one image", size=SIZE, methods=("nearest", "shifted nearest"))
    found = recognition.measure(config, faces)
    expected = {
        "right": {"2": 4, "4": 2, "5": 1},
        "count": {"2": 8, "4": 4, "5": 4},
        "confused": {"3 for 8": 3, "4 for 3": 1, "8 for 3": 1, "8 for 4": 1, "3 for 4": 1},
    }
    wrong = {"+060+00": 2, "-025+00": 4, "-120+00": 3}
    assert found == {"nearest": expected, "shifted nearest": expected | {"wrong": wrong}, "trained_on": 4}
    assert list(found["shifted nearest"]["wrong"]) == list(wrong)
    assert next(iter(found["nearest"]["confused"])) == "3 for 8"  # the most frequent first
    assert scoring.rate(found["nearest"]) == pytest.approx(7 / 16)
    assert scoring.rate_of_groups(found["nearest"]) == pytest.approx((4 / 8 + 2 / 4 + 1 / 4) / 3)


def test_pie_is_counted_by_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = made_up(((0, 0), (5, 0), (10, 0), (15, 0), (20, 0), (25, 0)))
    pie = as_pie(faces, "illumination", [5, 2, 3] * 8, ([5] * 3 + [27] * 3) * 4)
    monkeypatch.setattr(competitors, "recognize", lambda m, known, labels, asked: torch.full((len(asked),), 4))
    config = Recognition("pie", "one flash", size=SIZE, methods=("shifted nearest",))
    found = recognition.measure(config, pie)
    assert found["trained_on"] == 4
    assert found["shifted nearest"] == {
        "right": {"27": 2},
        "count": {"27": 8},
        "confused": {"4 for 3": 2, "4 for 8": 2, "4 for 20": 2},
        "wrong": {"illumination 02": 3, "illumination 03": 3},
    }
    everybody = recognition.measure(replace(config, protocol="random"), pie)["shifted nearest"]
    assert everybody["count"].keys() == {"5", "27"}
    assert sum(everybody["count"].values()) == 20


def test_a_network_with_kernel_ridge_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum names whom neither would name alone; patterns are taken from pictures that no enhancer has seen."""
    faces = made_up()
    part = protocols.split(faces, "random", 0)
    probabilities = torch.tensor([0.5, 0.1, 0.4, 0.0]).expand(len(part.test), 4)
    monkeypatch.setattr(networks, "recognize", lambda *_, **__: (probabilities, {"loss": [1.0]}))
    seen = []

    def values(gallery: torch.Tensor, labels: torch.Tensor, probes: torch.Tensor) -> torch.Tensor:
        seen.extend([gallery, labels, probes])
        return torch.tensor([-1.0, 0.2, 0.0, -1.0]).expand(len(probes), 4).double()

    monkeypatch.setattr(competitors, "kernel_ridge_values", values)
    config = Recognition("synthetic", "random", FAMILY["HE"], 0, SIZE, ("kernel ridge",), Network())
    found = recognition.measure(config, faces)
    people = faces.identity.unique().tolist()
    for name, index in (("network", 0), ("network + kernel ridge", 2)):
        named = {mistake.split(" for ")[0] for mistake in found[name]["confused"]}
        assert named == {str(people[index])}
    assert torch.equal(seen[0], recognition.resized(faces.select(part.train), SIZE).image.float() / 255)
    assert torch.equal(seen[1], faces.identity[part.train])
    alone = recognition.measure(replace(config, methods=()), faces)
    assert alone == {k: v for k, v in found.items() if k != "network + kernel ridge"}


def test_nothing_wrong() -> None:
    assert scoring.rate({"right": {"2": 3, "5": 1}, "count": {"2": 4, "5": 8}}) == pytest.approx(4 / 12)
    assert scoring.rate_of_groups({"right": {"2": 3, "5": 1}, "count": {"2": 4, "5": 8}}) == pytest.approx(7 / 16)
    faces = made_up()
    config = Recognition("synthetic", "subset 1", size=SIZE, methods=("shifted nearest",))
    same = faces.select(torch.tensor([0, 1, 2, 11, 12, 13]))  # two people, subset 1
    twice = replace(same, image=same.image[[0, 0, 0, 3, 3, 3]], subset=torch.tensor([1, 2, 5] * 2))
    found = recognition.measure(config, twice)["shifted nearest"]
    assert found == {"right": {"2": 2, "5": 2}, "count": {"2": 2, "5": 2}, "confused": {}, "wrong": {}}


def test_a_network_names_the_right_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of the scores are the people of the training part in ascending order; identities have gaps."""
    faces, given = made_up(), {}
    part = protocols.split(faces, "random", 3)

    def recognize(network, enhancer, known, asked, **options):
        given.update(network=network, enhancer=enhancer, known=known, asked=asked, **options)
        scores = F.one_hot(torch.searchsorted(torch.tensor(PEOPLE), asked.identity), 4).float()
        scores[0] = scores[0].roll(1)
        return scores, {"loss": [1.0, 0.5]}

    monkeypatch.setattr(networks, "recognize", recognize)
    config = replace(TINY, seed=3)
    found = recognition.measure(config, faces)
    first = int(faces.identity[part.test[0]])
    assert found["network"]["confused"] == {f"{PEOPLE[(PEOPLE.index(first) + 1) % 4]} for {first}": 1}
    assert sum(found["network"]["wrong"].values()) == 1
    assert scoring.rate(found["network"]) == 1 - 1 / len(part.test)
    assert (found["curve"], found["trained_on"]) == ({"loss": [1.0, 0.5]}, len(part.train))
    assert (given["network"], given["enhancer"], given["seed"]) == (config.network, config.enhancer, 3)
    assert given["checkpoint"] is None
    x = F.interpolate(faces.image[part.test] / 255, SIZE, mode="bilinear", antialias=True)
    assert torch.equal(given["asked"].image, (255 * x).round().byte())  # gray levels; enhanced only after the changes
    assert torch.equal(given["known"].identity, faces.identity[part.train])


def test_a_network_learns_made_up_people(small_network: None) -> None:
    """More than chance, and the record holds what it should, of the right length."""
    recipe = train.Recipe(epochs=10, batch=6, learning_rate=0.02)
    config = replace(TINY, protocol="held-out lights", network=Network(changes=("move",), recipe=recipe))
    found = recognition.measure(replace(config, enhancer=FAMILY["local contrast"]), made_up(YALE_LIGHTS))
    assert found.keys() == {"network", "curve", "trained_on"}
    assert scoring.rate(found["network"]) > 0.5
    assert len(found["curve"]["loss"]) == 10
    assert found["trained_on"] == 4 * round(0.2 * 64)
    wrong, count, right = (sum(found["network"][k].values()) for k in ("wrong", "count", "right"))
    assert wrong == count - right


# --- names of lights


def test_names_of_the_lights_are_those_of_the_files() -> None:
    faces = made_up(YALE_LIGHTS)
    names = scoring.lights(faces)
    assert names[:64] == [f"{a:+04d}{e:+03d}" for a, e in YALE_LIGHTS]
    assert len(set(names)) == 64
    assert {"+000+00", "+035-20", "-110+15", "+000+90", "+005+10"} <= set(names)


def as_ar(faces: LitFaces, session: list[int], subset: list[int]) -> ArFaces:
    columns = {f.name: getattr(faces, f.name) for f in dataclasses.fields(faces)}
    unknown = torch.full((len(faces),), float("nan"))
    columns |= {"azimuth": unknown, "elevation": unknown, "subset": torch.tensor(subset)}
    return ArFaces(**columns, session=torch.tensor(session))


def test_ar_is_counted_by_session_and_light(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = as_ar(made_up(((0, 0), (5, 0), (10, 0), (15, 0))), [1, 1, 2, 2] * 4, [1, 2, 1, 4] * 4)
    assert scoring.lights(faces)[:4] == ["1 even", "1 left", "2 even", "2 both"]
    monkeypatch.setattr(competitors, "recognize", lambda m, known, labels, asked: torch.full((len(asked),), 4))
    config = Recognition("ar", "even light", size=SIZE, methods=("shifted nearest",))
    found = recognition.measure(config, faces)
    assert found["trained_on"] == 4
    assert found["shifted nearest"] == {
        "right": {"12": 1, "24": 1},
        "count": {"12": 4, "24": 4},
        "confused": {"4 for 3": 2, "4 for 8": 2, "4 for 20": 2},
        "wrong": {"1 left": 3, "2 both": 3},
    }


def test_names_of_the_lights_of_pie() -> None:
    faces = made_up(((0, 0), (5, 0), (10, 0)))
    pie = as_pie(faces, "lights", [0, 7, 21] * 4, [5] * 12)
    assert scoring.lights(pie)[:3] == ["lights 00", "lights 07", "lights 21"]


# --- configurations


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": "yale"}, ValueError, "dataset: expected one of 'yaleb', 'pie', 'ar', 'synthetic', got 'yale'"),
        ({"protocol": "P1"}, ValueError, "protocol: expected one of 'random', 'subset 1', .*, got 'P1'"),
        ({"methods": ("nearest", "svm")}, ValueError, "methods: expected one of 'nearest', .*, got 'svm'"),
        ({"methods": ()}, ValueError, "methods, network: expected one of them: name methods or give a network"),
        ({"network": Network()}, ValueError, "methods: expected none, or only 'kernel ridge', beside a network"),
        ({"enhancer": "bbhe"}, TypeError, r"enhancer: expected an Enhancer, got 'bbhe': write Enhancer\('bbhe'\)"),
    ],
)
def test_bad_configurations(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recognition(**{"methods": ("nearest",), **options})


def test_a_protocol_that_does_not_fit_the_set() -> None:
    config = Recognition("yaleb", "one flash", methods=("nearest",))
    with pytest.raises(ValueError, match="protocol 'one flash': expected CMU PIE"):
        recognition.measure(config, made_up())


def key(config: Recognition) -> str:
    return results.key("recognition", dataclasses.asdict(config), config.seed)


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_no_run_twice(profile: str) -> None:
    runs = recognition.configs(profile)
    assert len({key(run) for run in runs}) == len(set(runs)) == len(runs)
    again = recognition.configs(profile)
    assert [key(run) for run in again] == [key(run) for run in runs]


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_every_run_fits_its_data(profile: str) -> None:
    """Protocols, seeds and methods: LDA needs two pictures of someone; a seed stands only where something is drawn."""
    for run in recognition.configs(profile):
        others = {"pie": recognition.PIE_PROTOCOLS, "ar": (recognition.AR_PROTOCOL,)}
        assert run.protocol in others.get(run.dataset, recognition.YALE_PROTOCOLS)
        assert run.seed in recognition.SEEDS
        assert run.seed == 0 or run.protocol in recognition.DRAWN or run.network is not None
        assert not ("lda" in run.methods and run.protocol in ("one image", "one flash"))


def test_laptop_covers_what_the_book_tells() -> None:
    runs = recognition.configs("laptop")
    offsets = [run for run in runs if run.methods == ("ridge without offset",)]
    assert {(run.protocol, run.seed) for run in offsets} == {("subset 1", 0), *(("random", s) for s in (0, 1, 2))}
    patterns = [run for run in runs if run.methods == ("kernel ridge",) and run.network is None]
    both = [(run.dataset, run.protocol, run.seed) for run in runs if run.methods and run.network]
    assert both == [("pie", "random", seed) for seed in recognition.SEEDS]
    assert {(run.dataset, run.protocol) for run in patterns} >= {("yaleb", p) for p in recognition.YALE_PROTOCOLS} | {
        ("pie", p) for p in recognition.PIE_PROTOCOLS
    }
    classical = [run for run in runs if run.network is None and run not in offsets and run not in patterns]
    found = {(r.dataset, r.protocol, r.seed, r.size, r.enhancer.name, str(r.enhancer.settings)): r for r in classical}

    def methods(dataset: str, protocol: str, seed: int, size: tuple[int, int], label: str) -> tuple[str, ...]:
        enhancer = FAMILY[label]
        return found[dataset, protocol, seed, size, enhancer.name, str(enhancer.settings)].methods

    for dataset, size, of_set, labels in (
        ("yaleb", (96, 84), ("random", "subset 1", "held-out lights", "one image"), recognition.COMPARED),
        ("synthetic", (96, 84), ("random", "subset 1", "held-out lights", "one image"), recognition.FEW),
        ("pie", (32, 32), ("random", "one flash", "room light"), recognition.FEW),
    ):
        for protocol in of_set:
            for seed in (0, 1, 2) if protocol in ("random", "held-out lights", "one flash") else (0,):
                for label in labels:
                    expected = {"nearest", "shifted nearest", "pca", "ridge"}
                    expected |= set() if protocol in ("one image", "one flash") else {"lda"}
                    expected |= {"lbp"} if label in recognition.FEW and dataset == "yaleb" else set()
                    assert set(methods(dataset, protocol, seed, size, label)) == expected
    for dataset in ("yaleb", "synthetic"):  # settings of the best are chosen on rendered faces
        windows = {(r.size, r.enhancer.settings["window"]) for r in classical if r.dataset == dataset
                   and r.protocol == "subset 1" and "window" in r.enhancer.settings}  # fmt: skip
        assert windows >= {(size, window) for size in ((96, 84), (128, 112)) for window in (5, 7, 9)}
    assert {"Input", "CLAHE 40, OpenCV", "M-CLAHE 0.01, MATLAB", "Tan-Triggs", "local contrast"} <= set(recognition.FEW)


def test_ar_has_the_methods_and_the_network_of_the_others() -> None:
    runs = [run for run in recognition.configs("laptop") if run.dataset == "ar"]
    assert {(run.protocol, run.size) for run in runs} == {("even light", (60, 43))}
    classical = {run.enhancer: run.methods for run in runs if run.network is None and run.methods != ("kernel ridge",)}
    assert [*classical] == [FAMILY[label] for label in recognition.FEW]
    assert {*classical.values()} == {("nearest", "shifted nearest", "pca", "lda", "ridge", "lbp")}
    assert sum(run.methods == ("kernel ridge",) for run in runs) == 1
    trained = [run for run in runs if run.network is not None]
    assert {run.network.recipe for run in trained} == {recognition.RECIPE}
    seeds: dict[tuple, list[int]] = {}
    for run in trained:
        seeds.setdefault((run.enhancer, run.network.variant), []).append(run.seed)
    assert {*seeds} == {(FAMILY[label], "linear") for label in ("Input", "Tan-Triggs", "local contrast")} | {
        (Enhancer(), variant) for variant in recognition.BEYOND[1:]
    }
    assert all(found == [0, 1, 2] for found in seeds.values())


def test_what_other_networks_are_compared_with_has_their_budget() -> None:
    runs = recognition.configs("laptop")
    filtered = [run for run in runs if run.enhancer == FAMILY["Tan-Triggs"] and run.network and run.dataset == "yaleb"]
    (other,) = {run.network for run in filtered if run.protocol == "random"}
    held = [run for run in filtered if run.protocol == "held-out lights"]
    assert [(run.seed, run.network, run.size) for run in held] == [(s, other, recognition.SMALL) for s in (0, 1, 2)]
    on_pie = [run for run in runs if run.dataset == "pie" and run.network]
    plain = [run for run in on_pie if run.enhancer == Enhancer() and run.network.variant == "linear"]
    assert [run.seed for run in plain] == [0, 1, 2]
    for run in plain:  # one part less than each of the two others
        assert replace(run, enhancer=FAMILY["local contrast"], methods=("kernel ridge",)) in on_pie
        assert replace(run, network=replace(run.network, variant=NORMALIZED)) in on_pie


def of_networks(profile: str = "laptop") -> list[Recognition]:
    return [run for run in recognition.configs(profile) if run.network is not None and run.dataset == "yaleb"]


def test_laptop_has_first_layers_that_ignore_the_light_in_three_protocols() -> None:
    found = {
        (run.network.variant, run.protocol, run.seed)
        for run in of_networks()
        if run.network.variant in recognition.BEYOND
    }
    assert found == {
        (s, p, seed) for s in recognition.BEYOND for p in recognition.YALE_PROTOCOLS[:3] for seed in recognition.SEEDS
    }


def test_laptop_has_the_networks_of_the_book_with_one_budget() -> None:
    runs = [run for run in of_networks() if run.network.backbone == "resnet18_c4" and run.network.recipe.epochs == 40]
    assert {(run.size, run.network.recipe) for run in runs} == {(recognition.SMALL, recognition.RECIPE)}
    random = [run for run in runs if run.protocol == "random"]
    variants = {run.network.variant for run in random if run.enhancer == Enhancer()}
    assert variants == {*recognition.FIRST_LAYERS, *recognition.BEYOND}
    behind = [run.enhancer for run in random if run.network.variant == "linear"]
    assert all(FAMILY[label] in behind for label in recognition.COMPARED)
    for protocol in recognition.YALE_PROTOCOLS[:3]:
        four = [r for r in runs if (r.protocol, r.seed) == (protocol, 0) and "relight" not in r.network.changes]
        assert len(four) >= 4
    pairs = {(str(run.enhancer), run.network.variant, "relight" in run.network.changes) for run in runs
             if run.protocol == "subset 1" and run.network.variant in recognition.FIRST_LAYERS}  # fmt: skip
    assert len(pairs) == 8
    assert all((*rest, not relit) in pairs for *rest, relit in pairs)  # each with and without relighting


def test_networks_have_three_seeds_but_the_readings_one_in_laptop() -> None:
    for profile in ("laptop", "full"):
        seeds: dict[tuple, set[int]] = {}
        for run in of_networks(profile):
            seeds.setdefault((run.dataset, run.protocol, str(run.enhancer), run.network), set()).add(run.seed)
        fewer = [network for (*_, network), found in seeds.items() if found != {0, 1, 2}]
        readings = {run.network for run in recognition._readings(profile)}
        assert set(fewer) == (readings if profile == "laptop" else set())


def test_one_picture_each_is_seen_as_often_as_needed_for_the_running_statistics() -> None:
    """An epoch of 38 pictures is one step; batch normalization averages over more than a hundred."""
    one = [run.network for run in of_networks("laptop") if run.protocol == "one image"]
    many = [run for run in of_networks("laptop") if run.protocol == "held-out lights"]
    many = [run.network for run in many if run.enhancer != FAMILY["Tan-Triggs"]]
    many = [network for network in many if network.variant in recognition.FIRST_LAYERS]
    assert len(one) == len(many) > 0
    assert {network.recipe.epochs for network in one} == {400}
    assert {replace(network, recipe=recognition.RECIPE) for network in one} == set(many)


def test_readings_of_the_weight_decay_differ_in_nothing_else() -> None:
    runs = [r for r in of_networks("laptop") if r.network.recipe.epochs == 100]
    recipes = [run.network.recipe for run in runs]
    assert [(r.weight_decay, r.momentum, r.decay) for r in recipes] == [(0.95, 0.9, 1), (0, 0.95, 1), (0, 0.9, 0.95)]
    assert {(r.epochs, r.batch, r.learning_rate, r.optimizer) for r in recipes} == {(100, 50, 1e-3, "sgd")}
    assert len({replace(run, network=None, methods=("nearest",)) for run in runs}) == 1


def test_the_papers_networks_with_and_without_its_enhancer() -> None:
    """The same budget on both sides, and `full` at the size and with the recipe of the paper."""
    for profile, sides in (("laptop", {48, 75}), ("full", {224, 299})):
        runs = [run for run in of_networks(profile) if run.network.backbone != "resnet18_c4"]
        assert {run.size[0] for run in runs} == sides
        both: dict[tuple, set[Enhancer]] = {}
        for run in runs:
            both.setdefault((run.network, run.size, run.seed), set()).add(run.enhancer)
        assert len(both) == 9
        assert all(found == {FAMILY["Input"], FAMILY["M-CLAHE 0.01, MATLAB"]} for found in both.values())
        assert {run.network.weights for run in runs} == ({"imagenet"} if profile == "full" else {None})
    assert {(run.network.recipe.epochs, run.network.recipe.momentum) for run in runs} == {(100, 0.95)}


# --- running


def test_book_runs_everything_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    faces = made_up(size=(48, 42), noise=0.005)
    monkeypatch.setattr(recognition, "load_few", lambda dataset: faces)
    monkeypatch.setattr(recognition, "load", lambda dataset: pytest.fail("loaded again"))
    records = experiments.run("recognition", "book")
    assert list(tmp_path.iterdir()) == []
    assert [record.config["protocol"] for record in records] == [*recognition.YALE_PROTOCOLS, "random"]
    assert [record.data["split"] for record in records][:2] == ["random, seed 0", "subset 1, seed 0"]
    for record in records[:4]:
        assert record.metrics.keys() == {*record.config["methods"], "trained_on"}
        assert scoring.rate(record.metrics["ridge"]) > 0.5
    assert len(records[4].metrics["curve"]["loss"]) == 2
    assert sum(records[4].metrics["network"]["count"].values()) == 4 * 9
    assert records[4].data["count"] == len(faces)


def test_laptop_records_skips_and_clears_up(
    small_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = [replace(TINY, network=None, methods=("nearest",)), TINY]
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    monkeypatch.setattr(recognition, "configs", lambda profile: runs)
    monkeypatch.setattr(recognition, "load", lambda dataset: made_up())
    monkeypatch.setattr(fingerprints, "of", lambda *run: {"steps": [1.0]})  # its pictures do not fit this network
    records = experiments.run("recognition", "laptop")
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == sorted(f"{key(run)}.json" for run in runs)
    assert not list((tmp_path / ".unfinished" / "recognition").iterdir())
    monkeypatch.setattr(recognition, "load", lambda dataset: pytest.fail("loaded again"))
    assert experiments.run("recognition", "laptop") == records
    assert results.find("recognition", TINY, 0) == records[1]
    assert records[1].seed == 0
    assert records[1].config["network"]["recipe"]["epochs"] == 6


def test_the_code_is_that_of_the_three_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _code.code() == _code.code()
    assert len(_code.code()) == 12
    for package in _code.PACKAGES:
        (tmp_path / package / "deep").mkdir(parents=True)
        for name in ("train.py", "deep/b.py"):
            (tmp_path / package / name).write_text("x = 1\n")
    monkeypatch.setattr(_code, "LIBRARY", tmp_path)

    def now() -> str:
        return _code.code.__wrapped__()  # what a process that starts now would find

    found = [now()]
    (tmp_path / "facelight" / "data.csv").write_text("1")
    assert now() == found[0]
    for package in _code.PACKAGES:
        (tmp_path / package / "deep" / "b.py").write_text("x = 2\n")
        found.append(now())
    assert len(set(found)) == 4
    assert _code.code() not in found  # a process keeps to the code that it runs


class Stop(Exception):
    """An interruption."""


def epochs_of(monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> list[int]:
    """The epochs that will be trained; `stop` is interrupted."""
    seen: list[int] = []
    epoch = train._epoch

    def watched(*arguments):
        if arguments[6] == stop:
            raise Stop
        seen.append(arguments[6])
        return epoch(*arguments)

    monkeypatch.setattr(train, "_epoch", watched)
    return seen


@pytest.mark.parametrize("spoilt", ["code", "file", "nothing"])
def test_a_checkpoint_of_other_code_is_put_aside(
    spoilt: str, small_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    faces, place = made_up(), tmp_path / "place"
    expected = recognition.measure(TINY, faces)
    with monkeypatch.context() as patch:
        epochs_of(patch, stop=3)
        with pytest.raises(Stop):
            recognition.measure(TINY, faces, place)
    assert (place / "checkpoint.pt").is_file()
    message = "belongs to another run"
    if spoilt == "code":
        monkeypatch.setattr(recognition, "code", lambda: "0123456789ab")
    elif spoilt == "file":
        (place / "checkpoint.pt").write_bytes(b"not a checkpoint")
        message = "is not a whole checkpoint of this run"
    seen = epochs_of(monkeypatch)
    if spoilt == "nothing":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert recognition.measure(TINY, faces, place) == expected
    else:
        with pytest.warns(UserWarning, match=rf"(?s)checkpoint\.pt {message}.*is kept as .*the run starts again"):
            assert recognition.measure(TINY, faces, place) == expected
        assert (place / "checkpoint.pt.refused").is_file()
    assert seen == list(range(3 if spoilt == "nothing" else 0, 6))


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"enhancer": Enhancer()}, {"protocol": "held-out lights"}, {"size": (12, 11)}]
)
def test_a_checkpoint_belongs_to_one_configuration(other: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def recognize(network, enhancer, known, asked, *, identity, **_):
        seen.append(identity)
        return torch.zeros(len(asked), 4), {"loss": [0.0]}

    monkeypatch.setattr(networks, "recognize", recognize)
    for config in (TINY, TINY, replace(TINY, **other)):
        recognition.measure(config, made_up())
    assert seen[0] == seen[1] != seen[2]
    assert _code.code() in seen[0]
    assert torch.__version__ in seen[0]


KILLED = """
import json, multiprocessing, os, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_recognition as t
from facelight_lab import experiments, fingerprints, results
from facelight import train
from facelight_lab.recognition import networks, recognition
from facelight_lab.results import records
from patience import PATIENCE, until

records._git = lambda *words: None
runs = [t.TINY, t.replace(t.TINY, seed=1, protocol="held-out lights")]
recognition.configs, recognition.load = lambda profile: runs, lambda dataset: t.made_up()
networks.build = t.tiny
train.fit = t.functools.partial(train.fit, seconds_between_saves=0.0)
root, fork = Path(sys.argv[2]), multiprocessing.get_context("fork")
log, whole, changes = root / "epochs", train._epoch, networks.changes
fingerprints.of = lambda *run: {"steps": [1.0]}  # its pictures do not fit this network


def epoch(*arguments):
    with log.open("a") as stream:
        stream.write(f"{arguments[-1]}{arguments[-2]} ")
    return whole(*arguments)


def stuck(names, enhancer):
    "Changes that never end, in the second batch of the fourth epoch of the second run."
    change = changes(names, enhancer)

    def slow(x, generator):
        if log.read_text().split()[-1] == "13" and (root / "batch").exists():
            (root / "stuck").touch()
            time.sleep(2 * PATIENCE)  # it is killed here
        if log.read_text().split()[-1] == "13":
            (root / "batch").touch()
        return change(x, generator)

    return slow


def start(name, **patches):
    os.environ["FACELIGHT_RESULTS"] = str(root / name)
    train._epoch, networks.changes = epoch, patches.get("changes", changes)
    child = fork.Process(target=experiments.run, args=("recognition", "laptop"))
    child.start()
    return child


def metrics(name):
    found = [results.find("recognition", run, run.seed, root / name) for run in runs]
    return [None if record is None else record.metrics for record in found]


one = t.replace(t.TINY.network, recipe=train.Recipe(epochs=1))
recognition.measure(t.replace(t.TINY, network=one), t.made_up())  # what is imported late, once for all children
child = start("killed", changes=stuck)
until(lambda: (root / "stuck").exists() or not child.is_alive())
child.kill()
child.join()
told = {"exit": child.exitcode, "first": log.read_text().split(), "then": [m is not None for m in metrics("killed")]}
told["left"] = sorted(p.name for p in (root / "killed/.unfinished/recognition").rglob("*"))
log.write_text("")
start("killed").join()
told |= {"second": log.read_text().split(), "killed": metrics("killed")}
told["left_at_last"] = [p.name for p in (root / "killed/.unfinished/recognition").rglob("*")]
start("straight").join()
told["straight"] = metrics("straight")
print(json.dumps(told))
"""


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    done = python("-c", KILLED, str(Path(__file__).parent), str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["exit"] == -9
    assert told["first"] == [f"0{i}" for i in range(6)] + ["10", "11", "12", "13"]
    assert told["then"] == [True, False]
    assert "checkpoint.pt" in told["left"]
    assert told["second"] == ["13", "14", "15"]  # the epoch in which it was killed is trained again
    assert told["left_at_last"] == []
    assert told["killed"] == told["straight"]
    first, second = told["killed"]
    assert len(first["curve"]["loss"]) == len(second["curve"]["loss"]) == 6
    assert first["curve"] != second["curve"]


# --- real faces


@pytest.mark.realdata
def test_yale_twice_gives_the_same_counts(yaleb_root: Path) -> None:
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root)
    config = Recognition("yaleb", "subset 1", FAMILY["Tan-Triggs"], 0, (48, 42), ("nearest", "shifted nearest"))
    found = recognition.measure(config, faces)
    assert found == recognition.measure(config, faces)
    assert found["trained_on"] == 263
    assert found["nearest"]["count"] == {"2": 456, "3": 455, "4": 526, "5": 714}
    assert scoring.rate(found["nearest"]) == pytest.approx(1968 / 2151, abs=0.002)
    assert scoring.rate(found["shifted nearest"]) == pytest.approx(1883 / 2151, abs=0.002)  # a pixel is too far here


@pytest.mark.slow
@pytest.mark.realdata
def test_yale_without_a_mistake(yaleb_root: Path) -> None:
    from facelight.data import yaleb

    enhancer = FAMILY["local contrast"].but(window=5)
    config = Recognition("yaleb", "subset 1", enhancer, size=(128, 112), methods=("shifted nearest",))
    assert replace(config, methods=("nearest", "shifted nearest")) in recognition.configs("laptop")
    found = recognition.measure(config, yaleb.load(yaleb_root))["shifted nearest"]
    assert found["right"] == found["count"] == {"2": 456, "3": 455, "4": 526, "5": 714}
    assert (found["confused"], found["wrong"]) == ({}, {})
