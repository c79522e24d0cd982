"""How MATLAB's adapthisteq hands on what it clips, in whole pixels. Used by `_clipping`."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from facelight.enhance._levels_torch import BINS


def clip_histogram(counts: Tensor, limit: Tensor) -> Tensor:
    """Clip histograms (M, 256) at limits (M, 1) and hand the excess to the bins below; none then exceeds it.

    The excess is first spread in equal parts, then one pixel at a time over evenly spaced bins, starting at bin 0, then
    at bin 1, and so on, until none is left. A limit must be at least the pixels of a tile divided by 256.
    """
    clipped = torch.minimum(counts, limit)
    excess = (counts - clipped).sum(1, dtype=torch.int32)
    if not excess.any():
        return counts
    filled = torch.where(counts > limit, clipped, torch.minimum(clipped + (excess // BINS)[:, None], limit)).int()
    excess = counts.sum(1) - filled.sum(1)
    for start in itertools.cycle(range(BINS)):
        rows = excess.nonzero().flatten()
        if not rows.numel():
            return filled
        few = excess[rows] < 16  # few pixels left: few bins to look at
        for some in (rows[few], rows[~few]):
            if some.numel():
                excess[some] -= _place(filled, some, excess[some], limit[some], start)
    raise AssertionError


def _place(filled: Tensor, rows: Tensor, excess: Tensor, limit: Tensor, start: int) -> Tensor:
    """One walk over evenly spaced bins of the histograms `rows`, in place: a pixel to each bin below the limit.

    Returns how many pixels found a place, for each row.
    """
    step = (BINS // excess).clamp(min=1)[:, None]
    visits = -(-(BINS - start) // int(step.min()))
    bins = start + torch.arange(visits) * step
    index = (rows[:, None] * BINS + bins.clamp(max=BINS - 1)).flatten()
    counts = filled.view(-1)[index].view(bins.shape)
    free = (bins < BINS) & (counts < limit)
    free &= free.cumsum(1) <= excess[:, None]
    filled.view(-1).scatter_add_(0, index, free.flatten().int())
    return free.sum(1)
