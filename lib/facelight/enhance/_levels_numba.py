"""The operations of `_levels` on each pixel as loops that numba compiles, for CPUs: `pip install "facelight[fast]"`.

The threads of `_loops` take some lines of pixels each. Lines whose tables overlap stay with one thread where something
is counted in them, so that every sum has one order.

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
from facelight.enhance._levels_torch import BINS
from facelight.enhance._loops import in_parts, loop, parts
from facelight.enhance._places import Blend, Place


def gray_levels(x: Tensor, nearly: float) -> tuple[Tensor, Tensor]:
    """255 x, whole where that is within `nearly` of a level, (N, H, W), and whether some are not, bool, ()."""
    lines = _array(x).reshape(-1, x.shape[-1])
    out = np.empty_like(lines)
    between = in_parts(_scale, parts(lines), lines, lines.dtype.type(nearly), out)
    return torch.from_numpy(out).view(x.shape), torch.tensor(any(between))


def count(levels: Tensor, place: Place, number: int, between: bool) -> Tensor:
    """Soft histograms (number, 256) of lines of levels (L, W)."""
    lines, where = _array(levels), _tables(place, None, *levels.shape, levels.dtype)
    counts = np.zeros(number * BINS, lines.dtype)
    in_parts(_count, where.apart(lines), lines, where.row, where.column, between, counts)
    return torch.from_numpy(counts).view(number, BINS)


def blended(
    levels: Tensor,
    tables: Tensor,
    place: Place,
    blend: Blend | None,
    between: bool,
    settled: bool,
    out: Tensor | None = None,
) -> Tensor:
    """Lines of levels (L, W) through tables (number, 256); `settled`: moved a little to the nearest whole level."""
    lines, flat, where = _array(levels), _array(tables).ravel(), _tables(place, blend, *levels.shape, levels.dtype)
    out = torch.empty_like(levels, memory_format=torch.contiguous_format) if out is None else out
    in_parts(_look_up, parts(lines), lines, flat, *where.blend, between, settled, out.numpy())
    return out


def slopes(
    levels: Tensor, tables: Tensor, upstream: Tensor | None, place: Place, blend: Blend | None, between: bool
) -> Tensor:
    """Slope of the (blended) tables at each pixel, times what arrives from above, if anything does."""
    lines, where = _array(levels), _tables(place, blend, *levels.shape, levels.dtype)
    steps, out = rises(_array(tables), between).ravel(), np.empty_like(lines)
    if upstream is None:
        in_parts(_slope, parts(lines), lines, steps, between, where.row, where.column, out)
    else:
        in_parts(_slopes, parts(lines), lines, steps, between, _array(upstream), *where.blend, out)
    return torch.from_numpy(out)


def spread(levels: Tensor, upstream: Tensor, number: int, place: Place, blend: Blend | None, between: bool) -> Tensor:
    """What arrives from above, counted in the entries of the tables (number, 256) that each pixel was blended from."""
    lines, where = _array(levels), _tables(place, blend, *levels.shape, levels.dtype)
    out = np.zeros(number * BINS, lines.dtype)
    in_parts(_spread, where.apart(lines), lines, _array(upstream), *where.blend, between, out)
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
        runs = np.array([0, *turns, width])  # bounds of runs of columns with the same tables
        weights = self.down.astype(kind), self.across.astype(kind)
        self.blend = self.row, self.column, self.below, self.right, *weights, runs

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
def _scale(start: int, stop: int, lines: Any, nearly: Any, out: Any) -> bool:
    between = False
    for line in range(start, stop):
        for w in range(lines.shape[1]):
            level = lines[line, w] * lines.dtype.type(BINS - 1)
            whole = np.rint(level)
            level = whole if abs(whole - level) <= nearly else level
            between |= whole != level
            out[line, w] = level
    return between


@loop
def _count(start: int, stop: int, lines: Any, row: Any, column: Any, between: bool, counts: Any) -> None:
    half, width = lines.shape[1] // 2, lines.shape[1]
    sums = np.zeros((column.max() + 1) * BINS + 1)  # of the tables of a line, in double, see `_levels_torch.count`
    for line in range(start, stop):
        for w in range(half):  # from two halves by turns: a bin is not asked for while it is being counted in
            _count_one(lines[line, w], column[w], between, sums)
            _count_one(lines[line, w + half], column[w + half], between, sums)
        if width > 2 * half:
            _count_one(lines[line, width - 1], column[width - 1], between, sums)
        if line + 1 == stop or row[line + 1] != row[line]:
            for k in range(len(sums) - 1):
                counts[row[line] * BINS + k] += counts.dtype.type(sums[k])
            sums[:] = 0


@loop
def _count_one(level: Any, table: int, between: bool, sums: Any) -> None:
    k = int(level)
    at, fraction = np.uintp(table * BINS + k), float(level) - k
    if between:
        sums[at] += 1 - fraction
        sums[at + np.uintp(1)] += fraction
    else:
        sums[at] += 1


@loop
def _look_up(
    start: int, stop: int, lines: Any, flat: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any,
    between: bool, settled: bool, out: Any,
) -> None:  # fmt: skip
    kind, width = lines.dtype.type, lines.shape[1]
    corners, value = np.empty((4, width), lines.dtype), np.empty(width, lines.dtype)
    for line in range(start, stop):
        if between:
            _gather_between(lines[line], flat, row[line], below[line], column, right, runs, corners)
        else:
            _gather(lines[line], False, flat, row[line], below[line], column, right, runs, corners)
        _mix(corners, down[line], across, value)
        if settled:
            for w in range(width):
                value[w] += kind(1 / 4096) * (np.rint(value[w]) - value[w])
        for w in range(width):
            out[line, w] = min(max(value[w], kind(0)), kind(BINS - 1))


@loop
def _slopes(
    start: int, stop: int, lines: Any, steps: Any, between: bool, upstream: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any, out: Any,
) -> None:  # fmt: skip
    corners = np.empty((4, lines.shape[1]), lines.dtype)
    for line in range(start, stop):
        _gather(lines[line], between, steps, row[line], below[line], column, right, runs, corners)
        _mix(corners, down[line], across, out[line])
        for w in range(lines.shape[1]):
            out[line, w] *= upstream[line, w]


@loop
def _gather(
    levels: Any, half_steps: bool, flat: Any, row: int, below: int, column: Any, right: Any, runs: Any, corners: Any
) -> None:
    """The entries of a line of pixels in the four tables of each, side by side (4, W)."""
    size = 2 * BINS if half_steps else BINS
    for run in range(len(runs) - 1):
        start, stop = runs[run], runs[run + 1]
        first = (row + column[start]) * size
        second, third = first + right[start] * size, first + below * size
        fourth = third + right[start] * size
        a, b, c, d = flat[first:], flat[second:], flat[third:], flat[fourth:]
        for w in range(start, stop):
            k = int(levels[w])
            entry = np.uintp(2 * k + (levels[w] > k) if half_steps else k)
            corners[0, w], corners[1, w], corners[2, w], corners[3, w] = a[entry], b[entry], c[entry], d[entry]


@loop
def _gather_between(
    levels: Any, flat: Any, row: int, below: int, column: Any, right: Any, runs: Any, corners: Any
) -> None:
    """As `_gather`, on the straight lines between two entries."""
    for run in range(len(runs) - 1):
        start, stop = runs[run], runs[run + 1]
        first = (row + column[start]) * BINS
        second, third = first + right[start] * BINS, first + below * BINS
        fourth = third + right[start] * BINS
        a, b, c, d = flat[first:], flat[second:], flat[third:], flat[fourth:]
        for w in range(start, stop):
            k = int(levels[w])
            part, low, high = levels[w] - levels.dtype.type(k), np.uintp(k), np.uintp(min(k + 1, BINS - 1))
            corners[0, w], corners[1, w] = a[low] + part * (a[high] - a[low]), b[low] + part * (b[high] - b[low])
            corners[2, w], corners[3, w] = c[low] + part * (c[high] - c[low]), d[low] + part * (d[high] - d[low])


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
def _slope(start: int, stop: int, lines: Any, steps: Any, between: bool, row: Any, column: Any, out: Any) -> None:
    for line in range(start, stop):
        for w in range(lines.shape[1]):
            k, table = int(lines[line, w]), row[line] + column[w]
            at = 2 * (table * BINS + k) + (lines[line, w] > k) if between else table * BINS + k
            out[line, w] = steps[np.uintp(at)]


@loop
def _spread(
    start: int, stop: int, lines: Any, upstream: Any,
    row: Any, column: Any, below: Any, right: Any, down: Any, across: Any, runs: Any,
    between: bool, out: Any,
) -> None:  # fmt: skip
    half, width = lines.shape[1] // 2, lines.shape[1]
    for line in range(start, stop):
        under, lower = below[line] * BINS, down[line]
        for first in range(half):
            for w in (first, first + half):  # by turns, see `_count`
                at, side = (row[line] + column[w]) * BINS, right[w] * BINS
                _spread_one(lines[line, w], upstream[line, w], at, side, across[w], under, lower, between, out)
        if width > 2 * half:
            w = width - 1
            at, side = (row[line] + column[w]) * BINS, right[w] * BINS
            _spread_one(lines[line, w], upstream[line, w], at, side, across[w], under, lower, between, out)


@loop
def _spread_one(
    level: Any, share: Any, at: int, side: int, further: Any, under: int, lower: Any, between: bool, out: Any
) -> None:
    k, one = int(level), out.dtype.type(1)
    fraction, at = level - out.dtype.type(k), at + k
    above, beneath = share * (one - lower), share * lower
    _drop(above * (one - further), np.uintp(at), fraction, between, out)
    _drop(above * further, np.uintp(at + side), fraction, between, out)
    _drop(beneath * (one - further), np.uintp(at + under), fraction, between, out)
    _drop(beneath * further, np.uintp(at + under + side), fraction, between, out)


@loop
def _drop(share: Any, at: Any, fraction: Any, between: bool, out: Any) -> None:
    if between and fraction > 0:  # as in `_count_one`
        upper = share * fraction
        out[at + np.uintp(1)] += upper
        share -= upper
    out[at] += share


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()
