"""The code that pages of the book show and do not run."""

import re
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1] / "book"


def blocks(page: str) -> dict[str, list[str]]:
    """The Python of a page, by heading."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", (BOOK / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        found[heading] = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return found
