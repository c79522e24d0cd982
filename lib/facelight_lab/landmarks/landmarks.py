"""Experiment "landmarks": where are the points of a face, in the light of the training and in less of it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from facelight import train
from facelight.augment import Augmentation
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight_lab.landmarks import face_sets, lights, regressor, training
from facelight_lab.landmarks.face_sets import FEW_RENDERED, Sets
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import (
    AS_MANY_STEPS,
    FEW_SEEDS,
    MAIN,
    ON_UNIT,
    RECIPE,
    RENDERED_RECIPE,
    SEEDS,
    STATED,
    Landmarks,
    Pretraining,
)
from facelight_lab.runs import RECORDING, Experiment

NAME = "landmarks"


def measure(
    config: Landmarks,
    sets: Sets,
    place: Path | None = None,
    *,
    under: Mapping[str, lights.Light] = lights.LIGHTS,
    statistics: Sequence[str] = lights.MAIN,
    also: Mapping[str, Callable[[nn.Module, LandmarkFaces], Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """What is recorded of a run: what `lights.measure` says, the `curve` of the training, and `trained_on`.

    And, of a network that has them, `numbers`: what became of parameters of at most three numbers, such as gamma.

    Args:
        config: what is run.
        sets: the data set.
        place: folder for checkpoints; None keeps none.
        under: the lights; see `lights.measure`, as for `statistics`.
        statistics: lights under which batch normalization is also given those of the batch.
        also: name -> what else is measured of the network on the same crops.
    """
    model, asked, curve, count = learned(config, sets, place)
    digits = {"gamma": 9}  # as many as float32 has: it hardly moves
    rounded = {k: [float(f"{value:.{digits.get(k, 5)}g}") for value in values] for k, values in curve.items()}
    small = {n: [round(v, 6) for v in p.flatten().tolist()] for n, p in model.named_parameters() if p.numel() <= 3}
    found = lights.measure(model, asked, under, statistics) | {"curve": rounded, "trained_on": count}
    found |= {name: measured(model, asked) for name, measured in also.items()}
    return found | ({"numbers": small} if small else {})


def learned(
    config: Landmarks, sets: Sets, place: Path | None = None
) -> tuple[nn.Module, LandmarkFaces, train.Curve, int]:
    """The trained network of a run, the crops that it is asked about, the curve, and the number of training faces.

    Args:
        config: what is run.
        sets: the data set.
        place: folder for checkpoints; None keeps none.
    """
    every = sets.train if config.duplicates else face_sets.without_duplicates(sets.train)
    known = face_sets.crop(every, config.size, config.rule)
    kept, held = face_sets.held_out(len(known), config.held_out, config.seed)
    if len(kept) == 0 or (config.part == "validation" and len(held) == 0):
        raise ValueError(f"held_out: {config.held_out} of {len(known)} faces leaves none on one side: choose another")
    validated = config.part == "validation"
    asked = known.select(held) if validated else face_sets.crop(sets.test, config.size, config.rule)
    face_sets.require_eyes(asked)
    model = training.started(config, None if place is None else place / "rendered.pt")
    if config.network.mean_shape and config.pretraining is None:
        regressor.start_at(model, crops.pixels_to_unit(known.landmarks[kept], config.size))
    checkpoint = None if place is None else place / "checkpoint.pt"
    model, curve = training.trained(model, config, known, kept, held, checkpoint)
    return model, asked, curve, len(kept)


def load(dataset: str) -> Sets:
    """The faces of a data set."""
    return face_sets.load(dataset)


def load_few(dataset: str, tested: int = FEW_RENDERED[1]) -> Sets:
    """A few rendered faces, for the profiles that only show that everything runs."""
    return face_sets.load(dataset, (FEW_RENDERED[0], tested))


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load if profile in RECORDING else load_few, _measured)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile."""
    if profile == "book":
        return list(_small())
    if profile == "full":
        return list(_paper())
    return [*_main(), *_candidates(), *_rendered_faces(), *_readings(), *_long()]


