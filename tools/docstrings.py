"""Sphinx extension: lets docstrings stay plain text with `code` in single backticks.

reStructuredText would read `|x|` as a substitution, `*` as emphasis and single backticks as a title.
Doctest lines are left alone.
"""

from __future__ import annotations

import re
from typing import Any


def plain_to_rst(line: str) -> str:
    r"""Escape one line; double the backticks around code.

    >>> print(plain_to_rst("`(*, C)` and |x| * 2"))
    ``(*, C)`` and \|x\| \* 2
    """
    if line.lstrip().startswith((">>>", "...")):
        return line
    parts = re.split(r"(`+[^`]+`+)", line)
    return "".join(f"``{p.strip('`')}``" if p.startswith("`") else re.sub(r"([*|\\])", r"\\\1", p) for p in parts)


def process(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place, before its sections are read.

    Source, differences and what other libraries have are a paragraph each, however far their further lines are
    indented: reStructuredText would make a term and its definition of them.
    """
    found, closing = [], False
    for line in lines:
        if line.startswith(("Source:", "Differs from", "Elsewhere:")):
            found.append("")
            closing = True
        elif closing and not line.startswith("    "):
            closing = False
        found.append(plain_to_rst(line.strip() if closing else line))
    lines[:] = found


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx; a low number runs before napoleon."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
