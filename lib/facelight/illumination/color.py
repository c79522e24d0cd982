"""Between sRGB values, linear light and gray levels: `srgb_to_linear`, `linear_to_srgb`, `to_gray`, `quantize`, ..."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node

_LUMA = (0.299, 0.587, 0.114)


@one_node
def srgb_to_linear(x: Tensor) -> Tensor:
    """Decode sRGB values to linear light: x / 12.92 up to 0.04045, ((x + 0.055) / 1.055)^2.4 above.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].

    Returns:
        Linear light in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, or values outside [0, 1].

    >>> srgb_to_linear(torch.tensor([[[0.5]]]))  # half the gray level is a fifth of the light
    tensor([[[0.2140]]])

    Source: IEC 61966-2-1:1999; computed by `kornia.color.rgb_to_linear_rgb`, which takes three channels and computes in
        the precision that it is given. Here each channel of any number is decoded by itself, in float32 or better.
    """
    x = _check.images(x)
    return decoded(_check.precise(x)).to(x.dtype)


@one_node
def linear_to_srgb(x: Tensor) -> Tensor:
    """Encode linear light as sRGB values: 12.92 x up to 0.0031308, 1.055 x^(1/2.4) - 0.055 above.

    Args:
        x: linear light (*, C, H, W), float in [0, 1].

    Returns:
        sRGB values in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, or values outside [0, 1].

    >>> linear_to_srgb(torch.tensor([[[0.5]]]))
    tensor([[[0.7354]]])

    Source: IEC 61966-2-1:1999; computed by `kornia.color.linear_rgb_to_rgb`, see `srgb_to_linear`.
    """
    x = _check.images(x)
    return encoded(_check.precise(x)).to(x.dtype)


@one_node
def to_gray(x: Tensor) -> Tensor:
    """Luma of color images: 0.299 R + 0.587 G + 0.114 B.

    Args:
        x: sRGB images (*, 3, H, W), float in [0, 1]; (*, 1, H, W) are returned as they are.

    Returns:
        (*, 1, H, W), in [0, 1], same dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x.

    >>> to_gray(torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1))
    tensor([[[0.5925]]])

    Source: ITU-R BT.601-7 (2011). `kornia.color.rgb_to_grayscale` differs in the last digit: it adds otherwise.
        One color of 8-bit images in a thousand lies halfway between two gray levels, where the last digit decides.
    """
    x = _check.images(x, channels=(1, 3))
    return x if x.shape[-3] == 1 else luma(_check.precise(x)).to(x.dtype)


@one_node
def quantize(x: Tensor, levels: int = 256) -> Tensor:
    """Round to equally spaced levels; the gradient passes straight through, as if nothing had been rounded.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        levels: number of levels, 0 and 1 included; 256 is 8-bit storage.

    Returns:
        Multiples of 1 / (levels - 1) in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, values outside [0, 1], or fewer than two levels.

    >>> quantize(torch.tensor([[[0.2, 0.7]]]), levels=3)
    tensor([[[0.0000, 0.5000]]])

    Source: straight-through gradient: Bengio, Léonard, Courville (2013), arXiv:1308.3432.
    """
    x = _check.images(x)
    if levels < 2:
        raise ValueError(f"levels: expected at least 2, got {levels}: 256 is 8-bit storage")
    return rounded(_check.precise(x), levels).to(x.dtype)


@one_node
def gamma_correct(x: Tensor, gamma: float | Tensor) -> Tensor:
    """Raise an image to a power: `x ** gamma`; gamma below 1 brightens, above 1 darkens.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        gamma: > 0, one number, or one per image: shape (B,) for x: (B, C, H, W).

    Returns:
        Images in [0, 1], same shape and dtype. For gamma below 1 the slope at x = 0 is infinite; the gradient
        there is 0 instead, so that one black pixel does not spoil a training step.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, gamma not positive or not one per image.

    >>> gamma_correct(torch.tensor([[[0.0, 0.25, 1.0]]]), 0.5)
    tensor([[[0.0000, 0.5000, 1.0000]]])

    Source: Poynton (2012), Digital Video and HD, 2nd ed., ISBN 978-0-12-391926-7.
    Differs from `kornia.enhance.adjust_gamma`, whose gradient at black is not a number for gamma below 1.
    """
    x = _check.images(x)
    _check.positive(gamma, "gamma")
    gamma = _check.per_image(gamma, x, "gamma")
    y = _check.precise(x)
    if not isinstance(gamma, Tensor) and gamma >= 1:
        return (y**gamma).to(x.dtype)
    steep = (y == 0) & (gamma < 1) if isinstance(gamma, Tensor) else y == 0
    return torch.where(steep, 0.0, torch.where(steep, 1.0, y) ** gamma).to(x.dtype)


def decoded(x: Tensor) -> Tensor:
    """`srgb_to_linear` without its checks, in the precision of x."""
    from kornia.color import rgb_to_linear_rgb

    return _each_channel(rgb_to_linear_rgb, x)


def encoded(x: Tensor) -> Tensor:
    """`linear_to_srgb` without its checks, in the precision of x."""
    from kornia.color import linear_rgb_to_rgb

    return _each_channel(linear_rgb_to_rgb, x).clamp(max=1)  # white may be above by rounding


def _each_channel(convert: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of images with three channels, each for itself, to images with any number of channels."""
    if x.shape[-3] == 3:
        return convert(x)
    return convert(x.unsqueeze(-3).expand(*x.shape[:-2], 3, *x.shape[-2:]))[..., 0, :, :]


def luma(x: Tensor) -> Tensor:
    """`to_gray` of (*, 3, H, W) without its checks, in the precision of x."""
    weights = torch.tensor(_LUMA, dtype=x.dtype, device=x.device).view(3, 1, 1)
    return (x * weights).sum(-3, keepdim=True).clamp(0, 1)  # rounding may leave the range


def rounded(x: Tensor, levels: int) -> Tensor:
    """`quantize` without its checks, in the precision of x."""
    level = (x * (levels - 1)).round() / (levels - 1)
    return level.detach() + (x - x.detach())
