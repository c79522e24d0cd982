"""Separable filters on images (*, C, H, W) with the edge repeated, and what they measure.."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def separable(x: Tensor, weights: list[float]) -> Tensor:
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


def blur(x: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur with the edge repeated; radius of the window in pixels, three sigma unless told."""
    radius = radius or max(1, int(3 * sigma + 0.5))
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
    return separable(x, [weight / sum(weights) for weight in weights])


def local_deviation(x: Tensor, window: int) -> Tensor:
    """Standard deviation in a square window around each pixel, the edge repeated."""
    box = [1 / window] * window
    return (separable(x**2, box) - separable(x, box) ** 2).clamp(min=0).sqrt()


def noise_level(x: Tensor) -> Tensor:
    """Immerkaer's estimate of the standard deviation of the noise of each image, (*, C, 1, 1)."""
    response = separable(x, [1.0, -2.0, 1.0]).abs().mean((-2, -1), keepdim=True)
    return response * (math.sqrt(math.pi / 2) / 6)
