"""One table of gray levels for each tile, blended between tiles: AHE and CLAHE."""

from __future__ import annotations

import functools
import numbers
from typing import ClassVar

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.enhance import _clipping, _grid, _levels, _luminance, paths
from facelight.enhance.clip_limits import check_clip_limit
from facelight.enhance.modules import EnhancerModule, Positive

__all__ = ["AHE", "CLAHE", "ahe", "clahe"]

_TILES_AT_ONCE = 2**13  # histograms of 256 bins on a CPU: bounds the memory


@one_node
def ahe(
    x: Tensor,
    grid_size: tuple[int, int] = (8, 8),
    *,
    convention: str = "opencv",
    exact: bool = True,
    luminance_only: bool = False,
) -> Tensor:
    """Adaptive histogram equalization (AHE): equalize tile by tile, blend bilinearly. `clahe` without a limit.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        grid_size, convention, exact, luminance_only: as for `clahe`.

    Returns:
        As x. A constant 8-bit image becomes white.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1], or smaller than the grid; an unknown convention.

    >>> ahe(torch.full((1, 16, 16), 127 / 255)).unique().tolist()
    [1.0]

    Source: Pizer et al. (1987), doi 10.1016/S0734-189X(87)80186-X.
    """
    off = 1.0 if convention == "matlab" else 0.0
    return clahe(x, off, grid_size, convention=convention, exact=exact, luminance_only=luminance_only)


class AHE(EnhancerModule):
    """Adaptive histogram equalization: `ahe`."""

    function = staticmethod(ahe)


