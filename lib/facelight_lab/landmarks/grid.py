"""The map: how far a network is off under a grid of lights, factor by shape by camera. No training here.

A cell of the map is a light of some shape whose darkest place divides the picture by a factor, in gray levels or in
linear light, seen by a camera. Which of two sides is dark is drawn for each picture; the noise of the camera, too. Both
are drawn from generators that the picture itself seeds, so that every network sees the same pictures.

The cost: `CELLS` are 123 lights, so a network makes 123 forward passes over the test faces, 68,142 pictures of the 554
of 300-W. A step of training is about three such passes, so that is the work of twelve and a half epochs of 1,811 faces.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facelight import illumination, metrics
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight_lab.landmarks import lights

SPACES = ("gray levels", "linear light")
FACTORS = (1, 2, 3, 6, 12, 25)
SHAPES = ("even", "ramp", "half shadow", "spot")
CAMERAS: dict[str, tuple[float, float] | None] = {
    "no noise": None,
    "20,000 electrons": (20_000.0, 3.0),
    "1,000 electrons": (1_000.0, 2.0),
}
"""Name -> electrons that a white pixel collects, and the read noise in electrons; see `illumination.sensor_noise`."""
GROUPS = 24  # of faces: enough for intervals, few enough to be kept; 554 faces are groups of 23 or 24
STEP = 5e-5  # of what is kept, in sides of the crop: a mean over 24 groups is rounded by 3e-6
BATCH = 32  # pictures: what a network makes of them fits into a cache
_SIDES = {"ramp": ("left", "right"), "half shadow": ("left", "right"), "spot": tuple(lights.SPOTS)}


@dataclass(frozen=True)
class Cell:
    """One light of the map.

    Args:
        space: of `SPACES`, what is divided.
        factor: by what the darkest place is divided; 1 leaves the light as it is.
        shape: of `SHAPES`.
        camera: of `CAMERAS`.
    """

    space: str
    factor: float
    shape: str
    camera: str

    def __str__(self) -> str:
        return f"{self.space} / {self.factor:g}, {self.shape}, {self.camera}"


def _cells() -> tuple[Cell, ...]:
    """Undivided light has neither space nor shape: it is called gray levels, even."""
    bright = [Cell(SPACES[0], 1, SHAPES[0], camera) for camera in CAMERAS]
    return (*bright, *(Cell(*place) for place in product(SPACES, FACTORS[1:], SHAPES, CAMERAS)))


CELLS = _cells()


def depth(x: Tensor, shape: str) -> Tensor:
    """The logarithm of a light of a shape on images (B, C, H, W), from 0 to 1 at its darkest: (B, 1, H, W).

    "ramp": linear from one edge to the other; "half shadow": see `lights.shadowed`; "spot": `lights.spotted`.
    """
    across = torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)
    both: dict[str, Callable[[str], Tensor]] = {
        "ramp": lambda side: across if side == "right" else across.flip(0),
        "half shadow": partial(lights.half_depth, x),
        "spot": partial(lights.spot_depth, x),
    }
    one, other = (both[shape](side).expand(x.shape[-2:]) for side in _SIDES[shape])
    second = torch.stack([torch.rand((), generator=g) < 0.5 for g in lights.generators(x)]).view(-1, 1, 1, 1)
    return torch.where(second.to(x.device), other, one)


def seen(x: Tensor, cell: Cell) -> Tensor:
    """Images (B, 3, H, W), at gray levels, in the light of a cell, behind its camera, rounded to gray levels."""
    linear = cell.space == "linear light"
    if cell.shape == "even":
        y = illumination.darken(x, cell.factor, quantize=False, linear_light=linear)
    else:
        y = illumination.shade(x, math.log(cell.factor) * depth(x, cell.shape), linear_light=linear)
    camera = CAMERAS[cell.camera]
    if camera is not None:
        photons, read = camera
        pictures = zip(y.cpu(), lights.generators(x), strict=True)
        noisy = [illumination.sensor_noise(p, photons=photons, read=read, generator=g) for p, g in pictures]
        y = torch.stack(noisy).to(x)
    return illumination.quantize(y)


def measure(model: nn.Module, faces: LandmarkFaces, cells: Sequence[Cell] = CELLS) -> dict[str, Any]:
    """How far a network is off on crops of faces under the lights of cells.

    Args:
        model: from images in [0, 1] to landmarks in [0, 1].
        faces: crops, N of them.
        cells: which lights.

    Returns:
        "cells", how many, and "groups", how many; "errors": the image-size NME of each cell and group of faces, see
        `by_group`, as `packed` writes them.
    """
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1])

    def errors(cell: Cell) -> Tensor:
        pred = lights.predicted(model, faces.image, partial(seen, cell=cell), size=BATCH)
        return metrics.nme(pred, target, normalizer="image-size", image_size=1)

    table = np.stack([by_group(errors(cell).double().numpy()) for cell in cells])
    return {"cells": len(cells), "groups": GROUPS, "errors": packed(table)}


def by_group(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Errors (N,) of faces as (GROUPS,) sums over random groups of them, always the same, times GROUPS / N.

    Their mean is the mean over faces. Differences of two networks group by group have the scatter that those face by
    face have: what `statistics.versus_faces` needs, in a twentieth of the space.

    Raises:
        ValueError: fewer faces than groups.
    """
    if len(errors) < GROUPS:
        raise ValueError(f"errors: expected at least {GROUPS} faces, one a group, got {len(errors)}")
    order = sorted(range(len(errors)), key=lambda face: zlib.crc32(b"%d" % face))  # the same on every machine
    return np.array([errors[order[i::GROUPS]].sum() for i in range(GROUPS)]) * (GROUPS / len(errors))


def packed(table: npt.NDArray[np.float64]) -> str:
    """Numbers (rows, columns) as text: differences of rows in multiples of `STEP`, compressed, in base 64.

    Low bytes come first, then higher ones, which are nearly all alike.

    Raises:
        ValueError: a number that is not finite, or too large: above 2^31 times the step.
    """
    if not np.isfinite(table).all() or np.abs(table).max(initial=0) >= STEP * 2**31:
        raise ValueError("errors: expected finite numbers: the network predicts nothing sensible under some light")
    steps = np.diff(np.rint(table / STEP).astype(np.int64), axis=0, prepend=0).astype("<i4")
    bytes_of_all = steps.T.copy().view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(bytes_of_all.tobytes(), 9)).decode()


def unpacked(text: str, columns: int) -> npt.NDArray[np.float64]:
    """The numbers (rows, columns) that `packed` wrote."""
    bytes_of_all = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(4, -1)
    steps = bytes_of_all.T.copy().view("<i4").reshape(columns, -1).T
    found: npt.NDArray[np.float64] = np.cumsum(steps, axis=0, dtype=np.int64).astype(np.float64) * STEP
    return found


def errors_of(metrics: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """What `measure` has written into the metrics of a record: (cells, groups), image-size NME.

    Raises:
        ValueError: it was measured under other cells than today's.
    """
    kept = metrics["map"]
    if (kept["cells"], kept["groups"]) != (len(CELLS), GROUPS):
        raise ValueError(
            f"map: expected {len(CELLS)} cells and {GROUPS} groups, got {kept['cells']} and {kept['groups']}: measure "
            "the run again"
        )
    return unpacked(kept["errors"], kept["groups"])
