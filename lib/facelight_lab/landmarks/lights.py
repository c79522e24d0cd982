"""Lights at test time, and how far a landmark network is off under each of them. No training here.

A light is a function of images (B, 3, H, W), float in [0, 1], at gray levels, to images of the same shape and range;
what it does to a picture depends on that picture only.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facelight import illumination, metrics, train
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight.illumination.light import patches
from facelight_lab.landmarks import face_sets

Light = Callable[[Tensor], Tensor]

FACTORS = (1.5, 2, 3, 4, 6, 8, 12, 17, 25)
FEW_FACTORS = (2, 3, 6, 12, 25)
BRIGHTER = (1.5, 2, 3)
SHADOWS = (3, 6, 12, 25)
EDGE = 0.05  # of a shadow, in widths of the crop
UNEVEN = (6, 12, 25)
SPOTS = {"upper left": (0.35, 0.4), "lower right": (0.65, 0.6)}  # centers, in widths of the crop
SPOT = 0.25  # standard deviation of its profile, in widths of the crop
CASTS = {"warm": (1.0, 0.7, 0.4), "cold": (0.4, 0.7, 1.0)}  # factors of red, green and blue
SCORES = ("image-size", "inter-ocular", "failures", "auc")  # of five points "inter-pupil", see `face_sets.EYES`
MAIN = ("x1", "/3", "/6", "/12", "/25")  # for groups of faces, and with statistics of the batch
CURVES = ("x1", "/3", "/6")
THRESHOLDS = torch.linspace(0, 0.2, 41)
BATCH = 64  # pictures, about, whose own statistics take the place of those kept from training


def divided(x: Tensor, factor: float, *, quantize: bool = True, linear_light: bool = False) -> Tensor:
    """Divide by a factor, see `illumination.darken`; one below 1 brightens and saturates."""
    return illumination.darken(x, factor, quantize=quantize, linear_light=linear_light)


def noisy(x: Tensor, factor: float) -> Tensor:
    """Divide sRGB values by a factor, and see that light with a camera's noise, `illumination.sensor_noise`; round.

    The noise is drawn from a generator that the picture itself seeds, and is the same for every factor.
    """
    dark = illumination.darken(x, factor, quantize=False)
    seen = [illumination.sensor_noise(p.cpu(), generator=g) for p, g in zip(dark, generators(x), strict=True)]
    return illumination.quantize(torch.stack(seen)).to(x)


def generators(x: Tensor) -> list[torch.Generator]:
    """One for each picture, seeded by its gray levels."""
    levels = (255 * x).round().byte().cpu()
    return [torch.Generator().manual_seed(zlib.crc32(p.contiguous().numpy().tobytes())) for p in levels]


def _shaded(x: Tensor, factor: float, depth: Tensor, linear_light: bool = False) -> Tensor:
    """Divide sRGB values, or linear light, by a factor to the power of a depth; round."""
    return illumination.quantize(illumination.shade(x, math.log(factor) * depth, linear_light=linear_light))


def shadowed(x: Tensor, factor: float, side: str, *, edge: float = EDGE, linear_light: bool = False) -> Tensor:
    """Divide the sRGB values (or the linear light) of one half, "left" or "right", by a factor; round.

    The logarithm of the light goes from one half to the other along a logistic curve; `edge` is its scale, in widths
    of the crop.
    """
    return _shaded(x, factor, half_depth(x, side, edge), linear_light)


def half_depth(x: Tensor, side: str, edge: float = EDGE) -> Tensor:
    """The logarithm of the light of `shadowed`, (W,), from 0 to 1."""
    width = x.shape[-1]
    across = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5) / width - 0.5
    return torch.sigmoid((across if side == "right" else -across) / edge)


def ramped(x: Tensor, factor: float, side: str, *, linear_light: bool = False) -> Tensor:
    """Divide sRGB values by 1 at one edge and by a factor at the other, "left", "right", "top" or "bottom"; round.

    The logarithm of the light is linear in between, see `illumination.relight`.
    """
    slope = 0.5 * math.log(factor)
    across = {"left": slope, "right": -slope}.get(side, 0.0)
    down = {"top": slope, "bottom": -slope}.get(side, 0.0)
    return illumination.quantize(illumination.relight(x, across, down, gain=factor**-0.5, linear_light=linear_light))


def spotted(x: Tensor, factor: float, spot: str, *, linear_light: bool = False) -> Tensor:
    """Divide sRGB values by a factor except within a spot, of `SPOTS`; round.

    The logarithm of the light falls from its center along a normal curve of standard deviation `SPOT`.
    """
    return _shaded(x, factor, spot_depth(x, spot), linear_light)


def spot_depth(x: Tensor, spot: str) -> Tensor:
    """The logarithm of the light of `spotted`, (H, W), from 0 to 1."""
    height, width = x.shape[-2:]
    u, v = ((torch.arange(n, device=x.device, dtype=x.dtype) + 0.5) / n for n in (width, height))
    across, down = SPOTS[spot]
    squared = (u - across) ** 2 + (v[:, None] - down) ** 2
    return 1 - torch.exp(-squared / (2 * SPOT**2))


def dappled(x: Tensor, factor: float) -> Tensor:
    """Divide sRGB values by a factor between 1 and this one that varies over the picture, as under a tree; round.

    The logarithm of the light is interpolated between 4x4 values, uniform at random, and stretched to the whole
    range. They are drawn from a generator that the picture itself seeds, and are the same for every factor.
    """
    drawn = torch.stack([torch.rand((1, 4, 4), generator=g) for g in generators(x)]).to(x)
    return _shaded(x, factor, patches(drawn, x.shape[-2:]))


def tinted(x: Tensor, cast: str) -> Tensor:
    """Multiply the sRGB values of red, green and blue by factors of their own, of `CASTS`; round."""
    return illumination.quantize(x * x.new_tensor(CASTS[cast]).view(3, 1, 1))


def bent(x: Tensor, gamma: float) -> Tensor:
    """Raise sRGB values to a power, as another tone curve would; round. No factor on the light does this."""
    return illumination.quantize(illumination.gamma_correct(x, gamma))


def hazy(x: Tensor, veil: float) -> Tensor:
    """Mix with white, of which `veil` is the share; round. Added light, not a factor on it."""
    return illumination.quantize(veil + (1 - veil) * x)


def _lights() -> dict[str, Light]:
    lights: dict[str, Light] = {"x1": illumination.quantize}
    lights |= {f"/{f:g}": partial(divided, factor=f) for f in FACTORS}
    lights |= {f"/{f:g} unrounded": partial(divided, factor=f, quantize=False) for f in FEW_FACTORS}
    lights |= {f"/{f:g} linear light": partial(divided, factor=f, linear_light=True) for f in FEW_FACTORS}
    lights |= {f"/{f:g} noise": partial(noisy, factor=f) for f in (1, *FEW_FACTORS)}
    lights |= {f"x{f:g}": partial(divided, factor=1 / f) for f in BRIGHTER}
    lights |= {f"/{f:g} {side}": partial(shadowed, factor=f, side=side) for side in ("left", "right") for f in SHADOWS}
    for side, factors in (("left", UNEVEN), ("right", UNEVEN), ("top", (12,)), ("bottom", (12,))):
        lights |= {f"/{f:g} ramp {side}": partial(ramped, factor=f, side=side) for f in factors}
    lights |= {f"/{f:g} spot {spot}": partial(spotted, factor=f, spot=spot) for spot in SPOTS for f in UNEVEN}
    lights |= {f"/{f:g} dappled": partial(dappled, factor=f) for f in UNEVEN}
    lights |= {cast: partial(tinted, cast=cast) for cast in CASTS}
    lights |= {f"power {g:g}": partial(bent, gamma=g) for g in (0.5, 2)}
    lights |= {f"haze {veil:g}": partial(hazy, veil=veil) for veil in (0.3, 0.6)}
    return lights


LIGHTS = _lights()
"""Name -> light.