AS_STATED = Landmarks(network=Network(mean_shape=False, dropout=0.5), loss=ON_UNIT, augmentation=None, recipe=STATED)


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces."""
    recipe = train.Recipe(epochs=2, batch=16, bf16=False)
    small = Landmarks("synthetic", size=32, network=Network(head_width=64), recipe=recipe)
    return small, replace(small, variant="ln(1 + x)")


def _main() -> Iterable[Landmarks]:
    """The comparison: the same recipe for all variants, on real faces."""
    for seed, variant in product(SEEDS, MAIN):
        yield Landmarks("w300", variant, seed)


def _candidates() -> Iterable[Landmarks]:
    """What body, augmentation, batch and rate were chosen from: one run each, the plain network, on faces held out."""
    tried = Landmarks("w300", recipe=replace(RECIPE, epochs=20, learning_rate=2e-3), part="validation")
    moved = replace(tried, augmentation=Augmentation())
    yield replace(moved, network=Network("resnet18"))
    yield moved
    yield replace(moved, recipe=replace(moved.recipe, batch=16))
    yield replace(moved, recipe=replace(moved.recipe, learning_rate=4e-3))
    yield tried
    yield replace(tried, augmentation=Augmentation(rotation=4.0, scale=0.02, shift=0.01))
    for rate in (1e-3, 5e-4):
        yield replace(tried, recipe=replace(tried.recipe, learning_rate=rate))


def _rendered_faces() -> Iterable[Landmarks]:
    """98 points of rendered faces; and 68 of real ones after learning from rendered ones."""
    for seed, variant in product(SEEDS, MAIN):
        if seed in FEW_SEEDS or variant in MAIN[:2]:
            yield Landmarks("synthetic", variant, seed, recipe=RENDERED_RECIPE)
    for seed, variant in product(FEW_SEEDS, MAIN[:2]):
        yield Landmarks("w300", variant, seed, pretraining=Pretraining())


def _readings() -> Iterable[Landmarks]:
    """What the paper's recipe leaves open: momentum, reduction, and what the network knew before."""
    stated = replace(AS_STATED, recipe=replace(STATED, epochs=AS_MANY_STEPS))
    for momentum, reduction in product((0.0, 0.9), regressor.REDUCTIONS):
        recipe = replace(stated.recipe, momentum=momentum)
        yield replace(stated, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))
    fast = replace(stated, recipe=replace(stated.recipe, momentum=0.9))
    nearest = replace(fast, loss=replace(ON_UNIT, reduction="sum"))  # to the paper's curves
    for seed, variant in product(SEEDS, MAIN[:2]):
        if (seed, variant) != (0, "linear"):
            yield replace(nearest, seed=seed, variant=variant)
    yield replace(fast, pretraining=Pretraining())


def _long() -> Iterable[Landmarks]:
    """One longer run on all training faces, larger."""
    yield Landmarks("w300", size=96, recipe=replace(RECIPE, epochs=60), held_out=0.0)


def _paper() -> Iterable[Landmarks]:
    """The paper's setting on WFLW, from ImageNet's weights and from random ones, and its recipe's readings."""
    stated = replace(AS_STATED, dataset="wflw", size=224, network=replace(AS_STATED.network, backbone="resnet34"))
    starts = [replace(stated, network=replace(stated.network, weights=weights)) for weights in ("imagenet", None)]
    for seed, start, variant in product(SEEDS, starts, MAIN):
        yield replace(start, variant=variant, seed=seed, recipe=replace(STATED, momentum=0.9))
    for start, momentum, reduction in product(starts, (0.0, 0.9), regressor.REDUCTIONS):
        if (momentum, reduction) != (0.9, "mean"):
            recipe = replace(STATED, momentum=momentum)
            yield replace(start, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))
