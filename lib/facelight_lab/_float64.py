"""The experiments' own code, unchanged, in float64 on the CPU: what all processors compute alike, to about 1e-10."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from facelight import train

DRAWN = 4096  # random numbers for a tensor, about
_RANDOM = (Tensor.normal_, Tensor.uniform_, nn.init.kaiming_uniform_)


class _Double(TorchFunctionMode):
    """Within it the experiments' code, unchanged, computes in float64, and draws what all processors draw alike."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.float:
            return args[0].double()
        if func in _RANDOM:
            x, *args = args or [kwargs.pop("tensor")]
            return _repeated(func, x, *args, **kwargs)
        return (_dropout if func is F.dropout else func)(*args, **kwargs)


@torch.no_grad()
def _repeated(draw: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Fill x with few random numbers, over and over: to draw millions of them would take most of the time."""
    if x.numel() <= DRAWN:
        return draw(x, *args, **kwargs)
    rows = max(1, DRAWN // x[0].numel())
    few = draw(x[:rows].clone(), *args, **kwargs).flatten()[:-1]  # one number less, so that no two rows are equal
    flat, whole = x.view(-1), x.numel() // len(few) * len(few)
    flat[:whole].view(-1, len(few)).copy_(few)
    flat[whole:].copy_(few[: len(flat) - whole])
    return x


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """PyTorch draws what drops out by Intel's library where it has it, and otherwise other numbers."""
    return x * (torch.rand_like(x) >= p) / (1 - p) if training else x


@contextlib.contextmanager
def in_double() -> Iterator[None]:
    """Float64 on the CPU where the code leaves that open or asks for `float()`; the random state is put back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng(devices=[]), train.on_device("cpu"), _Double():
            yield
    finally:
        torch.set_default_dtype(before)
