"""Which of the two ways of computing on gray levels runs: PyTorch's operations, or loops that numba has compiled."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType

from torch import Tensor

from facelight import _check
from facelight._graph import plain_operations_needed
from facelight.enhance import _levels_torch

__all__ = ["histogram_path", "use_histogram_path"]

PATHS = ("numba", "torch")
_CHOSEN: ContextVar[str | None] = ContextVar("path", default=None)


def histogram_path() -> str:
    """How histogram methods are computed on a CPU: "numba", as compiled loops, or "torch", by PyTorch's operations.

    "numba" where that package is installed (`pip install "facelight[fast]"`), unless `use_histogram_path` or the
    environment variable `FACELIGHT_HISTOGRAMS=torch` says otherwise. On other devices, and while `torch.compile`,
    `torch.export` or `torch.jit.trace` looks, it is "torch" in any case. Both give the same pictures and gradients, up
    to rounding.

    >>> with use_histogram_path("torch"):
    ...     histogram_path()
    'torch'
    """
    chosen = _CHOSEN.get() or os.environ.get("FACELIGHT_HISTOGRAMS") or PATHS[0]
    _check.one_of(chosen, PATHS, "FACELIGHT_HISTOGRAMS")
    return "numba" if chosen == "numba" and _why_not() is None else "torch"


@contextlib.contextmanager
def use_histogram_path(path: str) -> Iterator[None]:
    """Within it histogram methods are computed this way, see `histogram_path`.

    Args:
        path: "numba" or "torch".

    Raises:
        ValueError: another name.
        ModuleNotFoundError: numba is not installed, or does not go with the installed NumPy.
    """
    _check.one_of(path, PATHS, "path")
    if path == "numba" and (reason := _why_not()):
        raise ModuleNotFoundError(f'the path "numba" cannot be taken: {reason}')
    token = _CHOSEN.set(path)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def compiled(x: Tensor) -> bool:
    """Whether compiled loops work on this tensor; the transforms of `torch.func` wrap theirs."""
    plain = x.device.type == "cpu" and _check.readable(x) and not plain_operations_needed()
    return plain and histogram_path() == "numba"


def operations(fast: bool) -> ModuleType:
    """The module with the compiled operations, or that with PyTorch's."""
    return loops("_levels_numba") if fast else _levels_torch


@functools.cache
def loops(name: str) -> ModuleType:
    """A module of compiled loops, imported at its first use: importing numba takes half a second."""
    return importlib.import_module(f"facelight.enhance.{name}")


@functools.cache
def _why_not() -> str | None:
    """Why numba cannot be used; None if it can."""
    try:
        loops("_levels_numba")
    except ImportError as error:
        return str(error)
    return None
