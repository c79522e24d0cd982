"""Experiment "embedding" on made-up faces: what is learned first, what is compared, and what is kept."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import facelight_render as synthetic
from facelight import train
from facelight.models import CosineLinear
from facelight_lab import experiments, results
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.recognition import embedding, networks, protocols, recognition, scoring
from facelight_lab.recognition.embedding import Embedding
from facelight_lab.recognition.networks import Network
from test_recognition import PEOPLE, SIZE, Stop, epochs_of, made_up


class Body(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.fc = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


class Tiny(nn.Module):
    """In place of a network of millions."""

    def __init__(self, network: Network, classes: int) -> None:
        super().__init__()
        self.body = Body(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


RECIPE = train.Recipe(epochs=4, batch=6, learning_rate=0.01)
CONFIG = Embedding(
    "synthetic", "subset 1", size=SIZE, people=4, pictures=11, network=Network("resnet18_c4", recipe=RECIPE)
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny network, rendered people that need no rendering, a cache of its own, a checkpoint after each epoch."""
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(networks, "build", Tiny)
    monkeypatch.setattr(train, "fit", functools.partial(train.fit, seconds_between_saves=0.0))

    def people(identities: int, pictures: int, *, seed: int):
        found = made_up()
        assert (identities, pictures) == (4, 11)
        _, identity = found.identity.unique(return_inverse=True)
        return replace(found, identity=identity, image=found.image.roll(seed, -1))

    monkeypatch.setattr(synthetic, "people", people)


def test_names_are_those_of_the_closest_features() -> None:
    faces = made_up()
    part = protocols.split(faces, "subset 1")
    model = embedding.started(CONFIG)
    x = recognition.resized(faces, SIZE).image
    f = embedding.features(model, CONFIG.enhancer, x).double()
    pred = [int(faces.identity[part.train[(f[part.train] @ f[i]).argmax()]]) for i in part.test]
    found = embedding.measure(CONFIG, faces)
    assert found["embedding"] == scoring.counted(faces.select(part.test), torch.tensor(pred), by_light=True)
    assert found["trained_on"] == len(part.train)
    assert found["curve"] == {}


