"""Sphinx extension: the page of claims gets its tables from `book/claims/papers.yml` and the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MARK = "% The tables are made here by tools/claims_page.py."


def fill(app: Any, name: str, source: list[str]) -> None:
    """Put the tables in the place of the mark."""
    if MARK in source[0]:
        from facelight_lab.claims import papers

        source[0] = source[0].replace(MARK, papers.table(Path(app.srcdir) / "book"))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
