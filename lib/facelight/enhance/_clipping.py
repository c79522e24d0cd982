"""From the histograms of tiles to their tables of gray levels: clip, hand on the excess, accumulate.

Every rule exists twice: in whole pixels, as OpenCV and MATLAB have it, and continuous, with a derivative. The exact
tables take their derivative from the continuous ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from facelight._graph import recording
from facelight.enhance import _refill, paths
from facelight.enhance._levels import first_derivative, run
from facelight.enhance._levels_torch import BINS, wide


class _StraightThrough(torch.autograd.Function):
    """The first value forward, the derivative of the second backward."""

    @staticmethod
    def forward(exact: Tensor, smooth: Tensor) -> Tensor:
        return exact.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
    """`exact`, with the derivative of `smooth`."""
    return _StraightThrough.apply(exact, smooth)


class _OpenCV(torch.autograd.Function):
    """OpenCV's exact tables with the derivative of the continuous ones, as compiled loops."""

    @staticmethod
    def forward(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
        return paths.loops("_clipping_numba").opencv_tables(counts, limit.floor().to(counts), pixels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        counts, limit, ctx.pixels = inputs
        ctx.save_for_backward(counts, limit)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        counts, limit = ctx.saved_tensors
        loops = paths.loops("_clipping_numba")
        to_counts, to_limit = loops.opencv_derivative(counts, limit.to(counts), ctx.pixels, gradient)
        return first_derivative(to_counts, gradient), first_derivative(to_limit.to(limit.dtype), gradient), None


def largest_count(clip_limit: Tensor, pixels: int, convention: str) -> Tensor:
    """The continuous count a at which bins are clipped, `clip_count` without its rounding; `pixels` if switched off.

    "opencv": a = max(c N / 256, 1), N for c = 0; "matlab": a = m + c (N - m), m = ceil(N / 256).
    """
    if convention == "opencv":
        return torch.where(clip_limit == 0, pixels, (clip_limit * (pixels / BINS)).clamp(min=1))
    least = -(-pixels // BINS)
    return least + clip_limit * (pixels - least)


def tables(counts: Tensor, limit: Tensor, pixels: int, convention: str, exact: bool) -> Tensor:
    """Tables (M, 256) from 0 to 255 for histograms (M, 256) that are clipped at counts `limit` (M, 1).

    Not rounded to gray levels yet. The limit is in double precision, in which OpenCV rounds it.
    """
    if not exact:
        return smooth_tables(counts, limit.to(counts), pixels, convention)
    if convention == "opencv" and paths.compiled(counts):
        return run(_OpenCV, counts, limit, pixels)
    with torch.no_grad():
        if convention == "opencv":
            out = opencv_tables(counts, limit.floor().to(counts), pixels)
        else:
            out = matlab_tables(counts, (limit + 0.5).floor(), pixels)
    if not recording() and torch.is_grad_enabled() and (counts.requires_grad or limit.requires_grad):
        return straight_through(out, smooth_tables(counts, limit.to(counts), pixels, convention))
    return out


def smooth_tables(counts: Tensor, limit: Tensor, pixels: int, convention: str) -> Tensor:
    """The continuous rule: spread the excess over all bins (OpenCV), or fill the others up to the limit (MATLAB)."""
    if convention == "opencv":
        clipped = _at_most(counts, limit)
        filled = clipped + (pixels - clipped.sum(-1, keepdim=True)) / BINS
    else:
        filled = _at_most(counts + _water_level(counts, limit, pixels), limit)
    return filled.cumsum(-1) * ((BINS - 1) / pixels)


def _at_most(counts: Tensor, limit: Tensor) -> Tensor:
    """min(n, a), flat where they are equal: near whole levels pixels only ever enter a bin next to their own."""
    return torch.where(counts < limit, counts, limit)


def opencv_tables(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
    """OpenCV's tables: equal whole parts of the excess for all bins, what remains one by one to evenly spaced bins.

    Soft histograms have a fraction of a pixel left over; it is spread evenly, so that white stays white.
    """
    clipped = torch.minimum(counts, limit)
    excess = (
        (counts - clipped).sum(-1, keepdim=True, dtype=wide(counts)).to(counts.dtype)
    )  # without an error of its own
    share = (excess / BINS).floor()
    left = excess - share * BINS
    whole = left.floor()
    step = (BINS / whole.clamp(min=1)).floor()
    bins = torch.arange(BINS, dtype=counts.dtype, device=counts.device)
    turn = (bins / step).floor()
    extra = (turn * step == bins) & (turn < whole)
    filled = clipped + share + extra + (left - whole) / BINS
    scale = torch.tensor((BINS - 1) / pixels, dtype=torch.float32, device=counts.device)
    return filled.cumsum(-1) * scale


def matlab_tables(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
    """MATLAB's tables, for histograms of whole pixels: bins are refilled up to the limit (`_refill`).

    A limit below the least one, or NaN, which no check finds on a GPU, would leave pixels for which there is no bin.
    """
    least = -(-pixels // BINS)
    limit = torch.where(limit >= least, limit.clamp(max=pixels), least)
    if paths.compiled(counts):
        loops = paths.loops("_clipping_numba")
        return loops.matlab_tables(counts.round().int(), limit.int(), pixels).to(counts.dtype)
    filled = _refill.clip_histogram(counts.round().int().cpu(), limit.int().cpu()).to(counts.device)
    return (filled.cumsum(-1, dtype=torch.float64) * (BINS - 1) / pixels).to(counts.dtype)


def _water_level(counts: Tensor, limit: Tensor, pixels: int) -> Tensor:
    """The t (M, 1) with sum_k min(n_k + t, a) = N: how high the excess stands on the bins that have room for it."""
    with torch.no_grad():
        room = (limit - counts).clamp(min=0)
        least = room.sort(-1).values  # bins get full in this order
        others = torch.arange(BINS - 1, -1, -1, dtype=counts.dtype, device=counts.device)
        held = least.cumsum(-1) + least * others  # the excess with which this bin gets full
        full = (held <= (counts - limit).clamp(min=0).sum(-1, keepdim=True)).sum(-1, keepdim=True)
        has_room = (room >= least.gather(-1, full.clamp(max=BINS - 1))) & (full < BINS)
        bins = has_room.sum(-1, keepdim=True)
    level = pixels - torch.where(has_room, counts, limit).sum(-1, keepdim=True)
    return torch.where(bins > 0, level / bins.clamp(min=1), limit)
