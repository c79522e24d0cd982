"""Fingerprints: a few numbers that stand for the numerics of a run, to tell whether today's code would repeat it.

A fingerprint comes from the code of the experiment itself, in float64 on the CPU, on a few pictures of seeded noise:

- a network is built, fed, and trained for three steps, by the loss, optimizer, schedule, augmentation and light of its
  configuration ("steps": the losses; "scores" or "lights": what follows from the trained one, or for a tiny one);
- methods without training name, rate or search such pictures ("names", "rates", "scores", "found");
- enhancers work on a fixed picture ("enhancer", see `enhancers.fingerprint`).

Seed, number of epochs, batch and data set do not count: one configuration with several seeds has one fingerprint.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from facelight import train
from facelight._extras import extra
from facelight.data import crops
from facelight_lab import enhancers
from facelight_lab._float64 import in_double
from facelight_lab._noise import PEOPLE, PICTURES, SIDE, faces_of, noise, people_of
from facelight_lab.enhancement import learned, nearest, preprocessing
from facelight_lab.landmarks import beyond, elsewhere, grid, lights, predictions, regressor, tone, training
from facelight_lab.landmarks.face_sets import POINTS
from facelight_lab.landmarks.settings import Landmarks
from facelight_lab.recognition import competitors, detection, embedding, networks

Values = dict[str, list[float | None]]
STEPS = 3


def of(experiment: str, config: Any) -> Values:
    """The fingerprint of a run: named lists of numbers; computed once for runs that differ in seed or data only.

    Args:
        experiment: a name of `facelight_lab.experiments`.
        config: of the run.
    """
    found = dict(_KINDS[experiment](config))
    if hasattr(config, "enhancer"):
        found["enhancer"] = _enhancer(config.enhancer)
    return {name: list(values) for name, values in sorted(found.items())}


def doubt(experiment: str, config: Any) -> Values:
    """How far the numbers of a fingerprint move when its pictures change in the fourteenth digit.

    Processors round in different ways. Few layers keep that small. Behind the many of ResNet-50 and Inception-v3, which
    normalize three numbers at a time, the second step is certain to three digits and the third to none.

    Args:
        experiment, config: as for `of`.

    Returns:
        Named lists as of `of`, for what a network was trained for in the experiment "recognition"; else nothing.
    """
    network = config.network if experiment == "recognition" else None
    if network is None:
        return {}
    plain, moved = _trained(_plain(network)), [_trained(_plain(network), nudge) for nudge in (1e-15, 1e-14)]
    return {name: _farthest(values, [other[name] for other in moved]) for name, values in plain.items()}


def _farthest(values: list[float | None], others: list[list[float | None]]) -> list[float | None]:
    """How far each number, a loss or a score, is from the farthest of others in its place."""
    columns = zip(values, *others, strict=True)
    return [max(abs((other or 0.0) - (value or 0.0)) for other in rest) for value, *rest in columns]


def _digits(values: Any) -> list[float | None]:
    """Ten digits of each number, which is what is compared, and more."""
    return [None if v is None or math.isnan(v) else float(f"{v:.10g}") for v in values]


def _short(recipe: train.Recipe) -> train.Recipe:
    return replace(recipe, epochs=STEPS, batch=2 * PEOPLE, bf16=False)


@functools.cache
def _enhancer(enhancer: enhancers.Enhancer) -> list[float | None]:
    return list(enhancers.fingerprint(enhancer))


def _preprocessing(config: preprocessing.Preprocessing) -> Values:
    return _scores()


@functools.cache
def _scores() -> Values:
    plain = preprocessing.Preprocessing("synthetic", enhancers.Enhancer("gamma", {"gamma": 0.4}), size=(48, 42))
    with in_double():
        found = preprocessing.measure(plain, people_of((48, 42), of_each=1))
    return {"scores": _digits(found[name] for name in preprocessing.SCORES)}


@functools.cache
def _nearest(config: nearest.Nearest) -> Values:
    plain = nearest.Nearest("synthetic", size=(48, 42), center=config.center)
    if config != plain:
        return _nearest(plain)
    with in_double():
        right = nearest.recognized(config, people_of(config.size, 4, of_each=1))
    return {"names": [_number(right)]}


def _number(values: Tensor) -> float:
    """One number for whole ones: the sum of each times its position, from 1."""
    return float((values.long() * torch.arange(1, len(values) + 1)).sum())


@functools.cache
def _learned(config: learned.Learned) -> Values:
    if config.seed:
        return _learned(replace(config, seed=0))
    tiny = replace(config, steps=STEPS, every=1, probes=4, people=(2, 2, 2), dataset="synthetic")
    faces = people_of(
        (96, 84), 5, of_each=1
    )  # of eight gray levels: in noise of more of them hardly anything is clipped
    with in_double():
        found = learned.measure(tiny, replace(faces, image=faces.image // 32 * 32))
    seen = (found.get("loss", {}), found["learned"], {k: v[-1] for k, v in found["curve"].items()})
    return {"scores": _digits(value for part in seen for value in part.values())}


@functools.cache
def _searched(config: detection.Detection) -> Values:
    with extra("book"):
        from skimage.data import astronaut

    plain = replace(config, dataset="scenes", every=1, enhancer=enhancers.Enhancer())
    if config != plain:
        return _searched(plain)
    image = torch.from_numpy(astronaut()[20:180, 140:300].transpose(2, 0, 1).copy())[None]
    truth = torch.tensor([[36.0, 44.0, 132.0, 140.0]])
    with in_double():
        rows = [detection.searched(config, image, truth, factor) for factor in (1, 6)]
    return {"found": [float(value) for row in rows for score in row.values() for value in score]}


def _recognized(config: Any) -> Values:
    found = {f"names, {method}": _named(method) for method in config.methods}
    return found if config.network is None else found | _trained(_plain(config.network))


@functools.cache
def _named(method: str) -> list[float | None]:
    faces = people_of((48, 42), of_each=4)
    place = torch.arange(len(faces))
    known, asked = (faces.select(place[place % 2 == i]) for i in (0, 1))
    with in_double():
        gallery, probes = (f.image.double() / 255 for f in (known, asked))
        return [_number(competitors.recognize(method, gallery, known.identity, probes))]


def _plain(network: networks.Network) -> networks.Network:
    return replace(network, weights=None, recipe=_short(network.recipe))


@functools.cache
def _trained(network: networks.Network, nudge: float = 0.0) -> Values:
    size = (75, 75) if network.backbone == "inception_v3" else (SIDE, SIDE)
    faces = people_of(size, of_each=1, people=2 * PICTURES)
    known, asked = faces.select(torch.arange(PICTURES)), faces.select(torch.arange(PICTURES, 2 * PICTURES))
    with in_double():
        scores, curve = networks.recognize(network, lambda x: x * (1 + nudge), known, asked, seed=0)
    return {"steps": _digits(curve["loss"]), "scores": _digits(scores[:, 0])}


@functools.cache
def _embedded(config: embedding.Embedding) -> Values:
    further = None if config.recipe is None else _short(config.recipe)
    plain = embedding.Embedding("synthetic", size=(SIDE, SIDE), start="random", people=PICTURES, recipe=further)
    plain = replace(plain, network=_plain(config.network))
    if plain != config:
        return _embedded(plain)
    faces, losses = people_of(config.size, of_each=1, people=PICTURES), []
    with in_double():
        torch.manual_seed(0)
        model = networks.build(config.network, PICTURES)
        for recipe in [config.network.recipe, *([config.recipe] if config.recipe else [])]:
            model, curve = embedding.trained(model, config, recipe, faces.image, faces.identity, None)
            losses += curve["loss"]
        features = embedding.features(model, config.enhancer, faces.image)
    return {"steps": _digits(losses), "scores": _digits(features[:, 0])}


def _located(config: Landmarks) -> Values:
    network, first = replace(config.network, weights=None), config.pretraining
    if first is not None:
        first = replace(first, count=1, recipe=_short(first.recipe))
    tiny = replace(config, seed=0, part="test", duplicates=True, size=SIDE, held_out=0.0, recipe=_short(config.recipe))
    return _steps(replace(tiny, dataset=config.dataset.partition(" on ")[0], network=network, pretraining=first))


@functools.cache
def _steps(config: Landmarks) -> Values:
    faces, every, first = faces_of(POINTS[config.dataset], config.size), torch.arange(PICTURES), config.pretraining
    losses: list[float] = []
    with in_double():
        torch.manual_seed(0)
        teacher = config.variant if first is None else first.teacher or config.variant
        model: nn.Module = regressor.build(teacher, config.network, POINTS[config.dataset])
        if config.network.mean_shape:
            regressor.start_at(model, crops.pixels_to_unit(faces.landmarks, config.size))
        if first is not None:
            alone = replace(config, variant=teacher, recipe=first.recipe, pretraining=None)
            model, curve = training.trained(model, alone, faces, every, every[:0], None)
            losses += curve["loss"]
            if first.teacher:
                model = training.handed_on(model, config, adapt=first.adapt)
        model, curve = training.trained(model, config, faces, every, every[:0], None)
    return {"steps": _digits([*losses, *curve["loss"]])}


def _tiny(points: int) -> nn.Module:
    """A network of one linear layer behind averages of the picture, with weights from seed 0."""
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return nn.Sequential(pooled, nn.Linear(48, 2 * points), nn.Unflatten(1, (points, 2))).eval()


@functools.cache
def _lit(beyond_too: bool) -> Values:
    """What is recorded of a tiny network under all lights of the experiment, added up."""
    where = (beyond.LIGHTS, beyond.STATISTICS) if beyond_too else (lights.LIGHTS, lights.MAIN)
    with in_double():
        found = lights.measure(_tiny(68), faces_of(68, 64), *where)
    return {"lights": _digits(sum(map(sum, found[part].values())) for part in ("lights", "batch_statistics", "ced"))}


@functools.cache
def _asked() -> Values:
    """What is recorded of a tiny network in the lights of the experiment, added up."""
    with in_double():
        found = predictions.asked(_tiny(98), faces_of(98, 64), torch.arange(PICTURES))
    points = [sum(sum(face) for strength in kind for face in strength) for kind in found["points"].values()]
    return {"lights": _digits([*points, *(sum(kind) for kind in found["mean"].values())])}


@functools.cache
def _mapped() -> Values:
    """The pictures of all lights of the map, added up with weights of their own."""
    with in_double():
        x = faces_of(68, SIDE).image.double() / 255
        weight = torch.linspace(1, 2, x[0].numel()).view_as(x[0])
        return {"lights": _digits((grid.seen(x, cell) * weight).mean().item() for cell in grid.CELLS)}


@functools.cache
def _judged(points: int) -> Values:
    """What is recorded of a tiny network in the lights of the experiment, added up; of five points the map's, too."""
    with in_double():
        scores, errors = elsewhere.asked(_tiny(points), faces_of(points, 64))
    told = [sum(map(sum, scores.values())), *map(sum, zip(*errors.values(), strict=True))]
    return {"lights": _digits(told + ([math.fsum(v or 0.0 for v in _mapped()["lights"])] if points == 5 else []))}


def _toned(config: tone.Tone) -> Values:
    return _told(replace(config, seed=0, size=SIDE, recipe=_short(config.recipe)))


@functools.cache
def _told(config: tone.Tone) -> Values:
    faces = faces_of(98, config.size)
    with in_double():
        target = noise(PICTURES, 2).double()
        curve = tone.trained(config, faces.image, (target - target.mean(0)) / target.std(0))[1]
    return {"steps": _digits(curve["loss"])}


_KINDS: dict[str, Callable[[Any], Values]] = {
    "preprocessing": _preprocessing,
    "nearest": _nearest,
    "learned": _learned,
    "detection": _searched,
    "recognition": _recognized,
    "embedding": _embedded,
    "landmarks": lambda config: _located(config) | _lit(beyond_too=False),
    "beyond": lambda config: _located(config) | _lit(beyond_too=True),
    "tone": _toned,
    "predictions": lambda config: _located(config) | _asked(),
    "map": lambda config: _located(config) | _mapped(),
    "elsewhere": lambda config: _located(config) | _judged(POINTS[config.dataset]),
}
