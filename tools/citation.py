"""Sphinx extension: the directive `citation-box` says who made the book, in which version, and how to cite it.

All of it is read from `CITATION.cff`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FILE = Path(__file__).resolve().parents[1] / "CITATION.cff"
TEXT_LICENSE = "https://creativecommons.org/licenses/by/4.0/"


def names(facts: dict[str, Any]) -> list[str]:
    """The authors as BibTeX has them: a group in braces, a person family name first."""
    people = facts["authors"]
    return [f"{{{p['name']}}}" if "name" in p else f"{p['family-names']}, {p['given-names']}" for p in people]


def bibtex(facts: dict[str, Any]) -> str:
    """A BibTeX entry from the fields of a CITATION.cff.

    >>> print(bibtex({"title": "T", "authors": [{"name": "The authors"}], "version": 1, "url": "u", "license": "MIT",
    ...               "date-released": "2026-11-22"}))
    @software{facelight2026,
      author  = {{The authors}},
      title   = {T},
      version = {1},
      year    = {2026},
      license = {MIT},
      url     = {u},
    }
    """
    year = str(facts["date-released"])[:4]
    fields = {"author": " and ".join(names(facts)), "title": facts["title"], "version": facts["version"], "year": year}
    fields |= {"license": facts["license"], "url": facts["url"]}
    lines = "".join(f"  {name:7} = {{{value}}},\n" for name, value in fields.items())
    return f"@software{{facelight{year},\n{lines}}}"


class CitationBox(SphinxDirective):
    """Authors, version and licenses in a line, and the BibTeX entry with a button that copies it."""

    def run(self) -> list[nodes.Node]:
        """The nodes of the box."""
        self.env.note_dependency(str(FILE))
        facts = yaml.safe_load(FILE.read_text(encoding="utf-8"))
        who = " and ".join(name.strip("{}") for name in names(facts))
        line = nodes.paragraph("", f"{who}. Version {facts['version']}, {facts['date-released']}. Code: ")
        line += nodes.reference("", facts["license"], refuri=f"{facts['repository-code']}/blob/main/LICENSE")
        line += nodes.Text(" license; text and figures: ")
        line += nodes.reference("", "CC BY 4.0", refuri=TEXT_LICENSE)
        line += nodes.Text(".")
        entry = nodes.literal_block("", bibtex(facts), language="bibtex")
        return [nodes.container("", line, entry, classes=["citation-box"])]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("citation-box", CitationBox)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
