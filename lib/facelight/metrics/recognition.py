"""Recognition: how many identities are right, and a recognizer that has nothing to train."""

from __future__ import annotations

import torch
from torch import Tensor

from facelight import _check
from facelight.metrics._wide import at_least_single

_PROBES_AT_ONCE = 256


def recognition_rate(pred: Tensor, target: Tensor) -> float:
    """Share of images whose identity is recognized.

    Args:
        pred: identities (N,), integer, or scores (N, classes), of which the largest counts.
        target: true identities (N,), integer.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: target is not an integer tensor.
        ValueError: shapes that do not fit, no images, or NaN among the scores.

    >>> recognition_rate(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 3]))
    0.75

    Source: Bendjillali et al. (2020), Table 5, doi:10.11591/ijeecs.v18.i2.pp1015-1027.
    """
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(f"target: expected integer identities, got {target.dtype}: convert with .long()")
    if target.ndim != 1 or pred.ndim not in (1, 2) or len(pred) != len(target) or len(target) == 0:
        raise ValueError(f"expected pred (N[, classes]), target (N,), N > 0; got {pred.shape} and {target.shape}")
    if bool(pred.isnan().any()):
        raise ValueError("pred: contains NaN; look for a diverged training or a division by zero")
    return ((pred.argmax(1) if pred.ndim == 2 else pred) == target).double().mean().item()


def nearest_neighbor(gallery: Tensor, labels: Tensor, probes: Tensor, *, center: bool) -> Tensor:
    """The label of the gallery's image that is most like each probe: recognition with nothing to train.

        label(p) = labels[argmax_g  <p', g'> / (||p'|| ||g'||)]

    x' is the image as one long vector x, or with `center` x - mean(x): the cosine, or the correlation of the pixels,
    which ignores a brightness added to all. A vector of length zero (black; with `center` any constant image) has
    similarity 0 to everything; of equal similarities the first in the gallery counts.

    Args:
        gallery: images or features (G, ...), float.
        labels: identities (G,), integer.
        probes: images or features (N, ...) like the gallery's.
        center: take the mean of each image away first.

    Returns:
        Identities (N,), of the type of labels. Memory is needed for a copy of the gallery and of 256 probes.

    Raises:
        TypeError: gallery or probes is not floating point, or labels are not integer.
        ValueError: shapes that do not fit, an empty gallery, or NaN.

    >>> gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> nearest_neighbor(gallery, torch.tensor([7, 8]), torch.tensor([[0.2, 0.1]]), center=False)
    tensor([7])

    Source: Cover, Hart (1967), doi:10.1109/TIT.1967.1053964.
    """
    for value, name in ((gallery, "gallery"), (probes, "probes")):
        _check.floating(value, name)
        if bool(value.isnan().any()):
            raise ValueError(f"{name}: contains NaN; look for a division by zero before this call")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected integer identities, got {labels.dtype}: convert with .long()")
    if not len(gallery) or labels.shape != gallery.shape[:1] or probes.shape[1:] != gallery.shape[1:]:
        shapes = ", ".join(str(tuple(value.shape)) for value in (gallery, labels, probes))
        raise ValueError(f"expected gallery (G, ...), labels (G,) and probes (N, ...), G > 0; got {shapes}")
    known = directions(gallery, center)
    nearest = [(directions(part, center) @ known.T).argmax(1) for part in probes.split(_PROBES_AT_ONCE)]
    return labels[torch.cat(nearest)]


def directions(x: Tensor, center: bool) -> Tensor:
    """Images or features as vectors of length 1.

    Args:
        x: (N, ...), float.
        center: take the mean of each away first.

    Returns:
        (N, D), float32 or float64; zeros where what is left of a vector is no more than rounding.

    Raises:
        ValueError: there is nothing in a vector.
    """
    flat = at_least_single(x.flatten(1))
    if flat.shape[1] == 0:
        raise ValueError("gallery: expected at least one value per image")
    reach = flat.abs().amax(1, keepdim=True)
    flat = flat / reach.clamp(min=torch.finfo(flat.dtype).tiny)  # so that squares neither overflow nor vanish
    flat = flat - flat.mean(1, keepdim=True) if center else flat
    length = flat.norm(dim=1, keepdim=True)
    floor = 4 * torch.finfo(flat.dtype).eps * flat.shape[1] ** 0.5
    return torch.where(length > floor, flat / length, 0.0)
