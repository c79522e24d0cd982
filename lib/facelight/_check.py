"""Checks of arguments, called once at each public entry. Messages say what was expected, what came, what to do."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def images(x: Tensor, name: str = "x", *, channels: tuple[int, ...] | None = None) -> None:
    """Require float images `(*, C, H, W)` with finite values in [0, 1].

    The check of values is skipped while `torch.compile` or the ONNX exporter traces and on devices other than the
    CPU, where it would force a synchronisation.

    Raises:
        TypeError: not a tensor, or not floating point.
        ValueError: fewer than three dimensions, an empty axis, NaN, or values outside [0, 1].
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: expected a torch.Tensor of shape (*, C, H, W), got {type(x).__name__}: "
            "convert it, for instance with torch.from_numpy(array)"
        )
    if x.dtype not in _FLOATS:
        raise TypeError(
            f"{name}: expected a floating-point image in [0, 1], got {x.dtype}: "
            "divide 8-bit images by 255, x.float() / 255"
        )
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(
            f"{name}: expected shape (*, C, H, W) with no empty axis, got {tuple(x.shape)}: "
            "add a channel axis to a single grey image with x[None]"
        )
    if channels is not None and x.shape[-3] not in channels:
        wanted = " or ".join(str(c) for c in channels)
        raise ValueError(f"{name}: expected {wanted} channels, got shape {tuple(x.shape)} with {x.shape[-3]}")
    values_in_unit_range(x, name)


def values_in_unit_range(x: Tensor, name: str = "x") -> None:
    """Require finite values in [0, 1] (on the CPU, outside tracing)."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.numel() == 0:
        return
    low, high = (v.item() for v in x.detach().aminmax())
    if low != low or high != high:
        raise ValueError(f"{name}: contains NaN; look for a division by zero before this call")
    if low < 0 or high > 1:
        raise ValueError(
            f"{name}: expected values in [0, 1], got [{low:.4g}, {high:.4g}]: "
            "divide 8-bit images by 255, or clamp with x.clamp(0, 1)"
        )


def floating(x: Tensor, name: str = "x") -> None:
    """Require a floating-point tensor of any shape."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        came = x.dtype if isinstance(x, Tensor) else type(x).__name__
        advice = f"{name}.float() / 255" if came == torch.uint8 else f"{name}.float()"
        raise TypeError(f"{name}: expected a floating-point tensor, got {came}: convert it with {advice}")


def non_negative(x: Tensor, name: str = "x") -> None:
    """Require a floating-point tensor of finite values >= 0 (values: on the CPU, outside tracing)."""
    floating(x, name)
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.numel() == 0:
        return
    low, high = (v.item() for v in x.detach().aminmax())
    if low != low:
        raise ValueError(f"{name}: contains NaN; look for a division by zero before this call")
    if low < 0 or high == float("inf"):
        raise ValueError(
            f"{name}: expected finite values >= 0, got [{low:.4g}, {high:.4g}]: "
            "pass the image itself, in [0, 1], and leave out mean/std normalisation before this call"
        )


def positive(value: float | Tensor, name: str) -> None:
    """Require a positive finite number or a tensor of them (tensor values: on the CPU, outside tracing)."""
    if isinstance(value, Tensor):
        if torch.compiler.is_compiling() or value.device.type != "cpu":
            return
        ok = bool((value > 0).all() and value.isfinite().all())
    else:
        ok = 0 < value < float("inf")
    if not ok:
        raise ValueError(f"{name}: expected a positive finite number, got {value}")


def number(value: object, name: str) -> None:
    """Require one plain number, or a tensor without axes."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex():
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected one number, got {value!r}")


def odd(value: object, name: str) -> None:
    """Require an odd whole number of at least 3."""
    if not isinstance(value, int) or value < 3 or value % 2 == 0:
        raise ValueError(f"{name}: expected an odd whole number of at least 3 pixels, got {value}")


def one_of(value: str, choices: tuple[str, ...], name: str) -> None:
    """Require one of the named choices."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")


def per_image(value: float | Tensor, x: Tensor, name: str) -> float | Tensor:
    """A number as it is; a tensor in a shape that multiplies the images of x one by one."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if value.shape != x.shape[:-3]:
        raise ValueError(
            f"{name}: expected a number or one value per image, shape {tuple(x.shape[:-3])}, "
            f"got shape {tuple(value.shape)} for images of shape {tuple(x.shape)}"
        )
    return value[..., None, None, None].to(x)
