"""Every page of the rendered book, opened in a browser with the network off: `make test-browser`."""

from __future__ import annotations

import re

import checks
import plain_markdown
import pytest
import site_of_book as site
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
SHOTS = site.ROOT / "_build" / "screenshots"
WITHOUT_FRAME = ("search.html", "genindex.html", "py-modindex.html")
TERMS = {
    "logarithm": "book/01_theory",
    "Wing": "book/02_losses_metrics",
    "CLAHE": "book/03_preprocessing",
    "clip limit": "book/04_differentiable",
    "landmarks": "book/06_landmarks",
    "noise": "book/07_beyond",
    "CMU PIE": "book/data/pie",
    "WFLW": "book/data/wflw",
    "Snakemake": "book/reproduce",
    "timm": "book/networks",
}


def shoot(page: site.Page, name: str, width: str) -> None:
    """Keep a picture of a page, to be looked at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    place = SHOTS / f"{name.removesuffix('.html').replace('/', '-')}-{width}.jpg"
    page.screenshot(path=place, full_page=True, type="jpeg", quality=60)


def wide(browser: Browser, address: str, name: str) -> dict[str, list[str]]:
    """What is wrong with a page on a desk, in dark mode, under the keyboard and on paper."""
    with site.visit(browser, address + name) as seen:
        page = seen.page
        found = {"weight": checks.weight(page), "layout shift": checks.shifts(page)}
        shoot(page, name, "wide")
        found |= {
            "mathematics": checks.mathematics(page),
            "overflow at 1280 px": checks.overflow(page, wide=True),
            "images": checks.images(page),
            "headings": checks.headings(page),
            "tab order": checks.tab_stops(page),
            "frame": [] if name in WITHOUT_FRAME else checks.framed(page),
            "axe": checks.accessibility(page),
            "dark mode": checks.darkened(page),
            "moving figures": checks.moving(page),
            "print": checks.printed(page),
            "loading": list(seen.wrong),
        }
    return found


def phone(browser: Browser, address: str, name: str) -> dict[str, list[str]]:
    """What is wrong with a page on a phone."""
    with site.visit(browser, address + name, site.PHONE) as seen:
        found = {"layout shift at 375 px": checks.shifts(seen.page)}
        found["overflow at 375 px"] = checks.overflow(seen.page, wide=False)
        shoot(seen.page, name, "phone")
    return found


def test_the_book_is_rendered():
    assert len(site.pages()) > 20, "make book"


@pytest.mark.parametrize("name", site.pages())
def test_page(browser, address, name):
    found = wide(browser, address, name) | phone(browser, address, name)
    found["links"] = checks.links(site.BOOK / name, site.BOOK)
    wrong = [f"{kind}: {line}" for kind, lines in found.items() for line in lines]
    assert not wrong, "\n" + "\n".join(wrong)


def test_search_finds_ten_terms(browser, address):
    with site.visit(browser, address + "search.html") as seen:
        assert checks.searched(seen.page, "nosuchwordanywhere") == []
        assert seen.wrong == []
        found = {term: checks.searched(seen.page, term) for term in TERMS}
    missed = {
        term: found[term][:5] for term, page in TERMS.items() if not any(f"/{page}.html" in a for a in found[term])
    }
    assert len(TERMS) == 10
    assert not missed


def test_notebooks_number_figures_and_equations_as_the_pages_do():
    book = plain_markdown.Book(site.ROOT)
    patterns = {
        "figures": r'id="{}".*?caption-number">Fig\. ([\d.]+)',
        "equations": r'id="equation-{}".*?eqno">\(([\d.]+)\)',
    }
    differ = []
    for kind, pattern in patterns.items():
        assert len(getattr(book, kind)) > 30
        for label, (page, number) in getattr(book, kind).items():
            text = (site.BOOK / f"{page}.html").read_text(encoding="utf-8")
            shown = re.search(pattern.format(re.escape(label)), text, re.DOTALL)
            if not shown or shown[1] != number:
                differ.append(f"{page}: {label} is {number}, not {shown and shown[1]}")
    assert differ == []
