"""Each check of a page finds what it is there for: a copy of the book is spoiled in one place and looked at."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import checks
import pytest
import site_of_book as site

pytestmark = pytest.mark.browser
PAGE = "book/data/wflw.html"
PICTURE = '<img alt="spoiled" src="../../_static/logo.svg" width="232" height="64" loading="lazy"/>'
LONG = "x" * 300
KEEP = "overflow-wrap:normal !important"
EAGER = PICTURE.replace("lazy", "eager")
BROAD = "<p style='width:4000px'>x</p>"
DARK = "<style>[data-theme=dark] img {filter:brightness(.8) !important}</style>"
BUTTON = "#pst-back-to-top {display:block !important}"
SLIDER = "<input type='range' aria-label='light'>"
IMAGE = 'meta[property="og:image"]'
LATE = """addEventListener("load", () => setTimeout(() => document.querySelector("article").insertAdjacentHTML(
"afterbegin", "<p style='height:300px'></p>"), 50)); fetch("wflw.html")"""


def wide(page: site.Page) -> list[str]:
    """The check of overflow on a desk."""
    return checks.overflow(page, wide=True)


LOADING, LINKS = "loading", "links"  # what a visit remembers, and what is read without a browser
SPOILED = {  # the check, what is put at the end of an article, and what is to be found
    "weight": (checks.weight, f"<!-- {random.Random(0).randbytes(1_000_000).hex()} -->", "bytes: wflw.html"),
    "shift": (checks.shifts, f"<script>{LATE}</script>", "of the screen"),
    "console": (LOADING, "<script>console.error('spoiled')</script>", "console: spoiled"),
    "script": (LOADING, "<script>spoiled()</script>", "spoiled is not defined"),
    "network": (LOADING, "<script src='https://example.org/a.js'></script>", "request: https://example.org/a.js"),
    "missing": (LOADING, "<script src='nowhere.js'></script>", "404"),
    "mathematics": (checks.mathematics, "<p><span class='math'>\\(x^2\\)</span></p>", "not set"),
    "source of mathematics": (checks.mathematics, "<p>\\(x^2\\)</p>", "source: \\(x^2\\)"),
    "long code": (wide, f"<p><code style='overflow-wrap:normal'>{LONG}</code></p>", "beyond the edge"),
    "cut table": (wide, f"<div style='overflow-x:auto'><table><td style='{KEEP}'>{LONG}</table></div>", "cut off: xxx"),
    "image without size": (checks.images, "<img alt='spoiled' src='../../_static/logo.svg'/>", "no size: spoiled"),
    "early image": (checks.images, f"<p style='height:3000px'></p>{EAGER}", "not lazy: spoiled"),
    "second heading": (checks.headings, "<h1>Spoiled</h1>", "2 main headings"),
    "idle tab stop": (checks.tab_stops, "<div tabindex='0' aria-label='a' role='group'>x</div>", "without scrolling"),
    "nameless tab stop": (checks.tab_stops, f"<div tabindex='0' style='overflow:auto'>{BROAD}</div>", "without a name"),
    "button without name": (checks.accessibility, "<button></button>", "critical button-name"),
    "contrast": (checks.accessibility, "<p style='color:#aaa;background:#bbb'>words</p>", "serious color-contrast"),
    "dark picture": (checks.darkened, DARK + PICTURE, "changes in dark mode"),
    "printed button": (checks.printed, f"<style>@media print {{{BUTTON}}}</style>", "printed: <button"),
    "cut in print": (checks.printed, f"<pre style='white-space:pre !important'>{LONG}</pre>", "cut off in print"),
    "still figure": (checks.moving, f"<div class='moving-figure'><p>0</p>{SLIDER}</div>", "no key moves"),
    "figure without control": (
        checks.moving,
        "<div class='moving-figure'><p>0</p></div>",
        "a keyboard reaches nothing",
    ),
    "missing page": (LINKS, '<a href="nowhere.html">x</a>', "no page: nowhere.html"),
    "missing place": (LINKS, '<a href="#nowhere">x</a>', "no place in the page: #nowhere"),
    "missing frame": (checks.framed, f"<script>document.querySelector('{IMAGE}').remove()</script>", "og:image"),
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


CHECKS = list(dict.fromkeys(check for check, _, _ in SPOILED.values()))


def findings(browser: site.Browser, folder: Path, asked: list[Any]) -> list[str]:
    """What the checks find in the page."""
    if asked == [LINKS]:
        return checks.links(folder / PAGE, folder)
    found = []
    with site.served(folder) as address, site.visit(browser, address + PAGE) as seen:
        for check in asked:
            if check == LINKS:
                found += checks.links(folder / PAGE, folder)
            elif check != LOADING:
                found += check(seen.page)
        return found + seen.wrong


@pytest.mark.parametrize("name", SPOILED)
def test_check_bites(browser, tmp_path, name):
    check, extra, expected = SPOILED[name]
    copy(tmp_path, extra)
    found = findings(browser, tmp_path, [check])
    assert any(expected in line for line in found), found


def test_a_copy_that_nothing_spoils_has_no_findings(browser, tmp_path):
    moves = SLIDER.replace(">", " oninput='this.previousElementSibling.textContent = this.value'>")
    copy(tmp_path, f"{PICTURE}<div class='moving-figure'><p>0</p>{moves}</div>")
    assert findings(browser, tmp_path, CHECKS) == []
