"""One table of grey levels for each tile: AHE and CLAHE."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from facelight import _check, _tiles
from facelight.enhance.clip_limits import check_clip_limit, clip_count
from facelight.enhance.histogram import _each, _from_levels, _to_levels


def ahe(x: Tensor, grid_size: tuple[int, int] = (8, 8)) -> Tensor:
    """Adaptive histogram equalisation (AHE): equalise tile by tile, blend bilinearly. `clahe` without a limit.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        grid_size: tiles down and across (rows, cols).

    Returns:
        As x; multiples of 1/255.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1], or smaller than the grid.

    >>> ahe(torch.full((1, 16, 16), 0.5)).unique().tolist()
    [1.0]

    Source: Pizer et al. (1987), doi 10.1016/S0734-189X(87)80186-X.
    """
    return clahe(x, 1.0, grid_size, "matlab")


def clahe(
    x: Tensor, clip_limit: float = 0.01, grid_size: tuple[int, int] = (8, 8), convention: str = "matlab"
) -> Tensor:
    """Contrast-limited adaptive histogram equalisation: cut each tile's histogram at a count before equalising.

    The largest count a of a bin, for tiles of N pixels (`clip_count`):
    "matlab": a = m + round(clip_limit (N - m)), m = ceil(N / 256), clip_limit in [0, 1]; 1 is AHE, 0 changes least.
    What is cut off refills bins up to a. Even tiles, symmetric padding on both sides. As `adapthisteq`.
    "opencv": a = max(floor(clip_limit N / 256), 1), clip_limit >= 0; 0 is AHE. What is cut off is spread over all
    bins, which may then exceed a. Reflected padding right and below. As `cv2.createCLAHE`.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        clip_limit: limit of contrast in the units of the convention.
        grid_size: tiles down and across (rows, cols).
        convention: "matlab" or "opencv".

    Returns:
        As x; multiples of 1/255.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1] or smaller than the grid; clip_limit out of range.

    >>> clahe(torch.full((1, 16, 16), 0.5), 2.0, convention="opencv").shape
    torch.Size([1, 16, 16])

    Source: Zuiderveld (1994), Graphics Gems IV, pages 474-485.
    """
    _check.images(x)
    _check.one_of(convention, ("matlab", "opencv"), "convention")
    check_clip_limit(clip_limit, convention)
    rows, columns = _check_grid(grid_size, x.shape[-2], x.shape[-1])
    if convention == "opencv":
        return _each(x, cv2.createCLAHE(float(clip_limit), (columns, rows)).apply)
    pixels = _tiles.tile_size(x.shape[-2], rows) * _tiles.tile_size(x.shape[-1], columns)
    levels = _to_levels(x).flatten(0, -3)
    out = _tiles.adapthisteq(levels.cpu(), clip_count(clip_limit, pixels, "matlab"), (rows, columns))
    return _from_levels(out, x)


def _check_grid(grid_size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    if np.shape(grid_size) != (2,):
        raise ValueError(f"grid_size: expected (rows, columns), got {grid_size!r}")
    rows, columns = grid_size
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(
            f"grid_size {(rows, columns)} needs an image of at least {rows}x{columns} pixels and one tile; "
            f"got {height}x{width}: use grid_size between (1, 1) and {(height, width)}"
        )
    return rows, columns
