"""What an enhancer did to an image: against its input, and by itself. A value per image; channels are averaged.

Images in half precision are raised to float32 first, and so are the values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facelight import _check
from facelight.enhance._filters import local_variance, noise_level
from facelight.metrics._wide import at_least_single


def psnr(x: Tensor, y: Tensor, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibels: PSNR = 10 log10(peak^2 / MSE), eq. (13)-(14).

    Against an enhancer's input it rewards doing nothing: the unchanged image scores infinity.

    Args:
        x: images (*, C, H, W), float in [0, peak].
        y: images of the same shape.
        peak: largest possible value: 1 for [0, 1], which gives the same decibels as the paper's 255 for gray levels.

    Returns:
        Shape (*), one value per image; infinity for identical images.

    Raises:
        TypeError: x or y is not floating point (8-bit differences would wrap around).
        ValueError: shapes differ, or values outside [0, peak].

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1))
    tensor([20.])

    Source: Bendjillali et al. (2020), eq. (13)-(14), doi:10.11591/ijeecs.v18.i2.pp1015-1027.
    """
    _check.positive(peak, "peak")
    _check_images(x, y, peak)
    x, y = at_least_single(x), at_least_single(y)
    mse = (x - y).square().mean((-3, -2, -1))
    return 10 * torch.log10(peak**2 / mse)


def ambe(x: Tensor, y: Tensor, peak: float = 255.0) -> Tensor:
    """Absolute mean brightness error of each image in gray levels: AMBE = |mean(x) - mean(y)|, eq. (15).

    Args:
        x: images (*, C, H, W), float in [0, 1].
        y: images of the same shape.
        peak: gray levels per unit: 255 expresses the error on the paper's scale.

    Returns:
        Shape (*), one value per image, in [0, peak].

    Raises:
        TypeError: x or y is not a floating-point tensor.
        ValueError: shapes differ, values outside [0, 1], or peak is not positive.

    >>> ambe(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))
    tensor([51.])

    Source: Bendjillali et al. (2020), eq. (15), doi:10.11591/ijeecs.v18.i2.pp1015-1027.
    """
    _check.positive(peak, "peak")
    _check_images(x, y, 1.0)
    x, y = at_least_single(x), at_least_single(y)
    return peak * (x.mean((-3, -2, -1)) - y.mean((-3, -2, -1))).abs()


def psnr_bound(ambe: float | Tensor, peak: float = 255.0) -> Tensor:
    """Largest PSNR in decibels that a mean brightness error permits: PSNR <= 20 log10(peak / AMBE).

    Proof: by Jensen's inequality MSE = mean((x - y)^2) >= mean(x - y)^2 = AMBE^2. Equality holds when all pixels
    shift by the same amount. The bound is per image; means over images may exceed it.

    Args:
        ambe: error in gray levels, >= 0, any shape.
        peak: the largest gray level, > 0, in the unit of ambe.

    Returns:
        Shape of ambe, in decibels; infinity where ambe is 0.

    Raises:
        ValueError: ambe is negative or NaN, or peak is not positive.

    >>> psnr_bound(4.19)  # the paper's CLAHE on Extended Yale B
    tensor(35.6865)
    """
    _check.positive(peak, "peak")
    error = at_least_single(torch.as_tensor(ambe) * 1.0)
    _check.non_negative(error, "ambe")
    return 20 * torch.log10(peak / error)


def rms_contrast(x: Tensor, peak: float = 255.0) -> Tensor:
    """Contrast of each image in gray levels: the standard deviation C = peak sqrt(mean((x - mean(x))^2)).

    It knows nothing of place: a few large shadows and much fine detail may have the same contrast.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        peak: gray levels per unit.

    Returns:
        Shape (*), one value per image, in [0, peak / 2], the mean over the channels.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: values outside [0, 1], or peak is not positive.

    >>> rms_contrast(torch.tensor([[[0.2, 0.4]]]))
    tensor(25.5000)

    Source: Peli (1990), doi:10.1364/JOSAA.7.002032.
    """
    _check.positive(peak, "peak")
    _check.images(x)
    return peak * at_least_single(x).std((-2, -1), correction=0).mean(-1)


