"""Experiment "beyond": first layers and remedies that go beyond the log paper's, on the landmarks of real faces."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check
from facelight.layers import LogConv2d
from facelight_lab.first_layers import LEVEL
from facelight_lab.landmarks import faces as landmark_faces
from facelight_lab.landmarks import landmarks
from facelight_lab.landmarks import lights as darkness
from facelight_lab.landmarks import networks as landmark_networks
from facelight_lab.landmarks.faces import POINTS, Sets
from facelight_lab.landmarks.runs import FEW_SEEDS, RECIPE, RENDERED_EPOCHS, SEEDS, Landmarks
from facelight_lab.runs import RECORDING, Experiment
from facelight_lab.stems import ADAPTIVE, BOTH, LOCAL, NORMALIZED, OURS, VARIANTS

NAME = "beyond"
LIT = ("", "global", "local")
DARKEST = 25.0  # of training pictures
SHORT = replace(RECIPE, epochs=10)  # for all but the headline
BRIEF = replace(RECIPE, epochs=3)  # on real faces, after rendered ones
RENDERED = replace(RECIPE, epochs=RENDERED_EPOCHS)  # on rendered faces
FASTER = 30.0  # times the rate of the kernels, for single numbers

RAMPS = (*(f"/{f} ramp {side}" for f in (12, 25) for side in ("left", "right")), "/12 ramp top", "/12 ramp bottom")
HALVES = tuple(f"/{f} {side}" for f in (12, 25) for side in ("left", "right"))
SPOTS = tuple(f"/{f} spot {spot}" for f in (12, 25) for spot in darkness.SPOTS)
STRONG = RAMPS + HALVES + SPOTS  # the uneven lights that count
STATISTICS = ("x1", "/6", "/25", "/12 ramp left", "/12 left")
HARD = 0.002  # edge of a hard shadow, in widths of the crop: less than a pixel

_MORE: dict[str, darkness.Light] = {
    **{f"/12 hard {side}": partial(darkness.shadowed, factor=12, side=side, edge=HARD) for side in ("left", "right")},
    **{
        f"/25 {side} linear light": partial(darkness.shadowed, factor=25, side=side, linear_light=True)
        for side in ("left", "right")
    },
    "/25 ramp left linear light": partial(darkness.ramped, factor=25, side="left", linear_light=True),
    "/25 spot upper left linear light": partial(darkness.spotted, factor=25, spot="upper left", linear_light=True),
}
LIGHTS = darkness.LIGHTS | _MORE
FEW = {
    name: light
    for name, light in LIGHTS.items()
    if name in (*darkness.MAIN, *STATISTICS, *STRONG, *_MORE, "/6 noise", "warm")
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


@dataclass(frozen=True)
class Beyond(Landmarks):
    """As `Landmarks`, with more ways to train.

    Args:
        lit: what happens to the light of training pictures, see `relit`; "": nothing.
        faster: how many times faster than the recipe says single numbers, such as epsilon, are trained.
        taught: with start "synthetic", the variant that learns rendered faces; "": the same.
        adapted: whether its kernels are then scaled to logarithmic light, see `LogConv2d.from_conv`.
    """

    lit: str = ""
    faster: float = 1.0
    taught: str = ""
    adapted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.one_of(self.lit, LIT, "lit")
        _check.positive(self.faster, "faster")
        if self.taught:
            _check.one_of(self.taught, tuple(VARIANTS), "taught")
            if self.start != "synthetic":
                raise ValueError("taught: another variant learns rendered faces only with start 'synthetic'")
        elif self.adapted:
            raise ValueError("adapted: there is nothing to adapt without `taught`")

    def light(self) -> landmark_networks.Relight | None:
        """See `relit`."""
        return partial(relit, local=self.lit == "local") if self.lit else None

    def scalars(self) -> float:
        """See `faster`."""
        return self.faster

    def first_stage(self) -> Landmarks:
        """The variant that teaches, on its own."""
        stage = replace(super().first_stage(), taught="", adapted=False)  # type: ignore[call-arg]
        return replace(stage, variant=self.taught or self.variant)

    def second_stage(self, model: nn.Module) -> nn.Module:
        """The variant with what the teacher has learned; all but the first layer is taken as it is."""
        if not self.taught:
            return model
        weights = model.state_dict()
        conv = cast(Any, model).body.conv1.layer
        pupil: Any = landmark_networks.build(
            self.variant, self.backbone, POINTS[self.dataset], self.head_width, self.dropout, None
        )
        pupil.load_state_dict(weights, strict=False)
        if self.adapted:
            mean_and_one = ((LEVEL,) * 3, (1.0,) * 3)
            first = LogConv2d.from_conv(conv, normalized=mean_and_one, epsilon=pupil.body.conv1.layer.epsilon.item())
            pupil.body.conv1.layer.load_state_dict({"weight": first.weight}, strict=False)
        return pupil


def relit(x: Tensor, generator: torch.Generator, *, local: bool) -> Tensor:
    """Training light: half of the pictures stay as they are, the others are darkened, each in a way of its own.

    Divided by 1 to `DARKEST`, uniform in the logarithm. With `local`, every other one of them instead by a field:
    values at 3x3 places, uniform in the logarithm, interpolated, and stretched to reach from 1 to such a factor.
    Ramps, halves and spots are not among these fields.

    Args:
        x: images (B, 3, H, W) in [0, 1].
        generator: on the CPU.
        local: whether there are fields.
    """
    drawn = torch.rand((len(x), 3), generator=generator).to(x)
    places = torch.rand((len(x), 1, 3, 3), generator=generator).to(x)
    field = F.interpolate(places, x.shape[-2:], mode="bilinear", align_corners=True)
    least, most = field.amin((2, 3), keepdim=True), field.amax((2, 3), keepdim=True)
    field = (field - least) / (most - least).clamp_min(torch.finfo(x.dtype).eps)
    chosen, kind, strength = (value.view(-1, 1, 1, 1) for value in drawn.T)
    depth = torch.where((kind < 0.5) & local, field, torch.ones_like(field))
    return torch.where(chosen < 0.5, x, x * torch.exp(-math.log(DARKEST) * strength * depth))


def configs(profile: str) -> list[Beyond]:
    """The runs of a profile."""
    if profile in ("smoke", "book"):
        return list(_small())
    if profile == "full":
        return list(_full())
    found = [*_candidates(), *_main(), *_others(), *_lit(), *_rendered_faces(), *_adapted()]
    return sorted(found, key=lambda config: config.seed // len(FEW_SEEDS))  # the first three seeds of all come first


def _small() -> Iterable[Beyond]:
    """Two variants on a few rendered faces."""
    small = replace(Beyond("synthetic", size=32, head_width=64), recipe=replace(BRIEF, epochs=2, batch=16, bf16=False))
    return small, replace(small, variant=OURS)


def _candidates() -> Iterable[Beyond]:
    """What a window and a limit were chosen from, one run each on faces held out; and ours beside them."""
    for variant in CANDIDATES:
        yield Beyond("w300", variant, recipe=SHORT, part="validation")


def _main() -> Iterable[Beyond]:
    """The headline, beside the runs of the experiment "landmarks" with the same recipe and seeds."""
    for seed in SEEDS:
        for variant in HEADLINE:
            yield Beyond("w300", variant, seed)
        yield Beyond("w300", "linear", seed, lit="local")


def _others() -> Iterable[Beyond]:
    """Every variant, in less time."""
    for seed, variant in product(FEW_SEEDS, (*REFERENCES, *PARTS, *FURTHER, *LEARNED, *OTHERS, *FUTURE)):
        yield Beyond("w300", variant, seed, recipe=SHORT, faster=FASTER if variant in LEARNED else 1.0)


def _lit() -> Iterable[Beyond]:
    """Light in training."""
    for seed in FEW_SEEDS:
        yield Beyond("w300", "linear", seed, recipe=SHORT, lit="global")
        for variant in ("linear", OURS, LOCAL, NORMALIZED):
            yield Beyond("w300", variant, seed, recipe=SHORT, lit="local")


def _rendered_faces() -> Iterable[Beyond]:
    """98 points of rendered faces, beside the runs of "landmarks"."""
    for seed, variant in product(FEW_SEEDS, HEADLINE):
        yield Beyond("synthetic", variant, seed, recipe=RENDERED)


def _adapted() -> Iterable[Beyond]:
    """A linear network that knows rendered faces goes on, briefly, with real ones: as it is, or with our layer.

    Beside it ours that learned the rendered faces itself, and both from random weights.
    """
    count = landmark_faces.RENDERED[0]
    for seed in FEW_SEEDS:
        start = Beyond("w300", "linear", seed, start="synthetic", rendered=count, first=RENDERED, recipe=BRIEF)
        yield start
        yield replace(start, variant=OURS)
        for adapted in (False, True):
            yield replace(start, variant=OURS, taught="linear", adapted=adapted)
        for variant in ("linear", OURS):
            yield Beyond("w300", variant, seed, recipe=BRIEF)


def _full() -> Iterable[Beyond]:
    """The headline on WFLW, for a GPU: ResNet-34 at 224 pixels from random weights, with a recipe that trains well."""
    for seed, variant in product(SEEDS, REFERENCES):
        yield Beyond("wflw", variant, seed, size=224, backbone="resnet34", recipe=replace(RECIPE, epochs=60))


def measure(config: Beyond, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """See `landmarks.measure`; after fewer epochs than the headline's under fewer lights.

    And then, of real faces, without "groups" and "ced".
    """
    long = config.recipe.epochs >= RECIPE.epochs
    found = landmarks.measure(config, sets, place, lights=LIGHTS if long else FEW, statistics=STATISTICS)
    whole = long or config.dataset == "synthetic"
    return found if whole else {key: value for key, value in found.items() if key not in ("groups", "ced")}


def experiment(profile: str) -> Experiment[Beyond, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    load = landmarks.load if profile in RECORDING else landmarks.load_few
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _measured(config: Beyond, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
