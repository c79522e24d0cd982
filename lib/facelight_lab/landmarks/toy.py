"""A toy regressor of landmarks: a linear model whose training shows in seconds what a loss does. No records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from facelight import metrics
from facelight.data.landmarks import mean_shape

FEATURES = 32
EVERY = 20
"""Steps from one test to the next."""

Criterion = Callable[[Tensor, Tensor], Tensor]


def unit_shape(margin: float = 1.2) -> Tensor:
    """The mean face (98, 2) in the middle of the unit square, which is `margin` times as large as its longer side."""
    shape = torch.from_numpy(mean_shape())
    low, high = shape.amin(0), shape.amax(0)
    return (shape - (low + high) / 2) / (margin * (high - low).max()) + 0.5


def faces(count: int, mixing: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features (count, 32) and landmarks (count, 98, 2), in the unit square, float64.

    Landmarks are the mean face plus the features times `mixing` plus Laplace noise of scale 0.008, as from careless
    annotation.

    Args:
        count: of faces.
        mixing: (32, 196).
        generator: of all that is random.
    """
    features = torch.randn(count, FEATURES, generator=generator, dtype=torch.float64)
    uniform = torch.rand(count, mixing.shape[1], generator=generator, dtype=torch.float64) - 0.5
    laplace = -0.008 * uniform.sign() * torch.log1p(-2 * uniform.abs())
    return features, (unit_shape().flatten() + features @ mixing + laplace).view(count, -1, 2)


def train(criterion: Criterion, seed: int, *, steps: int = 400, rate: float = 0.5) -> list[float]:
    """Test error every 20 steps of gradient descent, as NME by image size.

    All landmarks start in the center. The rate falls linearly to 1 % of its first value. The batches hang on the seed
    only, so that losses can be compared.

    Args:
        criterion: a loss of predicted and true landmarks (N, 98, 2).
        seed: of features, batches and noise.
        steps: of 64 faces each.
        rate: of the first step.
    """
    generator = torch.Generator().manual_seed(seed)
    mixing = 0.006 * torch.randn(FEATURES, 196, generator=generator, dtype=torch.float64)
    test, truth = faces(300, mixing, generator)
    weight = torch.zeros(FEATURES, 98, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.full((98, 2), 0.5, dtype=torch.float64, requires_grad=True)
    curve = []
    for step in range(steps + 1):
        if step % EVERY == 0:
            pred = torch.einsum("nf,fkc->nkc", test, weight.detach()) + bias.detach()
            curve.append(metrics.nme(pred, truth, normalizer="image-size", image_size=1).mean().item())
        x, y = faces(64, mixing, generator)
        loss = criterion(torch.einsum("nf,fkc->nkc", x, weight) + bias, y)
        gradients = torch.autograd.grad(loss, [weight, bias])
        for parameter, gradient in zip((weight, bias), gradients, strict=True):
            parameter.data -= rate * max(0.01, 1 - step / steps) * gradient
    return curve


def slope(criterion: Criterion, errors: Tensor) -> Tensor:
    """Size of the derivative of each coordinate's own loss, in the shape of the errors.

    Args:
        criterion: a mean over coordinates, of predicted and true landmarks.
        errors: of any shape.

    >>> slope(torch.nn.functional.mse_loss, torch.tensor([0.5, -2.0]))
    tensor([1., 4.])
    """
    leaf = errors.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(criterion(leaf, torch.zeros_like(leaf)), leaf)
    return gradient.abs() * errors.numel()


def pull(criterion: Criterion, errors: Tensor) -> tuple[float, float]:
    """How strongly a loss pulls at given errors: the mean slope, and how much of it errors below the median make.

    Args:
        criterion: see `slope`.
        errors: (N, K, 2).
    """
    sizes, small = slope(criterion, errors), errors.abs() < errors.abs().median()
    return sizes.mean().item(), (sizes[small].sum() / sizes.sum()).item()


def summary(curves: np.ndarray, reference: np.ndarray) -> dict[str, float | str]:
    """A row of a table: mean error half-way and at the end, its deviation over seeds, the largest distance to others.

    Args:
        curves: errors of the tests, a row a seed, see `train`.
        reference: those of another loss, with the same seeds; distances count after a quarter of the run.
    """
    percent = 100 * curves[:, [curves.shape[1] // 2, -1]]
    late = curves.shape[1] // 4
    distance = np.abs(curves / reference - 1)[:, late:].max()
    means = {"half-way": percent[:, 0].mean().round(2), "at the end": percent[:, 1].mean().round(2)}
    return means | {"sd of seeds": percent[:, 1].std(ddof=1).round(3), "largest distance": f"{distance:.1%}"}