def entropy(x: Tensor) -> Tensor:
    """Entropy of the gray levels of each image: H = -sum_k p_k log2 p_k, p_k the share of level k of 256.

    Values are rounded to levels 0 to 255 first, so there is no gradient. A table of gray levels can merge levels but
    not split them: no table applied to the whole image raises H; only an enhancer that looks at neighbors can.

    Args:
        x: images (*, C, H, W), float in [0, 1].

    Returns:
        Shape (*), bits per pixel, in [0, 8], the mean over the channels.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: values outside [0, 1].

    >>> entropy(torch.tensor([[[0.0, 0.0, 0.5, 1.0]]]))
    tensor(1.5000)

    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x.
    """
    _check.images(x)
    wide = at_least_single(x)
    levels = (255 * wide).round().clamp(0, 255).long().flatten(-2).flatten(0, -2)
    rows = 256 * torch.arange(len(levels), device=x.device)[:, None]
    share = torch.bincount((levels + rows).flatten(), minlength=256 * len(levels)).view(*x.shape[:-2], 256)
    p = share.to(wide.dtype) / levels.shape[-1]
    return -torch.xlogy(p, p).sum(-1).mean(-1) / math.log(2)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of each image: likeness of local mean, contrast and pattern, 1 for identical images.

        SSIM = mean over windows of (2 m_x m_y + c_1)(2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2))

    m, s^2 and s_xy are weighted by a Gaussian of sigma 1.5 pixels in 11x11 windows that lie inside the image;
    c_1 = 0.01^2, c_2 = 0.03^2. Against an enhancer's input it rewards doing nothing, as `psnr` does.

    Args:
        x: images (*, C, H, W), float in [0, 1], at least 11x11.
        y: images of the same shape.

    Returns:
        Shape (*), one value per image, in [-1, 1], the mean over the channels.

    Raises:
        TypeError: x or y is not a floating-point tensor.
        ValueError: shapes differ, values outside [0, 1], or images smaller than the window.

    >>> ssim(torch.zeros(1, 16, 16), torch.ones(1, 16, 16))
    tensor(9.9990e-05)

    Source: Wang, Bovik, Sheikh, Simoncelli (2004), eq. (13), doi:10.1109/TIP.2003.819861; computed by Kornia.
    """
    _check_images(x, y, 1.0)
    x, y = at_least_single(x), at_least_single(y)
    if min(x.shape[-2:]) < 11:
        raise ValueError(f"x: expected at least 11x11 pixels, the window, got {tuple(x.shape)}: enlarge the images")
    from kornia import metrics as kornia

    # Without Kornia's additions: its constant in the denominator, which black images would feel, and windows that
    # reach over the border. All images as channels of one: the same values, several times faster on a CPU.
    one, other = (value.reshape(1, -1, *value.shape[-2:]) for value in (x, y))
    similarity = kornia.ssim(one, other, 11, eps=0.0, padding="valid").mean((-2, -1))
    return similarity.view(x.shape[:-2]).mean(-1)


def noise_amplification(x: Tensor, y: Tensor, *, window: int = 7, flat: float = 3.0) -> Tensor:
    """How many times stronger the noise is in y than in x, where x is flat: a ratio of local standard deviations.

        A = sqrt( sum_F (s_y^2 + q^2) / sum_F (s_x^2 + q^2) ),  F = {pixels with s_x <= flat max(s_n, q)}

    s_x and s_y are the standard deviations in a square window around a pixel, s_n is Immerkaer's estimate of the noise
    of x, one number a channel, and q = 1 / (255 sqrt 12) is the deviation that rounding to 8 bits causes, below which
    an 8-bit image says nothing about its noise. It keeps A defined where x is constant, as the black parts of badly
    lit faces are. F is judged in x alone: all enhancers of an image are compared over the same pixels. Whatever varies
    inside a window of F is taken for noise; faint structure, which an enhancer may mean to show, counts as noise too.

    Args:
        x: images before enhancement (*, C, H, W), float in [0, 1], rounded to 8 bits.
        y: the same images enhanced.
        window: side of the square, pixels, odd.
        flat: a window is flat up to this many standard deviations of the noise.

    Returns:
        Shape (*), one value per image, 1 for y = x; NaN where no window is flat. The sums run over the channels too.

    Raises:
        TypeError: x or y is not a floating-point tensor.
        ValueError: shapes differ, values outside [0, 1], or window or flat is not positive.

    >>> noise_amplification(torch.full((1, 9, 9), 0.5), torch.full((1, 9, 9), 0.7))
    tensor(1.)

    Source: ours; the noise estimate: Immerkaer (1996), doi:10.1006/cviu.1996.0060.
    """
    _check_images(x, y, 1.0)
    _check.positive(flat, "flat")
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window: expected an odd number of at least 3 pixels, got {window}")
    x, y = at_least_single(x), at_least_single(y)
    floor = 1 / (12 * 255**2)
    before, after = (local_variance(value, window) for value in (x, y))
    is_flat = before <= flat**2 * noise_level(x).square().clamp(min=floor)
    power = [torch.where(is_flat, variance + floor, 0.0).sum((-3, -2, -1)) for variance in (after, before)]
    return (power[0] / power[1]).sqrt()


def _check_images(x: Tensor, y: Tensor, peak: float) -> None:
    for value, name in ((x, "x"), (y, "y")):
        _check.floating(value, name)
        _check.images(value / peak, name if peak == 1 else f"{name} / {peak:g}")
    if x.shape != y.shape:
        raise ValueError(f"x and y: expected one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
