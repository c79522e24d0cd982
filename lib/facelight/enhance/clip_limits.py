"""What a clip limit of CLAHE means in MATLAB, OpenCV and scikit-image, and how to turn one into another."""

from __future__ import annotations

import math

from torch import Tensor

from facelight import _check
from facelight.enhance._levels_torch import BINS

__all__ = ["clip_count", "clip_limit_of", "convert_clip_limit"]

CONVENTIONS = ("matlab", "opencv", "skimage")


def clip_count(clip_limit: float, pixels: int, convention: str) -> int:
    """Largest count a that a clip limit leaves in a bin of a tile of N pixels; a = N means that nothing is clipped.

    "matlab": m + round(clip_limit (N - m)) with m = ceil(N / 256); clip_limit in [0, 1].
    "opencv": max(floor(clip_limit N / 256), 1), and N for clip_limit 0.
    "skimage": max(floor(clip_limit N), 1), and N for clip_limit 0 or at least 1.

    A count is a whole number, so every convention is a staircase: with 528 pixels a step of MATLAB's limit is 1/525.

    Args:
        clip_limit: in the units of the convention.
        pixels: N, pixels of a tile.
        convention: "matlab", "opencv" or "skimage".

    Raises:
        ValueError: an unknown convention, no pixels, or a clip limit out of the convention's range.

    >>> [clip_count(0.01, 784, "matlab"), clip_count(3.92, 784, "opencv"), clip_count(0.0154, 784, "skimage")]
    [12, 12, 12]

    Source: `adapthisteq` (MATLAB R2019a), `cv::CLAHE` (OpenCV 4), `equalize_adapthist` (scikit-image).
    """
    check_clip_limit(clip_limit, convention)
    _check_pixels(pixels)
    if convention == "matlab":
        least = math.ceil(pixels / BINS)
        return least + math.floor(clip_limit * (pixels - least) + 0.5)
    if clip_limit == 0 or (convention == "skimage" and clip_limit >= 1):
        return pixels
    share = clip_limit * pixels / (BINS if convention == "opencv" else 1)
    return min(max(int(share), 1), pixels)


def clip_limit_of(count: int, pixels: int, convention: str) -> float:
    """A clip limit that leaves exactly `count` pixels in a bin of a tile of N: the inverse of `clip_count`.

    (a - m) / (N - m) for MATLAB, 256 a / N for OpenCV, a / N for scikit-image.

    Args:
        count: a, from 1 to N; for MATLAB from ceil(N / 256).
        pixels: N, pixels of a tile.
        convention: "matlab", "opencv" or "skimage".

    Raises:
        ValueError: an unknown convention, or a count that no clip limit gives.

    >>> clip_limit_of(12, 784, "opencv")
    3.9183673469387754
    """
    _check.one_of(convention, CONVENTIONS, "convention")
    _check_pixels(pixels)
    least = math.ceil(pixels / BINS) if convention == "matlab" else 1
    if not least <= count <= pixels:
        raise ValueError(
            f"count: expected {least} to {pixels} for convention {convention!r} and tiles of {pixels} pixels, "
            f"got {count}"
        )
    if convention == "matlab":
        return (count - least) / (pixels - least) if pixels > least else 0.0
    limit = count * (BINS if convention == "opencv" else 1) / pixels
    while clip_count(limit, pixels, convention) < count:  # the quotient was rounded down
        limit = math.nextafter(limit, math.inf)
    return limit


def convert_clip_limit(clip_limit: float, pixels: int, source: str, target: str) -> float:
    """The clip limit of another library that leaves the same count in a bin: opencv ~ 1 + 255 matlab.

    Equal counts do not make equal pictures: the libraries differ in how they hand on what is clipped, and in padding.

    Args:
        clip_limit: in the units of `source`.
        pixels: pixels of a tile. The libraries pad differently: take the tile of the one you convert to.
        source: "matlab", "opencv" or "skimage".
        target: the same.

    Raises:
        ValueError: as for `clip_count`; or MATLAB cannot clip that low.

    >>> round(convert_clip_limit(0.01, 784, "matlab", "opencv"), 2)
    3.92
    """
    return clip_limit_of(clip_count(clip_limit, pixels, source), pixels, target)


def check_clip_limit(clip_limit: float | Tensor, convention: str) -> None:
    """Require a clip limit, or a tensor of them, in the range of the convention (tensor: where `readable`)."""
    _check.one_of(convention, CONVENTIONS, "convention")
    if isinstance(clip_limit, Tensor):
        _check.floating(clip_limit, "clip_limit")
        if not _check.readable(clip_limit):
            return
    else:
        _check.number(clip_limit, "clip_limit")
    values = clip_limit.detach().flatten().tolist() if isinstance(clip_limit, Tensor) else [clip_limit]
    highest = 1.0 if convention == "matlab" else math.inf
    for value in values:
        if not 0 <= value <= highest or value == math.inf:
            wanted = "0 to 1" if convention == "matlab" else "a finite number, at least 0"
            other = (
                ", or pass convention='opencv' (1 + 255 times as large)"
                if 1 < value < math.inf and convention == "matlab"
                else ""
            )
            raise ValueError(f"clip_limit: expected {wanted} for convention {convention!r}, got {value}{other}")


def _check_pixels(pixels: int) -> None:
    if pixels < 1:
        raise ValueError(f"pixels: expected at least 1 pixel in a tile, got {pixels}")
