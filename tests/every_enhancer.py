"""Every function of `facelight.enhance` with settings for small pictures, and a picture to try them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facelight import enhance

Function = Callable[[Tensor], Tensor]


def bind(function: Callable[..., Tensor], *args: Any, **settings: Any) -> Function:
    return lambda x: function(x, *args, **settings)


METHODS: dict[str, Function] = {
    "equalize": enhance.equalize,
    "equalize, continuous": bind(enhance.equalize, exact=False),
    "ahe": bind(enhance.ahe, (2, 3)),
    "clahe": bind(enhance.clahe, 4.0, (3, 2)),
    "clahe, continuous": bind(enhance.clahe, 4.0, (3, 2), exact=False),
    "clahe, matlab": bind(enhance.clahe, 0.02, (2, 2), convention="matlab"),
    "clahe, matlab, continuous": bind(enhance.clahe, 0.02, (2, 2), convention="matlab", exact=False),
    "modified_clahe": bind(enhance.modified_clahe, 4.0, (2, 2)),
    "bbhe": enhance.bbhe,
    "gbie": enhance.gbie,
    "gamma": bind(enhance.gamma, 0.4),
    "log_stretch": enhance.log_stretch,
    "multi_scale_retinex": enhance.multi_scale_retinex,
    "tan_triggs": enhance.tan_triggs,
    "gradientface": enhance.gradientface,
    "weberface": enhance.weberface,
    "local_contrast_normalize": enhance.local_contrast_normalize,
    "log_contrast": enhance.log_contrast,
}


def photo(*shape: int, seed: int = 0) -> Tensor:
    """A picture at 8-bit levels: a ramp, dark on one side, with some noise."""
    rng = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0.02, 0.8, shape[-1])
    x = ramp * (0.7 + 0.3 * torch.rand(shape, generator=rng))
    return (255 * x).round() / 255
