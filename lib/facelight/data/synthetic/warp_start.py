"""Starts Warp without a word on stdout or stderr, with a kernel cache that can be written. No kernels here."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import platformdirs


@functools.lru_cache(maxsize=1)
def warp_module() -> ModuleType:
    """Warp, initialised in silence; call it before anything else that may use Warp (anny's skinning does).

    Compiled kernels are kept where Warp keeps them (`WARP_CACHE_PATH`, else the user cache directory); when that
    cannot be written, in a temporary directory, with a warning that says how to choose another place.

    Returns:
        The module `warp`.

    >>> warp_module().config.quiet
    True
    """
    import warp

    warp.config.quiet = True
    if hasattr(warp, "LOG_WARNING"):
        warp.config.log_level = warp.LOG_WARNING
    if warp.config.kernel_cache_dir is None:
        wanted = os.environ.get("WARP_CACHE_PATH") or platformdirs.user_cache_dir("warp", "NVIDIA")
        if not _writable(Path(wanted)):
            other = Path(tempfile.gettempdir()) / f"facelight-warp-{getattr(os, 'getuid', lambda: 0)()}"
            warnings.warn(
                f"Warp cannot keep its compiled kernels in {wanted} (not writable): using {other} instead; "
                "set WARP_CACHE_PATH to a directory that can be written to choose another place",
                stacklevel=2,
            )
            warp.config.kernel_cache_dir = str(other)
    with _native_stderr_closed():
        warp.init()
    return warp


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Discard what native code writes to file descriptor 2: Warp's library reports a missing CUDA driver there."""
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
