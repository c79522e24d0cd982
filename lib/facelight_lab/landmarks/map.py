"""Experiment "map": networks on a map of lights, of all shapes and behind cameras, and the controls they need.

All learn 300-W without the face that is among the test faces, too. What is chosen is chosen on training faces held out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from facelight_lab.landmarks import beyond, grid, landmarks, lights
from facelight_lab.landmarks.face_sets import Sets
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import FEW_SEEDS, RECIPE, SEEDS, Landmarks
from facelight_lab.landmarks.training_light import Jitter, TrainingLight, TrainingNoise
from facelight_lab.runs import RECORDING, Experiment
from facelight_lab.stems import BOTH, LOCAL, NORMALIZED, OURS

NAME = "map"
LIT = TrainingLight(local=True)
SEEN = replace(LIT, noise=TrainingNoise())  # lit, and a random half behind a camera
LIGHTS = (None, LIT, SEEN)
UNDER = {name: beyond.LIGHTS[name] for name in (*lights.MAIN, *beyond.STRONG, "/6 noise")}
LONG = replace(RECIPE, epochs=50)
PLAIN = Landmarks("w300", duplicates=False)

HEADLINE = ("linear", LOCAL, NORMALIZED, BOTH)
CONTROLS = (
    "ln(1 + x)", "divided by mean", OURS, f"{LOCAL}, 7 px", "x, contrast normalized", "ln(1 + 255x) minus its mean",
    "linear, edges repeated", f"{LOCAL}, edges repeated", "Tan-Triggs", "learned curve",
)  # fmt: skip
JITTERS = (Jitter(), Jitter(0.0, 0.0, 0.0, 0.0, gamma=2.5))
NORMS = ("group", "none")
TRIED = (
    SEEN, replace(SEEN, share=0.3), replace(SEEN, share=0.8), replace(SEEN, darkest=12.0), replace(SEEN, darkest=50.0),
    replace(SEEN, noise=TrainingNoise(share=1.0)),
)  # fmt: skip


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile."""
    if profile == "book":
        return list(_small())
    if profile == "full":
        return list(_large(224, SEEDS))
    found = [*_tried(), *_main(), *_controls(), *_jittered(), *_norms(), *_longer()]
    return [*sorted(found, key=lambda config: config.seed // len(FEW_SEEDS)), *_large(112, SEEDS[:1])]


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces, one of them in the light and behind the camera of the training."""
    recipe = replace(RECIPE, epochs=2, batch=16, bf16=False)
    small = Landmarks("synthetic", size=32, network=Network(head_width=64), recipe=recipe)
    return small, replace(small, variant=NORMALIZED, light=SEEN)


def _tried() -> Iterable[Landmarks]:
    """Shares and ranges of the light of training, on faces held out."""
    short = replace(PLAIN, recipe=beyond.SHORT, part="validation")
    for variant, light in product(HEADLINE, TRIED):
        yield replace(short, variant=variant, light=light)


def _main() -> Iterable[Landmarks]:
    """The headline: four first layers, each in three lights of training."""
    for seed, variant, light in product(SEEDS, HEADLINE, LIGHTS):
        yield replace(PLAIN, variant=variant, seed=seed, light=light)


def _controls() -> Iterable[Landmarks]:
    """One part of a remedy without the others, and rivals."""
    for seed, variant in product(FEW_SEEDS, CONTROLS):
        yield replace(PLAIN, variant=variant, seed=seed)


def _jittered() -> Iterable[Landmarks]:
    """What users of torchvision would do: jitter of colors, and powers of the gray levels."""
    for seed, light in product(FEW_SEEDS, JITTERS):
        yield replace(PLAIN, seed=seed, light=light)


def _norms() -> Iterable[Landmarks]:
    """Without the statistics of batch normalization, which are those of normal light."""
    for seed, variant, norm in product(FEW_SEEDS, ("linear", NORMALIZED), NORMS):
        yield replace(PLAIN, variant=variant, seed=seed, network=Network(norm=norm))


def _longer() -> Iterable[Landmarks]:
    """Twice as many epochs in the lights of training."""
    for seed, variant, light in product(FEW_SEEDS, HEADLINE, LIGHTS[1:]):
        yield replace(PLAIN, variant=variant, seed=seed, light=light, recipe=LONG)


def _large(size: int, seeds: Iterable[int]) -> Iterable[Landmarks]:
    """The body and, with 224 pixels, the size of the log paper."""
    for seed, variant in product(seeds, ("linear", NORMALIZED, BOTH)):
        yield replace(PLAIN, variant=variant, seed=seed, size=size, network=Network("resnet34"), light=SEEN)


def measure(config: Landmarks, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """See `landmarks.measure`, without "groups" and "ced"; and "map", see `grid.measure`."""
    found = landmarks.measure(config, sets, place, under=UNDER, statistics=(), also={"map": grid.measure})
    return {key: value for key, value in found.items() if key not in ("groups", "ced", "batch_statistics")}


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    load = landmarks.load if profile in RECORDING else _load_few
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _load_few(dataset: str) -> Sets:
    """As few rendered faces as there are groups of them on the map."""
    return landmarks.load_few(dataset, grid.GROUPS)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
