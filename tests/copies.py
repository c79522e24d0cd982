"""A copy of the repository, in which a test adds what a contributor would add."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copied(there: Path) -> Path:
    """Copy sources, tests and chapters to an empty folder, and return it."""
    for name in ("lib", "tests", "tools", "book"):
        shutil.copytree(ROOT / name, there / name, ignore=shutil.ignore_patterns("__pycache__", "_build", "*.ipynb"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, there)
    return there
