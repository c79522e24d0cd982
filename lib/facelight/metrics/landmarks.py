"""How far predicted landmarks are from the true ones: normalized error, its distribution, failures.

Half precision is raised to float32 first: with its digits a share of 2,500 faces would be wrong by several of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facelight import _check
from facelight.metrics._wide import at_least_single

# Index pairs of the layouts of 98 points (WFLW), 68 (300-W) and 5 (eyes, nose, mouth), image-left first; a pupil may be
# a mean of points.
_OUTER_CORNERS = {98: ([60], [72]), 68: ([36], [45])}
_PUPILS = {98: ([96], [97]), 68: ([36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47]), 5: ([0], [1])}


def nme(
    pred: Tensor,
    target: Tensor,
    *,
    normalizer: str,
    image_size: float | Tensor | None = None,
    boxes: Tensor | None = None,
) -> Tensor:
    """Normalized mean error: the mean distance of the landmarks from their true place, over a reference length d.

        NME_b = 1 / (K d_b) sum_k ||pred_bk - target_bk||

    The lengths differ by a factor of about two and results with different normalizers do not compare:

    - "image-size": the side of the crop, the paper's choice; it depends on how tight the crop is.
    - "inter-ocular": the outer eye corners of the target, 60 and 72 of 98 points, 36 and 45 of 68.
    - "inter-pupil": the pupils of the target, 96 and 97 of 98 points; of 68, the means of 36-41 and 42-47; of 5, the
      eyes, 0 and 1.
    - "box-diagonal": the diagonal of the face box.

    Args:
        pred: landmarks (B, K, 2), x and y, in the unit of target.
        target: true landmarks (B, K, 2).
        normalizer: one of the four names above.
        image_size: for "image-size": the side in the unit of the landmarks (1 for coordinates in [0, 1]), a number
            or one per image, shape (B,).
        boxes: for "box-diagonal": (B, 4), x_min, y_min, x_max, y_max, in the unit of the landmarks.

    Returns:
        One error per image, shape (B,), a fraction (0.05 is 5 %).

    Raises:
        TypeError: landmarks that are not floating-point tensors.
        ValueError: wrong shape, NaN, unknown normalizer, its argument missing, no eyes known for K, or length 0.

    >>> nme(torch.full((1, 5, 2), 0.53), torch.full((1, 5, 2), 0.5), normalizer="image-size", image_size=1)
    tensor([0.0424])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), doi:10.31649/1681-7893-2026-51-1-108-116 (image size);
    Wu et al. (2018), arXiv:1805.10483 (98 points, outer eye corners).
    """
    _check_landmarks(pred, target)
    pred, target = at_least_single(pred), at_least_single(target)
    length = _reference_length(target, normalizer, image_size, boxes)
    if not torch.compiler.is_compiling() and not bool((length > 0).all()):
        bad = (~(length > 0)).nonzero().flatten().tolist()
        raise ValueError(
            f"normalizer {normalizer!r}: the reference length is not positive for samples {bad}: drop them"
        )
    return (pred - target).norm(dim=-1).mean(-1) / length


def ced_curve(errors: Tensor) -> tuple[Tensor, Tensor]:
    """Cumulative error distribution: the share of images whose error is at most e.

    Args:
        errors: one error per image, any shape; infinity for a face that was not found.

    Returns:
        The errors in ascending order and the share reached at each, both (N,): draw them as "steps-post".

    Raises:
        TypeError: errors is not a floating-point tensor.
        ValueError: errors is empty, negative or NaN.

    >>> ced_curve(torch.tensor([0.2, 0.1]))
    (tensor([0.1000, 0.2000]), tensor([0.5000, 1.0000]))

    Source: Cristinacce, Cootes (2006), doi:10.5244/C.20.95.
    """
    _check_errors(errors)
    ordered = at_least_single(errors).flatten().sort().values
    return ordered, torch.arange(1, len(ordered) + 1, device=errors.device, dtype=ordered.dtype) / len(ordered)


def ced_auc(errors: Tensor, threshold: float = 0.10) -> float:
    """Area under the cumulative error distribution up to a threshold T, as a fraction of T.

    An image with error e contributes the stretch from e to T, so the area is exactly mean(max(0, 1 - e / T)).

    Args:
        errors: one error per image, any shape; infinity for a face that was not found.
        threshold: T > 0, in the unit of errors.

    Returns:
        A number in [0, 1]; 1 if every error is 0.

    Raises:
        TypeError: errors is not a floating-point tensor.
        ValueError: errors is empty, negative or NaN, or the threshold is not positive.

    >>> round(ced_auc(torch.tensor([0.05, 0.2])), 4)
    0.25

    Source: Yang, Jia, Loy, Robinson (2015), arXiv:1511.05049.
    Differs from the source: exact instead of integrated over a grid.
    """
    _check_errors(errors)
    _check.positive(threshold, "threshold")
    return (1 - errors.double() / threshold).clamp(min=0).mean().item()


def failure_rate(errors: Tensor, threshold: float = 0.10) -> float:
    """Share of images whose error exceeds a threshold.

    Args:
        errors: one error per image, any shape; infinity for a face that was not found.
        threshold: > 0, in the unit of errors; an error equal to it is no failure.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: errors is not a floating-point tensor.
        ValueError: errors is empty, negative or NaN, or the threshold is not positive.

    >>> failure_rate(torch.tensor([0.05, 0.2]))
    0.5

    Source: Wu et al. (2018), arXiv:1805.10483, with the threshold 10 %.
    """
    _check_errors(errors)
    _check.positive(threshold, "threshold")
    return (at_least_single(errors) > threshold).double().mean().item()


def _check_landmarks(pred: Tensor, target: Tensor) -> None:
    for value, name in ((pred, "pred"), (target, "target")):
        _check.floating(value, name)
        if value.ndim != 3 or value.shape[-1] != 2 or value.shape[1] == 0:
            raise ValueError(
                f"{name}: expected landmarks (B, K, 2), got {tuple(value.shape)}: add a batch axis with {name}[None]"
            )
        if not torch.compiler.is_compiling() and bool(value.isnan().any()):
            raise ValueError(f"{name}: contains NaN; look for a diverged training or missing annotations")
    if pred.shape != target.shape:
        raise ValueError(f"pred and target: expected one shape, got {tuple(pred.shape)} and {tuple(target.shape)}")


def _reference_length(
    target: Tensor, normalizer: str, image_size: float | Tensor | None, boxes: Tensor | None
) -> Tensor:
    """The length d_b that each image's error is divided by, shape (B,)."""
    _check.one_of(normalizer, ("image-size", "inter-ocular", "inter-pupil", "box-diagonal"), "normalizer")
    batch = len(target)
    if normalizer == "image-size":
        if not isinstance(image_size, int | float | Tensor):
            raise ValueError("image_size: the normalizer needs it: 1 for coordinates in [0, 1], 224 for pixels of 224")
        size = torch.as_tensor(image_size, dtype=target.dtype, device=target.device)
        if size.shape not in ((), (batch,)):
            raise ValueError(f"image_size: expected a number or shape ({batch},), got {tuple(size.shape)}")
        return size.expand(batch)
    if normalizer == "box-diagonal":
        if boxes is None or boxes.shape != (batch, 4):
            came = getattr(boxes, "shape", None)
            raise ValueError(f"boxes: expected shape ({batch}, 4), x_min, y_min, x_max, y_max, got {came}")
        boxes = at_least_single(boxes)
        sides = (boxes[:, 2:] - boxes[:, :2]).to(target.dtype)
        return torch.where((sides > 0).all(-1), sides.norm(dim=-1), 0.0)
    return eye_distance(target, normalizer)


