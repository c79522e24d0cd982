"""Experiment "beyond": first layers and remedies that go beyond the log paper's, on the landmarks of real faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from facelight_lab.landmarks import landmarks, lights
from facelight_lab.landmarks.face_sets import Sets
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import (
    FEW_SEEDS,
    RECIPE,
    RENDERED_RECIPE,
    SEEDS,
    Landmarks,
    Pretraining,
)
from facelight_lab.landmarks.training_light import TrainingLight
from facelight_lab.runs import RECORDING, Experiment
from facelight_lab.stems import ADAPTIVE, BOTH, LOCAL, NORMALIZED, OURS

NAME = "beyond"
EVEN, UNEVEN = TrainingLight(), TrainingLight(local=True)  # light of training
SHORT = replace(RECIPE, epochs=10)  # for all but the headline
BRIEF = replace(RECIPE, epochs=3)  # on real faces, after rendered ones
SCALAR_LR_SCALE = 30.0  # of epsilon, which hardly moves at the rate of the kernels

RAMPS = (*(f"/{f} ramp {side}" for f in (12, 25) for side in ("left", "right")), "/12 ramp top", "/12 ramp bottom")
HALVES = tuple(f"/{f} {side}" for f in (12, 25) for side in ("left", "right"))
SPOTS = tuple(f"/{f} spot {spot}" for f in (12, 25) for spot in lights.SPOTS)
STRONG = RAMPS + HALVES + SPOTS  # the uneven lights that count
STATISTICS = ("x1", "/6", "/25", "/12 ramp left", "/12 left")
HARD = 0.002  # edge of a hard shadow, in widths of the crop: less than a pixel

_MORE: dict[str, lights.Light] = {
    **{f"/12 hard {side}": partial(lights.shadowed, factor=12, side=side, edge=HARD) for side in ("left", "right")},
    **{
        f"/25 {side} linear light": partial(lights.shadowed, factor=25, side=side, linear_light=True)
        for side in ("left", "right")
    },
    "/25 ramp left linear light": partial(lights.ramped, factor=25, side="left", linear_light=True),
    "/25 spot upper left linear light": partial(lights.spotted, factor=25, spot="upper left", linear_light=True),
}
LIGHTS = lights.LIGHTS | _MORE
FEW = {
    name: light
    for name, light in LIGHTS.items()
    if name in (*lights.MAIN, *STATISTICS, *STRONG, *_MORE, "/6 noise", "warm")
}
"""The lights of runs of fewer epochs than the headline's."""

HEADLINE = (OURS, LOCAL, NORMALIZED, BOTH)
REFERENCES = ("linear", "ln(1 + x)", "divided by mean", OURS, LOCAL)
PARTS = (
    "ln(1 + 10x)", "ln(1 + 25x)", "ln(1 + 255x)", "ln(1 + 1000x)", "zero-mean x", "zero-mean ln(1 + x)",
    "zero-mean ln(1 + 10x)", "zero-mean ln(1 + 25x)", "zero-mean ln(1 + 1000x)", f"{OURS}, zero padding",
    f"{OURS}, channels together", "ln(1 + 255x), edges repeated",
)  # fmt: skip
LEARNED = (
    "ln(1 + x), gamma of each channel", "ln(1 + x / epsilon), epsilon trained",
    "zero-mean ln(1 + x / epsilon), epsilon trained",
)  # fmt: skip
OTHERS = (
    "instance normalization", "Weber contrast", "divisive normalization", "ln of linear light",
    "zero-mean ln of linear light", "color-invariant edges", "CLAHE 40", "CLAHE, limit learned", "Tan-Triggs",
    "ln minus local mean", "local contrast", f"{LOCAL}, 1/255 added", "ln(1 + x / local mean)",
)  # fmt: skip
FURTHER = (
    BOTH, NORMALIZED, ADAPTIVE, "zero-mean x, contrast normalized",
    "zero-mean ln(1 + 25x), contrast normalized", f"{LOCAL}, zero-mean, contrast normalized",
)  # fmt: skip
FUTURE = ("attention", "several scales", f"{OURS}, attention", f"{OURS}, several scales")
CANDIDATES = (OURS, LOCAL, f"{LOCAL}, 7 px", f"{LOCAL}, 31 px", "CLAHE 2", "CLAHE 40", NORMALIZED, BOTH)


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile."""
    if profile == "book":
        return list(_small())
    if profile == "full":
        return list(_full())
    found = [*_candidates(), *_main(), *_others(), *_training_light(), *_rendered_faces(), *_handed_on()]
    return sorted(found, key=lambda config: config.seed // len(FEW_SEEDS))  # the first three seeds of all come first


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces."""
    small = Landmarks(
        "synthetic", size=32, network=Network(head_width=64), recipe=replace(BRIEF, epochs=2, batch=16, bf16=False)
    )
    return small, replace(small, variant=OURS)


