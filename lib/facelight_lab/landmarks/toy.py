"""A toy regressor of landmarks: a linear model whose training shows in seconds what a loss does. No records."""

from __future__ import annotations

from collections.abc import Callable

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
