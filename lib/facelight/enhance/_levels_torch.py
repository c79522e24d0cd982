"""The operations of `_levels` on each pixel in PyTorch: on every device, compiled, traced and exported alike."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from facelight import _check
from facelight.enhance._places import Blend, Place

BINS = 256
_PIXELS_AT_ONCE = 2**17  # on a CPU, so that what is computed on the way stays in the cache


def nearly(kind: torch.dtype) -> float:
    """How far off a whole level rounding may have moved one."""
    return 512 * torch.finfo(kind).eps


def wide(x: Tensor) -> torch.dtype:
    """Double precision, where the device has it."""
    return x.dtype if x.device.type == "mps" else torch.float64


def count(levels: Tensor, place: Place, number: int, between: bool) -> Tensor:
    """Soft histograms (number, 256) of lines of levels (L, W).

    Shares of pixels are summed in double precision, where the sums have no error: their order does not matter, and what
    is rounded to whole numbers later comes out alike on both paths.
    """
    kind = wide(levels) if between else levels.dtype
    counts = levels.new_zeros(number * BINS + 1, dtype=kind)  # white has nothing to put into the bin above its own
    for lines in _parts(levels):
        level, fraction = _split(levels[lines])
        bins, fraction = _index(level, place, lines).long().flatten(), fraction.flatten().to(kind)
        if between:
            counts.scatter_add_(0, bins, 1 - fraction)
            counts[1:].scatter_add_(0, bins, fraction)
        else:
            counts.scatter_add_(0, bins, counts.new_ones(1).expand(bins.shape))
    return counts[:-1].to(levels.dtype).view(number, BINS)


def blended(levels: Tensor, tables: Tensor, place: Place, blend: Blend | None, between: bool, settled: bool) -> Tensor:
    """Lines of levels (L, W) through tables (number, 256); `settled`: moved a little to the nearest whole level."""
    flat = tables.contiguous().view(-1)
    rises = torch.diff(flat, append=flat[-1:])
    out = torch.empty_like(levels)
    for lines in _parts(levels):
        level, fraction = _split(levels[lines])
        index = _index(level, place, lines)
        value = _blend(flat, index, blend, lines)
        if between:
            value.addcmul_(fraction, _blend(rises, index, blend, lines))
        if settled:
            value.lerp_(value.round(), 1 / 4096)
        torch.clamp(value, 0, BINS - 1, out=out[lines])  # sums of shares are off by an ulp
    return out


def slopes(
    levels: Tensor, tables: Tensor, upstream: Tensor | None, place: Place, blend: Blend | None, between: bool
) -> Tensor:
    """Slope of the (blended) tables at each pixel, times what arrives from above, if anything does."""
    flat, out = _slopes(tables), torch.empty_like(levels)
    for lines in _parts(levels):
        index = _index(_half_steps(levels[lines], between), place, lines, 2 * BINS)
        slope = _blend(flat, index, blend, lines, 2 * BINS)
        out[lines] = slope if upstream is None else slope.mul_(upstream[lines])
    return out


def spread(levels: Tensor, upstream: Tensor, number: int, place: Place, blend: Blend | None, between: bool) -> Tensor:
    """What arrives from above, counted in the entries of the tables (number, 256) that each pixel was blended from."""
    out = upstream.new_zeros(number * BINS + 1)
    for lines in _parts(levels):
        level, fraction = _split(levels[lines])
        bins = _index(level, place, lines)
        for further, share in _corners(upstream[lines], blend, lines):
            at = (bins + further * BINS).long().flatten()
            if between:
                upper = share * fraction
                out[1:].scatter_add_(0, at, upper.flatten())
                share = share - upper
            out.scatter_add_(0, at, share.flatten())
    return out[:-1].view(number, BINS)


def _parts(levels: Tensor) -> Iterator[slice]:
    """Runs of lines to work on at once: all of them, unless on a CPU and not traced."""
    if not _check.readable(levels):
        yield slice(0, levels.shape[0])
        return
    step = max(1, _PIXELS_AT_ONCE // levels.shape[1])
    for start in range(0, levels.shape[0], step):
        yield slice(start, start + step)


def _split(levels: Tensor) -> tuple[Tensor, Tensor]:
    """The level below, and how far above it, in [0, 1)."""
    below = levels.int()
    return below, levels - below


def _half_steps(levels: Tensor, between: bool) -> Tensor:
    """2 k for a pixel at level k, 2 k + 1 for one between k and k + 1."""
    return (levels.floor() + levels.ceil()).int() if between else levels.int().mul_(2)


def _slopes(tables: Tensor) -> Tensor:
    """What a table (..., 256) rises a level, at half steps: between levels, and at a level the mean of both sides."""
    rise = tables.diff()
    out = rise.new_empty((*tables.shape, 2))
    out[..., 1:-1, 0] = (rise[..., 1:] + rise[..., :-1]) / 2
    out[..., 0, 0], out[..., -1, 0] = rise[..., 0], rise[..., -1]
    out[..., :-1, 1], out[..., -1, 1] = rise, 0
    return out.view(-1)


def _index(entry: Tensor, place: Place, lines: slice, size: int = BINS) -> Tensor:
    """Where the entries of lines of pixels, which are overwritten, lie among tables of `size` entries."""
    return entry.add_(place.line[lines] * size).add_(place.column * size)


def _pick(flat: Tensor, index: Tensor) -> Tensor:
    return flat.index_select(0, index.flatten()).view(index.shape)


def _blend(flat: Tensor, index: Tensor, blend: Blend | None, lines: slice, size: int = BINS) -> Tensor:
    """The entries of the table of each pixel, or of the four around it in OpenCV's order of operations."""
    if blend is None:
        return _pick(flat, index)
    left, down, right = 1 - blend.across, blend.down[lines], blend.right * size
    above = _pick(flat, index).mul_(left).add_(_pick(flat, index + right).mul_(blend.across))
    index = index + blend.below[lines] * size
    under = _pick(flat, index).mul_(left).add_(_pick(flat, index + right).mul_(blend.across))
    return above.mul_(1 - down).add_(under.mul_(down))


def _corners(upstream: Tensor, blend: Blend | None, lines: slice) -> Iterator[tuple[Tensor | int, Tensor]]:
    """For each table of a pixel: how many tables further it is, and the gradient that reaches it."""
    if blend is None:
        yield 0, upstream
        return
    below, down = blend.below[lines], blend.down[lines]
    for further, part in ((torch.zeros_like(below), 1 - down), (below, down)):
        row = upstream * part
        yield further, row * (1 - blend.across)
        yield further + blend.right, row * blend.across
