"""Histograms of local binary patterns, and the distance between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facelight import _check
from facelight._extras import extra

_POINTS, _PATTERNS = 8, 59


def lbp_histograms(x: Tensor, *, cell: int = 10, radius: int = 2) -> Tensor:
    """Histograms of uniform local binary patterns in a grid of cells, side by side.

    A pattern says which of 8 points on a circle are at least as bright as the pixel in the middle; the 58
    patterns with at most two changes around the circle have a bin each, all others share one. Pictures are rounded to
    gray levels first: in a flat region of a float picture the last bit would decide. The border is repeated outwards.

    Args:
        x: pictures (N, C, H, W), float in [0, 1].
        cell: side of a cell in pixels, >= 1; there are round(H / cell) x round(W / cell) cells, at least one, of sizes
            that differ by at most a pixel.
        radius: of the circle, in pixels, >= 1.

    Returns:
        Share of the pixels of a cell that have each pattern, (N, C * cells * 59), float32; in a row, they sum to
        C * cells.

    Source: Ojala, Pietikäinen, Mäenpää (2002), doi:10.1109/TPAMI.2002.1017623; Ahonen et al. (2006).
    """
    with extra("book"):
        from skimage.feature import local_binary_pattern

    x = _check.images(x)
    if x.ndim != 4 or cell < 1 or radius < 1:
        raise ValueError(
            f"expected x (N, C, H, W), cell >= 1 and radius >= 1 pixel; got {tuple(x.shape)}, {cell} and {radius}"
        )
    count, channels, height, width = x.shape
    rows, columns = (max(1, round(side / cell)) for side in (height, width))
    cells = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    size = np.bincount(cells.ravel())[:, None]
    inner = slice(radius, -radius)
    gray = (x.detach() * 255).round().byte().flatten(0, 1).numpy()
    found = np.empty((len(gray), size.size, _PATTERNS), np.float32)
    for i, picture in enumerate(np.pad(gray, ((0, 0), (radius, radius), (radius, radius)), mode="edge")):
        pattern = local_binary_pattern(picture, _POINTS, radius, "nri_uniform")[inner, inner].astype(np.int64)
        bins = (cells * _PATTERNS + pattern).ravel()
        found[i] = np.bincount(bins, minlength=size.size * _PATTERNS).reshape(-1, _PATTERNS) / size
    return torch.from_numpy(found).reshape(count, channels * size.size * _PATTERNS)


def nearest_by_chi_square(gallery: Tensor, probes: Tensor) -> Tensor:
    """Index of the histogram in gallery (G, B) with the smallest chi-square distance to each of the probes (N, B).

    All histograms must have the same sum s. Then chi2(a, b) = 2 s - 4 sum_i a_i b_i / (a_i + b_i), and only the bins
    that are not empty in the probe count. Of equal distances the first counts. Memory is needed for some copies of the
    gallery.
    """
    columns = gallery.T.contiguous()
    found = torch.zeros(len(probes), dtype=torch.long)
    for i, probe in enumerate(probes):
        filled = probe.nonzero()[:, 0]
        a, b = columns[filled], probe[filled, None]
        found[i] = (a * b).div_(a + b).sum(0).argmax()
    return found
