"""Losses for landmarks (Wing, Rectified Wing, Adaptive Wing) and for embeddings (large margin cosine).

Smooth L1, Huber and cross-entropy are `torch.nn.functional`'s.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check

__all__ = [
    "AdaptiveWingLoss",
    "RectifiedWingLoss",
    "WingLoss",
    "adaptive_wing_loss",
    "large_margin_cosine_loss",
    "rectified_wing_loss",
    "wing_loss",
]


def wing_loss(
    pred: Tensor, target: Tensor, width: float = 10.0, curvature: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Wing loss: logarithmic for small errors, L1 for large ones.

    With d = pred - target, coordinate by coordinate:

        width * ln(1 + |d| / curvature)    if |d| < width,
        |d| - C                            otherwise,    C = width - width * ln(1 + width / curvature).

    C makes the value continuous at width. The slope is not: it falls from width / curvature at 0 to
    width / (curvature + width) and then jumps to 1. At d = 0 the gradient is 0.

    Args:
        pred: landmarks (B, K, 2), or any float tensor.
        target: the same shape, in the same unit.
        width: half-width w of the logarithmic part, > 0, in the unit of pred and target. The source's 10 and 2 are
            pixels of its input crop. With coordinates in [0, 1] no error reaches 10, and the loss is nearly 5 |d|;
            the same curve for a crop of 224 pixels has width 10 / 224 and curvature 2 / 224.
        curvature: epsilon, > 0, in the same unit; smaller bends more.
        reduction: "mean" over all coordinates, "sum", or "none".

    Returns:
        A scalar, or the shape of pred for "none".

    Raises:
        TypeError: pred is not a floating-point tensor.
        ValueError: shapes differ, width or curvature is not positive, or reduction is unknown.

    >>> wing_loss(torch.tensor([0.0, 2.0, 20.0]), torch.zeros(3), reduction="none")
    tensor([ 0.0000,  6.9315, 27.9176])

    Source: Feng, Kittler, Awais, Huber, Wu (2018), arXiv:1711.06753.
    """
    return rectified_wing_loss(pred, target, 0.0, width, curvature, reduction)


def rectified_wing_loss(
    pred: Tensor,
    target: Tensor,
    inner: float = 0.5,
    width: float = 10.0,
    curvature: float = 2.0,
    reduction: str = "mean",
) -> Tensor:
    """Rectified Wing loss: Wing that ignores errors below the accuracy of the annotation.

    With d = pred - target, coordinate by coordinate:

        0                                            if |d| < inner,
        width * ln(1 + (|d| - inner) / curvature)    if inner <= |d| < width,
        |d| - C    otherwise,    C = width - width * ln(1 + (width - inner) / curvature).

    The value is continuous; the slope jumps from 0 to width / curvature at inner, and to 1 at width. inner = 0 is the
    Wing loss.

    Args:
        pred: landmarks (B, K, 2), or any float tensor.
        target: the same shape, in the same unit.
        inner: r, errors below it cost nothing, 0 <= inner < width, in the unit of pred and target.
        width: w, where the loss becomes L1, in the same unit.
        curvature: epsilon, > 0, in the same unit.
        reduction: "mean" over all coordinates, "sum", or "none".

    Returns:
        A scalar, or the shape of pred for "none".

    Raises:
        TypeError: pred is not a floating-point tensor.
        ValueError: shapes differ, a constant is out of range, or reduction is unknown.

    >>> rectified_wing_loss(torch.tensor([0.4, 2.5]), torch.zeros(2), reduction="none")
    tensor([0.0000, 6.9315])

    Source: Feng, Kittler, Awais, Wu (2020), doi:10.1007/s11263-019-01275-0; the default constants are in pixels.
    """
    pred, target, dtype = _checked_pair(pred, target)
    _check.positive(width, "width")
    _check.positive(curvature, "curvature")
    if not 0 <= inner < width:
        raise ValueError(f"inner: expected 0 <= inner < width, got inner={inner} and width={width}")
    distance = (pred - target).abs()
    excess = (distance - inner).clamp(min=0)  # ln(1 + 0) = 0 is the first case
    offset = width - width * math.log1p((width - inner) / curvature)
    loss = torch.where(distance < width, width * torch.log1p(excess / curvature), distance - offset)
    return _reduce(loss, reduction).to(dtype)


