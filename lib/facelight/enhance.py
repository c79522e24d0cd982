"""Enhancement of grey levels before a network sees them: HE, AHE, CLAHE, M-CLAHE, BBHE, GBIE. No learning here.

All functions take and return float images (*, C, H, W) in [0, 1] and treat every channel of every image by itself. The
histogram methods round the input to 256 grey levels and return multiples of 1/255, so they pass no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facelight import _check, _tiles
from facelight.clip_limits import check_clip_limit, clip_count, clip_limit_of, convert_clip_limit

# fmt: off
__all__ = [
    "ahe", "bbhe", "clahe", "clip_count", "clip_limit_of", "convert_clip_limit", "equalize", "gbie", "modified_clahe",
]
# fmt: on


def equalize(x: Tensor) -> Tensor:
    """Histogram equalisation (HE): grey level to cumulative share, equation (3), through `cv2.equalizeHist`.

    s(k) = 255 (n(0) + ... + n(k) - n(lowest)) / (N - n(lowest)), rounded; n(k) pixels have level k, N in all.

    Args:
        x: images (*, C, H, W), float in [0, 1].

    Returns:
        As x; multiples of 1/255.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1].

    >>> equalize(torch.tensor([[[0.1, 0.2, 0.3]]])).mul(255).round().tolist()
    [[[0.0, 128.0, 255.0]]]

    Source: Bendjillali et al. (2020), equations (1)-(3), doi 10.11591/ijeecs.v18.i2.pp1015-1027.
    Differs from the paper: the lowest level that occurs is mapped to 0, as OpenCV does.
    """
    _check.images(x)
    return _each(x, cv2.equalizeHist)


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


def modified_clahe(
    x: Tensor,
    clip_limit: float = 0.01,
    grid_size: tuple[int, int] = (8, 8),
    convention: str = "matlab",
    *,
    stages: int = 2,
    sigma: float = 0.5,
    noise_sigma: float = 1.5,
    flat: float = 3.0,
    gain: float = 2.0,
    window: int = 7,
) -> Tensor:
    """M-CLAHE: CLAHE, a slight blur, and a stronger blur where CLAHE amplified what was flat.

    E = CLAHE(I); P = G_sigma E (stage 1). With s_I, s_E the standard deviations of I and E in a square window,
    g = s_E / (s_I + 1/255) is the amplification, and a pixel is noisy where s_I < flat * s_n and g > gain; s_n is
    Immerkaer's estimate of the noise in I, at least 1/255. M = G_1 (noisy) in [0, 1].
    Stage 2: O = (1 - M) P + M G_noise_sigma P. Stage 3: again, with 2 noise_sigma where g > 2 gain.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        clip_limit, grid_size, convention: as for `clahe`.
        stages: 0 is CLAHE, 1 the slight blur alone, 2 and 3 the blur of noisy regions.
        sigma: standard deviation of the slight blur, pixels, in a window of 3x3.
        noise_sigma: standard deviation of the blur of noisy regions, pixels.
        flat: a region is flat below this many standard deviations of the noise.
        gain: a flat region is noisy above this amplification.
        window: side of the square in which the standard deviations are taken, pixels, odd.

    Returns:
        As x, not rounded to grey levels.

    Raises:
        TypeError, ValueError: as for `clahe`; a sigma, flat, gain or window that is not positive; stages not 0 to 3.

    >>> modified_clahe(torch.full((1, 16, 16), 0.5), stages=3).unique().numel()
    1

    Source: Bendjillali et al. (2020), section 3.2.2, doi 10.11591/ijeecs.v18.i2.pp1015-1027; the noise estimate:
        Immerkaer (1996), doi 10.1006/cviu.1996.0060.
    Differs from the paper: the paper gives no equation, no window and no threshold, and the sources it names are lost.
        Everything after "a slight smoothing, then low-pass filtering only in noisy regions" is our interpretation.
    """
    if stages not in (0, 1, 2, 3):
        raise ValueError(f"stages: expected 0 (CLAHE alone), 1, 2 or 3, got {stages}")
    for value, name in ((sigma, "sigma"), (noise_sigma, "noise_sigma"), (flat, "flat"), (gain, "gain")):
        _check.positive(value, name)
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window: expected an odd number of at least 3 pixels, got {window}")
    enhanced = clahe(x, clip_limit, grid_size, convention)
    if stages == 0:
        return enhanced
    out = _blur(enhanced, sigma, radius=1)
    if stages >= 2:
        spread = _local_deviation(x, window)
        amplification = _local_deviation(enhanced, window) / (spread + 1 / 255)
        is_flat = spread < flat * _noise_level(x).clamp(min=1 / 255)
        for stage in range(1, stages):
            noisy = (is_flat & (amplification > stage * gain)).to(x.dtype)
            out = torch.lerp(out, _blur(out, stage * noise_sigma), _blur(noisy, 1.0))
    return out.clamp(0, 1)


def bbhe(x: Tensor) -> Tensor:
    """Brightness-preserving bi-histogram equalisation: equalise above and below the mean, each in its own range.

    With m = floor(mean) of the grey levels, equations (4)-(6): levels up to m are equalised onto [0, m], those above
    onto [m + 1, 255]. A constant image stays as it is.

    Args:
        x: images (*, C, H, W), float in [0, 1].

    Returns:
        As x; multiples of 1/255.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1].

    >>> bbhe(torch.tensor([[[0.0, 0.2, 0.4, 1.0]]])).mul(255).round().tolist()
    [[[34.0, 68.0, 102.0, 255.0]]]

    Source: Kim (1997), doi 10.1109/30.580378; Bendjillali et al. (2020), equations (4)-(6).
    """
    _check.images(x)
    levels = _to_levels(x).flatten(0, -3).flatten(1).cpu()
    counts = _tiles.histogram(levels)
    bins = torch.arange(256)
    mean = (counts * bins).sum(1, keepdim=True) // counts.sum(1, keepdim=True)
    total = counts.cumsum(1)
    below = total.gather(1, mean)
    dark = mean * total / below
    bright = mean + 1 + (254 - mean) * (total - below) / (levels.shape[1] - below).clamp(min=1)
    table = torch.where(bins <= mean, dark, bright).add(0.5).floor().to(torch.uint8)
    return _from_levels(table.gather(1, levels.long()), x)


def gbie(x: Tensor, sigma: float = 1.0, scale: float = 32.0, *, levels: float = 255.0, stretch: bool = True) -> Tensor:
    """Gaussian-based image enhancement: blur in a 5x5 window, take the logarithm, stretch to the full range.

    G = Gaussian * I (9), L = scale log2(1 + G) (10), O = 255 (L - L_min) / (L_max - L_min) (11), I in [0, levels].
    After (11) the scale no longer matters; without it, L / 255 is cut at 1. A constant image stays as it is.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigma: standard deviation of the Gaussian, pixels; the paper states none.
        scale: factor of the logarithm, 32 in the paper, so that 255 becomes 256.
        levels: the value of white inside the logarithm, 255 in the paper; 1 is nearly linear.
        stretch: apply (11).

    Returns:
        As x, not rounded to grey levels.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1]; sigma, scale or levels is not positive.

    >>> gbie(torch.rand(1, 8, 8)).aminmax().max.item()
    1.0

    Source: Bendjillali et al. (2020), equations (7)-(11), doi 10.11591/ijeecs.v18.i2.pp1015-1027.
    """
    _check.images(x)
    for value, name in ((sigma, "sigma"), (scale, "scale"), (levels, "levels")):
        _check.positive(value, name)
    log = scale * torch.log2(1 + levels * _blur(x, sigma, radius=2))
    if not stretch:
        return (log / 255).clamp(0, 1)
    low, high = log.amin((-2, -1), keepdim=True), log.amax((-2, -1), keepdim=True)
    constant = x.amin((-2, -1), keepdim=True) == x.amax((-2, -1), keepdim=True)
    return torch.where(constant, x, ((log - low) / (high - low).clamp(min=1e-12)).clamp(0, 1))


def _to_levels(x: Tensor) -> Tensor:
    """Grey levels, uint8, rounded."""
    return (x.detach().double() * 255 + 0.5).to(torch.uint8)


def _from_levels(levels: Tensor, x: Tensor) -> Tensor:
    """Grey levels in the shape, type and place of x, divided by 255."""
    return (levels.double() / 255).to(x.dtype).reshape(x.shape).to(x.device)


def _each(x: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """An OpenCV function on every channel of every image."""
    levels = _to_levels(x).flatten(0, -3).cpu().numpy()
    return _from_levels(torch.from_numpy(np.stack([function(level) for level in levels])), x)


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


def _separable(x: Tensor, weights: list[float]) -> Tensor:
    """Correlation with the outer product of the weights, an odd number of them, with the edge repeated."""
    radius = len(weights) // 2
    out = x.flatten(0, -3)[:, None]
    for axis, padding in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        length = out.shape[axis]
        padded = F.pad(out, padding, mode="replicate")
        out = padded.narrow(axis, 0, length) * weights[0]
        for i, weight in enumerate(weights[1:], 1):
            out = out.add(padded.narrow(axis, i, length), alpha=weight)
    return out.view(x.shape)


def _blur(x: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur with the edge repeated; radius of the window in pixels, three sigma unless told."""
    radius = radius or max(1, int(3 * sigma + 0.5))
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
    return _separable(x, [weight / sum(weights) for weight in weights])


def _local_deviation(x: Tensor, window: int) -> Tensor:
    """Standard deviation in a square window around each pixel, the edge repeated."""
    box = [1 / window] * window
    return (_separable(x**2, box) - _separable(x, box) ** 2).clamp(min=0).sqrt()


def _noise_level(x: Tensor) -> Tensor:
    """Immerkaer's estimate of the standard deviation of the noise of each image, (*, C, 1, 1)."""
    response = _separable(x, [1.0, -2.0, 1.0]).abs().mean((-2, -1), keepdim=True)
    return response * (math.sqrt(math.pi / 2) / 6)
