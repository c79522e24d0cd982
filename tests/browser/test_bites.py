"""Each check of a page finds what it is there for: a copy of the book is spoiled in one place and looked at."""

from __future__ import annotations

import random
from pathlib import Path

import checks
import pytest
import site_of_book as site

pytestmark = pytest.mark.browser
PAGE = "book/data/wflw.html"
PICTURE = '<img alt="spoiled" src="../../_static/logo.svg" width="232" height="64" loading="lazy"/>'
LONG = "x" * 300
SPOILED = {  # what is put at the end of an article, and what is to be found
    "console": ("<script>console.error('spoiled')</script>", "console: spoiled"),
    "script": ("<script>spoiled()</script>", "spoiled is not defined"),
    "network": ("<script src='https://example.org/a.js'></script>", "request: https://example.org/a.js"),
    "missing": ("<script src='nowhere.js'></script>", "404"),
    "mathematics": ("<p><span class='math'>\\(x^2\\)</span></p>", "not set"),
    "source of mathematics": ("<p>\\(x^2\\)</p>", "source: \\(x^2\\)"),
    "long code": (f"<p><code style='overflow-wrap:normal'>{LONG}</code></p>", "beyond the edge"),
    "cut table": (
        f"<div style='overflow-x:auto'><table style='overflow-wrap:normal'><td>{LONG}</table></div>",
        "cut off: xxx",
    ),
    "image without size": ("<img alt='spoiled' src='../../_static/logo.svg'/>", "no size: spoiled"),
    "early image": ("<p style='height:3000px'></p>" + PICTURE.replace("lazy", "eager"), "not lazy: spoiled"),
    "second heading": ("<h1>Spoiled</h1>", "2 main headings"),
    "idle tab stop": ("<pre tabindex='0' aria-label='code' role='group'>x</pre>", "without scrolling"),
    "nameless tab stop": (
        f"<div tabindex='0' style='overflow:auto'><pre style='width:4000px'>{LONG}</pre></div>",
        "without a name",
    ),
    "button without name": ("<button></button>", "critical button-name"),
    "contrast": ("<p style='color:#aaa;background:#bbb'>spoiled</p>", "serious color-contrast"),
    "dark picture": (
        f"<style>[data-theme=dark] img {{filter:brightness(.8) !important}}</style>{PICTURE}",
        "changes in dark mode",
    ),
    "printed buttons": (
        "<style>@media print {#pst-back-to-top {display:block !important}}</style>",
        "printed: <button",
    ),
    "cut in print": (
        f"<pre style='white-space:pre !important;overflow:auto !important'>{LONG}</pre>",
        "cut off in print",
    ),
    "still figure": (
        "<div class='moving-figure'><p>0</p><input type='range' aria-label='light'></div>",
        "no key moves",
    ),
    "figure without control": ("<div class='moving-figure'><p>0</p></div>", "a keyboard reaches nothing"),
    "missing page": ("<a href='nowhere.html'>x</a>".replace("'", '"'), "no page: nowhere.html"),
    "missing place": ("<a href='#nowhere'>x</a>".replace("'", '"'), "no place in the page: #nowhere"),
    "missing frame": ("<script>document.querySelector('meta[property=\"og:image\"]').remove()</script>", "og:image"),
    "weight": (f"<!-- {random.Random(0).randbytes(1_000_000).hex()} -->", "bytes: wflw.html"),
    "shift": (
        """<script>addEventListener("load", () => setTimeout(() => document.querySelector("article").insertAdjacentHTML(
        "afterbegin", "<p style='height:300px'></p>"), 50)); fetch("wflw.html")</script>""",
        "of the screen",
    ),
}


def copy(folder: Path, extra: str) -> None:
    """A book that differs from the rendered one in one page."""
    page = folder / PAGE
    page.parent.mkdir(parents=True)
    for here, there in (
        (folder, site.BOOK),
        (folder / "book", site.BOOK / "book"),
        (page.parent, site.BOOK / "book/data"),
    ):
        for each in there.iterdir():
            if not (here / each.name).exists() and each.name != page.name:
                (here / each.name).symlink_to(each)
    text = (site.BOOK / PAGE).read_text(encoding="utf-8")
    assert text.count("</article>") == 1
    page.write_text(text.replace("</article>", extra + "</article>"), encoding="utf-8")


def findings(browser: site.Browser, folder: Path) -> list[str]:
    """All that the checks find in the page."""
    with site.served(folder) as address, site.visit(browser, address + PAGE) as seen:
        page = seen.page
        page.wait_for_timeout(150)
        found = checks.weight(page) + checks.shifts(page) + checks.mathematics(page) + checks.overflow(page, wide=True)
        found += checks.images(page) + checks.headings(page) + checks.tab_stops(page) + checks.framed(page)
        found += checks.accessibility(page) + checks.darkened(page) + checks.moving(page) + checks.printed(page)
        return found + seen.wrong + checks.links(folder / PAGE, folder)


@pytest.mark.parametrize("name", SPOILED)
def test_check_bites(browser, tmp_path, name):
    extra, expected = SPOILED[name]
    copy(tmp_path, extra)
    found = findings(browser, tmp_path)
    assert any(expected in line for line in found), found


def test_a_copy_that_nothing_spoils_has_no_findings(browser, tmp_path):
    moves = "<input type='range' aria-label='light' oninput='this.previousElementSibling.textContent = this.value'>"
    copy(tmp_path, f"{PICTURE}<div class='moving-figure'><p>0</p>{moves}</div>")
    assert findings(browser, tmp_path) == []