def adaptive_wing_loss(
    pred: Tensor,
    target: Tensor,
    omega: float = 14.0,
    theta: float = 0.5,
    epsilon: float = 1.0,
    alpha: float = 2.1,
    reduction: str = "mean",
) -> Tensor:
    """Adaptive Wing loss for heatmaps: like Wing where the target y is 1, like L2 where it is 0.

    With d = pred - y and the exponent p = alpha - y:

        omega * ln(1 + |d / epsilon|^p)    if |d| < theta,
        A |d| - C                          otherwise,
        q = (theta / epsilon)^p,    A = omega p q / (theta (1 + q)),    C = theta A - omega ln(1 + q).

    A and C make value and slope continuous at theta.

    Args:
        pred: heatmaps (B, K, H, W), or any float tensor.
        target: the same shape, in [0, 1].
        omega: scale of the loss, > 0.
        theta: error where the loss becomes linear, > 0, in the unit of the heatmap.
        epsilon: error that counts as one unit, > 0, in the unit of the heatmap.
        alpha: at least 2, so that p >= 1 and the slope at d = 0 stays finite even where y = 1; a little more than 2
            makes it 0.
        reduction: "mean" over all pixels, "sum", or "none".

    Returns:
        A scalar, or the shape of pred for "none".

    Raises:
        TypeError: pred is not a floating-point tensor.
        ValueError: shapes differ, target leaves [0, 1], a constant is out of range, or reduction is unknown.

    >>> adaptive_wing_loss(torch.tensor([0.25, 0.75]), torch.tensor([0.0, 1.0]), reduction="none")
    tensor([0.7417, 2.7568])

    Source: Wang, Bo, Li (2019), doi:10.1109/ICCV.2019.00707.
    """
    pred, target, dtype = _checked_pair(pred, target)
    target = _check.unit_range(target, "target")
    for value, name in ((omega, "omega"), (theta, "theta"), (epsilon, "epsilon")):
        _check.positive(value, name)
    if alpha < 2:
        raise ValueError(f"alpha: expected at least 2 for an exponent alpha - target >= 1, got {alpha}")
    distance = (pred - target).abs()
    exponent = alpha - target
    at_theta = (theta / epsilon) ** exponent
    slope = omega * exponent * at_theta / (theta * (1 + at_theta))
    offset = theta * slope - omega * torch.log1p(at_theta)
    near = distance.clamp(max=theta)  # far away the power overflows, and its derivative would be NaN
    curved = omega * torch.log1p((near / epsilon) ** exponent)
    return _reduce(torch.where(distance < theta, curved, slope * distance - offset), reduction).to(dtype)


class WingLoss(nn.Module):
    """Module form of `wing_loss`, with the same arguments."""

    def __init__(self, width: float = 10.0, curvature: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        self.width, self.curvature, self.reduction = width, curvature, reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return `wing_loss(pred, target, ...)`."""
        return wing_loss(pred, target, self.width, self.curvature, self.reduction)

    def extra_repr(self) -> str:
        """The constants."""
        return f"width={self.width}, curvature={self.curvature}, reduction={self.reduction!r}"


class RectifiedWingLoss(nn.Module):
    """Module form of `rectified_wing_loss`, with the same arguments."""

    def __init__(
        self, inner: float = 0.5, width: float = 10.0, curvature: float = 2.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.inner, self.width, self.curvature, self.reduction = inner, width, curvature, reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return `rectified_wing_loss(pred, target, ...)`."""
        return rectified_wing_loss(pred, target, self.inner, self.width, self.curvature, self.reduction)

    def extra_repr(self) -> str:
        """The constants."""
        return f"inner={self.inner}, width={self.width}, curvature={self.curvature}, reduction={self.reduction!r}"


class AdaptiveWingLoss(nn.Module):
    """Module form of `adaptive_wing_loss`, with the same arguments."""

    def __init__(
        self,
        omega: float = 14.0,
        theta: float = 0.5,
        epsilon: float = 1.0,
        alpha: float = 2.1,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.omega, self.theta, self.epsilon, self.alpha = omega, theta, epsilon, alpha
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return `adaptive_wing_loss(pred, target, ...)`."""
        return adaptive_wing_loss(pred, target, self.omega, self.theta, self.epsilon, self.alpha, self.reduction)

    def extra_repr(self) -> str:
        """The constants."""
        return (
            f"omega={self.omega}, theta={self.theta}, epsilon={self.epsilon}, alpha={self.alpha}, "
            f"reduction={self.reduction!r}"
        )


def large_margin_cosine_loss(
    cosines: Tensor, target: Tensor, margin: float = 0.2, scale: float = 30.0, label_smoothing: float = 0.0
) -> Tensor:
    """Large margin cosine loss (CosFace): the cosine with the own class must lead all others by a margin.

        -ln( e^(s (c_t - m)) / (e^(s (c_t - m)) + sum_{k != t} e^(s c_k)) ),   the mean over the batch

    c_k is the cosine between a feature and the weights of class k, see `models.CosineLinear`; t is the true class.

    Args:
        cosines: (B, classes), in [-1, 1].
        target: classes (B,), int64.
        margin: m, in [0, 2).
        scale: s > 0; without it no softmax of numbers in [-1, 1] comes near 1.
        label_smoothing: of the cross-entropy, in [0, 1).

    Returns:
        A scalar.

    Raises:
        TypeError: cosines is not a floating-point tensor.
        ValueError: shapes that do not fit, or a number out of range.

    >>> large_margin_cosine_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([0]), margin=0.0)
    tensor(0.6931)

    Source: Wang et al. (2018), doi:10.1109/CVPR.2018.00552.
    """
    _check.floating(cosines, "cosines")
    if cosines.ndim != 2 or target.shape != cosines.shape[:1]:
        raise ValueError(
            f"expected cosines (B, classes) and target (B,), got {tuple(cosines.shape)} and {tuple(target.shape)}"
        )
    _check.positive(scale, "scale")
    if not 0 <= margin < 2:
        raise ValueError(f"margin: expected a number in [0, 2), got {margin}")
    precise = _check.precise(cosines)
    led = precise - margin * F.one_hot(target, cosines.shape[1]).to(precise.dtype)
    return F.cross_entropy(scale * led, target, label_smoothing=label_smoothing).to(cosines.dtype)


def _checked_pair(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """Both in float32 or better, and the type of the result."""
    _check.floating(pred, "pred")
    _check.floating(target, "target")
    if pred.shape != target.shape:
        raise ValueError(
            f"pred and target: expected one shape, got {tuple(pred.shape)} and {tuple(target.shape)}: "
            "broadcasting would pair the wrong points; reshape one of them"
        )
    return _check.precise(pred), _check.precise(target), torch.promote_types(pred.dtype, target.dtype)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    _check.one_of(reduction, ("mean", "sum", "none"), "reduction")
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()
