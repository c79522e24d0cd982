"""Waiting for other processes and threads: always for something that happens, with one limit for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

# Seconds. On two idle cores nothing that is waited for takes 60; a busy machine may need ten times as long. The limit
# only ends a test that hangs: no test may be quicker or slower, or right or wrong, because of it.
PATIENCE = 900.0


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain"
        time.sleep(0.005)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter to its end: `python("-c", code)`, with these environment variables besides."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=os.environ | environment,
    )
