"""A figure that moves: CLAHE, a tile's histogram, the clip limit, the table of gray levels, and the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelight import enhance
from facelight._extras import extra
from facelight.enhance import _clipping
from facelight_lab.moving.faces import Levels, lit
from facelight_lab.moving.frame import Moving, encoded, still
from facelight_lab.plot import COLORS

with extra("book"):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

LIMITS = (1.0, 1.5, 2.0, 4.0, 10.0, 40.0, 0.0)  # in OpenCV's convention; the last switches the limit off
GRID = (3, 3)
SIZE = (120, 108)  # of the face, divisible by the grid
HARD = 60  # azimuth of the light, degrees


def tiles(face: Levels) -> Tensor:
    """Histograms (rows * columns, 256), int64, of the tiles of gray levels (H, W) that the grid divides evenly."""
    rows, columns = GRID
    height, width = face.shape
    parts = torch.from_numpy(face.astype(np.int64)).view(rows, height // rows, columns, width // columns)
    flat = parts.transpose(1, 2).reshape(rows * columns, -1)
    return torch.stack([torch.bincount(tile, minlength=256) for tile in flat])


def count(limit: float, pixels: int) -> int:
    """The largest count that a limit leaves in a bin of a tile."""
    return enhance.clip_count(limit, pixels, "opencv")


def tables(histograms: Tensor, limit: float) -> Tensor:
    """What CLAHE makes of each gray level in each tile (tiles, 256), gray levels."""
    pixels = int(histograms[0].sum())
    clip = torch.full((len(histograms), 1), float(count(limit, pixels)), dtype=torch.float64)
    return _clipping.tables(histograms.float(), clip, pixels, "opencv", exact=True).round()


def enhanced(face: Levels, limit: float) -> Levels:
    """Gray levels (H, W) after CLAHE."""
    done: Levels = (
        (255 * enhance.clahe(torch.from_numpy(face)[None].float() / 255, limit, GRID)[0]).round().byte().numpy()
    )
    return done


def data(face: Levels) -> dict[str, Any]:
    """What the script draws.

    Args:
        face: gray levels (H, W) that `GRID` divides evenly.

    Returns:
        "limits", their names; "grid", "size" of the face; "histograms" of the tiles, row by row; "counts", for each
        limit the largest count; "tables", for each limit and tile the new gray levels; "slopes", for each limit and
        tile the steepest step of the table; "face" and "enhanced", the pictures, the latter for each limit below the
        one before.
    """
    found = tiles(face)
    every = [tables(found, limit) for limit in LIMITS]
    return {
        "limits": ["off" if limit == 0 else f"{limit:g}" for limit in LIMITS],
        "grid": list(GRID),
        "size": list(face.shape),
        "histograms": found.tolist(),
        "counts": [count(limit, int(found[0].sum())) for limit in LIMITS],
        "tables": [table.int().tolist() for table in every],
        "slopes": [table.diff(dim=1).amax(1).int().tolist() for table in every],
        "face": encoded(face),
        "enhanced": encoded(np.concatenate([enhanced(face, limit) for limit in LIMITS])),
    }


def moving() -> Moving:
    """The figure."""
    face = lit(HARD, size=SIZE)
    picture, size = still(_still(face))
    alt = (
        "A face lit from the side and the same face after CLAHE with limit 4: its dark half shows. The histogram of "
        "the middle tile has a peak that the limit cuts, and the table of gray levels bends above the diagonal."
    )
    return Moving("clahe", "03_preprocessing", "CLAHE, tile by tile", alt, data(face), picture, size)


def _still(face: Levels) -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.3), width_ratios=(0.8, 0.8, 1.2, 1.2), layout="constrained")
    limit, middle, found = 4.0, GRID[1] * (GRID[0] // 2) + GRID[1] // 2, tiles(face)
    for place, shown, title in zip(axes, (face, enhanced(face, limit)), ("input", f"limit {limit:g}"), strict=False):
        place.imshow(shown, cmap="gray", vmin=0, vmax=255)
        place.set_title(title, fontsize=8)
        place.axis("off")
    level = np.arange(256)
    axes[2].fill_between(level, found[middle].numpy(), step="mid", color=COLORS["sky"])
    axes[2].axhline(count(limit, int(found[middle].sum())), color=COLORS["red"])
    axes[2].set(xlabel="gray level", ylabel="pixels of the middle tile")
    axes[3].plot(level, tables(found, limit)[middle].numpy(), marker="", color=COLORS["blue"])
    axes[3].plot(level, level, ":", color="black", marker="", lw=1)
    axes[3].set(xlabel="gray level in", ylabel="gray level out")
    return figure
