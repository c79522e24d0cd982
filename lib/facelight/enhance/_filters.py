"""Separable filters on images (*, C, H, W) with the edge repeated, and what they measure."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facelight.precision import no_autocast


def separable(x: Tensor, weights: list[float], down: list[float] | None = None) -> Tensor:
    """Correlate along the rows with weights and along the columns with `down`, the same unless told.

    Both are odd in number, and the edge is repeated. A long filter is a product with a band matrix, which on images
    of a few hundred pixels is several times faster than one pass for every weight, forward and backward. Measured
    from the first pixel of each image, so that a constant image stays exactly constant.
    """
    down = weights if down is None else down
    first = x[..., :1, :1]
    constant = first * (math.fsum(weights) * math.fsum(down))
    x = x - first
    if max(x.shape[-2:]) > 64 * max(len(weights), len(down)):
        return _correlate(_correlate(x, weights).mT, down).mT + constant
    across, along = (_band(n, w).to(x) for n, w in ((x.shape[-1], weights), (x.shape[-2], down)))
    with no_autocast(x):  # in bfloat16 the small differences would be lost
        return along.mT @ (x @ across) + constant


def _correlate(x: Tensor, weights: list[float]) -> Tensor:
    """One pass over the last axis for every weight."""
    radius, length = len(weights) // 2, x.shape[-1]
    padded = F.pad(x.flatten(0, -3), (radius, radius), mode="replicate")
    out = padded.narrow(-1, 0, length) * weights[0]
    for i, weight in enumerate(weights[1:], 1):
        out = out.add(padded.narrow(-1, i, length), alpha=weight)
    return out.view(x.shape)


def _band(length: int, weights: list[float]) -> Tensor:
    """The matrix (length, length), float64, that correlates a row vector with the weights, the edge repeated."""
    radius = len(weights) // 2
    total = torch.tensor([0.0, *itertools.accumulate(weights)], dtype=torch.float64)
    place = torch.arange(length)
    offset = place[:, None] - place
    # An end pixel stands for everything beyond it, so its weight is the sum of a tail of the weights.
    last = torch.where(place[:, None] == length - 1, radius, offset)
    before = torch.where(place[:, None] == 0, -radius, offset) - 1
    return total[last.clamp(-radius - 1, radius) + radius + 1] - total[before.clamp(-radius - 1, radius) + radius + 1]


def gaussian(sigma: float, radius: int | None = None) -> list[float]:
    """Weights of a Gaussian that sum to 1; radius of the window in pixels, three sigma unless told."""
    sigma = float(sigma)  # a tensor without axes may be of any type
    radius = max(1, int(3 * sigma + 0.5)) if radius is None else radius
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(-radius, radius + 1)]
    total = math.fsum(weights)  # the same on every Python: since 3.12 `sum` rounds otherwise
    return [weight / total for weight in weights]


def blur(x: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Gaussian blur with the edge repeated; radius of the window in pixels, three sigma unless told."""
    return separable(x, gaussian(sigma, radius))


def local_mean(x: Tensor, window: int) -> Tensor:
    """Mean in a square window around each pixel, the edge repeated."""
    return separable(x, [1 / window] * window)


def local_variance(x: Tensor, window: int) -> Tensor:
    """Variance in a square window around each pixel, the edge repeated."""
    x = x - x.mean((-2, -1), keepdim=True)  # less is lost in the difference of the squares
    return (local_mean(x**2, window) - local_mean(x, window) ** 2).clamp(min=0)


def noise_level(x: Tensor) -> Tensor:
    """Immerkaer's estimate of the standard deviation of the noise of each image, (*, C, 1, 1)."""
    response = separable(x, [1.0, -2.0, 1.0]).abs().mean((-2, -1), keepdim=True)
    return response * (math.sqrt(math.pi / 2) / 6)
