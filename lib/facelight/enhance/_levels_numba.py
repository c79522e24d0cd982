"""The operations of `_levels` on each pixel as loops that numba compiles, for CPUs: `pip install "facelight[fast]"`.

They read images from 0 to 1 and find the gray levels line by line; results and gradients are images, too. The threads
of `_loops` take some lines of pixels each. Lines whose tables overlap stay with one thread where something is counted
in them, so that every sum has one order.

Two things make the loops fast. Along a line, the pixels between two centers of tiles go through the same four tables:
a `run`. And what is read from the tables is first put side by side, so that the arithmetic on it uses the processor's
vector instructions.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelight.enhance._clipping_numba import rises
from facelight.enhance._levels_torch import BINS, nearly
from facelight.enhance._loops import in_parts, loop, parts
from facelight.enhance._places import Blend, Place


def count(images: Tensor, place: Place, number: int, between: bool) -> Tensor:
    """Soft histograms (number, 256) of lines of images (L, W); not `between`: at the nearest level."""
    lines, where = _array(images), _tables(place, None, *images.shape, images.dtype)
    counts = np.zeros(number * BINS, lines.dtype)
    in_parts(_count, where.apart(lines), lines, _within(lines, between), where.row, where.column, counts)
    return torch.from_numpy(counts).view(number, BINS)


def blended(images: Tensor, tables: Tensor, place: Place, blend: Blend | None, between: bool, settled: bool) -> Tensor:
    """Lines of images (L, W) through tables (number, 256); `settled`: moved a little to the nearest whole level."""
    lines, where = _array(images), _tables(place, blend, *images.shape, images.dtype)
    out = np.empty_like(lines)
    in_parts(_look_up, parts(lines), lines, _within(lines, between), _array(tables).ravel(), *where.blend, settled, out)
    return torch.from_numpy(out)


def slopes(
    images: Tensor, tables: Tensor, upstream: Tensor | None, place: Place, blend: Blend | None, between: bool
) -> Tensor:
    """Slope of the (blended) tables at each pixel, times what arrives from above; of counts, if nothing does."""
    lines, where = _array(images), _tables(place, blend, *images.shape, images.dtype)
    within, steps, out = _within(lines, between), rises(_array(tables)).ravel(), np.empty_like(lines)
    if upstream is None:
        in_parts(_slope, parts(lines), lines, within, steps, where.row, where.column, out)
    else:
        in_parts(_slopes, parts(lines), lines, within, steps, _array(upstream), *where.blend, out)
    return torch.from_numpy(out)


def spread(images: Tensor, upstream: Tensor, number: int, place: Place, blend: Blend | None, between: bool) -> Tensor:
    """What arrives from above, counted in the entries of the tables (number, 256) that each pixel was blended from."""
    lines, where = _array(images), _tables(place, blend, *images.shape, images.dtype)
    out = np.zeros(number * BINS, lines.dtype)
    in_parts(_spread, where.apart(lines), lines, _within(lines, between), _array(upstream), *where.blend, out)
    return torch.from_numpy(out).view(number, BINS)


class _Tables:
    """The tables of each pixel as arrays, in pixels; those of a blend are zero where there is one table."""

    def __init__(self, place: Place, blend: Blend | None, height: int, width: int, dtype: torch.dtype) -> None:
        self.row, self.column = _array(place.line).ravel(), _array(place.column.expand(width))
        if blend is None:
            self.below, self.right = np.zeros(height, "int32"), np.zeros(width, "int32")
            self.down, self.across = np.zeros(height, "float32"), np.zeros(width, "float32")
        else:
            self.below, self.right, self.down, self.across = (_array(x).ravel() for x in blend)
        kind = "float64" if dtype == torch.float64 else "float32"
        turns = np.flatnonzero(np.diff(self.column) | np.diff(self.right)) + 1
        self.runs = np.array([0, *turns, width])  # bounds of runs of columns with the same tables
        weights = self.down.astype(kind), self.across.astype(kind)
        self.blend = self.row, self.column, self.below, self.right, *weights, self.runs

    def apart(self, lines: Any) -> list[int]:
        """Bounds of parts of lines that have no table in common, near equal ones."""
        bounds = parts(lines)
        if len(bounds) == 2:
            return bounds
        last = (self.row + self.below)[:-1] + (self.column + self.right).max()
        free = np.flatnonzero(last < self.row[1:] + self.column.min()) + 1
        near = free[np.abs(free[:, None] - np.array(bounds[1:-1])).argmin(0)] if free.size else free
        return [0, *sorted(set(near.tolist())), len(lines)]


_tables = functools.lru_cache(maxsize=16)(_Tables)  # places that are kept, see `_grid.kept_places`, are known again


@loop
def _split(line: Any, within: Any, below: Any, above: Any) -> bool:
    """The level below each pixel of a line, and how far above it the pixel is; whether some are above theirs."""
    some = 0
    for w in range(len(line)):
        level = line[w] * line.dtype.type(BINS - 1)
        whole = np.rint(level)
        level = whole if abs(whole - level) <= within else level
        below[w] = int(level)
        above[w] = level - line.dtype.type(below[w])
        some += above[w] != 0
    return some > 0


@loop
def _count(start: int, stop: int, lines: Any, within: Any, row: Any, column: Any, counts: Any) -> None:
    width, size = lines.shape[1], (column.max() + 1) * BINS
    quarter, half = width // 4, width // 2
    at, fraction = np.empty(width, np.int32), np.empty(width, lines.dtype)
    pixels, shares = np.zeros(size, np.int32), np.zeros(size + 1)  # of the tables of a line: all, and what goes one up
    for line in range(start, stop):
        between = _split(lines[line], within, at, fraction)
        for w in range(width):
            at[w] += column[w] * BINS
        for w in range(quarter):  # from four places by turns: a bin is not asked for while it is being counted in
            pixels[np.uintp(at[w])] += 1
            pixels[np.uintp(at[w + quarter])] += 1
            pixels[np.uintp(at[w + 2 * quarter])] += 1
            pixels[np.uintp(at[w + 3 * quarter])] += 1
        for w in range(4 * quarter, width):
            pixels[np.uintp(at[w])] += 1
        if between:  # in double, where the sums have no error, see `_levels_torch.count`
            for w in range(half):
                shares[np.uintp(at[w] + 1)] += fraction[w]
                shares[np.uintp(at[w + half] + 1)] += fraction[w + half]
            for w in range(2 * half, width):
                shares[np.uintp(at[w] + 1)] += fraction[w]
        if line + 1 == stop or row[line + 1] != row[line]:
            for k in range(size):  # white has no share, so that none comes from the table before
                counts[row[line] * BINS + k] = pixels[k] - shares[k + 1] + shares[k]
            pixels[:] = 0
            shares[:] = 0


@loop
def _look_up(
    start: int, stop: int, lines: Any, within: Any, flat: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any,
    settled: bool, out: Any,
) -> None:  # fmt: skip
    kind, width = lines.dtype.type, lines.shape[1]
    at, fraction = np.empty(width, np.int32), np.empty(width, lines.dtype)
    corners, value = np.empty((4, width), lines.dtype), np.empty(width, lines.dtype)
    for line in range(start, stop):
        between = _split(lines[line], within, at, fraction)
        _gather(at, fraction, between, flat, BINS, row[line], below[line], column, right, runs, corners)
        _mix(corners, down[line], across, value)
        if settled:
            for w in range(width):
                value[w] += kind(1 / 4096) * (np.rint(value[w]) - value[w])
        for w in range(width):
            out[line, w] = min(max(value[w], kind(0)), kind(BINS - 1)) / kind(BINS - 1)


@loop
def _gather(
    at: Any, fraction: Any, between: bool, flat: Any, size: int,
    row: int, below: int, column: Any, right: Any, runs: Any, corners: Any,
) -> None:  # fmt: skip
    """What a line of pixels finds in its four tables of `size` entries, on straight lines between two: (4, W)."""
    for run in range(len(runs) - 1):
        start, stop = runs[run], runs[run + 1]
        a, b, c, d = _four(size, row + column[start], right[start], below)
        if between:
            for w in range(start, stop):
                f, k, step = fraction[w], np.uintp(at[w]), np.uintp(at[w] < BINS - 1)
                corners[0, w] = flat[a + k] + f * (flat[a + k + step] - flat[a + k])
                corners[1, w] = flat[b + k] + f * (flat[b + k + step] - flat[b + k])
                corners[2, w] = flat[c + k] + f * (flat[c + k + step] - flat[c + k])
                corners[3, w] = flat[d + k] + f * (flat[d + k + step] - flat[d + k])
        else:
            for w in range(start, stop):
                k = np.uintp(at[w])
                corners[0, w], corners[1, w] = flat[a + k], flat[b + k]
                corners[2, w], corners[3, w] = flat[c + k], flat[d + k]


@loop
def _four(size: int, table: int, right: int, below: int) -> Any:
    """Where a table and its three neighbors begin. Slices of arrays would cost more than what is done with them."""
    first, second = table * size, (table + right) * size
    return np.uintp(first), np.uintp(second), np.uintp(first + below * size), np.uintp(second + below * size)


@loop
def _mix(corners: Any, lower: Any, across: Any, out: Any) -> None:
    """The four entries of each pixel in proportion, in OpenCV's order of operations."""
    one = corners.dtype.type(1)
    for w in range(len(out)):
        left = one - across[w]
        above = corners[0, w] * left + corners[1, w] * across[w]
        under = corners[2, w] * left + corners[3, w] * across[w]
        out[w] = above * (one - lower) + under * lower


