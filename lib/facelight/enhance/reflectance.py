"""A pixel relative to its surroundings: ratios of neighbors keep the face and lose most of the light.

Smooth light multiplies neighboring pixels by nearly the same number, which ratios and differences of logarithms
cancel. All results are signed: 0.5 is neutral, and a constant image becomes 0.5 everywhere. Subtract 0.5 before a
cosine similarity. Band-pass filters and gradients live in `edges`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.enhance import _luminance
from facelight.enhance._filters import blur, local_mean, local_variance
from facelight.enhance.modules import EnhancerModule
from facelight.enhance.pointwise import stretched

__all__ = [
    "LocalContrastNormalize", "LogContrast", "MultiScaleRetinex", "Weberface",
    "local_contrast_normalize", "log_contrast", "multi_scale_retinex", "weberface",
]  # fmt: skip


@one_node
def multi_scale_retinex(
    x: Tensor,
    sigmas: Sequence[float] = (2.0, 4.0, 8.0),
    epsilon: float | Tensor = 1 / 255,
    *,
    luminance_only: bool = False,
) -> Tensor:
    """Multi-scale Retinex: the logarithm of a pixel minus the mean logarithm of its Gaussian surrounds.

    R = 1/K sum_k [ln(x + epsilon) - ln(G_k * x + epsilon)], with Gaussians of sigma_k, and the result is
    1 / (1 + exp(-R)). For one scale that is x / (x + G * x) up to epsilon, the response of an eye adapted to its
    surround: bounded, smooth, nothing is clipped, and no statistics of the image enter.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigmas: standard deviations of the surrounds, pixels. The default suits faces about 100 pixels high; let it
            grow in proportion to the height. Small ones recognize faces better, large ones, such as the 15, 80 and
            250 that photographs are usually given, look more natural and keep more of the light.
        epsilon: > 0, in the unit of x, one number, or one per image: shape (B,) for x: (B, C, H, W).
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x; 0.5 where a pixel equals its surround.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; no sigmas; a sigma or epsilon not positive; epsilon not one per image.

    >>> multi_scale_retinex(torch.full((1, 4, 4), 0.2)).unique()
    tensor([0.5000])

    Source: Jobson, Rahman, Woodell (1997), doi:10.1109/83.597272; the last step: Naka, Rushton (1966),
        doi:10.1113/jphysiol.1966.sp008003.
    Differs from the paper: epsilon keeps the logarithm finite; the logistic function replaces a fixed gain and offset
        with clipping; color is not restored.
    """
    x = _check.images(x)
    _check.positive(epsilon, "epsilon")
    if not isinstance(sigmas, Sequence) or len(sigmas) == 0:
        raise ValueError(f"sigmas: expected standard deviations in pixels, got {sigmas!r}: try (2, 4, 8)")
    for sigma in sigmas:
        _check.number(sigma, "sigmas")
        _check.positive(sigma, "sigmas")
    floor = _check.per_image(epsilon, x, "epsilon")

    def retinex(y: Tensor) -> Tensor:
        surrounds = [torch.log(blur(y, sigma).clamp(min=0) + floor) for sigma in sigmas]
        return torch.sigmoid(torch.log(y + floor) - torch.stack(surrounds).mean(0))

    return _luminance.apply(retinex, x, luminance_only)


class MultiScaleRetinex(EnhancerModule):
    """Multi-scale Retinex: `multi_scale_retinex`."""

    function = staticmethod(multi_scale_retinex)


@one_node
def log_contrast(
    x: Tensor, epsilon: float | Tensor = 1 / 255, window: int = 7, *, luminance_only: bool = False
) -> Tensor:
    """The logarithm of an image minus its local mean, the simplest way to be rid of slowly varying light.

    d = L - mean_window(L) with L = ln(1 + x / epsilon), and the result is 0.5 + d / (2 ln(1 + 1 / epsilon)), which
    is 0.5 + (s - mean_window(s)) / 2 with s = `log_stretch(x, epsilon)`. Light that is constant over the window adds
    the same number to L and to its mean where x is much larger than epsilon.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        epsilon: > 0, in the unit of x, one number, or one per image: shape (B,) for x: (B, C, H, W).
        window: side of the square of the mean, pixels, odd.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x; 0.5 where L equals its mean. Faces stay close to it: a factor of 2 in light is 0.06 with the default.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; epsilon not positive or not one per image; window not odd, or below 3.

    >>> log_contrast(torch.tensor([[[0.0, 1.0, 0.0]]]), window=3)
    tensor([[[0.3333, 0.8333, 0.3333]]])

    Source: a difference of logarithms as in Jobson, Rahman, Woodell (1997), doi:10.1109/83.597272.
    Differs from the paper: the mean is taken of the logarithm, over a square, at one scale.
    """
    x = _check.images(x)
    _check.positive(epsilon, "epsilon")
    _check.odd(window, "window")
    scale = _check.per_image(epsilon, x, "epsilon")

    def contrast(y: Tensor) -> Tensor:
        log = stretched(y, scale)
        return (0.5 + (log - local_mean(log, window)) / 2).clamp(0, 1)

    return _luminance.apply(contrast, x, luminance_only)


class LogContrast(EnhancerModule):
    """The logarithm minus its local mean: `log_contrast`."""

    function = staticmethod(log_contrast)


@one_node
def local_contrast_normalize(
    x: Tensor, window: int = 7, epsilon: float | Tensor = 1 / 1000, *, luminance_only: bool = False
) -> Tensor:
    """Local contrast normalization: each pixel in standard deviations from the mean of its surroundings.

    d = (x - mean_window(x)) / sqrt(var_window(x) + epsilon^2), and the result is 1 / (1 + exp(-d)): one standard
    deviation above the mean is 0.73, three are 0.95, and `torch.logit` gives d back.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        window: side of the square of mean and variance, pixels, odd.
        epsilon: > 0, the contrast that is faded out, in the unit of x, one number, or one per image: shape (B,) for
            x: (B, C, H, W). The default is about the standard deviation of rounding to 8 bits, 1 / (255 sqrt(12)); a
            larger one keeps the noise of dark images from becoming texture, and keeps more of the light.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x; 0.5 where a pixel equals its local mean. The slope reaches 1 / (4 epsilon) in flat regions.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; epsilon not positive or not one per image; window not odd, or below 3.

    >>> local_contrast_normalize(torch.full((1, 4, 4), 0.2)).unique()
    tensor([0.5000])

    Source: Jarrett, Kavukcuoglu, Ranzato, LeCun (2009), section 3.1, doi:10.1109/ICCV.2009.5459469.
    Differs from the paper: a square window instead of a Gaussian; epsilon in place of the maximum of the local
        deviation and its mean over the image, so that distant pixels do not matter; the logistic function.
    """
    x = _check.images(x)
    _check.positive(epsilon, "epsilon")
    _check.odd(window, "window")
    fade = _check.per_image(epsilon, x, "epsilon")

    def normalize(y: Tensor) -> Tensor:
        return torch.sigmoid((y - local_mean(y, window)) / (local_variance(y, window) + fade**2).sqrt())

    return _luminance.apply(normalize, x, luminance_only)


class LocalContrastNormalize(EnhancerModule):
    """Local mean and deviation removed: `local_contrast_normalize`."""

    function = staticmethod(local_contrast_normalize)


@one_node
def weberface(
    x: Tensor,
    sigma: float = 1.0,
    alpha: float = 2.0,
    epsilon: float | Tensor = 1 / 255,
    *,
    luminance_only: bool = False,
) -> Tensor:
    """Weberface: the differences between a pixel and its eight neighbors, relative to the pixel.

    With x blurred by a Gaussian, W = arctan(alpha sum_i (x_c - x_i) / (x_c + epsilon)) over the 3x3 neighbors x_i of
    x_c, and the result is 0.5 + W / pi. By Weber's law the ratio, not the difference, is what an eye notices; light
    that is constant over the neighborhood cancels in it.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigma: standard deviation of the blur, pixels.
        alpha: gain before the arctangent.
        epsilon: > 0, in the unit of x, one number, or one per image: shape (B,) for x: (B, C, H, W).
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x; 0.5 where a pixel equals the mean of its neighbors, above it where it is brighter.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; sigma, alpha or epsilon not positive; epsilon not one per image.

    >>> weberface(torch.full((1, 4, 4), 0.2)).unique()
    tensor([0.5000])

    Source: Wang, Li, Yang, Liao (2011), doi:10.1109/LSP.2011.2158998.
    Differs from the paper: epsilon keeps the ratio finite in black.
    """
    x = _check.images(x)
    for value, name in ((sigma, "sigma"), (alpha, "alpha")):
        _check.number(value, name)
        _check.positive(value, name)
    _check.positive(epsilon, "epsilon")
    floor = _check.per_image(epsilon, x, "epsilon")

    def ratio(y: Tensor) -> Tensor:
        center = blur(y, sigma).clamp(min=0)
        differences = 9 * (center - local_mean(center, 3))  # the pixel itself adds nothing
        return 0.5 + torch.atan(alpha * differences / (center + floor)) / math.pi

    return _luminance.apply(ratio, x, luminance_only)


class Weberface(EnhancerModule):
    """Differences relative to the pixel itself: `weberface`."""

    function = staticmethod(weberface)
