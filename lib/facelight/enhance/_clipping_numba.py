"""The tables of `_clipping`, and their slopes, as loops that numba compiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelight.enhance._levels_torch import BINS
from facelight.enhance._loops import in_parts, loop, parts


def opencv_tables(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
    """See `_clipping.opencv_tables`."""
    rows = _array(counts)
    out = np.empty_like(rows)
    in_parts(_opencv, parts(rows), rows, _array(limit).ravel(), rows.dtype.type(np.float32((BINS - 1) / pixels)), out)
    return torch.from_numpy(out)


def matlab_tables(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
    """See `_clipping.matlab_tables`; counts and limits are int32."""
    rows, most = _array(counts), _array(limit).ravel()
    out = np.empty(rows.shape)
    in_parts(_matlab, parts(rows), rows, most, pixels, out)
    return torch.from_numpy(out)


def opencv_derivative(counts: Tensor, limit: Tensor, pixels: int, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `_clipping.smooth_tables` for the counts (M, 256) and the limits (M, 1), OpenCV's rule."""
    rows, most = _array(counts), _array(limit)
    to_counts, to_limit = np.empty_like(rows), np.empty_like(most)
    scale = rows.dtype.type((BINS - 1) / pixels)
    in_parts(_derivative, parts(rows), rows, most, _array(gradient), scale, to_counts, to_limit)
    return torch.from_numpy(to_counts), torch.from_numpy(to_limit)


def rises(tables: Any) -> Any:
    """What tables (M, 256) rise a level, (M, 512): at each, where it is the mean of both sides, and behind it."""
    out = np.empty((len(tables), 2 * BINS), tables.dtype)
    in_parts(_rises, parts(tables), tables, out)
    return out


@loop
def _opencv(start: int, stop: int, counts: Any, limit: Any, scale: Any, out: Any) -> None:
    kind = counts.dtype.type
    for row in range(start, stop):
        most = limit[row]
        first = second = third = fourth = 0.0  # four sums, as each addition waits for the last one
        for k in range(0, BINS, 4):
            first += max(counts[row, k] - most, kind(0))
            second += max(counts[row, k + 1] - most, kind(0))
            third += max(counts[row, k + 2] - most, kind(0))
            fourth += max(counts[row, k + 3] - most, kind(0))
        excess = kind(first + second + third + fourth)
        share = np.floor(excess / kind(BINS))
        left = excess - share * kind(BINS)
        whole = int(left)
        step, rest = BINS // max(whole, 1), (left - kind(whole)) / kind(BINS)
        turn = done = 0
        total = 0.0
        for k in range(BINS):
            filled = min(counts[row, k], most) + share
            if k == turn and done < whole:  # a pixel for every `step`-th bin, as long as some are left
                filled, turn, done = filled + kind(1), turn + step, done + 1
            total += filled + rest
            out[row, k] = kind(total) * scale


@loop
def _matlab(start: int, stop: int, counts: Any, limit: Any, pixels: int, out: Any) -> None:
    filled = np.empty(BINS, np.int32)
    for row in range(start, stop):
        most, excess = limit[row], 0
        for k in range(BINS):
            excess += max(counts[row, k] - most, 0)
        share, excess = excess // BINS, 0
        for k in range(BINS):
            filled[k] = min(counts[row, k] + share, most)
            excess += counts[row, k] - filled[k]
        first = 0
        while excess > 0:  # one pixel at a time over evenly spaced bins, see `_refill`
            step, left = max(BINS // excess, 1), excess
            for k in range(first, BINS, step):
                if filled[k] < most and left > 0:
                    filled[k] += 1
                    left -= 1
            excess, first = left, (first + 1) % BINS
        total = 0
        for k in range(BINS):
            total += filled[k]
            out[row, k] = total * float(BINS - 1) / pixels


@loop
def _derivative(
    start: int, stop: int, counts: Any, limit: Any, gradient: Any, scale: Any, to_counts: Any, to_limit: Any
) -> None:
    kind = counts.dtype.type
    for row in range(start, stop):
        behind = mean = kind(0)
        for k in range(BINS - 1, -1, -1):  # a bin raises its own entry of the table and all behind it
            behind += gradient[row, k] * scale
            to_counts[row, k] = behind
            mean += behind / kind(BINS)  # what is cut off is handed to all bins
        clipped = kind(0)
        for k in range(BINS):
            change = to_counts[row, k] - mean
            free = counts[row, k] < limit[row, 0]
            clipped += kind(0) if free else change
            to_counts[row, k] = change if free else kind(0)
        to_limit[row, 0] = clipped


@loop
def _rises(start: int, stop: int, tables: Any, out: Any) -> None:
    half = tables.dtype.type(0.5)
    for row in range(start, stop):
        before = tables[row, 1] - tables[row, 0]
        for k in range(BINS - 1):
            rise = tables[row, k + 1] - tables[row, k]
            out[row, 2 * k], out[row, 2 * k + 1] = half * (before + rise), rise
            before = rise
        out[row, 2 * BINS - 2], out[row, 2 * BINS - 1] = before, 0


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()