def _candidates() -> Iterable[Landmarks]:
    """What a window and a limit were chosen from, one run each on faces held out; and ours beside them."""
    for variant in CANDIDATES:
        yield Landmarks("w300", variant, recipe=SHORT, part="validation")


def _main() -> Iterable[Landmarks]:
    """The headline, beside the runs of the experiment "landmarks" with the same recipe and seeds."""
    for seed in SEEDS:
        for variant in HEADLINE:
            yield Landmarks("w300", variant, seed)
        yield Landmarks("w300", "linear", seed, light=UNEVEN)


def _others() -> Iterable[Landmarks]:
    """Every variant, in less time."""
    for seed, variant in product(FEW_SEEDS, (*REFERENCES, *PARTS, *FURTHER, *LEARNED, *OTHERS, *FUTURE)):
        yield Landmarks(
            "w300", variant, seed, recipe=SHORT, scalar_lr_scale=SCALAR_LR_SCALE if variant in LEARNED else 1.0
        )


def _training_light() -> Iterable[Landmarks]:
    """Light of training."""
    for seed in FEW_SEEDS:
        yield Landmarks("w300", "linear", seed, recipe=SHORT, light=EVEN)
        for variant in ("linear", OURS, LOCAL, NORMALIZED):
            yield Landmarks("w300", variant, seed, recipe=SHORT, light=UNEVEN)


def _rendered_faces() -> Iterable[Landmarks]:
    """98 points of rendered faces, beside the runs of "landmarks"."""
    for seed, variant in product(FEW_SEEDS, HEADLINE):
        yield Landmarks("synthetic", variant, seed, recipe=RENDERED_RECIPE)


def _handed_on() -> Iterable[Landmarks]:
    """A linear network that knows rendered faces goes on, briefly, with real ones: as it is, or with our layer.

    Beside it ours that learned the rendered faces itself, and both from random weights.
    """
    for seed in FEW_SEEDS:
        start = Landmarks("w300", "linear", seed, pretraining=Pretraining(), recipe=BRIEF)
        yield start
        yield replace(start, variant=OURS)
        for adapt in (False, True):
            yield replace(start, variant=OURS, pretraining=Pretraining(teacher="linear", adapt=adapt))
        for variant in ("linear", OURS):
            yield Landmarks("w300", variant, seed, recipe=BRIEF)


def _full() -> Iterable[Landmarks]:
    """The headline on WFLW, for a GPU: ResNet-34 at 224 pixels from random weights, with a recipe that trains well."""
    for seed, variant in product(SEEDS, REFERENCES):
        yield Landmarks("wflw", variant, seed, size=224, network=Network("resnet34"), recipe=replace(RECIPE, epochs=60))


def measure(config: Landmarks, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """See `landmarks.measure`; after fewer epochs than the headline's under fewer lights.

    And then, of real faces, without "groups" and "ced".
    """
    long = config.recipe.epochs >= RECIPE.epochs
    found = landmarks.measure(config, sets, place, under=LIGHTS if long else FEW, statistics=STATISTICS)
    whole = long or config.dataset == "synthetic"
    return found if whole else {key: value for key, value in found.items() if key not in ("groups", "ced")}


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    load = landmarks.load if profile in RECORDING else landmarks.load_few
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
