"""Settings by descent and by trying, on made-up faces: the split, the loss and its gradient, the count, the records."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facelight import enhance
from facelight.data import LitFaces
from facelight_lab import experiments, results
from facelight_lab.enhancement import learned, nearest
from facelight_lab.enhancement.learnable import ClipLimitOf, directions, statistics
from facelight_lab.enhancement.learned import CLAHE, MODIFIED, Learned, identity_loss
from facelight_lab.enhancement.nearest import Nearest
from facelight_lab.enhancers import Enhancer

SUBSETS = (1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5)
PEOPLE = (4, 3, 3)
SMALL = Learned(people=PEOPLE, steps=6, every=3, learning_rate=0.3, probes=6, dataset="synthetic")


@pytest.fixture(scope="module")
def faces() -> LitFaces:
    """Ten faces that share most of one blurred pattern, under twelve lights that turn and weaken with the subset."""
    generator = torch.Generator().manual_seed(0)
    pattern = torch.rand((11, 1, 12, 10), generator=generator)
    pattern = torch.nn.functional.interpolate(pattern, (48, 40), mode="bicubic").clamp(0, 1)
    pattern = (0.85 * pattern[:1] + 0.15 * pattern[1:])[:, None]
    level = torch.tensor(SUBSETS).view(1, -1, 1, 1, 1) / 5
    light = (1 - level * torch.linspace(0, 1, 40)) * (1.1 - level)
    noise = 0.01 * torch.randn((10, len(SUBSETS), 1, 48, 40), generator=generator)
    image = ((0.2 + 0.7 * pattern) * light + noise).clamp(0, 1)
    count = 10 * len(SUBSETS)
    return LitFaces(
        image=(255 * image).round().byte().flatten(0, 1),
        identity=torch.arange(10).repeat_interleave(len(SUBSETS)),
        azimuth=torch.zeros(count),
        elevation=torch.zeros(count),
        subset=torch.tensor(SUBSETS * 10),
        name=tuple(str(i) for i in range(count)),
        source="test",
        sha256="0" * 64,
    )


@given(st.integers(0, 2**31), st.sampled_from([(18, 8, 12), (2, 2, 2), (30, 4, 4)]))
def test_split_is_disjoint_and_a_function_of_the_seed(seed: int, people: tuple[int, int, int]) -> None:
    parts = learned.split(38, people, seed)
    everyone = torch.cat(parts)
    assert tuple(map(len, parts)) == people
    assert len(everyone.unique()) == len(everyone)
    assert everyone.min() >= 0
    assert everyone.max() < 38
    torch.manual_seed(seed + 1)  # the state of the global generator does not matter
    assert all(torch.equal(a, b) for a, b in zip(parts, learned.split(38, people, seed), strict=True))


def test_splits_differ_between_seeds() -> None:
    assert len({tuple(learned.split(38, (18, 8, 12), seed)[2].tolist()) for seed in range(20)}) == 20


def slow_loss(gallery: np.ndarray, labels: list[int], probe: np.ndarray, target: int, t: float) -> float:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    scores = {}
    for name in set(labels):
        own = [math.exp(t * cosine(probe, g)) for g, label in zip(gallery, labels, strict=True) if label == name]
        scores[name] = sum(own) / len(own)
    return -math.log(scores[target] / sum(scores.values()))


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_loss_against_a_plain_loop(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    gallery, probes = (torch.rand((n, 1, 5, 4), generator=generator, dtype=torch.float64) for n in (6, 3))
    labels, target = torch.tensor([9, 4, 4, 7, 9, 9]), torch.tensor([7, 9, 4])
    found = identity_loss(gallery, labels, probes, target, torch.tensor(temperature))
    for i in range(3):
        expected = slow_loss(gallery.numpy(), labels.tolist(), probes[i].numpy(), int(target[i]), temperature)
        assert found[i].item() == pytest.approx(expected, rel=1e-9)


def test_loss_is_ln_of_the_people_where_nothing_is_known() -> None:
    same = torch.rand(1, 1, 4, 4).expand(5, 1, 4, 4)
    found = identity_loss(same, torch.arange(5), same[:2], torch.tensor([0, 3]), torch.tensor(20.0))
    assert found.tolist() == pytest.approx([math.log(5)] * 2)


def test_gradcheck_of_the_loss() -> None:
    gallery, probes = (torch.rand(n, 1, 3, 3, dtype=torch.float64, requires_grad=True) for n in (4, 2))
    t = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    labels, target = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 0])
    assert torch.autograd.gradcheck(lambda g, p, t: identity_loss(g, labels, p, target, t), (gallery, probes, t))


def test_directions_ignore_brightness_and_contrast() -> None:
    x = torch.rand(3, 1, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(directions(0.3 * x + 0.2), directions(x))
    torch.testing.assert_close(directions(x).norm(dim=1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("clip_limit", [12.3, 40.7, 90.1])
def test_gradient_by_the_clip_limit_is_the_finite_difference(faces: LitFaces, clip_limit: float) -> None:
    def loss(c: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        t = torch.tensor(20.0, dtype=torch.float64)
        return learned.batch_loss(lambda x: enhance.clahe(x.double(), c, exact=False), faces, SMALL, generator, t)

    c = torch.tensor(clip_limit, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(c), c)
    with torch.no_grad():
        difference = (loss(c + 1e-5) - loss(c - 1e-5)) / 2e-5
    assert slope.abs() > 1e-5
    torch.testing.assert_close(slope, difference, rtol=1e-5, atol=0)


def test_a_batch_has_what_the_configuration_says(faces: LitFaces) -> None:
    seen = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    learned.batch_loss(keep, faces, SMALL, torch.Generator().manual_seed(0), torch.tensor(20.0))
    assert seen[0].shape == (10 * SMALL.gallery + 4 * SMALL.probes, 1, 48, 40)
    found = [(faces.image == (255 * x).round().byte()).flatten(1).all(1).nonzero().item() for x in seen[0]]
    assert len(set(found)) == len(found)
    assert faces.subset[found[:20]].tolist() == [1] * 20
    assert faces.identity[found[:20]].bincount().tolist() == [2] * 10
    assert faces.subset[found[20:]].bincount().tolist() == [0, 0, 6, 6, 6, 6]


def test_evaluation_is_that_of_nearest(faces: LitFaces) -> None:
    found = learned.evaluate(CLAHE, faces, 20.0)
    other = nearest.measure(Nearest("synthetic", CLAHE, (48, 40)), faces)
    assert found["rate"] == pytest.approx(other["rate_of_subsets"])
    assert found["rate_by_subset"] == pytest.approx(other["rate_by_subset"])
    assert 0.3 < found["rate"] < 1
    assert set(found["loss_by_subset"]) == {2, 3, 4, 5}


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, enhancer=CLAHE.but(clip_limit=10.0)),
        replace(SMALL, method="per_image", enhancer=CLAHE.but(clip_limit=10.0)),
        replace(SMALL, enhancer=MODIFIED.but(clip_limit=10.0)),
    ],
    ids=["global", "per image", "modified"],
)
def test_descent_lowers_the_loss(faces: LitFaces, config: Learned) -> None:
    before = learned.measure(replace(config, steps=0), faces)
    after = learned.measure(config, faces)
    assert after["curve"]["step"] == [0, 3, 6]
    assert after["curve"]["loss"][-1] < after["curve"]["loss"][0] - 0.01
    assert after["curve"]["loss"][0] == before["loss"]["validation"]
    where = after["curve"]["step"].index(after["learned"]["step"])
    assert after["curve"]["rate"][where] == after["rate"]["validation"]
    assert after["curve"]["loss"][where] == pytest.approx(after["loss"]["validation"])
    assert after["rate"]["validation"] == max(after["curve"]["rate"])
    assert learned.measure(config, faces) == after


def test_a_learned_temperature_moves(faces: LitFaces) -> None:
    found = learned.measure(replace(SMALL, learn_temperature=True), faces)["curve"]["temperature"]
    assert found[0] == 20
    assert found[-1] != pytest.approx(20, rel=1e-3)
    assert set(learned.measure(SMALL, faces)["curve"]["temperature"]) == {20.0}


@pytest.mark.parametrize("method", ["grid", "random"])
def test_the_best_of_what_was_tried(faces: LitFaces, method: str) -> None:
    config = replace(SMALL, method=method, enhancer=CLAHE if method == "grid" else MODIFIED, steps=12)
    found = learned.measure(config, faces)
    curve = found["curve"]
    means = [sum(r) / 2 for r in zip(curve["rate_train"], curve["rate_validation"], strict=True)]
    losses = [sum(r) / 2 for r in zip(curve["loss_train"], curve["loss_validation"], strict=True)]
    best = min(range(len(means)), key=lambda i: (-means[i], losses[i]))
    assert found["learned"]["clip_limit"] == curve["clip_limit"][best]
    assert found["rate"]["validation"] == curve["rate_validation"][best]
    assert found["images"] == len(means) * 7 * len(SUBSETS)
    assert len(set(curve["clip_limit"])) == len(means) > 3


def test_grid_runs_from_no_stretching_to_no_limit() -> None:
    limits = [e.settings["clip_limit"] for e in learned.grid(Learned("grid"))]
    assert (len(limits), limits[0], limits[-1]) == (16, 1.0, 256.0)
    ratios = [b / a for a, b in pairwise(limits)]
    assert ratios == pytest.approx([256 ** (1 / 15)] * 15)


def test_random_settings_cost_at_most_what_descent_costs_and_stay_in_their_ranges() -> None:
    config = Learned("random", enhancer=MODIFIED, steps=120)
    found = learned.random_settings(config, 1100, 500)
    assert found[0] == MODIFIED
    assert len(found) * 1600 <= learned.cost(config, 500) < (len(found) + 1) * 1600
    for name, (low, high) in {**learned.RANGES, "prefilter": (0, 1), "strength": (0, 1)}.items():
        drawn = [e.settings[name] for e in found]
        assert len(set(drawn)) == len(found)
        assert low <= min(drawn) <= max(drawn) <= high
    assert found == learned.random_settings(config, 1100, 500)
    assert found[1:] != learned.random_settings(replace(config, seed=1), 1100, 500)[1:]


def test_cost_counts_every_picture(faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"batch": 0, "evaluate": 0}
    forward, evaluate = enhance.CLAHE.forward, learned.evaluate

    def counting(self: enhance.CLAHE, x: torch.Tensor) -> torch.Tensor:
        counts["batch"] += 3 * len(x) if torch.is_grad_enabled() else 0
        return forward(self, x)

    def looking(enhancer: object, some: LitFaces, temperature: float) -> dict:
        counts["evaluate"] += len(some)
        return evaluate(enhancer, some, temperature)

    monkeypatch.setattr(enhance.CLAHE, "forward", counting)
    monkeypatch.setattr(learned, "evaluate", looking)
    images = learned.measure(SMALL, faces)["images"]
    assert images == counts["batch"] + counts["evaluate"] - len(faces)  # the last look at all three parts is free


def test_the_test_people_have_no_say(faces: LitFaces) -> None:
    test = learned.split(10, PEOPLE, 0)[2]
    image = faces.image.clone()
    image[torch.isin(faces.identity, test)] = 0
    blind = replace(faces, image=image)
    for method in ("descent", "per_image", "grid"):
        config = replace(SMALL, method=method, steps=3)
        seen, unseen = learned.measure(config, faces), learned.measure(config, blind)
        assert seen["learned"] == unseen["learned"]
        assert seen["curve"] == unseen["curve"]
        assert seen["rate"]["test"] != unseen["rate"]["test"]


def test_statistics_by_numpy(faces: LitFaces) -> None:
    x = faces.image[[0, 50, 119]].double() / 255
    found = statistics(x).numpy()
    for row, image in zip(found, x[:, 0].numpy(), strict=True):
        turn = abs(image[:, :20].mean() - image[:, 20:].mean())
        expected = [image.mean(), image.std(ddof=1), *np.quantile(image, [0.05, 0.5, 0.95]), turn]
        assert row == pytest.approx(expected)


def test_clip_limit_of_each_image(faces: LitFaces) -> None:
    x = faces.image[:40].float() / 255
    model = ClipLimitOf(12.0, x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.clip_limit(x), torch.full((40,), 12.0))
    torch.testing.assert_close(model(x), enhance.clahe(x, 12.0, exact=False), atol=1e-5, rtol=0)
    torch.nn.init.normal_(model.outer.weight, std=10.0)
    limits = model.clip_limit(x)
    assert limits.min() >= 1
    assert limits.max() <= 256
    assert len(limits.unique()) > 20
    torch.testing.assert_close(model(x)[3], enhance.clahe(x[3], limits[3].item(), exact=False), atol=1e-5, rtol=0)
    model(x).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_landscape(faces: LitFaces) -> None:
    curve = learned.measure(replace(SMALL, method="landscape", steps=4), faces)["curve"]
    assert curve["clip_limit"] == pytest.approx([1, 4, 16, 64, 256])
    some = faces.select(torch.isin(faces.identity, learned.split(10, PEOPLE, 0)[1]))
    for exact in (False, True):
        expected = learned.evaluate(CLAHE.but(clip_limit=16.0, exact=exact), some, 20.0)
        assert curve["loss_exact" if exact else "loss"][2] == pytest.approx(expected["loss"], rel=1e-4)
    assert curve["loss"] != curve["loss_exact"]


def test_laptop_records_and_skips(faces: LitFaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = [replace(SMALL, method="fixed"), SMALL, replace(SMALL, seed=1), replace(SMALL, method="landscape", steps=2)]
    monkeypatch.setattr(learned, "configs", lambda profile: runs)
    monkeypatch.setattr(learned, "load", lambda dataset: faces)
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    assert len(experiments.run("learned", "book")) == 4
    assert list(tmp_path.iterdir()) == []
    records = experiments.run("learned", "laptop")
    assert len(list(tmp_path.rglob("*.json"))) == 4
    assert [item.seed for item in records] == [0, 0, 1, 0]
    monkeypatch.setattr(learned, "load", lambda dataset: pytest.fail("loaded again"))
    assert experiments.run("learned", "laptop") == records
    assert records[1].config["enhancer"]["settings"] == dict(CLAHE.settings)
    assert records[1].data["split"] == "4 people for training, 3 for validation, 3 for test, seed 0"
    assert records[1].provenance["command"] == "facelight run learned --profile laptop"
    assert {item.key for item in results.load("learned")} == {item.key for item in records}
    assert sorted(records[1].metrics["rate_by_subset"]["test"]) == ["2", "3", "4", "5"]


def test_profiles() -> None:
    laptop = learned.configs("laptop")
    assert len(laptop) == len(set(laptop))
    seeds = {config.seed for config in laptop}
    assert len(seeds) >= 5
    for seed in seeds:
        methods = [c.method for c in laptop if c.seed == seed]
        assert {"fixed", "grid", "random", "descent", "per_image"} <= set(methods)
    for config in laptop:
        assert config.enhancer.settings.get("exact", False) is False
        assert sum(config.people) == 38
    assert {c.dataset for c in learned.configs("book")} == {"synthetic"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Learned("guess"), ValueError, "method: expected one of 'fixed', 'grid'"),
        (lambda: Learned(dataset="pie"), ValueError, "dataset: expected one of 'yaleb', 'synthetic', got 'pie'"),
        (lambda: Learned(temperature=0.0), ValueError, "temperature"),
        (lambda: Learned(enhancer="clahe"), TypeError, "expected an Enhancer, got 'clahe'"),
        (lambda: learned.split(10, (8, 2, 2), 0), ValueError, r"at least 2 a part and 10 in all, got \(8, 2, 2\)"),
        (lambda: learned.split(10, (8, 1, 1), 0), ValueError, "at least 2 a part"),
    ],
)
def test_bad_requests(call: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


def test_fixed_enhancers_have_nothing_to_learn(faces: LitFaces) -> None:
    found = learned.measure(replace(SMALL, method="fixed", enhancer=Enhancer()), faces)
    assert (found["learned"], found["images"]) == ({}, 0)
    assert set(found["rate"]) == {"train", "validation", "test"}
