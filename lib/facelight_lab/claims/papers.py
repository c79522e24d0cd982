"""The claims of the two papers, each with what was measured and the verdict: `book/claims/papers.yml` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab.claims.check import Page, pages
from facelight_lab.claims.names import flat
from facelight_lab.statistics import PairedDifference

with extra("book"):
    import yaml

KEYS = {"claim", "where", "page", "measured", "values", "says", "of", "holds", "else", "evidence", "command"}


def verdict(found: PairedDifference, says: int) -> str:
    """What an interval says of a claim about a sign.

    Args:
        found: the difference that was measured.
        says: -1 or +1, the sign that is claimed; 0, that there is no difference.

    Returns:
        Of a sign: "confirmed" where the whole interval is on its side, "contradicted" where it is on the other one,
        else "not confirmed". Of no difference: "contradicted" where the interval leaves 0 out, else "no difference
        seen".

    >>> verdict(PairedDifference(1.0, 0.5, 1.5, 4.0, 0.01, 0.03, 6), -1)
    'contradicted'
    """
    if found.low <= 0 <= found.high:
        return "not confirmed" if says else "no difference seen"
    return "confirmed" if says * found.mean > 0 else "contradicted"


def table(book: Path) -> str:
    """The claims of `book/claims/papers.yml` as tables in Markdown, one for each paper.

    Args:
        book: the folder.

    Raises:
        ValueError: an entry has other keys than these, or numbers that do not fit its text. `claim`, `where` it stands
            in the paper; `measured`, a text with places such as {:.2f} for `values`, expressions of the page `page`,
            see `facelight_lab.claims`; `says`, the sign that is claimed, and `of`, a paired difference; or `holds`, an
            expression, and `else`, what is said if it does not hold, by default "contradicted"; `evidence`, a link;
            `command`, which repeats the runs.
    """
    there = pages(book)
    papers = yaml.safe_load((book / "claims" / "papers.yml").read_text(encoding="utf-8"))
    parts = []
    for title, given in papers.items():
        head = "| claim | measured | verdict | evidence | repeat with |\n|---|---|---|---|---|"
        parts.append(f"## {title}\n\n{head}\n" + "\n".join(row(one, there) for one in given))
    return "\n\n".join(parts) + "\n"


def row(given: Mapping[str, Any], there: Mapping[str, Page]) -> str:
    """A claim as a row of the table; see `table`."""
    if unknown := set(given) - KEYS:
        raise ValueError(f"{given['claim']!r}: unknown {', '.join(sorted(unknown))}")
    names = there[given["page"]].names
    values = flat(names.evaluate(given["values"])) if "values" in given else []
    measured = " ".join(given["measured"].split())
    if (places := measured.count("{")) != len(values):
        raise ValueError(f"{given['claim']!r}: {places} places in `measured`, {len(values)} values")
    if "of" in given:
        said = verdict(names.evaluate(given["of"]), given["says"])
    else:
        said = "confirmed" if bool(names.evaluate(given["holds"])) else given.get("else", "contradicted")
    command = f"`{given['command']}`"
    where = f" ({given['where']})" if "where" in given else ""
    return f"| {given['claim']}{where} | {measured.format(*values)} | {said} | {given['evidence']} | {command} |"
