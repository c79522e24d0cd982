"""One table of gray levels for the whole image: HE and BBHE."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.enhance import _levels, _luminance
from facelight.enhance._levels_torch import BINS, wide
from facelight.enhance._places import Place
from facelight.enhance.modules import EnhancerModule

__all__ = ["BBHE", "Equalize", "bbhe", "equalize"]


@one_node
def equalize(x: Tensor, *, exact: bool = True, luminance_only: bool = False) -> Tensor:
    """Histogram equalization (HE): gray level to cumulative share, equation (3). `cv2.equalizeHist` on 8-bit images.

    exact: s(k) = 255 (n(0) + ... + n(k) - n(k0)) / (N - n(k0)), rounded; n(k) pixels have level k, N in all, k0 is the
    lowest level that occurs. Else, as the paper has it, s(k) = 255 (n(0) + ... + n(k)) / N. A pixel between two levels
    counts in both, in proportion; between two levels the table is a straight line.

    Derivative: through the pixel's own value (the slope of the table) and through the histogram; at a whole level the
    mean of both sides; first derivatives only. With `exact` it ignores that the table is rounded, and takes n(k0) for
    a constant.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        exact: OpenCV's rule and its rounding, in single precision; else the paper's, which is continuous.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x. A constant image stays constant: with `exact` and 8 bits it stays what it is, and half-way between two
        levels it becomes 0.5; without `exact` it becomes white, being as light as all of its pixels.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1].

    >>> equalize(torch.tensor([[[26, 51, 77]]]) / 255).mul(255).round().tolist()
    [[[0.0, 128.0, 255.0]]]

    Source: Bendjillali et al. (2020), equations (1)-(3), doi 10.11591/ijeecs.v18.i2.pp1015-1027.
    Differs from the paper: with `exact` the lowest level that occurs is mapped to 0, as OpenCV does.
    Elsewhere: `kornia.enhance.equalize` and torchvision's follow Pillow's rule, levels apart from OpenCV's, and pass no
        gradient; `skimage.exposure.equalize_hist` is the paper's rule, without one.
    """
    x = _check.images(x)
    if luminance_only:
        return _luminance.apply(lambda y: equalize(y, exact=exact), x, luminance_only)
    return _through_one_table(x, _equalizing_opencv, torch.round) if exact else _through_one_table(x, _equalizing, None)


class Equalize(EnhancerModule):
    """Histogram equalization: `equalize`."""

    function = staticmethod(equalize)


@one_node
def bbhe(x: Tensor, *, exact: bool = True, luminance_only: bool = False) -> Tensor:
    """Brightness-preserving bi-histogram equalization: equalize above and below the mean, each in its own range.

    With m = floor(mean) of the gray levels, equations (4)-(6): levels up to m are equalized onto [0, m], those above
    onto [m + 1, 255]. A pixel between two levels counts in both, in proportion.

    Derivative: as for `equalize`; m is a whole number and contributes none.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        exact: round the table to gray levels.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x. A constant 8-bit image stays what it is.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1].

    >>> bbhe(torch.tensor([[[0.0, 0.2, 0.4, 1.0]]])).mul(255).round().tolist()
    [[[34.0, 68.0, 102.0, 255.0]]]

    Source: Kim (1997), doi 10.1109/30.580378; Bendjillali et al. (2020), equations (4)-(6).
    """
    x = _check.images(x)
    if luminance_only:
        return _luminance.apply(lambda y: bbhe(y, exact=exact), x, luminance_only)
    return _through_one_table(x, _bi_histogram, _levels.half_up if exact else None)


class BBHE(EnhancerModule):
    """Brightness-preserving bi-histogram equalization: `bbhe`."""

    function = staticmethod(bbhe)


def _through_one_table(
    x: Tensor, table: Callable[[Tensor, Tensor], Tensor], rounding: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """Each channel of x through the table (N, 256) made from its histogram (N, 256) and its mean level (N, 1)."""
    levels, between = _levels.gray_levels(x, exact=rounding is not None)
    number, height, width = levels.shape
    image = torch.arange(number, dtype=torch.int32, device=x.device)
    place = Place(image.repeat_interleave(height)[:, None], image.new_zeros(width))
    lines = levels.flatten(0, 1)
    counts = _levels.histograms(lines, place, number, between)
    mean = counts.detach().to(wide(counts)) @ torch.arange(BINS, dtype=wide(counts), device=x.device) / (height * width)
    tables = table(counts, mean.floor()[:, None])
    return _levels.pictures(_levels.look_up(lines, tables, place, between=between, rounding=rounding), x)


def _equalizing(counts: Tensor, mean: Tensor) -> Tensor:
    return counts.cumsum(1) * (255 / counts.detach().sum(1, keepdim=True))


def _equalizing_opencv(counts: Tensor, mean: Tensor) -> Tensor:
    lowest = (counts > 0).to(torch.uint8).argmax(1, keepdim=True)
    first = counts.detach().gather(1, lowest)
    rest = counts.detach().sum(1, keepdim=True) - first
    scale = torch.full_like(rest, 255).div(rest.clamp(min=1e-6))  # not 255 / rest, which multiplies by a reciprocal
    table = ((counts.cumsum(1) - first) * scale).clamp(0, 255)
    same = torch.arange(BINS, dtype=counts.dtype, device=counts.device)
    return torch.where(rest <= 0, same, table)


def _bi_histogram(counts: Tensor, mean: Tensor) -> Tensor:
    """Equations (4)-(6); `mean` (N, 1) is the whole number at which the histogram is split."""
    split = mean.long()
    mean = mean.to(counts.dtype)
    total = counts.cumsum(1)
    below = total.gather(1, split)
    above = total[:, -1:] - below
    dark = mean * total / below.clamp(min=1e-6)
    bright = mean + 1 + (254 - mean) * (total - below) / above.clamp(min=1e-6)
    return torch.where(torch.arange(BINS, device=counts.device) <= split, dark, bright)
