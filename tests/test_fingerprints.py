"""Fingerprints of runs: what they tell apart, what they do not count, and that they leave nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelight import losses, train
from facelight.augment import Augmentation
from facelight_lab import experiments, fingerprints, results
from facelight_lab._float64 import in_double
from facelight_lab._noise import PICTURES, SIDE, people_of
from facelight_lab.enhancement.learned import Learned
from facelight_lab.enhancers import Enhancer
from facelight_lab.landmarks import lights, regressor
from facelight_lab.landmarks.settings import Landmarks, Pretraining
from facelight_lab.landmarks.training_light import TrainingLight
from facelight_lab.recognition import competitors, networks
from facelight_lab.recognition.networks import Network
from facelight_lab.recognition.settings import Recognition

PLAIN = Landmarks()
NET = Network("resnet18_c4")
NAMED = Recognition(methods=("nearest", "ridge"))


@pytest.fixture
def anew():
    """Nothing is remembered before and after."""

    def forget() -> None:
        for value in vars(fingerprints).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.parametrize("experiment", experiments.EXPERIMENTS)
def test_every_experiment_has_fingerprints(experiment):
    config = experiments.module(experiment).configs("book")[0]
    found = fingerprints.of(experiment, config)
    assert found
    assert all(values and all(isinstance(value, float) for value in values) for values in found.values())
    assert ("enhancer" in found) == hasattr(config, "enhancer")
    assert results.differences(found, fingerprints.of(experiment, config)) == []


def test_what_seeds_data_and_length_of_training_change_is_not_counted():
    same = replace(PLAIN, seed=3, part="validation", size=96, held_out=0.2)
    same = replace(same, recipe=replace(PLAIN.recipe, epochs=3, batch=7, bf16=False))
    assert fingerprints.of("landmarks", same) == fingerprints.of("landmarks", PLAIN)
    other = replace(NAMED, dataset="pie", protocol="one flash", seed=2, size=(32, 32))
    assert fingerprints.of("recognition", other) == fingerprints.of("recognition", NAMED)


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "zero-mean ln(1 + 255x)"},
        {"network": regressor.Network(dropout=0.5)},
        {"network": regressor.Network(mean_shape=False)},
        {"pretraining": Pretraining()},
        {"recipe": replace(PLAIN.recipe, learning_rate=1.01e-3)},
        {"recipe": replace(PLAIN.recipe, weight_decay=0.5)},
        {"recipe": replace(PLAIN.recipe, warmup=0.9)},
        {"recipe": replace(PLAIN.recipe, schedule="constant")},
        {"recipe": replace(PLAIN.recipe, optimizer="sgd")},
        {"loss": regressor.Wing(width=9.0)},
        {"augmentation": Augmentation(rotation=8.1, scale=0.05, shift=0.02)},
        {"light": TrainingLight()},
        {"dataset": "synthetic"},
    ],
    ids=str,
)
def test_steps_tell_configurations_apart(change):
    found = fingerprints.of("landmarks", replace(PLAIN, **change))
    assert results.differences(found, fingerprints.of("landmarks", PLAIN)) == ["steps"]


def test_scalars_that_learn_faster_are_told_apart():
    log = replace(PLAIN, variant="ln(1 + x)")
    faster = fingerprints.of("landmarks", replace(log, scalar_lr_scale=30.0))
    assert results.differences(faster, fingerprints.of("landmarks", log)) == ["steps"]


@pytest.mark.parametrize(
    "change", [{"variant": "ln(1 + x)"}, {"changes": ("move",)}, {"label_smoothing": 0.1}, {"flip_test": True}], ids=str
)
def test_networks_for_recognition_are_told_apart(change):
    one, other = (
        fingerprints.of("recognition", Recognition(network=network)) for network in (NET, replace(NET, **change))
    )
    assert "scores" in results.differences(one, other)


def test_a_step_of_descent_is_told_apart():
    slow, fast = (fingerprints.of("learned", Learned(learning_rate=rate)) for rate in (0.15, 0.151))
    assert results.differences(slow, fast) == ["scores"]


def test_changed_code_shows_where_it_is_used(anew, monkeypatch):
    before = fingerprints.of("landmarks", PLAIN)
    wing = losses.wing_loss
    with monkeypatch.context() as patch:
        patch.setattr(losses, "wing_loss", lambda *args: wing(*args) * (1 + 1e-5))
        fingerprints._steps.cache_clear()
        assert results.differences(before, fingerprints.of("landmarks", PLAIN)) == ["steps"]
    fingerprints._steps.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(lights.LIGHTS, "/6", lambda x: x / 6)  # not rounded
        fingerprints._lit.cache_clear()
        assert results.differences(before, fingerprints.of("landmarks", PLAIN)) == ["lights"]


def test_changed_names_show(anew, monkeypatch):
    before = fingerprints.of("recognition", NAMED)
    ridge = competitors.METHODS["ridge"]
    monkeypatch.setitem(competitors.METHODS, "ridge", lambda *given: torch.cat([given[1][-1:], ridge(*given)[1:]]))
    fingerprints._named.cache_clear()
    assert before["names, ridge"] != fingerprints.of("recognition", NAMED)["names, ridge"]
    assert before["names, nearest"] == fingerprints.of("recognition", NAMED)["names, nearest"]


def test_losses_are_those_of_the_steps_done_by_hand():
    """Three steps of AdamW on four pictures, written out: the same network, batches and rates."""
    network = replace(NET, changes=(), recipe=train.Recipe(schedule="constant"))
    steps = fingerprints.of("recognition", Recognition(network=network))["steps"]
    faces = people_of((SIDE,) * 2, of_each=1, people=2 * PICTURES)
    with in_double():
        torch.manual_seed(0)
        model = networks.build(network, PICTURES)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
        for expected in steps:
            rows = slice(0, PICTURES)
            loss = F.cross_entropy(model(faces.image[rows].double() / 255), faces.identity[rows])
            assert loss.item() == pytest.approx(expected, rel=1e-6)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_float64_ends_with_the_block_and_the_random_state_is_put_back():
    state = torch.get_rng_state()

    def broken() -> None:
        with in_double():
            assert torch.zeros(1, dtype=torch.uint8).float().dtype == torch.float64
            assert nn.Linear(2, 2).weight.dtype == torch.float64
            torch.rand(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(1, dtype=torch.uint8).float().dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), state)


def test_a_graphics_card_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert train.best_device() == "cuda"
    with in_double():
        assert train.best_device() == "cpu"
    assert train.best_device() == "cuda"


def test_large_weights_repeat_few_random_numbers_of_the_right_size():
    with in_double():
        torch.manual_seed(0)
        conv = nn.Conv2d(64, 128, 3, bias=False)
        row = torch.empty(100, 1000).normal_(std=0.1)
    assert len(conv.weight.flatten(1).unique(dim=0)) == 128
    assert len(conv.weight.unique()) < 4096
    assert conv.weight.detach().abs().max() == pytest.approx((64 * 9) ** -0.5, rel=0.01)
    assert row.std() == pytest.approx(0.1, rel=0.05)
    assert len(row.unique(dim=0)) == 100


def test_dropout_keeps_its_share_and_its_mean():
    with in_double():
        torch.manual_seed(0)
        dropped = nn.Dropout(0.25)(torch.ones(10_000))
        kept = nn.Dropout(0.25).eval()(torch.ones(10))
    assert (dropped == 0).double().mean() == pytest.approx(0.25, abs=0.02)
    assert dropped.max() == pytest.approx(4 / 3)
    assert torch.equal(kept, torch.ones(10, dtype=torch.float64))


def test_an_enhancer_that_changes_shows():
    one, other = (fingerprints.of("nearest", replace_enhancer(gamma)) for gamma in (0.4, 0.41))
    assert results.differences(one, other) == ["enhancer"]


def replace_enhancer(gamma: float):
    config = experiments.module("nearest").configs("book")[0]
    return replace(config, enhancer=Enhancer("gamma", {"gamma": gamma}))


def test_a_deep_network_is_compared_as_far_as_its_numbers_are_certain():
    """Three pictures behind fifty layers of normalization: the first loss is certain, the third is not."""
    deep, shallow = (Recognition(network=Network(body)) for body in ("resnet50", "resnet18_c4"))
    today, doubt = fingerprints.of("recognition", deep), fingerprints.doubt("recognition", deep)
    assert doubt["steps"][0] < 1e-9 < results.numerics.CLOSE < doubt["steps"][2]
    first, second, third = today["steps"]
    assert results.differences(today | {"steps": [first, second, third + doubt["steps"][2]]}, today, doubt) == []
    assert results.differences(today | {"steps": [first + 1e-4, second, third]}, today, doubt) == ["steps"]
    assert max(fingerprints.doubt("recognition", shallow)["steps"]) < 1e-9
    assert fingerprints.doubt("landmarks", None) == {}