@one_node
def clahe(
    x: Tensor,
    clip_limit: float | Tensor = 40.0,
    grid_size: tuple[int, int] = (8, 8),
    *,
    convention: str = "opencv",
    exact: bool = True,
    luminance_only: bool = False,
) -> Tensor:
    """Contrast-limited adaptive histogram equalization, equal to `cv2.createCLAHE` on 8-bit images, with derivatives.

    Each tile of N pixels has a histogram n (a pixel between two levels counts in both, in proportion), which is
    clipped at a (`clip_count`) and refilled with what was cut off, E = sum_k max(n_k - a, 0). Its table is
    T(k) = 255 / N sum_(j <= k) n'_j. A pixel goes through the tables of the four nearest tiles, blended bilinearly;
    between two levels a table is a straight line.

    "opencv": a = max(floor(c N / 256), 1), c = 0 switches the limit off; n' = min(n, a) + E / 256.
    "matlab": a = m + round(c (N - m)), m = ceil(N / 256), c in [0, 1]; n' = min(n + t, a), with t such that
    n' sums to N. As `adapthisteq`.

    Derivative: through the pixel's own value, the slope of the blended tables; through the histograms, clipping and
    refilling included, to all pixels of the nearest tiles; and to `clip_limit`. With `exact=False` the function is
    continuous in x and, above 0, in clip_limit, and piecewise smooth: it has kinks where a pixel is at a whole level
    or a bin just reaches the limit. At a whole level the mean of the slopes on both sides is returned, so that on
    8-bit images the gradient equals central differences. With `exact=True` the forward pass also has the steps of the
    original: the whole number a, an excess handed out pixel by pixel, tables rounded to gray levels. Between steps the
    true derivative misses what they do. The one returned follows the exact tables before they are rounded, and changes
    them as the continuous rule would. There are first derivatives only, in reverse mode, and `torch.func.vmap` does
    not work: batch along the leading axes.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        clip_limit: limit of contrast in the units of the convention; a number, or a tensor of shape (*), one for each
            image, or that broadcasts to (*, C), one for each channel; where both fit, as (C,) does for C images, it is
            one for each image. A tensor may require a gradient.
        grid_size: tiles down and across (rows, cols); OpenCV's `tileGridSize` is (cols, rows).
        convention: "opencv" or "matlab": the unit of the limit, what happens to the excess, and how tiles are laid out.
        exact: whole numbers as in the original, in single precision. "matlab" then rounds x for its histograms, and
            hands out left-over pixels on the CPU, wherever x is.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x, not rounded: rounded to 8 bits it is, for an 8-bit image, what `cv2.createCLAHE` returns. In float16 and
        bfloat16 x does not hold 8-bit levels exactly, and the result only comes near. A constant image stays constant
        up to rounding: level k becomes 255 (a + (k + 1) (N - a) / 256) / N by OpenCV's continuous rule.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1] or smaller than the grid; clip_limit out of range or of
            another shape; an unknown convention.
        NotImplementedError: a second derivative is asked for.

    >>> x = torch.rand(2, 1, 32, 32, requires_grad=True)
    >>> clahe(x, 2.0).square().sum().backward()
    >>> x.grad.shape
    torch.Size([2, 1, 32, 32])

    Source: Zuiderveld (1994), Graphics Gems IV, pages 474-485; `cv::CLAHE` (OpenCV 4).
    Elsewhere: `kornia.enhance.equalize_clahe` blends its tiles half a pixel away from OpenCV's and pads one axis alone,
        so that it is levels apart from OpenCV; the gradient of its differentiable path is that of a flight of steps,
        nearly zero at 8-bit levels (chapter 04). `cv2.createCLAHE` takes 8-bit images and has no gradient.
        `skimage.exposure.equalize_adapthist` takes the size of a tile, not how many there are, and a limit in shares of
        a tile's pixels.
    """
    x = _check.images(x)
    _check.one_of(convention, ("opencv", "matlab"), "convention")
    check_clip_limit(clip_limit, convention)
    rows, columns = _check_grid(grid_size, x.shape[-2], x.shape[-1])
    if luminance_only:
        each = functools.partial(clahe, grid_size=grid_size, convention=convention, exact=exact)
        return _luminance.apply(lambda y: each(y, clip_limit), x, luminance_only)
    levels, between = _levels.gray_levels(x, exact)
    limits = _for_each_channel(clip_limit, x)
    step = max(1, _TILES_AT_ONCE // (rows * columns))
    parts = [(levels, limits)]
    if _check.readable(x) and len(levels) > step:
        parts = list(zip(levels.split(step), limits.split(step), strict=True))
    out = [_clahe(part, limit, (rows, columns), convention, exact, between) for part, limit in parts]
    return _levels.pictures(torch.cat(out) if len(out) > 1 else out[0], x)


class CLAHE(EnhancerModule):
    """Contrast-limited adaptive histogram equalization: `clahe`; with `trainable`, clip_limit is learned.

    As a `Positive` in OpenCV's convention, as a `Fraction` in MATLAB's, whose limits lie in [0, 1]. Learn with
    `exact=False`: in the exact mode the gradient is that of the continuous rule, not of what the module returns.

    >>> layer = CLAHE(2.0, (4, 4), trainable=True)
    >>> layer(torch.rand(1, 1, 32, 32)).mean().backward()
    >>> layer.clip_limit, layer.clip_limit()
    (Positive(2), tensor(2., grad_fn=<MulBackward0>))
    """

    function = staticmethod(clahe)
    learned: ClassVar = {"clip_limit": Positive}


def _clahe(
    levels: Tensor, clip_limit: Tensor, grid_size: tuple[int, int], convention: str, exact: bool, between: bool
) -> Tensor:
    """CLAHE of gray levels (N, H, W) in [0, 255] with limits (N,), as lines (N * H, W)."""
    number, height, width = levels.shape
    axes = _grid.tile_axes(height, width, grid_size, convention)
    tiles, pixels = grid_size[0] * grid_size[1], axes[0].size * axes[1].size
    opencv = convention == "opencv"

    covered = _grid.extended(levels, axes).flatten(0, 1)
    places = _grid.kept_places if paths.compiled(levels) else _grid.places
    tile, place, blend = places(number, axes, levels.device, levels.dtype)
    counts = _levels.histograms(covered, tile, number * tiles, between, rounded=exact and not opencv)

    limit = _clipping.largest_count(clip_limit, pixels, convention).repeat_interleave(tiles)[:, None]
    tables = _clipping.tables(counts, limit.to(levels.device), pixels, convention, exact)

    rounding = (torch.round if opencv else _levels.half_up) if exact else None
    return _levels.look_up(levels.flatten(0, 1), tables, place, blend, between, rounding)


def _for_each_channel(clip_limit: float | Tensor, x: Tensor) -> Tensor:
    """The limit of each channel of each image, (N,), in double precision."""
    shape = x.shape[:-2]
    limit = torch.as_tensor(clip_limit, dtype=torch.float64)
    if limit.ndim and limit.shape == shape[:-1]:
        limit = limit[..., None]
    try:
        return limit.expand(shape).flatten()
    except RuntimeError:
        raise ValueError(
            f"clip_limit: expected a number, or a tensor of shape {tuple(shape[:-1])} (one for each image) or "
            f"{tuple(shape)} (one for each channel), got shape {tuple(limit.shape)}"
        ) from None


def _check_grid(grid_size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    if not isinstance(grid_size, tuple | list) or len(grid_size) != 2 or not all(map(_is_whole, grid_size)):
        raise ValueError(f"grid_size: expected two whole numbers (rows, columns), got {grid_size!r}")
    rows, columns = grid_size
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(
            f"grid_size {(rows, columns)} needs an image of at least {rows}x{columns} pixels and one tile; "
            f"got {height}x{width}: use grid_size between (1, 1) and {(height, width)}"
        )
    return rows, columns


def _is_whole(n: object) -> bool:
    return isinstance(n, numbers.Integral) and not isinstance(n, bool)
