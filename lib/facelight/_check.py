"""Checks of arguments, called once at each public entry. Messages say what was expected, what came, what to do."""

from __future__ import annotations

import math
import numbers

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from facelight._graph import recording

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LONG = (torch.int16, torch.int32, torch.int64, torch.uint32, torch.uint64)  # may hold levels of 8 or of 16 bits


def readable(x: Tensor) -> bool:
    """Whether a decision may depend on the values of x: it is on the CPU, and nothing traces or maps over it.

    No under `torch.compile`, `torch.export`, `torch.jit.trace` and both ONNX exporters, where a decision would be
    frozen, for tensors without values, under `torch.func.vmap`, where each sample would have its own, and on other
    devices, where looking would force a synchronization.
    """
    if torch.compiler.is_compiling() or recording():
        return False  # the ONNX exporters do the one or the other
    return x.device.type == "cpu" and not isinstance(x, FakeTensor) and not mapped(x)


def mapped(x: Tensor) -> bool:
    """Whether `torch.func.vmap` maps over x, be it below the wrappers of other transforms; there is no public test."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(x):
        if functorch.is_batchedtensor(x):
            return True
        x = functorch.get_unwrapped(x)
    return False


def all_true(ok: Tensor) -> bool:
    """Whether all are true, for a check: yes where they cannot be read."""
    return not readable(ok) or bool(ok.all())


def tolerance(dtype: torch.dtype) -> float:
    """How far rounding may carry a value beyond 0 or 1: 32 epsilons of float32, 2 of a half-precision type.

    A resize with antialias adds up tens of products and passes 1 by up to 16 epsilons; 32 are 4e-6, a thousandth of
    an 8-bit level. What was computed in float32 may come as float64, which therefore gets no less. In half precision
    sums are kept in float32 and rounded at the end: one epsilon, two after another operation.
    """
    return max(32 * torch.finfo(torch.float32).eps, 2 * torch.finfo(dtype).eps)


def images(x: Tensor, name: str = "x", *, channels: tuple[int, ...] | None = None) -> Tensor:
    """Require float images `(*, C, H, W)` with finite values in [0, 1], and return them without what rounding added.

    Returns:
        x itself where all its values were seen to be in [0, 1], else `limited(x)`: values beyond by less than
        `tolerance`, and all where they are not `readable`, move to 0 or 1.

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
        advice = "convert it with x.float(), and divide images of 16 bits by 65535, of 8 bits by 255"
        advice = advice if x.dtype in _LONG else _float_advice(x.dtype, "x")
        raise TypeError(f"{name}: expected a floating-point image in [0, 1], got {x.dtype}: {advice}")
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(
            f"{name}: expected shape (*, C, H, W) with no empty axis, got {tuple(x.shape)}: "
            "add a channel axis to a single gray image with x[None]"
        )
    if channels is not None and x.shape[-3] not in channels:
        wanted = " or ".join(str(c) for c in channels)
        raise ValueError(f"{name}: expected {wanted} channels, got shape {tuple(x.shape)} with {x.shape[-3]}")
    return unit_range(x, name)


def unit_range(x: Tensor, name: str = "x") -> Tensor:
    """As `images`, for floating-point tensors of any shape."""
    return x if values_in_unit_range(x, name) else limited(x)


def values_in_unit_range(x: Tensor, name: str = "x") -> bool:
    """Require finite values in [0, 1], up to `tolerance`; tell whether all were seen to be in [0, 1] exactly."""
    if not readable(x):
        return False
    if x.numel() == 0:
        return True
    low, high = _finite_range(x, name)
    slack = tolerance(x.dtype)
    if low < -slack or high > 1 + slack:
        raise ValueError(
            f"{name}: expected values in [0, 1], got {_shown(x, low, high)}: {_range_advice(low, high, name)}"
        )
    return low >= 0 and high <= 1


def limited(x: Tensor) -> Tensor:
    """Move every value of x into [0, 1]; NaN stays. The derivative is 1 as far as rounding reaches, 0 beyond."""
    if not x.requires_grad and not recording():
        return x.clamp(0, 1)
    slack = tolerance(x.dtype)
    near = x.clamp(-slack, 1 + slack)
    return near + (x.clamp(0, 1) - near).detach()  # exact: the difference of two numbers as close as these is


