"""Loops that numba compiles, on several threads: `loop` and `in_parts`. Imported only where numba is installed.

They run on as many threads as `torch.set_num_threads` says. These are Python's threads, and numba's loops let go of
the interpreter's lock. OpenMP, which numba has too, could neither be forked after its first use nor be entered by two
threads at once. A loop is compiled when it is first needed, for each type of numbers apart, and kept on the disk for
later processes.
"""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

from facelight import _machine
from facelight._extras import extra

with extra("fast"):
    import numba

_NUMBERS_A_THREAD = 2**14  # fewer are done before another thread has begun


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call; keep what was compiled on the disk, if there is a place for it."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return numba.njit(**options)(function)


def parts(array: Any) -> list[int]:
    """Bounds of parts of the rows of an array (R, W), one a thread, that are equally long."""
    threads = max(1, min(torch.get_num_threads(), array.size // _NUMBERS_A_THREAD, len(array)))
    return [len(array) * part // threads for part in range(threads + 1)]


def in_parts(run: Any, bounds: list[int], *arguments: Any) -> list[Any]:
    """What a compiled loop returns for rows `bounds[0]` to `bounds[1]`, and so on, each part on a thread of its own."""
    ready, start = len(run.overloads), time.perf_counter()
    others = [_threads().submit(run, *part, *arguments) for part in pairwise(bounds[1:])]
    found = [run(bounds[0], bounds[1], *arguments), *(other.result() for other in others)]
    if len(run.overloads) > ready and run.stats.cache_misses:
        _say_once(time.perf_counter() - start, run.stats.cache_path)
    return found


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _machine.processors()), "facelight")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # the threads are not there any more

_said: list[float] = []


def _say_once(seconds: float, folder: str | None) -> None:
    if not _said:
        kept = f"kept in {folder}" if folder else "kept by this process only: no folder can be written to"
        warnings.warn(
            f"numba compiled a loop of facelight in {seconds:.1f} s; some more follow, each {kept}", stacklevel=2
        )
    _said.append(seconds)
