"""Which source code is running: a checkpoint of other code is not continued."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from facelight import _files

PACKAGES = ("facelight", "facelight_render", "facelight_lab")
LIBRARY = Path(__file__).parents[1]  # the folder that holds them


@functools.cache  # as it was when it was first asked for, not what is edited meanwhile
def code() -> str:
    """Twelve digits that stand for the source of the three packages."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in _files.visible((LIBRARY / package).rglob("*.py"), LIBRARY):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
