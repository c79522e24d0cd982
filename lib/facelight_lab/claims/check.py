"""Claims of a page: read from its file, evaluated, and compared with the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab.claims.names import Names, flat
from facelight_lab.claims.prose import UKRAINIAN, Number, language, masked, numbers, prose

with extra("book"):
    import yaml

SOURCES = ("records", "computed", "printed", "holds")


@dataclass(frozen=True)
class Claim:
    """A fragment of a page and where its numbers come from.

    Args:
        text: as it stands on the page, on one line.
        source: "records", "computed", "printed" or "holds".
        expressions: Python, or of "printed" parts of stored outputs.
    """

    text: str
    source: str
    expressions: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A page of the book with its claims.

    Args:
        path: of the page.
        source: its text.
        claims: see `Claim`.
        patterns, allowed: regular expressions and texts whose numbers need no claim, on all pages and on this one.
        define: Python.
    """

    path: Path
    source: str
    claims: tuple[Claim, ...] = ()
    patterns: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    define: str = ""

    @property
    def stale(self) -> list[str]:
        """What is allowed and not there."""
        return [text for text in self.allowed if text not in self.text]

    @cached_property
    def text(self) -> str:
        """The prose."""
        return prose(self.source)

    @cached_property
    def masked(self) -> str:
        """The prose, blank where no number counts."""
        return masked(self.text, self.patterns, self.allowed, self.lang)

    @cached_property
    def lang(self) -> str:
        """The language of the text."""
        return language(self.source)

    @cached_property
    def names(self) -> Names:
        """What the expressions know."""
        return Names(self.source, self.define)

    @cached_property
    def outputs(self) -> str:
        """What the cells of the page's notebook printed that are compared, on one line."""
        notebook = self.path.parents[1] / "notebooks" / f"{self.path.stem}.ipynb"
        if not notebook.is_file():
            return ""
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        found = [out for cell in cells for out in cell.get("outputs", ())]
        texts = ["".join(out.get("text") or out.get("data", {}).get("text/plain", "")) for out in found]
        return " ".join(" ".join(texts).split())

    def span(self, claim: Claim) -> tuple[int, int]:
        """Where a claim stands.

        Raises:
            ValueError: nowhere, or more than once.
        """
        if (count := self.text.count(claim.text)) != 1:
            there = "is not on the page" if not count else f"stands {count} times on the page: take more of it"
            raise ValueError(f"the text {there}")
        return (start := self.text.index(claim.text)), start + len(claim.text)


def read(path: Path, everywhere: Mapping[str, str] | None = None) -> Page:
    """The page of a file `book/claims/*.yml`, or a page without one.

    Args:
        path: of the file; or of a page in Markdown, of which nothing is claimed.
        everywhere: patterns that are allowed on all pages, with the reason.

    Raises:
        ValueError: an entry is not as `facelight_lab.claims` says.
    """
    patterns = tuple(everywhere or ())
    if path.suffix == ".md":
        return Page(path, path.read_text(encoding="utf-8"), patterns=patterns)
    with path.open(encoding="utf-8") as text:
        given = yaml.safe_load(text)
    if unknown := set(given) - {"page", "define", "claims", "allowed"}:
        raise ValueError(f"{path.name}: unknown {', '.join(sorted(unknown))}")
    page = path.parents[1] / given["page"]
    own = tuple(" ".join(one["text"].split()) for one in given.get("allowed") or () if _explained(path, one))
    claims = tuple(_claim(path, one) for one in given.get("claims") or ())
    return Page(page, page.read_text(encoding="utf-8"), claims, patterns, own, given.get("define", ""))


def pages(book: Path) -> dict[str, Page]:
    """All pages of the book in Markdown, those without claims too, by their path below it.

    Args:
        book: the folder.
    """
    everywhere = {one["pattern"]: one["why"] for one in yaml.safe_load((book / "claims" / "allowed.yml").read_text())}
    found = {path.relative_to(book).as_posix(): read(path, everywhere) for path in sorted(book.rglob("*.md"))}
    for path in sorted((book / "claims").glob("*.yml")):
        if path.stem not in ("allowed", "papers"):
            page = read(path, everywhere)
            found[page.path.relative_to(book).as_posix()] = page
    return found


def check(page: Page) -> list[str]:
    """What is wrong with the claims of a page, each with its sentence; an empty list when nothing is."""
    wrong = [f"{text!r} is allowed but not on the page" for text in page.stale]
    try:
        page.names.evaluate("True")
    except Exception as error:
        return [*wrong, f"define: {type(error).__name__}: {error}"]
    for claim in page.claims:
        try:
            start, end = page.span(claim)
            said = list(numbers(" " * start + page.masked[start:end]))
            wrong += [f"{claim.text!r}: {fault}" for fault in _faults(page, claim, said)]
        except Exception as error:  # whatever an expression does wrong is told with its sentence
            wrong.append(f"{claim.text!r}: {type(error).__name__}: {error}")
    return wrong


def unclaimed(page: Page) -> list[str]:
    """The numbers of a page that no claim has, each with what stands around it; in Ukrainian those in words, too."""
    covered = set()
    for claim in page.claims:
        if page.text.count(claim.text) == 1:
            covered |= set(range(*page.span(claim)))
    found = [(one.start, one.end) for one in numbers(page.masked) if one.start not in covered]
    found += [one.span() for one in UKRAINIAN.finditer(page.masked) if page.lang == "uk"]
    return [f"{page.text[a:b].strip()} in: ...{page.text[max(0, a - 60) : b + 40]}..." for a, b in found]


def _faults(page: Page, claim: Claim, said: list[Number]) -> Iterator[str]:
    if claim.source == "holds":
        if said:
            yield f"`holds` proves no number, and the text has {', '.join(one.text for one in said)}"
        for expression in claim.expressions:
            if not bool(page.names.evaluate(expression)):
                yield f"does not hold: {expression}"
        return
    values = list(_values(page, claim))
    if len(values) != len(said):
        told, got = ", ".join(one.text for one in said), ", ".join(f"{value:.5g}" for value in values)
        yield f"{len(said)} numbers ({told}) in the text, {len(values)} values ({got})"
        return
    for one, value in zip(said, values, strict=True):
        if not one.agrees(value):
            yield f"the text says {f'{one.bound} {one.text}'.strip()}, the value is {one.written(value)} ({value:.6g})"


def _values(page: Page, claim: Claim) -> Iterator[float]:
    for expression in claim.expressions:
        if claim.source == "printed":
            if expression not in page.outputs:
                raise ValueError(f"{expression!r} is in no stored output of the page's notebook")
            yield from (one.value for one in numbers(expression) if one.kind == "digits")
        else:
            yield from flat(page.names.evaluate(expression))


def _claim(path: Path, given: Mapping[str, Any]) -> Claim:
    sources = [name for name in SOURCES if name in given]
    if len(sources) != 1 or set(given) - {"text", *sources}:
        raise ValueError(f"{path.name}: expected `text` and one of {', '.join(SOURCES)}, got {dict(given)}")
    found = given[sources[0]]
    texts = found if isinstance(found, list) else [found]
    return Claim(" ".join(str(given["text"]).split()), sources[0], tuple(" ".join(str(t).split()) for t in texts))


def _explained(path: Path, given: Mapping[str, str]) -> bool:
    if set(given) != {"text", "why"}:
        raise ValueError(f"{path.name}: `allowed` has `text` and `why`, got {dict(given)}")
    return True
