"""MyST as plain Markdown: what the chapters of the book become in notebooks, which Colab shows without Sphinx.

`Book` knows what the pages share: numbers of figures and equations as Sphinx gives them, references, addresses.
`Page` converts the text of one page. `plain` converts a notebook and puts the caption of each figure below its cell.
Code and mathematics are not touched.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

FIGURE = re.compile(r"^mystnb:\n  figure:\n(?:    .+\n)*?    name: (\S+)$", re.MULTILINE)  # in the options of a cell
EQUATION = re.compile(r"\$\$ *\(([\w-]+)\)")
ANCHOR = re.compile(r"^[ \t]*\(([\w-]+)\)=[ \t]*\n+(?:#+ (.*))?", re.MULTILINE)
FENCE = re.compile(r"(?P<indent> *)(?P<mark>`{3,}|:{3,})(?:\{(?P<name>[\w-]+)\})?(?P<rest>[^`]*)")
TOKEN = re.compile(
    r"""
    \\[\\`$]                                                                                # an escaped sign
  | (?P<display>\$\$.+?)(?P<end>\s*\$\$)(?:[ ]*\((?P<label>[\w-]+)\))?                      # a displayed equation
  | \{(?P<role>[\w:-]+)\}`(?P<target>[^`]+)`
  | (?P<ticks>`+).+?(?<!`)(?P=ticks)(?!`)                                                   # code
  | \$(?:[^$\n]|\n(?!\s*\n))+\$                                                             # mathematics in a line
  | (?<=\])\((?P<link>[^()\s]+)\)
    """,
    re.VERBOSE | re.DOTALL,
)
ADMONITIONS = {
    **{name: name.capitalize() for name in ("attention", "caution", "danger", "error", "hint", "important", "note")},
    **{"tip": "Tip", "warning": "Warning", "seealso": "See also", "admonition": ""},
}


class Numbered(NamedTuple):
    """A figure or an equation: the page that has it, such as "book/01_theory", and its number, such as "1.2"."""

    page: str
    number: str


def pages(toc: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The pages of a table of contents in their order, each with the number of its chapter, "" when it has none."""
    yield toc["root"], ""
    number = 0
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            number += bool(part.get("numbered"))
            for entry in (chapter, *chapter.get("sections", [])):
                yield entry["file"], str(number) if part.get("numbered") else ""


def people(entry: Entry) -> str:
    """Who wrote a work, as a text names them: "A", "A and B", "A et al."."""
    names = []
    for person in entry.persons.get("author") or entry.persons["editor"]:
        names.append(" ".join(str(part) for part in (*person.rich_prelast_names, *person.rich_last_names)))
    return f"{names[0]} et al." if len(names) > 2 or names[-1] == "others" else " and ".join(names)


class Book:
    """What the pages of a book share, read from the files in `root`."""

    def __init__(self, root: Path) -> None:
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        self.address: str = config["html"]["baseurl"]
        (references,) = config["bibtex_bibfiles"]
        self.references = parse_file(str(root / references))
        self.figures: dict[str, Numbered] = {}
        self.equations: dict[str, Numbered] = {}
        self.anchors: dict[str, tuple[str, str]] = {}  # the page and the heading that a label stands before
        self.titles: dict[str, str] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for page, chapter in pages(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))):
            text = (root / f"{page}.md").read_text(encoding="utf-8")
            self.titles[page] = next(iter(re.findall(r"^# (.*)$", text, re.MULTILINE)), page)
            self.anchors |= {label: (page, heading) for label, heading in ANCHOR.findall(text)}
            for kind, found in (("figures", FIGURE.findall(text)), ("equations", EQUATION.findall(text))):
                for label in found:
                    counts[kind, chapter] += 1
                    number = f"{chapter}.{counts[kind, chapter]}" if chapter else str(counts[kind, chapter])
                    getattr(self, kind)[label] = Numbered(page, number)

    def list_of(self, keys: set[str]) -> list[str]:
        """The references with these keys, one a line, formatted and sorted as on the pages."""
        style = find_plugin("pybtex.style.formatting", "alpha")()
        backend = find_plugin("pybtex.backends", "markdown")()
        texts = [entry.text.render(backend) for entry in style.format_bibliography(self.references, sorted(keys))]
        return ["- " + re.sub(r"\\([-.(){}#+!])", r"\1", text.replace("\n", " ")) for text in texts]


class Page:
    """One page of a book, whose text becomes plain Markdown.

    Args:
        book: what it shares with other pages.
        name: its place, such as "book/01_theory".

    `cited` has the keys of the works that the texts converted so far cite.
    """

    def __init__(self, book: Book, name: str) -> None:
        self.book, self.name = book, name
        self.cited: set[str] = set()

    def fault(self, text: str) -> ValueError:
        """The error that says what is wrong with this page."""
        return ValueError(f"{self.name}.md: {text}")

    def text(self, source: str) -> str:
        """The plain Markdown of a text.

        Raises:
            ValueError: a key is unknown, a link leads nowhere, or a role or a directive has no plain form.
        """
        return "\n".join(self.blocks(source.split("\n")))

    def blocks(self, lines: list[str]) -> list[str]:
        """Convert lines: fences of code stay, directives and prose are converted, labels are dropped."""
        done: list[str] = []
        prose: list[str] = []
        place = 0
        while place < len(lines):
            fence = FENCE.fullmatch(lines[place])
            if fence:
                done += self.prose(prose)
                prose = []
                end = self.closing(lines, place, fence)
                done += self.fenced(fence, lines[place:end])
                place = end
            else:
                prose.append(lines[place])
                place += 1
        return done + self.prose(prose)

    def closing(self, lines: list[str], start: int, fence: re.Match[str]) -> int:
        """The number of the line after the one that closes a fence; of the next line when a code cell divides it."""
        mark = fence["mark"]
        for number in range(start + 1, len(lines)):
            line = lines[number].strip()
            if line.startswith(mark) and not line.strip(mark[0]) and (fence["name"] or mark[0] == "`"):
                return number + 1
        if mark[0] == ":":
            return start + 1
        raise self.fault(f"nothing closes {lines[start].strip()!r}")

    def fenced(self, fence: re.Match[str], lines: list[str]) -> list[str]:
        """The plain lines of a fence, whose first line is matched by `FENCE`."""
        indent, name, title = fence["indent"], fence["name"], fence["rest"].strip()
        if not name:  # code, or the end of a directive that a code cell divides
            return lines if fence["mark"][0] == "`" else []
        if len(lines) == 1:  # its beginning
            return [f"{indent}**{self.inline(title) or ADMONITIONS.get(name, name)}**"]
        body = [line.removeprefix(indent) for line in lines[1:-1]]
        return [f"{indent}{line}" if line else "" for line in self.directive(name, title, body)]

    def directive(self, name: str, title: str, body: list[str]) -> list[str]:
        """The plain lines of a directive."""
        options = {}
        while body and (option := re.fullmatch(r":([\w-]+):(.*)", body[0])):
            options[option[1]] = option[2].strip()
            body = body[1:]
        if name == "bibliography":
            return self.book.list_of(self.cited)
        if name == "code-cell":  # in a list, where it is no cell
            return ["```python", *body, "```"]
        inner = "\n".join(self.blocks(body)).strip("\n").split("\n")
        title = self.inline(title) or ADMONITIONS.get(name, "")
        if name == "dropdown" or (name in ADMONITIONS and "dropdown" in options.get("class", "").split()):
            return ["<details>", f"<summary>{title}</summary>", "", *inner, "", "</details>"]
        if name in ADMONITIONS:
            return [f"> {line}".rstrip() for line in (f"**{title}**", "", *inner)]
        raise self.fault(f"the directive {name!r} has no plain form: give it one in tools/plain_markdown.py")

    def prose(self, lines: list[str]) -> list[str]:
        """Convert lines without fences."""
        kept = [line for line in lines if not re.fullmatch(r"\s*\([\w-]+\)=\s*", line)]
        return self.inline("\n".join(kept)).split("\n") if kept else []

    def inline(self, text: str) -> str:
        """Convert roles, links and numbers of equations."""
        return TOKEN.sub(self.token, text)

    def token(self, found: re.Match[str]) -> str:
        """The plain form of what `TOKEN` finds: code and mathematics as they are."""
        if found["label"]:
            equation = self.known(self.book.equations, found["label"], "equation")
            return rf"{found['display']} \tag{{{equation.number}}}{found['end']}"
        if found["link"]:
            return f"({self.link(found['link'])})"
        return self.role(found["role"], found["target"]) if found["role"] else found[0]

    def role(self, role: str, target: str) -> str:
        """The plain form of a role."""
        if role == "numref":
            figure = self.known(self.book.figures, target, "figure")
            return self.number(f"Figure {figure.number}", figure.page, target)
        if role == "eq":
            equation = self.known(self.book.equations, target, "equation")
            return self.number(f"({equation.number})", equation.page, f"equation-{target}")
        if role in ("cite:t", "cite:p"):
            keys = [key.strip() for key in target.split(",")]
            entries = [self.known(self.book.references.entries, key, "work") for key in keys]
            works = [(people(entry), entry.fields["year"]) for entry in entries]
            self.cited |= set(keys)
            if role == "cite:p":
                return f"({'; '.join(f'{who}, {year}' for who, year in works)})"
            return " and ".join(f"{who} ({year})" for who, year in works)
        titled = re.fullmatch(r"(?P<title>.+?)\s*<(?P<target>.+)>", target, re.DOTALL)
        title, target = titled.groups() if titled else ("", target)
        if role == "ref":
            page, heading = self.known(self.book.anchors, target, "label")
            return f"[{title or heading or target}]({self.book.address}{page}.html#{target})"
        if role == "doc":
            page = self.page(target)
            return f"[{title or self.book.titles[page]}]({self.book.address}{page}.html)"
        raise self.fault(f"the role {role!r} has no plain form: give it one in tools/plain_markdown.py")

    def known(self, table: Any, key: str, kind: str) -> Any:
        """What a table has for a key."""
        if key not in table:
            raise self.fault(f"there is no {kind} {key!r} in the pages of _toc.yml and the list of references")
        return table[key]

    def number(self, text: str, page: str, anchor: str) -> str:
        """A number of this page as it is, one of another page with a link."""
        return text if page == self.name else f"[{text}]({self.book.address}{page}.html#{anchor})"

    def page(self, target: str) -> str:
        """The page at a place that is relative to this one."""
        page = posixpath.normpath(posixpath.join(posixpath.dirname(self.name), target)).removesuffix(".md")
        if page not in self.book.titles:
            raise self.fault(f"the link to {target!r} leads to no page of _toc.yml: write its whole address")
        return page

    def link(self, target: str) -> str:
        """The address of a link, on the published book when it is relative."""
        if re.match(r"[a-z]+:", target):
            return target
        path, mark, fragment = target.partition("#")
        return f"{self.book.address}{self.page(path) if path else self.name}.html{mark}{fragment}"


def caption(cell: nbformat.NotebookNode) -> dict[str, str]:
    """Name and caption of the figure that a code cell draws; empty when it draws none."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


def plain(notebook: nbformat.NotebookNode, root: Path, name: str) -> None:
    """Turn the Markdown of a notebook into plain Markdown, and add a cell with its caption after each figure.

    Args:
        notebook: changed in place; its cells have identifiers.
        root: the folder with `_toc.yml`, `_config.yml` and the book.
        name: the page that it is made from, such as "book/01_theory".

    Raises:
        ValueError: see `Page.text`; the message names the page and the key.
    """
    page = Page(Book(root), name)
    for cell in notebook.cells:  # finds what the page cites, which its list of references needs
        page.text(cell.source if cell.cell_type == "markdown" else caption(cell).get("caption", ""))
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = page.text(cell.source)
        elif figure := caption(cell):
            number = page.known(page.book.figures, figure["name"], "figure").number
            text = f"**Figure {number}.** {page.text(figure['caption'])}"
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"{cell.id}-caption"))
    notebook.cells = cells
