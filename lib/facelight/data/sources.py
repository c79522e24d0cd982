"""Where data sets and caches lie on disk. No decoding of images here."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Directory for what can be made again: `FACELIGHT_CACHE`, else the user cache directory."""
    return Path(os.environ.get("FACELIGHT_CACHE") or platformdirs.user_cache_dir("facelight"))


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Directory that holds the data sets: `root`, else `FACELIGHT_DATA`, else `data` in the user cache directory."""
    return Path(root or os.environ.get("FACELIGHT_DATA") or cache_root() / "data")
