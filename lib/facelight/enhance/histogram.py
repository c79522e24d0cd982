"""One table of grey levels for the whole image: HE and BBHE."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from facelight import _check, _tiles


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