def eye_distance(landmarks: Tensor, normalizer: str = "inter-ocular") -> Tensor:
    """The distance of the eyes of each face, (B,), in the unit of the landmarks (B, K, 2).

    Args:
        landmarks: of a layout that `nme` knows.
        normalizer: "inter-ocular" or "inter-pupil", see `nme`.

    Raises:
        ValueError: the eyes are not known for K.

    >>> eye_distance(torch.tensor([[[0.0, 0.0], [3.0, 4.0], [1.0, 5.0], [0.0, 8.0], [3.0, 8.0]]]), "inter-pupil")
    tensor([5.])
    """
    pairs, points = _OUTER_CORNERS if normalizer == "inter-ocular" else _PUPILS, landmarks.shape[1]
    if points not in pairs:
        known = ", ".join(map(str, pairs))
        raise ValueError(
            f"normalizer {normalizer!r}: the eyes are known for layouts of {known} landmarks, got {points}: use "
            "'image-size' or 'box-diagonal'" + (", or 'inter-pupil'" if points in _PUPILS else "")
        )
    left, right = (landmarks[:, index].mean(1) for index in pairs[points])
    return (left - right).norm(dim=-1)


def _check_errors(errors: Tensor) -> None:
    _check.floating(errors, "errors")
    if errors.numel() == 0:
        raise ValueError("errors: expected at least one error, got an empty tensor: check the split")
    if not bool((errors >= 0).all()):
        raise ValueError("errors: expected values >= 0, got NaN or a negative one: use infinity for a missed face")
