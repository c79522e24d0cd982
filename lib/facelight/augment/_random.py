"""What augmentations of light share on Kornia's base: `RandomLight`, and numbers at random."""

from __future__ import annotations

import math
from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from facelight._transforms import on_images

Range = tuple[float, float]
Drawn = dict[str, Tensor]


class RandomLight(IntensityAugmentationBase2D):
    """What the augmentations below share: how they draw, and what they take.

    Numbers are drawn on the CPU, equal ones for every device: from PyTorch's global generator, as Kornia does, or from
    a generator given with the call, `aug(x, generator=generator)`, which leaves the global one alone.

    Called with a batch (B, C, H, W) they give a batch; with an image (C, H, W) a batch of one, unless `keepdim`. They
    also take a sample of `torchvision.transforms.v2`, as one argument; its images keep their shape.
    """

    SUBSTITUTE_SKIPPED_SAMPLES = True  # images that are left alone are not checked

    def __init__(self, p: float, same_on_batch: bool, keepdim: bool, **settings: Any) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p: expected a probability in [0, 1], got {p}")
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.flags = settings

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Drawn:
        """The numbers of images of shape (B, C, H, W), one a row, `batch_prob` among them: 1 changes the image."""
        raise NotImplementedError

    def gate(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Which images are changed; nothing is drawn where that is certain."""
        return torch.full((count,), self.p) if self.p in (0, 1) else (uniform(generator, count) < self.p).float()

    def forward_parameters(self, batch_shape: tuple[int, ...], generator: torch.Generator | None = None) -> Drawn:
        """Draw the numbers of a batch; Kornia's containers call this."""
        count = batch_shape[0]
        drawn = self.draw((1 if self.same_on_batch else count, *batch_shape[1:]), generator)
        found = {name: value.expand(count, *value.shape[1:]) for name, value in drawn.items()}
        return found | {"forward_input_shape": torch.tensor(tuple(batch_shape))}

    def forward(
        self, input: Any, params: Drawn | None = None, *, generator: torch.Generator | None = None, **overrides: Any
    ) -> Any:
        """Change images, float in [0, 1]; see the class."""

        def change(x: Tensor) -> Tensor:
            out = self._changed(x, params, generator, **overrides)
            return out if x is input else out.reshape(x.shape)

        return on_images(change, input)

    def _changed(self, x: Tensor, params: Drawn | None, generator: torch.Generator | None, **overrides: Any) -> Tensor:
        if params is None:
            params = self.forward_parameters(self.transform_tensor(x).shape, generator)
        return super().forward(x, params, **overrides)


def value_range(value: Range, name: str, *, zero: bool = False) -> Range:
    """Require least and greatest, finite, > 0, or with `zero` also 0."""
    least, most = value
    if not (0 <= least <= most < math.inf) or (least == 0 and not zero):
        kind = "0 <= least" if zero else "0 < least"
        raise ValueError(f"{name}: expected (least, greatest) with {kind} <= greatest, finite, got {value}")
    return float(least), float(most)


def uniform(generator: torch.Generator | None, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=None if generator is None else generator.device)


def normal(generator: torch.Generator | None, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=None if generator is None else generator.device)


def log_uniform(value: Range, generator: torch.Generator | None, count: int) -> Tensor:
    least, most = value
    drawn: Tensor = least * (most / least) ** uniform(generator, count)
    return drawn