@loop
def _slopes(
    start: int, stop: int, lines: Any, within: Any, steps: Any, upstream: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any, out: Any,
) -> None:  # fmt: skip
    width = lines.shape[1]
    at, fraction, corners = np.empty(width, np.int32), np.empty(width, lines.dtype), np.empty((4, width), lines.dtype)
    for line in range(start, stop):
        _split(lines[line], within, at, fraction)
        _half_steps(at, fraction)
        _gather(at, fraction, False, steps, 2 * BINS, row[line], below[line], column, right, runs, corners)
        _mix(corners, down[line], across, out[line])
        for w in range(width):
            out[line, w] *= upstream[line, w]


@loop
def _slope(start: int, stop: int, lines: Any, within: Any, steps: Any, row: Any, column: Any, out: Any) -> None:
    width, white = lines.shape[1], lines.dtype.type(BINS - 1)
    at, fraction = np.empty(width, np.int32), np.empty(width, lines.dtype)
    for line in range(start, stop):
        _split(lines[line], within, at, fraction)
        _half_steps(at, fraction)
        for w in range(width):
            out[line, w] = white * steps[np.uintp((row[line] + column[w]) * 2 * BINS + at[w])]


@loop
def _half_steps(at: Any, fraction: Any) -> None:
    """From levels to the entries of `rises`."""
    for w in range(len(at)):
        at[w] = 2 * at[w] + (fraction[w] > 0)