"x1": as it is; "/3": divided, rounded to 8 bits, the paper's way; "/3 unrounded"; "/3 linear light", rounded; "/3
noise", see `noisy`; "x2": brighter, saturated; "/3 left": see `shadowed`; "/12 ramp left", "/12 spot upper left", "/12
dappled", "warm", "power 2", "haze 0.3": see `ramped`, `spotted`, `dappled`, `tinted`, `bent` and `hazy`.
"""


def predicted(model: nn.Module, image: Tensor, light: Light, order: Tensor | None = None, size: int = 256) -> Tensor:
    """Landmarks (N, K, 2) in [0, 1] of images (N, 3, H, W), uint8, under a light; float32 throughout.

    Args:
        model: on any device.
        image: pictures.
        light: see the top of this file.
        order: in which pictures come together in batches; None: as they are.
        size: pictures in a batch.
    """
    order = torch.arange(len(image)) if order is None else order

    def batch(index: Tensor) -> Tensor:
        x = light(image[order[index]].float() / 255)
        return x.contiguous(memory_format=torch.channels_last)

    return train.evaluate(model, batch, len(image), size=size)[order.argsort()]


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Within it, batch normalization takes mean and variance from the batch at hand; the running ones are kept aside.

    Source: Benz, Zhang, Karjauv, Kweon (2021), doi:10.1109/WACV48630.2021.00054.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    aside = [(m.running_mean, m.running_var) for m in layers]
    try:
        for m in layers:
            m.running_mean = m.running_var = None
        yield
    finally:
        for m, (mean, variance) in zip(layers, aside, strict=True):
            m.running_mean, m.running_var = mean, variance


def score_names(points: int) -> list[str]:
    """`SCORES` of a number of landmarks, with the distance that their errors are divided by.

    >>> score_names(5)
    ['image-size', 'inter-pupil', 'failures', 'auc']
    """
    return [SCORES[0], face_sets.EYES[points], *SCORES[2:]]


def scores(pred: Tensor, target: Tensor) -> list[float]:
    """The numbers of `SCORES`, of landmarks (N, K, 2) in [0, 1].

    Mean NME by the side of the crop and by the distance of the eyes, `face_sets.EYES`; then, of the latter, the share
    of faces above 0.1 and the area under the cumulative distribution up to 0.1.
    """
    eyes = metrics.nme(pred, target, normalizer=face_sets.EYES[target.shape[1]])
    side = metrics.nme(pred, target, normalizer="image-size", image_size=1)
    found = (side.mean().item(), eyes.mean().item(), metrics.failure_rate(eyes), metrics.ced_auc(eyes))
    return [round(value, 5) for value in found]


def measure(
    model: nn.Module,
    faces: LandmarkFaces,
    lights: Mapping[str, Light] = LIGHTS,
    statistics: Sequence[str] = MAIN,
) -> dict[str, Any]:
    """How far a network is off on crops of faces.

    Args:
        model: from images in [0, 1] to landmarks in [0, 1].
        faces: crops, N of them.
        lights: the lights; those of `MAIN`, `CURVES` and `statistics` among them.
        statistics: lights under which the network is also tried with `batch_statistics`.

    Returns:
        A dictionary:

        - "scores": the order of the numbers in the lists that follow, see `score_names`.
        - "lights": for each light its scores.
        - "batch_statistics": for the lights of `statistics`, with `batch_statistics` of batches of about `BATCH`
          pictures, always the same ones.
        - "groups": for each of `face_sets.groups` its "count", and its scores under the lights of `MAIN`.
        - "ced": for the lights of `CURVES` the share of faces with an error, by the distance of the eyes, of at most
          each of `THRESHOLDS`.
    """
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1])
    pred = {name: predicted(model, faces.image, light) for name, light in lights.items()}
    count = len(faces)
    size = math.ceil(count / math.ceil(count / BATCH))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    with batch_statistics(model):
        other = {name: predicted(model, faces.image, lights[name], order, size) for name in statistics}
    points = target.shape[1]
    errors = {name: metrics.nme(pred[name], target, normalizer=face_sets.EYES[points]) for name in CURVES}
    return {
        "scores": score_names(points),
        "lights": {name: scores(value, target) for name, value in pred.items()},
        "batch_statistics": {name: scores(value, target) for name, value in other.items()},
        "groups": {
            group: {"count": int(mask.sum())} | {name: scores(pred[name][mask], target[mask]) for name in MAIN}
            for group, mask in face_sets.groups(faces).items()
        },
        "ced": {name: _shares(value) for name, value in errors.items()},
    }


def _shares(errors: Tensor) -> list[float]:
    return [round(share, 4) for share in (errors[:, None] <= THRESHOLDS).double().mean(0).tolist()]
