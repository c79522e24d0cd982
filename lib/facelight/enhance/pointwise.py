"""Enhancers that look at one pixel at a time: `gamma`, `log_stretch`. No neighbors, no histograms."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.enhance import _luminance
from facelight.enhance.modules import EnhancerModule, Positive
from facelight.illumination import gamma_correct

__all__ = ["Gamma", "LogStretch", "gamma", "log_stretch"]


@one_node
def gamma(x: Tensor, gamma: float | Tensor, *, luminance_only: bool = False) -> Tensor:
    """Raise an image to a power, x^gamma: below 1 it brightens the dark parts, above 1 it darkens them.

    Multiplying the light by c multiplies the result by c^gamma: the curve weakens a change of light, and does not
    remove it.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        gamma: > 0, one number, or one per image: shape (B,) for x: (B, C, H, W). It may be trained.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x. Where x = 0 the gradient is 0 for gamma below 1, as in `facelight.illumination.gamma_correct`.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; gamma not positive or not one per image.

    >>> gamma(torch.tensor([[[0.0, 0.25, 1.0]]]), 0.5)
    tensor([[[0.0000, 0.5000, 1.0000]]])

    Source: Poynton (2012), Digital Video and HD, 2nd ed., ISBN 978-0-12-391926-7.
    Elsewhere: `kornia.enhance.adjust_gamma` is the same curve; its gradient at 0 is NaN for gamma below 1.
    """
    x = _check.images(x)
    return _luminance.apply(lambda y: gamma_correct(y, gamma), x, luminance_only)


class Gamma(EnhancerModule):
    """A power of the image: `gamma`; with `trainable`, the exponent is learned as a `Positive`."""

    function = staticmethod(gamma)
    learned: ClassVar = {"gamma": Positive}


@one_node
def log_stretch(x: Tensor, epsilon: float | Tensor = 1 / 255, *, luminance_only: bool = False) -> Tensor:
    """Compress light logarithmically onto [0, 1]: ln(1 + x / epsilon) / ln(1 + 1 / epsilon).

    Where x is much larger than epsilon, a division of the light becomes a subtraction of the same number from every
    pixel. epsilon = 1 is the curve ln(1 + x) of the paper, rescaled by 1 / ln 2: within 0.09 of a straight line, it
    changes little. The slope at 0 is 1 / (epsilon ln(1 + 1 / epsilon)), 46 for the default of one 8-bit level.
    `facelight.layers.log_compress` is the same curve with a gain of its own in place of 1 / ln(1 + 1 / epsilon).

    Args:
        x: images (*, C, H, W), float in [0, 1].
        epsilon: > 0, in the unit of x, one number, or one per image: shape (B,) for x: (B, C, H, W). It may be trained.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x; 0 stays 0 and 1 stays 1.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; epsilon not positive or not one per image.

    >>> log_stretch(torch.tensor([[[0.0, 15 / 255, 1.0]]]))
    tensor([[[0.0000, 0.5000, 1.0000]]])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), eq. (3), doi:10.31649/1681-7893-2026-51-1-108-116.
    Differs from the paper: epsilon, 1 there, is free, and white stays white.
    Elsewhere: `kornia.enhance.adjust_log` is the curve for epsilon = 1.
    """
    x = _check.images(x)
    _check.positive(epsilon, "epsilon")
    scale = _check.per_image(epsilon, x, "epsilon")
    return _luminance.apply(lambda y: stretched(y, scale), x, luminance_only)


class LogStretch(EnhancerModule):
    """A logarithm from 0 to 1: `log_stretch`; with `trainable`, epsilon is learned as a `Positive`."""

    function = staticmethod(log_stretch)
    learned: ClassVar = {"epsilon": Positive}


def stretched(y: Tensor, epsilon: float | Tensor) -> Tensor:
    """The curve of `log_stretch` without its checks; a tensor epsilon broadcasts against y."""
    epsilon = torch.as_tensor(epsilon, dtype=y.dtype, device=y.device)
    return (torch.log1p(y / epsilon) / torch.log1p(1 / epsilon)).clamp(max=1)  # rounding may pass 1
