"""Recognizers without a deep network, all of one form: a gallery of enhanced pictures with labels, and probes to name.

All are deterministic, and none looks at a probe while it names another. Nothing is enhanced here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelight import _check, metrics
from facelight._extras import extra
from facelight.metrics.recognition import directions
from facelight_lab.recognition.patterns import lbp_histograms, nearest_by_chi_square


def recognize(method: str, gallery: Tensor, labels: Tensor, probes: Tensor) -> Tensor:
    """Name the probes by one of `METHODS` with its default settings.

    Args:
        method: a key of `METHODS`.
        gallery: enhanced pictures of known people (G, C, H, W), float in [0, 1].
        labels: their identities (G,), integer.
        probes: enhanced pictures (N, C, H, W), float in [0, 1].

    Returns:
        Identities (N,), int64.

    Raises:
        TypeError: pictures are not floating point or labels are not integer.
        ValueError: an unknown method, shapes that do not fit, an empty gallery, values outside [0, 1], or a gallery
            that `pca` or `lda` cannot learn from.

    >>> gallery = torch.eye(4).view(4, 1, 2, 2)
    >>> recognize("ridge", gallery, torch.tensor([3, 3, 5, 5]), gallery[[2, 0]])
    tensor([5, 3])
    """
    _check.one_of(method, tuple(METHODS), "method")
    return METHODS[method](gallery, labels, probes)


def nearest(gallery: Tensor, labels: Tensor, probes: Tensor) -> Tensor:
    """The label of the picture with the highest correlation: `metrics.nearest_neighbor` with `center`."""
    _check_faces(gallery, labels, probes)
    return metrics.nearest_neighbor(gallery, labels, probes, center=True).long()


def shifted_nearest(gallery: Tensor, labels: Tensor, probes: Tensor, *, reach: int = 1) -> Tensor:
    """The label of the picture with the highest correlation at any shift of a few pixels.

        label(p) = labels[argmax_g max_d  corr(p, g moved by d)],   d = (dy, dx), |dy| <= reach, |dx| <= reach

    Only the inner part of the probe, without `reach` pixels at each border, is compared, so that every shift compares
    as many pixels and none is invented. Of equal correlations the smaller shift counts, then the first picture.

    Args:
        gallery, labels, probes: see `recognize`.
        reach: largest shift in pixels, in both directions. 0 is `nearest`.

    Returns:
        Identities (N,), int64. Memory is needed for copies of gallery and probes and for N x G similarities.

    Source: Brunelli, Poggio (1993), doi:10.1109/34.254061 (correlation of templates, located by its highest value).
    """
    _check_faces(gallery, labels, probes)
    height, width = gallery.shape[-2:]
    rows, columns = height - 2 * reach, width - 2 * reach
    if reach < 0 or rows < 1 or columns < 1:
        most = (min(height, width) - 1) // 2
        raise ValueError(f"reach: expected 0 to {most} for pictures of {height}x{width}, got {reach}")
    inner = directions(probes[..., reach : reach + rows, reach : reach + columns], center=True)
    best = torch.full((len(probes),), -torch.inf, dtype=inner.dtype)
    found = torch.zeros(len(probes), dtype=torch.long)
    shifts = product(range(2 * reach + 1), repeat=2)
    for y, x in sorted(shifts, key=lambda s: (s[0] - reach) ** 2 + (s[1] - reach) ** 2):
        moved = directions(gallery[..., y : y + rows, x : x + columns], center=True)
        similarity, index = (inner @ moved.T).max(1)
        better = similarity > best
        best, found = torch.where(better, similarity, best), torch.where(better, index, found)
    return labels[found].long()


def pca(gallery: Tensor, labels: Tensor, probes: Tensor, *, variance: float = 0.98, whiten: bool = False) -> Tensor:
    """Eigenfaces: the nearest picture by cosine in the space of the gallery's principal components.

    Pictures are vectors x, as they are; with the mean m of the gallery and the leading eigenvectors of its covariance
    in W, they become W^T (x - m).

    Args:
        gallery, labels, probes: see `recognize`.
        variance: share of the gallery's variance that the components keep, in (0, 1].
        whiten: divide each component by its standard deviation.

    Raises:
        ValueError: also when all pictures of the gallery are equal.

    Source: Turk, Pentland (1991), doi:10.1162/jocn.1991.3.1.71.
    Differs from the paper: it compares by Euclidean distance, in a number of components chosen by hand. The cosine
        leaves out how far a picture is from the mean face, which changes with the light.
    """
    _check_faces(gallery, labels, probes)
    space = _principal(gallery, variance, whiten)
    return _nearest_in(space.transform, gallery, labels, probes)


def lda(gallery: Tensor, labels: Tensor, probes: Tensor, *, variance: float = 0.98) -> Tensor:
    """Fisherfaces: the nearest picture by cosine in the space that separates the people of the gallery.

    Principal components first, at most G - c of G pictures of c people, so that the scatter within people S_w is
    regular; then the at most c - 1 directions along which the scatter between people S_b is not zero:

        S_b v = lambda S_w v,   v^T S_w v = 1

    Args:
        gallery, labels, probes: see `recognize`.
        variance: share of the gallery's variance that the principal components keep, in (0, 1]; 1 keeps all G - c.

    Raises:
        ValueError: also when nobody has two pictures, when all are of one person, or when all are equal.

    Source: Belhumeur, Hespanha, Kriegman (1997), doi:10.1109/34.598228.
    Differs from the paper: it keeps G - c components and compares by Euclidean distance. In the last of these
        components the gallery hardly varies; division by S_w magnifies them, and with them what is chance in a probe.
    """
    with extra("book"):
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    _check_faces(gallery, labels, probes)
    people = len(labels.unique())
    if not 1 < people < len(labels):
        raise ValueError(
            f"lda: expected two people or more and two pictures or more of someone, got {len(labels)} pictures and "
            f"{people} identities: give more pictures, or take a method that needs only one of each, such as 'ridge'"
        )
    principal, most = _principal(gallery, variance), len(labels) - people
    within = principal.transform(_rows(gallery))[:, :most]
    fisher = LinearDiscriminantAnalysis().fit(within, labels.numpy())
    return _nearest_in(lambda x: fisher.transform(principal.transform(x)[:, :most]), gallery, labels, probes)


def ridge(gallery: Tensor, labels: Tensor, probes: Tensor, *, alpha: float = 0.1, offset: bool = True) -> Tensor:
    """Regularized least squares, one person against the rest: the label of the largest value.

    With pictures as vectors x less their own mean and of length 1, X those of the gallery less the mean vector m of the
    gallery, and y = 1 for the pictures of a person and -1 for the others:

        f(x) = (x - m)^T X^T (X X^T + a I)^-1 (y - mean(y)) + mean(y),   a = alpha * trace(X X^T) / G

    with as many unknowns as pictures (scikit-learn solves for the weights of pixels where those are fewer). Up to the
    last step this is linear discriminant analysis with shrinkage: X^T (y - mean(y)) is the person's mean less m, times
    a number, so the weights of all people span (X^T X + a I)^-1 of these differences, the discriminant space of LDA
    with the scatter S_w + a I within people (optimal scoring). S_w need not be regular: one picture of each person is
    enough.

    Args:
        gallery, labels, probes: see `recognize`.
        alpha: strength of the shrinkage beside the mean squared length of the rows of X, > 0.
        offset: False leaves out of f(x) what does not depend on x.

    Source: Hastie, Buja, Tibshirani (1995), doi:10.1214/aos/1176324456.
    Differs from the paper: the largest value counts, not the nearest mean of a person in the discriminant space.
    """
    with extra("book"):
        from sklearn.linear_model import RidgeClassifier
    _check_faces(gallery, labels, probes)
    _check.positive(alpha, "alpha")
    known, asked = _rows(directions(gallery, center=True)), _rows(directions(probes, center=True))
    spread = np.square(known - known.mean(0)).sum(1).mean()
    if not len(probes) or spread < 1e-12:  # nothing to ask, or nothing to tell people apart by
        return labels[:1].long().expand(len(probes)).clone()
    classifier = RidgeClassifier(alpha * spread).fit(known, labels.numpy())
    if not offset:
        classifier.intercept_ = np.zeros_like(classifier.intercept_)
    return torch.from_numpy(classifier.predict(asked)).long()


def lbp(gallery: Tensor, labels: Tensor, probes: Tensor, *, cell: int = 10) -> Tensor:
    """The nearest picture by chi-square distance of histograms of local binary patterns.

        chi2(a, b) = sum_i (a_i - b_i)^2 / (a_i + b_i)

    with the histograms `lbp_histograms` of two pictures; after `enhance.tan_triggs`, "Tan-Triggs + LBP".

    Args:
        gallery, labels, probes: see `recognize`.
        cell: side of a cell in pixels, about; see `lbp_histograms`.

    Source: Ahonen, Hadid, Pietikäinen (2006), doi:10.1109/TPAMI.2006.244.
    Differs from the paper: its cells are 18x21 pixels of pictures of 130x150, in a grid of 7x7; none has a weight here.
    """
    _check_faces(gallery, labels, probes)
    known, asked = lbp_histograms(gallery, cell=cell), lbp_histograms(probes, cell=cell)
    return labels[nearest_by_chi_square(known, asked)].long()


def kernel_ridge(gallery: Tensor, labels: Tensor, probes: Tensor, **settings: Any) -> Tensor:
    """The person with the largest of `kernel_ridge_values`, which takes the same settings."""
    values = kernel_ridge_values(gallery, labels, probes, **settings)
    return labels.unique()[values.argmax(1)].long()


def kernel_ridge_values(
    gallery: Tensor,
    labels: Tensor,
    probes: Tensor,
    *,
    cell: int = 8,
    radii: tuple[int, ...] = (2, 3),
    gamma: float = 1.0,
    alpha: float = 0.01,
) -> Tensor:
    """Regularized least squares in the space of a Gaussian kernel on local binary patterns: a value for each person.

        f(x) = sum_i b_i k(h(x), h(x_i)),   (K + alpha I) b = y,   k(a, b) = exp(-gamma ||a - b||^2)

    h are the square roots of the shares in `lbp_histograms` at each of the radii, together of length 1, so that
    distances are Hellinger's; y is 1 for the pictures of a person and -1 for the others; a mirrored copy of each
    picture of the gallery belongs to it. Patterns do not change with the strength of the light: no enhancer is needed.

    Args:
        gallery, labels, probes: see `recognize`.
        cell: see `lbp_histograms`.
        radii: of the circles, in pixels.
        gamma: > 0; of squared distances, which are at most 2.
        alpha: > 0, strength of the regularization.

    Returns:
        (N, people), float64, the people in the order of their labels. Rounded to nine digits: of values equal but for
        rounding, the first counts.

    Source: Ahonen, Hadid, Pietikäinen (2006), doi:10.1109/TPAMI.2006.244 (the patterns); Saunders, Gammerman, Vovk
        (1998), "Ridge regression learning algorithm in dual variables" (the classifier).
    """
    with extra("book"):
        from sklearn.kernel_ridge import KernelRidge
    _check_faces(gallery, labels, probes)
    for value, name in ((gamma, "gamma"), (alpha, "alpha")):
        _check.positive(value, name)
    people, owner = labels.unique(return_inverse=True)
    if not len(probes):
        return torch.zeros(0, len(people), dtype=torch.float64)

    def roots(x: Tensor) -> np.ndarray:
        found = torch.cat([lbp_histograms(x, cell=cell, radius=radius) for radius in radii], 1).sqrt()
        return torch.nn.functional.normalize(found).double().numpy()

    known = roots(torch.cat([gallery, gallery.flip(-1)]))
    wanted = 2 * np.eye(len(people))[owner.repeat(2).numpy()] - 1
    classifier = KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma).fit(known, wanted)
    return torch.from_numpy(classifier.predict(roots(probes)).round(9))


METHODS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "nearest": nearest,
    "shifted nearest": shifted_nearest,
    "pca": pca,
    "lda": lda,
    "ridge": ridge,
    "ridge without offset": functools.partial(ridge, offset=False),
    "lbp": lbp,
    "kernel ridge": kernel_ridge,
}


def _check_faces(gallery: Tensor, labels: Tensor, probes: Tensor) -> None:
    _check.images(gallery, "gallery")
    _check.images(probes, "probes")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected integer identities, got {labels.dtype}: convert with .long()")
    fits = gallery.ndim == probes.ndim == 4 and probes.shape[1:] == gallery.shape[1:]
    if not fits or not len(gallery) or labels.shape != gallery.shape[:1]:
        shapes = ", ".join(str(tuple(value.shape)) for value in (gallery, labels, probes))
        raise ValueError(f"expected gallery (G, C, H, W), labels (G,) and probes (N, C, H, W), G > 0; got {shapes}")


def _rows(x: Tensor) -> np.ndarray:
    return x.detach().flatten(1).double().numpy()


def _principal(gallery: Tensor, variance: float, whiten: bool = False) -> Any:
    with extra("book"):
        from sklearn.decomposition import PCA
    if not 0 < variance <= 1:
        raise ValueError(f"variance: expected a share in (0, 1], got {variance}")
    if bool((gallery == gallery[0]).all()):
        raise ValueError("gallery: all pictures are equal, so there is no principal component: give different pictures")
    every = min(len(gallery) - 1, gallery[0].numel())
    return PCA(variance if variance < 1 else every, whiten=whiten, svd_solver="full").fit(_rows(gallery))


def _nearest_in(space: Callable[[np.ndarray], np.ndarray], gallery: Tensor, labels: Tensor, probes: Tensor) -> Tensor:
    """The nearest picture by cosine after a map of vectors into another space."""
    known = torch.from_numpy(space(_rows(gallery)))
    asked = torch.from_numpy(space(_rows(probes))) if len(probes) else known[:0]
    return metrics.nearest_neighbor(known, labels, asked, center=False).long()