def precise(x: Tensor) -> Tensor:
    """Return x in float32 or better: powers, logarithms and sums need more digits on the way than half has."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def floating(x: Tensor, name: str = "x") -> None:
    """Require a floating-point tensor of any shape."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a floating-point tensor, got {type(x).__name__}: convert it to a tensor")
    if not x.is_floating_point():
        advice = _float_advice(x.dtype, name)
        raise TypeError(f"{name}: expected a floating-point tensor, got {x.dtype}: {advice}")


def non_negative(x: Tensor, name: str = "x") -> Tensor:
    """Require a floating-point tensor of finite values >= 0, up to `tolerance`, and return it with negatives at 0.

    Values are looked at where they are `readable`. The derivative is 1 as far as rounding reaches, 0 below.
    """
    floating(x, name)
    if readable(x):
        if x.numel() == 0:
            return x
        low, high = _finite_range(x, name)
        if low >= 0:
            return x
        if low < -tolerance(x.dtype):
            raise ValueError(
                f"{name}: expected finite values >= 0, got {_shown(x, low, high)}: {_light_advice(low, name)}"
            )
    near = x.clamp(min=-tolerance(x.dtype))
    return near - near.clamp(max=0).detach()


def _finite_range(x: Tensor, name: str) -> tuple[float, float]:
    low, high = (v.item() for v in x.detach().aminmax())
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"{name}: contains NaN; look for a division by zero before this call")
    if math.isinf(low) or math.isinf(high):
        raise ValueError(
            f"{name}: expected finite values, got {_shown(x, low, high)}: "
            "look for an overflow or a division by zero before this call"
        )
    return low, high


def _shown(x: Tensor, *values: float) -> str:
    """The values in the fewest digits that tell them from their neighbors: 1.0000002 does not become 1."""
    exact = np.float64 if x.dtype == torch.float64 else np.float32
    return f"[{', '.join(str(exact(value)) for value in values)}]"


def _float_advice(dtype: torch.dtype, name: str) -> str:
    """How a tensor of another type becomes floating point."""
    if dtype == torch.uint8:
        return (
            f"divide 8-bit images by 255, {name}.float() / 255 or torchvision's v2.ToDtype(torch.float32, scale=True)"
        )
    if dtype == torch.uint16:
        return f"divide 16-bit images by 65535, {name}.float() / 65535"
    return f"convert it with {name}.float()"


def _range_advice(low: float, high: float, name: str) -> str:
    """What probably brings values from `low` to `high` into [0, 1]."""
    it = name if name.isidentifier() else f"({name})"
    if low < -0.5 and high < 16:
        return f"undo mean/std normalization, {it} * std + mean, or clamp noise with {it}.clamp(0, 1)"
    if high <= 2:
        return f"clamp what resizing or noise leaves outside with {it}.clamp(0, 1)"
    then = "" if low >= 0 else ", then clamp with clamp(0, 1)"
    if high <= 1.3 * 255:  # a bicubic resize of 8 bits ends there
        return f"divide 8-bit images by 255, {it} / 255, 16-bit ones by 65535{then}"
    if high <= 1.3 * 65535:
        return f"divide 16-bit images by 65535, {it} / 65535, 12-bit ones by 4095{then}"
    return f"divide by the value of white{then}"


def _light_advice(low: float, name: str) -> str:
    """What probably makes light of values that go down to `low`."""
    without = "pass the image itself, in [0, 1], and leave out mean/std normalization before this call"
    if low < -0.5:
        return without
    return f"clamp what a bicubic resize or noise leaves below 0 with {name}.clamp(min=0); else {without}"


def positive(value: float | Tensor, name: str) -> None:
    """Require a positive finite number or a tensor of them (tensor values: where `readable`)."""
    if isinstance(value, Tensor):
        ok = all_true((value > 0) & value.isfinite())
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
    """A number as it is; a tensor in a shape that multiplies the images of x one by one, in float32 or better."""
    if not isinstance(value, Tensor):
        return value
    if value.ndim == 0:
        return precise(value)
    if value.shape != x.shape[:-3]:
        raise ValueError(
            f"{name}: expected a number or one value per image, shape {tuple(x.shape[:-3])}, "
            f"got shape {tuple(value.shape)} for images of shape {tuple(x.shape)}"
        )
    return value[..., None, None, None].to(x.device, torch.promote_types(x.dtype, torch.float32))


def whole(value: int, name: str, least: int) -> None:
    """Require an int of at least `least`."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
