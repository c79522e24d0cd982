"""MyST becomes plain Markdown in notebooks: each kind by hand, then what every page must hold."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
import notebooks as generator
import plain_markdown
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = generator.chapters(ROOT)
KERNEL = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
BIB = """
@article{one, author = {Weber, Ernst}, title = {On touch}, journal = {Touch}, year = {1834}, doi = {10.1/a-b}}
@book{two, author = {van der Berg, A. and M{\\"u}ller, B.}, title = {Light}, publisher = {P}, year = {1900}}
@article{many, author = {He, K. and Li, L. and Wu, M.}, title = {Nets}, journal = {J}, year = {2016}}
@misc{others, author = {Maxwell, B. and others}, title = {Logs}, year = {2023}}
"""
TOC = """
root: book/index
parts:
  - numbered: 1
    chapters:
      - file: book/01_a
      - file: book/02_b
        sections: [{file: book/02_c}]
  - chapters: [{file: book/notes}, {file: book/data/set}]
"""
SITE = "https://site/"


def cell(name: str, caption: str) -> str:
    options = f"mystnb:\n  figure:\n    name: {name}\n    caption: {caption}\n  image:\n    alt: A curve.\ntags: [x]"
    return f"```{{code-cell}} ipython3\n---\n{options}\n---\nplot()\n```\n"


@pytest.fixture
def root(tmp_path) -> Path:
    """A small book of two chapters, the second with two pages, and two pages without numbers."""
    pages = {
        "index": "# Cover\n",
        "01_a": KERNEL + "# First\n\n$$a$$ (eq-a)\n\n" + cell("fig-a", "See {eq}`eq-a`."),
        "02_b": KERNEL + "# Second\n\n$$b$$ (eq-b)\n\n" + cell("fig-b", "B.") + "\n" + cell("fig-b2", "B2."),
        "02_c": KERNEL + "# Third\n\n$$c$$ (eq-c)\n\n" + cell("fig-c", "After {cite:p}`others`."),
        "notes": KERNEL + "# Notes\n\n(why)=\n## Why so\n\n$$n$$ (eq-n)\n\n" + cell("fig-n", "N."),
        "data/set": "# Set\n",
    }
    for name, text in pages.items():
        path = tmp_path / "book" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "book" / "references.bib").write_text(BIB, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "_config.yml").write_text(f"html: {{baseurl: '{SITE}'}}\nbibtex_bibfiles: [book/references.bib]\n")
    return tmp_path


@pytest.fixture
def page(root) -> plain_markdown.Page:
    return plain_markdown.Page(plain_markdown.Book(root), "book/01_a")


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("{cite:t}`one` saw it", "Weber (1834) saw it"),
        ("{cite:t}`two, many`", "van der Berg and Müller (1900) and He et al. (2016)"),
        ("so it is {cite:p}`one,others`.", "so it is (Weber, 1834; Maxwell et al., 2023)."),
        ("{numref}`fig-a`", "Figure 1.1"),
        ("{numref}`fig-c`", f"[Figure 2.3]({SITE}book/02_c.html#fig-c)"),
        ("{numref}`fig-n`", f"[Figure 1]({SITE}book/notes.html#fig-n)"),
        ("by {eq}`eq-a` and {eq}`eq-c`", f"by (1.1) and [(2.2)]({SITE}book/02_c.html#equation-eq-c)"),
        ("$$x = 1.$$ (eq-a)", r"$$x = 1. \tag{1.1}$$"),
        ("$$\nx\n= 1\n$$ (eq-a)\n\nand", "$$\nx\n= 1 \\tag{1.1}\n$$\n\nand"),
        ("$$x$$\n\n(in brackets)", "$$x$$\n\n(in brackets)"),
        ("(why)=\n## Why", "## Why"),
        ("{ref}`why`", f"[Why so]({SITE}book/notes.html#why)"),
        ("{ref}`the reason <why>`", f"[the reason]({SITE}book/notes.html#why)"),
        ("{doc}`data/set`", f"[Set]({SITE}book/data/set.html)"),
        ("[b](02_b.md)", f"[b]({SITE}book/02_b.html)"),
        ("[b, `x`](data/set.md#some-part)", f"[b, `x`]({SITE}book/data/set.html#some-part)"),
        ("[here](#part)", f"[here]({SITE}book/01_a.html#part)"),
        ("[there](https://a.org/b.md)", "[there](https://a.org/b.md)"),
        (":::{note}\nA *b*.\n\nC {eq}`eq-a`.\n:::", "> **Note**\n>\n> A *b*.\n>\n> C (1.1)."),
        ("```{admonition} Of $x$\n:class: tip\nA.\n```", "> **Of $x$**\n>\n> A."),
        (
            "::::{dropdown} Solution\n:::{tip}\nA.\n:::\n::::",
            "<details>\n<summary>Solution</summary>\n\n> **Tip**\n>\n> A.\n\n</details>",
        ),
        (
            ":::{admonition} More\n:class: dropdown\nA.\n:::",
            "<details>\n<summary>More</summary>\n\nA.\n\n</details>",
        ),
        ("1. Q\n\n   ```{code-cell} ipython3\n   x = 1\n   ```", "1. Q\n\n   ```python\n   x = 1\n   ```"),
        (":::{dropdown} Solution\nbefore a cell", "**Solution**\nbefore a cell"),
        ("after a cell\n:::\n\n:::{note}\nA.\n:::", "after a cell\n\n> **Note**\n>\n> A."),
    ],
)
def test_each_kind_of_myst_has_its_plain_form(page, myst, plain):
    assert page.text(myst) == plain


def test_a_solution_in_a_list_stays_in_it(page):
    code = "   ```python\n   x = {1}\n   ```\n"
    myst = f"1. Q\n\n   :::{{dropdown}} Solution\n   A {{cite:t}}`one`.\n\n{code}   :::\n\n2. R"
    folded = f"   <details>\n   <summary>Solution</summary>\n\n   A Weber (1834).\n\n{code}\n   </details>"
    assert page.text(myst) == f"1. Q\n\n{folded}\n\n2. R"


def test_references_are_those_that_are_cited(page):
    page.text("{cite:p}`one,two`")
    assert page.text("```{bibliography}\n:filter: docname in docnames\n```").splitlines() == [
        "- A. van der Berg and B. Müller. *Light*. P, 1900.",
        "- Ernst Weber. On touch. *Touch*, 1834. [doi:10.1/a-b](https://doi.org/10.1/a-b).",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "`{eq}` and ``{eq}`eq-a` `` and `[b](02_b.md)`",
        "```python\n(why)=\nx = '{eq}`eq-a`'  # $$x$$ (eq-a)\n:::\n```",
        "~ $f(x)[b](y)$ and $$g[b](y)$$",
        "$a\nb[c](d)$, 5 \\$ and [a](https://b.org) for 6 \\$",
        "| a | b |\n|---|---|\n| $x_{i}$ | `y` |",
        "a\n\n- b\n  c (d)= e",
    ],
)
def test_code_mathematics_and_plain_text_stay(page, text):
    assert page.text(text) == text


@pytest.mark.parametrize(
    ("myst", "key"),
    [
        ("{cite:t}`nobody`", "nobody"),
        ("{cite:p}`one, nobody`", "nobody"),
        ("{numref}`fig-z`", "fig-z"),
        ("{eq}`eq-z`", "eq-z"),
        ("$$x$$ (eq-z)", "eq-z"),
        ("{ref}`nowhere`", "nowhere"),
        ("{doc}`nothing`", "nothing"),
        ("[a](nothing.md)", "nothing.md"),
        ("![a](picture.png)", "picture.png"),
        ("{sub}`2`", "sub"),
        (":::{grid}\nA.\n:::", "grid"),
        ("```python\nx", "python"),
    ],
)
def test_a_fault_names_page_and_key(page, myst, key):
    with pytest.raises(ValueError, match=rf"^book/01_a\.md: .*{re.escape(key)}"):
        page.text(myst)


def test_a_figure_has_its_caption_below_it_and_names_of_cells_stay(root):
    chapter = root / "book" / "02_c.md"
    before, after = generator.cells_of(chapter), generator.convert(chapter)
    assert [c.cell_type for c in after.cells] == ["markdown", "code", "markdown"]
    assert after.cells[2].source == "**Figure 2.3.** After (Maxwell et al., 2023)."
    assert [c.id for c in after.cells] == [*(c.id for c in before.cells), f"{before.cells[1].id}-caption"]
    nbformat.validate(after)


def test_what_only_a_caption_cites_is_among_the_references(root):
    chapter = root / "book" / "02_c.md"
    chapter.write_text(chapter.read_text() + "\n```{bibliography}\n```\n\n```python\n'{cite:t}`one`'\n```\n")
    assert generator.convert(chapter).cells[3].source.splitlines()[0] == "- B. Maxwell and others. Logs. 2023."
    assert "Weber" not in str(generator.convert(chapter).cells)


def test_a_change_of_a_caption_keeps_the_outputs(root, tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "ROOT", root)
    chapter = root / "book" / "02_c.md"
    stored = generator.convert(chapter)
    stored.cells[1].execution_count = 7
    generator.write(stored, tmp_path / "02_c.ipynb")
    chapter.write_text(chapter.read_text().replace("After", "Long after"))
    again = generator.convert(chapter)
    assert generator.problems(chapter, tmp_path / "02_c.ipynb") != []
    assert generator.keep_outputs(again, tmp_path / "02_c.ipynb")
    assert again.cells[1].execution_count == 7
    chapter.write_text(chapter.read_text().replace("tags: [x]", "tags: [y]"))
    assert not generator.keep_outputs(generator.convert(chapter), tmp_path / "02_c.ipynb")


# --- all pages

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
LEFT = {
    "a role": r"\{[a-z]+(?::[a-z]+)?\}`\w",
    "a fence of colons": r"^\s*:::",
    "a directive": r"^\s*`{3,}\{",
    "a label": r"^\s*\([\w-]+\)=",
    "a label of an equation": r"\$\$ *\([\w-]+\)",
    "a relative link": r"\]\((?![a-z]+:)[^()\s]+\.(?:md|html|ipynb)",
}


def written(chapter: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(ROOT / "notebooks" / f"{chapter.stem}.ipynb", as_version=4).cells


def test_what_is_left_of_myst_is_found():
    """Each pattern finds something in the chapters themselves, or in a line that some chapter may have."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in CHAPTERS) + "\n(provenance)=\n"
    assert [kind for kind, pattern in LEFT.items() if not re.search(pattern, text, re.M)] == []


@each_chapter
def test_no_myst_is_left_in_a_notebook(chapter):
    text = "\n".join(c.source for c in written(chapter) if c.cell_type == "markdown")
    found = {kind: re.findall(pattern, text, re.M)[:3] for kind, pattern in LEFT.items()}
    assert {kind: those for kind, those in found.items() if those} == {}


@each_chapter
def test_the_text_of_a_notebook_has_what_it_cites(chapter):
    """Every work cited is a line below "References", and nothing else is."""
    keys = re.findall(r"\{cite:[pt]\}`([^`]+)`", chapter.read_text(encoding="utf-8"))
    cited = {key.strip() for group in keys for key in group.split(",")}
    (last,) = [c.source for c in written(chapter) if re.search(r"^## References$", c.source, re.M)]
    listed = [line for line in last.partition("## References")[2].splitlines() if line]
    assert len(listed) == len(cited)
    assert all(line.startswith("- ") for line in listed)


def drawn() -> dict[str, list[str]]:
    """The numbers that figures of each page must have: counted on in a chapter, and over the pages without numbers."""
    toc, counts, found = yaml.safe_load((ROOT / "_toc.yml").read_text()), Counter(), {}
    for part in toc["parts"]:
        for place, chapter in enumerate(part["chapters"], 1):
            prefix = f"{place}." if "numbered" in part else ""
            for entry in (chapter, *chapter.get("sections", [])):
                path = ROOT / f"{entry['file']}.md"
                cells = jupytext.read(path).cells if path in CHAPTERS else []
                found[path.stem] = []
                for _ in [c for c in cells if "figure" in c.metadata.get("mystnb", {})]:
                    counts[prefix] += 1
                    found[path.stem].append(f"{prefix}{counts[prefix]}")
    return found


def test_figures_are_numbered_as_the_table_of_contents_gives():
    wanted, found = drawn(), {}
    for chapter in CHAPTERS:
        found[chapter.stem] = []
        for before, after in zip(written(chapter), written(chapter)[1:], strict=False):
            if number := re.match(r"\*\*Figure ([\d.]+)\.\*\* \S", after.source):
                assert before.metadata["mystnb"]["figure"]["caption"]
                found[chapter.stem].append(number[1])
    assert found == {chapter.stem: wanted[chapter.stem] for chapter in CHAPTERS}
    assert all(found[chapter.stem] for chapter in CHAPTERS if not chapter.stem.startswith("appendix_"))
    assert found["05_detection"][0] != "5.1"


@each_chapter
def test_cells_have_names_of_their_own(chapter):
    names = [c.id for c in written(chapter)]
    assert len(set(names)) == len(names)