@loop
def _spread(
    start: int, stop: int, lines: Any, within: Any, upstream: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any, out: Any,
) -> None:  # fmt: skip
    half, width, kind = lines.shape[1] // 2, lines.shape[1], lines.dtype.type
    at, fraction = np.empty(width, np.int32), np.empty(width, lines.dtype)
    for line in range(start, stop):
        between = _split(lines[line], within, at, fraction)
        upper, lower = (kind(1) - down[line]) / kind(BINS - 1), down[line] / kind(BINS - 1)
        under = below[line] * BINS
        for first in range(half):
            for w in (first, first + half):  # by turns, see `_count`
                entry, side = (row[line] + column[w]) * BINS + at[w], right[w] * BINS
                _spread_one(upstream[line, w], entry, side, across[w], under, upper, lower, fraction[w], between, out)
        if width > 2 * half:
            w = width - 1
            entry, side = (row[line] + column[w]) * BINS + at[w], right[w] * BINS
            _spread_one(upstream[line, w], entry, side, across[w], under, upper, lower, fraction[w], between, out)


@loop
def _spread_one(
    share: Any, at: int, side: int, further: Any, under: int, upper: Any, lower: Any,
    fraction: Any, between: bool, out: Any,
) -> None:  # fmt: skip
    nearer, above, beneath = out.dtype.type(1) - further, share * upper, share * lower
    _drop(above * nearer, np.uintp(at), fraction, between, out)
    _drop(above * further, np.uintp(at + side), fraction, between, out)
    _drop(beneath * nearer, np.uintp(at + under), fraction, between, out)
    _drop(beneath * further, np.uintp(at + under + side), fraction, between, out)


@loop
def _drop(share: Any, at: Any, fraction: Any, between: bool, out: Any) -> None:
    if between and fraction > 0:  # white has no bin above its own
        upper = share * fraction
        out[at + np.uintp(1)] += upper
        share -= upper
    out[at] += share


def _within(lines: Any, between: bool) -> Any:
    """How near a whole level a pixel counts as at it."""
    return lines.dtype.type(nearly(getattr(torch, lines.dtype.name)) if between else 0.5)


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()
