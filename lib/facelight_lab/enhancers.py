"""The enhancers of experiments: any function of `facelight.enhance` with its settings, and the family of the book.

A function that is added to `facelight.enhance` is an `Enhancer` at once. It belongs into `FAMILY` when the experiments
have measured it; until then nobody asks for records of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facelight import _check, enhance


@dataclass(frozen=True)
class Enhancer:
    """A function of `facelight.enhance` with its settings, as a value: it can be called, compared, hashed, recorded.

    Settings that are left out keep the function's defaults. Whole numbers for a setting in floats become floats and
    lists become tuples, so that what is read from a record equals what was written.

    Args:
        name: a function of `facelight.enhance` that takes images first, or "identity".
        settings: its keyword arguments.

    Raises:
        ValueError: an unknown name or setting, or one that has no default is missing.

    >>> Enhancer("clahe", {"clip_limit": 2}) == Enhancer("clahe", {"clip_limit": 2.0})
    True
    """

    name: str = "identity"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = _settings_of(self.name)
        unknown = sorted(set(self.settings) - set(known))
        if unknown:
            raise ValueError(
                f"settings: {self.name} does not know {unknown}; it takes {', '.join(known) or 'no settings'}"
            )
        missing = [k for k, default in known.items() if default is inspect.Parameter.empty and k not in self.settings]
        if missing:
            raise ValueError(f"settings: {self.name} needs {', '.join(missing)}: give it a value")
        plain = {k: _as_default(v, known[k]) for k, v in self.settings.items()}
        object.__setattr__(self, "settings", plain)

    def __call__(self, x: Tensor) -> Tensor:
        """The images (*, C, H, W), float in [0, 1], enhanced."""
        return x if self.name == "identity" else getattr(enhance, self.name)(x, **self.settings)

    def but(self, **settings: Any) -> Enhancer:
        """The same enhancer with some settings changed."""
        return Enhancer(self.name, {**self.settings, **settings})


def names() -> tuple[str, ...]:
    """What an `Enhancer` may be: "identity" and the functions of `facelight.enhance` that take images first."""
    found = {name: getattr(enhance, name) for name in enhance.__all__}
    return (
        "identity",
        *(n for n, f in found.items() if inspect.isfunction(f) and next(iter(_parameters(f)), "") == "x"),
    )


def clahe(clip_limit: float = 0.01, *, convention: str = "matlab", grid_size: tuple[int, int] = (8, 8)) -> Enhancer:
    """CLAHE; the M-CLAHE paper's setting unless told."""
    return Enhancer("clahe", {"clip_limit": clip_limit, "convention": convention, "grid_size": grid_size})


def modified_clahe(
    clip_limit: float = 0.01, *, convention: str = "matlab", grid_size: tuple[int, int] = (8, 8), **settings: Any
) -> Enhancer:
    """M-CLAHE; the paper's setting unless told."""
    return Enhancer(
        "modified_clahe", {**clahe(clip_limit, convention=convention, grid_size=grid_size).settings, **settings}
    )


def fingerprint(enhancer: Enhancer) -> list[float]:
    """Mean, standard deviation and steepest step of a fixed picture after the enhancer, in gray levels.

    A record keeps it. If it is another one today, the enhancer or a default of it has changed, and the record is stale.
    """
    across = torch.arange(192, dtype=torch.float32)  # no grid of Table 3 is finer
    waves = torch.sin(across / 3)[:, None] * torch.cos(across**2 / 200) + across / 192
    picture = (255 * (waves - waves.min()) / (waves.max() - waves.min())).round() / 255
    y = 255 * enhancer(picture[None, None])
    return [round(value.item(), 2) for value in (y.mean(), y.std(), y.diff().abs().max())]


def _settings_of(name: str) -> dict[str, Any]:
    """Each setting of an enhancer with its default."""
    _check.one_of(name, names(), "enhancer")
    if name == "identity":
        return {}
    return {k: p.default for k, p in list(_parameters(getattr(enhance, name)).items())[1:]}


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _as_default(value: Any, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def is_signed(enhancer: Enhancer) -> bool:
    """Whether 0.5 is neutral: the enhancer makes 0.5 of what has no contrast, however light it is.

    >>> is_signed(Enhancer("tan_triggs")), is_signed(Enhancer("equalize"))
    (True, False)
    """
    flat = torch.tensor([0.2, 0.7]).view(2, 1, 1, 1).expand(2, 1, 24, 24)
    return bool((enhancer(flat) - 0.5).abs().max() < 1e-3)


# What the book measured, a part of `names()`: label in tables and figures -> enhancer, in the order in which chapters
# show them. What a reader may ask for is spelled out; everything else is the default of `facelight.enhance`.
FAMILY: dict[str, Enhancer] = {
    "Input": Enhancer(),
    "HE": Enhancer("equalize"),
    "BBHE": Enhancer("bbhe"),
    "AHE": Enhancer("ahe", {"grid_size": (8, 8), "convention": "opencv"}),
    "CLAHE 0, MATLAB": clahe(0.0),
    "CLAHE 0.01, MATLAB": clahe(0.01),
    "CLAHE 2, OpenCV": clahe(2.0, convention="opencv"),
    "CLAHE 40, OpenCV": clahe(40.0, convention="opencv"),
    "M-CLAHE 0.01, MATLAB": modified_clahe(0.01),
    "M-CLAHE 40, OpenCV": modified_clahe(40.0, convention="opencv"),
    "GBIE, G to 255": Enhancer("gbie", {"levels": 255.0}),
    "GBIE, G to 1": Enhancer("gbie", {"levels": 1.0}),
    "GBIE, corrected": Enhancer("gbie", {"levels": 7.0, "scale": None, "stretch": False}),
    "gamma 0.4": Enhancer("gamma", {"gamma": 0.4}),
    "ln(1 + x)": Enhancer("log_stretch", {"epsilon": 1.0}),
    "ln(1 + 255x)": Enhancer("log_stretch", {"epsilon": 1 / 255}),
    "Retinex": Enhancer("multi_scale_retinex"),
    "Tan-Triggs": Enhancer("tan_triggs"),
    "Gradientface": Enhancer("gradientface"),
    "Weberface": Enhancer("weberface"),
    "local contrast": Enhancer("local_contrast_normalize"),
    "ln minus local mean": Enhancer("log_contrast"),
}
# Those of the family that are signed.
SIGNED = ("tan_triggs", "gradientface", "weberface", "local_contrast_normalize", "log_contrast", "multi_scale_retinex")