def test_features_are_directions_and_do_not_know_left_from_right() -> None:
    x = made_up().image[:6]
    model = embedding.started(replace(CONFIG, start="random"))
    head = model.body.fc
    f = embedding.features(model, Enhancer(), x)
    assert f.shape == (6, 32)
    torch.testing.assert_close(f.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(embedding.features(model, Enhancer(), x.flip(-1)), f)
    assert (f - embedding.features(model, FAMILY["local contrast"], x)).abs().max() > 1e-3
    assert model.body.fc is head
    with pytest.raises(RuntimeError):
        embedding.features(model, Enhancer(), x.expand(-1, 2, -1, -1))
    assert model.body.fc is head


def test_rendered_people_are_learned_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    random = embedding.started(replace(CONFIG, start="random")).state_dict()
    learned = embedding.started(CONFIG).state_dict()
    assert not torch.equal(random["body.conv.0.weight"], learned["body.conv.0.weight"])
    other_seed = embedding.started(replace(CONFIG, seed=1)).state_dict()
    assert not torch.equal(other_seed["body.conv.0.weight"], learned["body.conv.0.weight"])
    monkeypatch.setattr(train, "fit", None)
    for change in ({"protocol": "random"}, {"recipe": RECIPE}, {"size": (30, 20)}):  # what comes after does not matter
        again = embedding.started(replace(CONFIG, **change)).state_dict()
        assert all(torch.equal(again[name], learned[name]) for name in learned if ".fc." not in name)
    for change in ({"enhancer": Enhancer("equalize")}, {"network": replace(CONFIG.network, changes=())}):
        with pytest.raises(TypeError):  # would have to be trained
            embedding.started(replace(CONFIG, **change))


def test_learning_tells_rendered_people_apart() -> None:
    """Pictures that it learned from are nearest to another picture of the same person more often than by chance."""
    longer = replace(CONFIG, network=replace(CONFIG.network, recipe=replace(RECIPE, epochs=40)))
    faces = synthetic.people(4, 11, seed=0)
    f = embedding.features(embedding.started(longer), Enhancer(), faces.image)
    nearest = (f @ f.T).fill_diagonal_(-1).argmax(1)
    assert (faces.identity[nearest] == faces.identity).float().mean() > 0.6


def test_training_further_starts_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """New weights for the people of the training part, whose numbers have gaps; the body is the one that started."""
    faces, seen = made_up(), []
    fit = train.fit

    def watched(model, batch, count, loss, recipe, **options):
        _, y = batch(torch.arange(count), torch.Generator())
        seen.append((model.body.conv[0].weight.detach().clone(), model.body.fc, count, y, recipe))
        return fit(model, batch, count, loss, recipe, **options)

    monkeypatch.setattr(train, "fit", watched)
    config = replace(CONFIG, protocol="random", recipe=replace(RECIPE, epochs=2))
    found = embedding.measure(config, faces)
    part = protocols.split(faces, "random")
    (_, _, rendered, _, first), (weight, head, count, target, recipe) = seen
    assert (rendered, first, count, recipe) == (44, RECIPE, len(part.train), config.recipe)
    assert torch.equal(weight, embedding.started(config).body.conv[0].weight)
    assert isinstance(head, CosineLinear)
    assert head.weight.shape == (4, 32)
    assert torch.equal(torch.tensor(PEOPLE)[target], faces.identity[part.train])
    assert len(found["curve"]["loss"]) == 2
    assert sum(found["embedding"]["count"].values()) == len(part.test)
    assert {int(pair.split()[0]) for pair in found["embedding"]["confused"]} <= set(PEOPLE)


def test_validation_looks_at_no_test_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = made_up()
    part = protocols.split(faces, "random", 2)
    expected = protocols.validation(faces, part.train, "random", 2)
    spoilt = faces.image.clone()
    spoilt[part.test] = 255 - spoilt[part.test]
    config = replace(CONFIG, protocol="random", part="validation", seed=2)
    found = embedding.measure(config, faces)
    assert found == embedding.measure(config, replace(faces, image=spoilt))
    assert found["trained_on"] == len(expected.train)
    assert sum(found["embedding"]["count"].values()) == len(expected.test)


@pytest.mark.parametrize("when", ["learning", "training further"])
def test_an_interruption_changes_nothing(when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faces, place = made_up(), tmp_path / "place"
    config = replace(CONFIG, protocol="random", recipe=replace(RECIPE, epochs=6))
    expected = embedding.measure(config, faces)
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "another"))
    if when == "training further":
        embedding.started(config)
    with monkeypatch.context() as patch:
        epochs_of(patch, stop=3)
        with pytest.raises(Stop):
            embedding.measure(config, faces, place)
    seen = epochs_of(monkeypatch)
    assert embedding.measure(config, faces, place) == expected
    assert seen == ([3, *range(6)] if when == "learning" else [3, 4, 5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "yale"}, "dataset: expected one of 'yaleb', 'pie', 'ar', 'synthetic', got 'yale'"),
        ({"protocol": "P2"}, "protocol: expected one of"),
        ({"part": "train"}, "part: expected one of 'test', 'validation', got 'train'"),
        ({"start": "imagenet"}, "start: expected one of 'people', 'lights', 'random', got 'imagenet'"),
    ],
)
def test_bad_configurations(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedding(**options)


def test_book_runs_every_kind_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "results"))
    runs = [replace(run, people=4, pictures=11) for run in embedding.configs("book")]
    monkeypatch.setattr(embedding, "configs", lambda profile: runs)
    monkeypatch.setattr(recognition, "load_few", lambda dataset: made_up())
    records = experiments.run("embedding", "book")
    assert not (tmp_path / "results").exists()
    assert [record.config["recipe"] is None for record in records] == [True, False]
    for record in records:
        assert 0 <= scoring.rate(record.metrics["embedding"]) <= 1
        assert record.data["count"] == 44


def test_laptop_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    monkeypatch.setattr(embedding, "configs", lambda profile: [CONFIG])
    monkeypatch.setattr(recognition, "load", lambda dataset: made_up())
    records = experiments.run("embedding", "laptop")
    assert [results.find("embedding", CONFIG, 0)] == records
    assert records[0].data["split"] == "subset 1, test, seed 0"


def test_laptop_learns_once_for_each_seed_and_set() -> None:
    runs = embedding.configs("laptop")
    assert len(set(runs)) == len(runs)
    for start in ("people", "lights"):
        for dataset, protocol in (("yaleb", "subset 1"), ("yaleb", "one image"), ("pie", "one flash")):
            some = [r for r in runs if (r.start, r.dataset, r.protocol) == (start, dataset, protocol)]
            assert {r.seed for r in some} == set(embedding.SEEDS)
    first = {(r.start, r.people, r.pictures, r.seed, r.enhancer, r.network) for r in runs}
    assert len(first) == 2 * len(embedding.SEEDS)  # the rest of a configuration does not decide what is learned first
