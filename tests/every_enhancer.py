"""Every function of `facelight.enhance` with settings for small pictures, and a picture to try them on.

A new enhancer is found here by itself. It is tried with its defaults, and with few tiles if it has a `grid_size`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facelight import enhance
from facelight.enhance.modules import EnhancerModule
from facelight_lab import enhancers

Function = Callable[[Tensor], Tensor]

# Label -> settings that are not the defaults; a label is the name of a function, and what is special about it.
SPECIAL: dict[str, dict[str, Any]] = {
    "equalize, continuous": {"exact": False},
    "ahe": {"grid_size": (3, 2)},
    "clahe": {"clip_limit": 4.0, "grid_size": (3, 2)},
    "clahe, continuous": {"clip_limit": 4.0, "grid_size": (3, 2), "exact": False},
    "clahe, matlab": {"clip_limit": 0.02, "grid_size": (2, 2), "convention": "matlab"},
    "clahe, matlab, continuous": {"clip_limit": 0.02, "grid_size": (2, 2), "convention": "matlab", "exact": False},
    "modified_clahe": {"clip_limit": 4.0, "grid_size": (2, 2)},
    "gamma": {"gamma": 0.4},
}


def function_of(label: str) -> Callable[..., Tensor]:
    return getattr(enhance, label.split(",")[0])


def small(name: str) -> dict[str, Any]:
    """Settings for small pictures, for what is not special."""
    return {"grid_size": (2, 2)} if "grid_size" in inspect.signature(function_of(name)).parameters else {}


def bind(label: str, settings: dict[str, Any]) -> Function:
    return lambda x: function_of(label)(x, **settings)


NAMES = enhancers.names()[1:]  # the first is the identity
SETTINGS = {name: small(name) for name in NAMES} | SPECIAL
METHODS = {label: bind(label, settings) for label, settings in SETTINGS.items()}
MODULES = {kind.__name__: kind for kind in vars(enhance).values() if inspect.isclass(kind)}


def module(name: str, **settings: Any) -> EnhancerModule:
    """A Module of `facelight.enhance`; what has no default gets a value."""
    special = SPECIAL.get(MODULES[name].function.__name__, {})
    required = [n for n, p in inspect.signature(MODULES[name]).parameters.items() if p.default is p.empty]
    return MODULES[name](**{n: special[n] for n in required} | settings)


def photo(*shape: int, seed: int = 0) -> Tensor:
    """A picture at 8-bit levels: a ramp, dark on one side, with some noise."""
    rng = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0.02, 0.8, shape[-1])
    x = ramp * (0.7 + 0.3 * torch.rand(shape, generator=rng))
    return (255 * x).round() / 255
