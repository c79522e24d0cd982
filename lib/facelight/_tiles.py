"""Tables of grey levels per tile and their blending, in the way of MATLAB's adapthisteq. Used by `enhance`."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

BINS = 256
_TABLE_ENTRIES = 2**17  # at once: bounds the memory, and keeps it in the cache


def tile_size(length: int, tiles: int) -> int:
    """Pixels of a tile along one axis: the smallest even number of which `tiles` cover `length`."""
    size = -(-length // tiles)
    return size + size % 2


def adapthisteq(levels: Tensor, count: int, grid_size: tuple[int, int]) -> Tensor:
    """CLAHE of grey levels (N, H, W), uint8, with at most `count` pixels in a bin of a tile's histogram."""
    images = max(1, _TABLE_ENTRIES // (grid_size[0] * grid_size[1] * BINS))
    return torch.cat([_adapthisteq(part, count, grid_size) for part in levels.split(images)])


def _adapthisteq(levels: Tensor, count: int, grid_size: tuple[int, int]) -> Tensor:
    n, *lengths = levels.shape
    sizes = [tile_size(length, tiles) for length, tiles in zip(lengths, grid_size, strict=True)]
    before = [(s * t - length) // 2 for s, t, length in zip(sizes, grid_size, lengths, strict=True)]
    padded = [
        torch.from_numpy(np.pad(np.arange(length), (b, s * t - length - b), mode="symmetric"))
        for length, s, t, b in zip(lengths, sizes, grid_size, before, strict=True)
    ]
    tiles = levels[:, padded[0][:, None], padded[1]].reshape(n, grid_size[0], sizes[0], grid_size[1], sizes[1])
    tiles = tiles.transpose(2, 3).reshape(n * grid_size[0] * grid_size[1], -1)
    some = tiles.split(_TABLE_ENTRIES // BINS)
    tables = torch.cat([equalizing_table(clip_histogram(histogram(part), count)) for part in some])
    return _blend(levels, tables.view(n, *grid_size, BINS), sizes, before)


def histogram(levels: Tensor) -> Tensor:
    """Histograms (M, 256) of the rows of grey levels (M, pixels), int32."""
    rows = torch.arange(len(levels))[:, None] * BINS
    return torch.bincount((rows + levels).flatten(), minlength=len(levels) * BINS).view(-1, BINS).int()


def clip_histogram(counts: Tensor, limit: int) -> Tensor:
    """Clip histograms (M, 256) at `limit` and hand the excess to the bins below it, none of which then exceeds it.

    The excess is first spread in equal parts, then one pixel at a time over evenly spaced bins, starting at bin 0, then
    at bin 1, and so on, until none is left. `limit` must be at least the pixels of a tile divided by 256.
    """
    clipped = counts.clamp(max=limit)
    excess = (counts - clipped).sum(1, dtype=torch.int32)
    if not excess.any():
        return counts
    filled = torch.where(counts > limit, clipped, (clipped + (excess // BINS)[:, None]).clamp_(max=limit)).int()
    excess = counts.sum(1) - filled.sum(1)
    for start in itertools.cycle(range(BINS)):
        rows = excess.nonzero().flatten()
        if not rows.numel():
            return filled
        few = excess[rows] < 16  # few pixels left: few bins to look at
        for some in (rows[few], rows[~few]):
            if some.numel():
                excess[some] -= _place(filled, some, excess[some], limit, start)
    raise AssertionError


def _place(filled: Tensor, rows: Tensor, excess: Tensor, limit: int, start: int) -> Tensor:
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


def equalizing_table(counts: Tensor) -> Tensor:
    """Tables of grey levels (M, 256), uint8: 255 times the cumulative share of the histograms (M, 256), rounded."""
    share = counts.cumsum(1, dtype=torch.float64).mul_(BINS - 1).div_(counts.sum(1, keepdim=True))
    return share.add_(0.5).to(torch.uint8)


def _blend(levels: Tensor, tables: Tensor, sizes: list[int], before: list[int]) -> Tensor:
    """Each pixel through the tables of the four nearest tile centres, weighted bilinearly, in integers."""
    n, rows, columns, _ = tables.shape
    tile, weight = [], []
    for length, size, offset in zip(levels.shape[1:], sizes, before, strict=True):
        position = torch.arange(length) + offset + size - size // 2
        tile.append(position // size)
        weight.append((size - position % size, position % size))
    # The four tables of each place between tile centres, packed into one integer: one look-up a pixel.
    packed = torch.zeros((n, rows + 1, columns + 1, BINS), dtype=torch.int32)
    near = [torch.arange(tiles + 1) for tiles in (rows, columns)]
    for corner, (down, across) in enumerate(itertools.product((0, 1), repeat=2)):
        row, column = (
            (i - 1 + d).clamp(0, t - 1) for i, d, t in zip(near, (down, across), (rows, columns), strict=True)
        )
        packed |= tables[:, row[:, None], column].int() << 8 * corner
    place = (tile[0][:, None] * (columns + 1) + tile[1]) * BINS
    place = place + torch.arange(n)[:, None, None] * packed[0].numel() + levels
    four = packed.view(-1)[place]
    area = sizes[0] * sizes[1]
    kind = torch.int32 if area < 2**22 else torch.int64
    total = torch.full(levels.shape, area // 2, dtype=kind)
    for corner, (down, across) in enumerate(itertools.product((0, 1), repeat=2)):
        share = weight[0][down][:, None] * weight[1][across]
        total += (four >> 8 * corner & 255) * share.to(kind)
    return (total // area).to(torch.uint8)
