"""Starts Warp without a word on stdout or stderr, with a kernel cache that can be written. No kernels here."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from facelight import _files
from facelight.data.sources import cache_root


@functools.lru_cache(maxsize=1)
def warp_module() -> ModuleType:
    """Warp, initialized in silence; call it before anything else that may use Warp (anny's skinning does).

    Compiled kernels are kept where Warp keeps them (`WARP_CACHE_PATH`, else the user cache directory); when that
    cannot be written, in `FACELIGHT_CACHE`; else in a temporary directory of this process, with a warning that says how
    to choose another place.

    Returns:
        The module `warp`.

    >>> warp_module().config.quiet
    True
    """
    import warp

    warp.config.quiet = True
    if hasattr(warp, "LOG_WARNING"):
        warp.config.log_level = warp.LOG_WARNING
    if warp.config.kernel_cache_dir is None and (folder := _kernel_folder()) is not None:
        warp.config.kernel_cache_dir = str(folder)
    with _native_stderr_closed():
        warp.init()
    return warp


def _kernel_folder() -> Path | None:
    """Where compiled kernels are kept; None: where Warp keeps them by itself."""
    chosen, usual = os.environ.get("WARP_CACHE_PATH"), _files.user_cache("warp", "NVIDIA")
    wanted = _files.expanded(chosen, "WARP_CACHE_PATH") if chosen else usual
    if wanted is not None and _writable(wanted):
        return wanted if chosen else None
    if os.environ.get("FACELIGHT_CACHE") and _writable(cache_root() / "warp"):
        other, how_long = cache_root() / "warp", ""
        if wanted is None:
            return other
    else:
        other, how_long = Path(tempfile.mkdtemp(prefix="facelight-warp-")), " for this process only"
        atexit.register(shutil.rmtree, other, ignore_errors=True)  # private, since what lies there is run
    warnings.warn(
        f"Warp cannot keep its compiled kernels in {wanted or 'the cache directory of the user'} (not writable): using "
        f"{other} instead{how_long}; set WARP_CACHE_PATH to a directory that can be written to choose another place",
        stacklevel=3,
    )
    return other


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
