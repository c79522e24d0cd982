"""Where the tiles of CLAHE lie on an image, in OpenCV's and in MATLAB's way. Used by `adaptive`."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from facelight.enhance._places import Blend, Place


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis of an image.

    Args:
        length: pixels of the image.
        tiles: number of tiles.
        size: pixels of a tile.
        before: pixels with which the image is extended before its first; the tiles cover `before` + length or more.
        mirror: how it is extended: 1 repeats the pixel at the edge (MATLAB), 0 does not (OpenCV's reflect-101).
        center: position of the center of the first tile, in pixels from the start of the extended image.
    """

    length: int
    tiles: int
    size: int
    before: int
    mirror: int
    center: float

    def source(self, device: torch.device) -> Tensor | None:
        """The pixel of the image that stands at each place of the extended image; None if nothing is extended."""
        if self.tiles * self.size == self.length:
            return None
        position = torch.arange(self.tiles * self.size, device=device) - self.before
        period = max(2 * (self.length - 1 + self.mirror), 1)
        position = position % period
        return torch.minimum(position, period - self.mirror - position).clamp(0, self.length - 1)

    def neighbors(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """For each pixel the tiles before and behind it, and the weight of the latter, in OpenCV's single precision."""
        position = torch.arange(self.length, dtype=torch.float32, device=device) + self.before
        inverse = 1.0 / torch.tensor(float(self.size), dtype=torch.float32, device=device)
        position = position * inverse - torch.tensor(self.center / self.size, dtype=torch.float32, device=device)
        before = position.floor()
        tile = before.int()
        return tile.clamp(0, self.tiles - 1), (tile + 1).clamp(max=self.tiles - 1), position - before


def tile_axes(height: int, width: int, grid_size: tuple[int, int], convention: str) -> tuple[Axis, Axis]:
    """The tiles down and across an image.

    "opencv": if both axes divide evenly, nothing is extended; else both are, at the end, by one to `tiles` pixels.
    "matlab": tiles of an even size; each axis is extended as far as it needs, half of it on either side.
    """
    shape = (height, width)
    even = all(length % tiles == 0 for length, tiles in zip(shape, grid_size, strict=True))
    axes = []
    for length, tiles in zip(shape, grid_size, strict=True):
        if convention == "opencv":
            size = length // tiles + int(not even)
            axes.append(Axis(length, tiles, size, 0, 0, size / 2))
        else:
            size = -(-length // tiles)
            size += size % 2
            axes.append(Axis(length, tiles, size, (tiles * size - length) // 2, 1, size / 2))
    return axes[0], axes[1]


def extended(levels: Tensor, axes: tuple[Axis, Axis]) -> Tensor:
    """Gray levels (N, H, W), extended so that the tiles cover them."""
    for dim, axis in zip((1, 2), axes, strict=True):
        source = axis.source(levels.device)
        levels = levels if source is None else levels.index_select(dim, source)
    return levels


def places(
    number: int, axes: tuple[Axis, Axis], device: torch.device, dtype: torch.dtype
) -> tuple[Place, Place, Blend]:
    """`tile_place` and `blend_place` of `number` images, the weights in the type of the levels."""
    place, blend = blend_place(number, axes, device)
    return tile_place(number, axes, device), place, blend.to(dtype)


kept_places = functools.lru_cache(maxsize=16)(places)
"""The same, kept for the next images of that size; what records a program needs its own."""


def tile_place(number: int, axes: tuple[Axis, Axis], device: torch.device) -> Place:
    """Which tile each pixel of `number` extended images lies in."""
    rows, columns = (torch.arange(a.tiles, dtype=torch.int32, device=device).repeat_interleave(a.size) for a in axes)
    images = torch.arange(number, dtype=torch.int32, device=device) * axes[0].tiles
    line = (images[:, None] + rows).view(-1, 1) * axes[1].tiles
    return Place(line, columns)


def blend_place(number: int, axes: tuple[Axis, Axis], device: torch.device) -> tuple[Place, Blend]:
    """Which four tables each pixel lies between, and their weights; outside of the outer centers, twice the same."""
    (first, second, down), (left, right, across) = (axis.neighbors(device) for axis in axes)
    images = torch.arange(number, dtype=torch.int32, device=device)[:, None] * axes[0].tiles
    line = (images + first).view(-1, 1) * axes[1].tiles
    below = (second - first).repeat(number)[:, None] * axes[1].tiles
    return Place(line, left), Blend(below, right - left, down.repeat(number)[:, None], across)
