"""Locks between processes, on file systems that may have none."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock


def lock(path: Path) -> FileLock:
    """A lock of the operating system, not held yet; that of a process that dies is free again.

    Raises:
        OSError: the folder cannot be written, or its file system has no such locks. (There `filelock` would use a file
            whose existence is the lock, and might wait for ever for a process that was killed.)
    """
    with contextlib.suppress(ImportError):  # Windows has other locks, on every file system
        import fcntl

        with tempfile.TemporaryFile(dir=path.parent) as probe:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return FileLock(path)


@contextlib.contextmanager
def locked(path: Path, advice: str) -> Iterator[None]:
    """Hold a lock; where there is none to be had, go on without it and warn, with the advice."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path).acquire())
        except OSError as problem:
            warnings.warn(
                f"{path.parent} has no locks for us ({problem.strerror}): going on without them; start no second "
                f"process that does the same work, or {advice}",
                stacklevel=4,
            )
        yield
