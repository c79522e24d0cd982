"""What the book's own Sphinx extensions make of a page: scripts, icons, pictures, formulas, the citation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import citation
import finish
import mathematics
import pytest
import yaml
from pybtex.database import parse_string
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils


@pytest.fixture(autouse=True, scope="module")
def no_engine_is_left() -> Iterator[None]:
    yield
    mathematics.close()


LIBRARY = (
    '{"chevron-down":[512,512,[],"f078","M1 2"],moon:[384,512,[9214],"f186","M3 4"],moon:[400,512,[1,2],"f186","M5 6"]}'
)


def test_a_page_loads_no_script_that_it_does_not_need():
    kept = '<script src="../_static/doctools.js?v=1"></script>\n'
    page = (
        f'{kept}{kept}<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>\n'
        "<script>const THEBE_JS_URL = \"https://unpkg.com/thebe\";</script>\n<script>kernelName = 'python3'</script>\n"
        '<script src="../searchindex.js"></script>\n<link rel="stylesheet" href="../_static/sphinx-thebe.css?v=1" />\n'
    )
    assert finish.scripts(page, search=False) == kept
    assert finish.scripts(page, search=True) == kept + '<script src="../searchindex.js"></script>\n'


def test_icons_are_drawn_and_keep_what_the_theme_asks_for(tmp_path):
    library = tmp_path / "fontawesome.js"
    library.write_text(LIBRARY)
    drawn = finish.icons('<i class="theme-switch fa-solid fa-moon fa-lg" data-mode="dark"  title="Dark"></i>', library)
    assert 'class="icon theme-switch fa-solid fa-moon fa-lg" data-mode="dark" viewBox="0 0 400 512"' in drawn
    assert '<path d="M5 6"/>' in drawn  # the solid one stands last
    assert "Dark" not in drawn
    assert finish.icons('<i class="note"></i>', library) == '<i class="note"></i>'
    with pytest.raises(ValueError, match="no icon 'sun'"):
        finish.icons('<i class="fas fa-sun"></i>', library)


def test_pictures_have_a_size_and_wait_but_for_the_first(tmp_path):
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 232 64"></svg>')
    one = '<img alt="a > b" src="a.svg" />'.replace(" > ", " and ")
    page = finish.images(
        f"<img src='x'/><article>{one}{one}{one}<img width='1' src=\"data:image/webp;base64,AAAA\"/>", tmp_path
    )
    sized = re.findall(
        r'<img alt="a and b" src="a.svg" width="232" height="64"( loading="lazy" decoding="async")?/>', page
    )
    assert sized == ["", *2 * [' loading="lazy" decoding="async"']]
    assert 'base64,AAAA" loading' in page
    assert finish.images('<article><img src="a.svg" width="116"/>', tmp_path) == (
        '<article><img src="a.svg" width="116" height="32"/>'
    )
    assert finish.images(page, tmp_path) == page  # a page that is finished stays as it is


def test_a_picture_without_a_size_is_named(tmp_path):
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    with pytest.raises(ValueError, match=r"a\.svg does not say how large it is"):
        finish.images('<article><img src="a.svg"/>', tmp_path)


def test_summaries_and_lists_say_what_they_are():
    page = finish.names('<a href="api.html">Reference</a><details><summary><span></span></summary></details>')
    assert '<summary aria-label="Pages of: Reference">' in page
    assert finish.names('<div role="list" class="citation-list">') == '<div class="citation-list">'


def test_a_text_that_is_not_english_says_its_language():
    menu = '<a class="current" href="#">\n Підсумок\n </a><span class="doc">Підсумок</span><p>Підсумок року</p>'
    page = f'<html lang="en"><nav>{menu}</nav><article class="bd"><p>Текст</p></article></html>'
    done = finish.titled(page, {"Підсумок": "uk"})
    assert '<html lang="en">' in done
    assert done.count('<span lang="uk">Підсумок</span>') == 2
    assert "<p>Підсумок року</p>" in done
    assert finish.titled(done, {"Підсумок": "uk"}) == done
    assert finish.titled(page, {}) == page


PAGES = {
    "book/index.md": "# Cover\n\n[There](next.md), [the figure](#fig-a).\n\n```{toctree}\nnext\n```\n",
    "book/next.md": "---\nlang: uk\n---\n\n# Підсумок\n\n## Далі\n\n"
    "```{figure} a.svg\n:name: fig-a\n\nПідпис.\n```\n\n```{figure} a.svg\n```\n",
    "book/a.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 232 64"></svg>',
    "conf.py": "import sys\nextensions = ['myst_parser', 'finish']\nroot_doc = 'book/index'\n",
}


@pytest.mark.parametrize(("builder", "place"), [("html", "book/next.html"), ("singlehtml", "index.html")])
def test_links_and_pictures_of_pages_and_of_the_whole_book_on_one_page_are_right(tmp_path, builder, place):
    for name, text in PAGES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    with patch_docutils(), docutils_namespace():
        app = Sphinx(tmp_path, tmp_path, out, tmp_path / "trees", builder, warningiserror=True, status=None)
        app.build()
    page = (out / place).read_text()
    sources = re.findall(r'(?:src|<link rel="stylesheet"[^>]* href)="([^":?]+)', page)
    assert sum(source.endswith("a.svg") for source in sources) == 2
    assert len(sources) > 4
    assert [source for source in sources if not (out / place).parent.joinpath(source).is_file()] == []
    assert page.count('lang="uk"') >= 2  # the two headings have a section each
    assert re.search(r'<section[^>]*lang="uk"[^>]*>\s*<h[12]>Підсумок', page)
    assert ("loading=" in page) == (builder == "html")  # a printer waits for no picture
    if builder == "singlehtml":
        links, anchors = re.findall(r'href="#([^"]+)"', page), re.findall(r'id="([^"]+)"', page)
        assert {"fig-a", "document-book/next"} <= set(links) <= set(anchors)
        assert not (out / "book" / "index.html").exists()


def test_the_theme_is_chosen_before_the_page_is_drawn():
    script = (
        'x.dataset.mode = localStorage.getItem("mode") || "";x.dataset.theme = localStorage.getItem("theme") || "";'
    )
    page = finish.theme(f'<html lang="en"><script>{script}</script><body data-default-mode="">')
    assert '<html data-theme="light" data-mode="auto" lang="en">' in page
    assert 'localStorage.getItem("mode") || "auto";' in page
    assert '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");' in page
    assert 'data-default-mode="auto"' in page
    assert finish.theme(page) == page


def test_formulas_are_set_with_the_styles_of_their_characters():
    mathematics.styles()  # what others have used
    found = mathematics.typeset(r"\ln(1 + x/\varepsilon)", False)
    assert "<mi>ln</mi>" in found
    assert "<mi>ε</mi>" in found  # MathML, for who hears the page
    first = mathematics.styles()
    assert ".mjx-c1D700" in first  # the epsilon of the fonts
    mathematics.typeset("y", True)
    assert ".mjx-c1D700" not in mathematics.styles()


def test_a_formula_that_mathjax_cannot_read_is_named():
    with pytest.raises(ValueError, match=r"cannot read '.*frac\{1'"):
        mathematics.typeset(r"\frac{1", False)


def test_the_citation_says_what_citation_cff_says():
    facts = yaml.safe_load(citation.FILE.read_text(encoding="utf-8"))
    (entry,) = parse_string(citation.bibtex(facts), "bibtex").entries.values()
    assert entry.type == "software"
    for name in ("title", "version", "url", "license"):
        assert entry.fields[name] == str(facts[name])
    assert entry.fields["year"] == str(facts["date-released"])[:4]
    assert [str(person) for person in entry.persons["author"]] == ["{The facelight authors}"]
    assert "author  = {Ng, A. and {A group}}" in citation.bibtex(
        {**facts, "authors": [{"family-names": "Ng", "given-names": "A."}, {"name": "A group"}]}
    )
