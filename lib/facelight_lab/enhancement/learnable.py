"""What gradient descent works on: a recognition loss, and a clip limit for each image. No measuring (`learned`)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import enhance

LOWEST, HIGHEST = 1.0, 256.0  # from one pixel in a bin to no limit: with OpenCV's unit a = c N / 256, 1 <= a <= N
_SPAN = math.log(HIGHEST / LOWEST)


def identity_loss(gallery: Tensor, labels: Tensor, probes: Tensor, target: Tensor, temperature: Tensor) -> Tensor:
    """Cross-entropy of the identity of each probe, (N,), from its similarities to the gallery.

        loss(p) = -ln softmax_i(s_i)[target],  s_i = ln mean_(g of identity i) exp(t cos(p, g))

    with the cosine of `directions` and the temperature t: the greater t, the more the most similar picture decides,
    as it does in `metrics.nearest_neighbor`.

    Args:
        gallery: pictures (G, ...), labels (G,). probes: pictures (N, ...), target (N,), each among the labels.
        temperature: t > 0, a scalar.
    """
    names, place = labels.unique(return_inverse=True)
    member = F.one_hot(place).T.bool()
    similar = temperature * (directions(probes) @ directions(gallery).T)
    scores = similar[:, None].masked_fill(~member, -math.inf).logsumexp(-1) - member.sum(1).to(similar).log()
    return F.cross_entropy(scores, torch.searchsorted(names, target), reduction="none")


def directions(x: Tensor) -> Tensor:
    """Pictures (N, ...) as vectors of length 1 (N, D), the mean of each taken away."""
    flat = x.flatten(1)
    return F.normalize(flat - flat.mean(1, keepdim=True))


def statistics(x: Tensor) -> Tensor:
    """What `ClipLimitOf` sees of images (N, 1, H, W), (N, 6).

    Mean; standard deviation; the 0.05, 0.5 and 0.95 quantiles of the pixels; difference of the means of the left and
    the right half, without its sign.
    """
    flat, half = x.flatten(1), x.shape[-1] // 2
    quantiles = flat.quantile(flat.new_tensor([0.05, 0.5, 0.95]), dim=1).T
    turn = (x[..., :half].mean((1, 2, 3)) - x[..., -half:].mean((1, 2, 3))).abs()
    return torch.cat([flat.mean(1, keepdim=True), flat.std(1, keepdim=True), quantiles, turn[:, None]], 1)


class ClipLimitOf(nn.Module):
    """CLAHE with a clip limit for each image, predicted from its `statistics` z, standardized on the training people.

        c = 256^sigmoid(b + w tanh(A z + a)), between 1 and 256; A has 8 rows, and w = 0 at first.

    Args:
        start: the clip limit of every image at first, > 1 and < 256.
        images: the training pictures (N, 1, H, W), float in [0, 1].
        generator: for A.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, start: float, images: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        seen = statistics(images)
        self.register_buffer("mean", seen.mean(0))
        self.register_buffer("scale", seen.std(0).clamp(min=1e-3))
        self.inner, self.outer = nn.Linear(seen.shape[1], 8), nn.Linear(8, 1)
        nn.init.normal_(self.inner.weight, std=seen.shape[1] ** -0.5, generator=generator)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.weight)
        nn.init.constant_(self.outer.bias, torch.logit(torch.tensor(math.log(start / LOWEST) / _SPAN)).item())

    def clip_limit(self, x: Tensor) -> Tensor:
        """The clip limit of each image, (N,)."""
        hidden = self.inner((statistics(x) - self.mean) / self.scale).tanh()
        return LOWEST * (_SPAN * self.outer(hidden)[:, 0].sigmoid()).exp()

    def forward(self, x: Tensor) -> Tensor:
        """The images (N, 1, H, W), enhanced."""
        return enhance.clahe(x, self.clip_limit(x), exact=False)
