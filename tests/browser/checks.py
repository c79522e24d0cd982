"""What is asked of every page: each check reads an open page and returns what it found wrong, one line a finding."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import ElementHandle, Page

LIMIT = 900_000  # bytes that a reader waits for before the first view is complete
SHIFT = 0.05  # of the screen, summed


def ask(page: Page, name: str, argument: object = None) -> list[str]:
    """What a check of in_page.js finds."""
    return list(page.evaluate("([name, argument]) => window.checks[name](argument)", [name, argument]) or [])


@cache
def anchors(path: Path) -> frozenset[str]:
    """The names that links can point at in a page."""
    return frozenset(re.findall(r'\s(?:id|name)="([^"]+)"', path.read_text(encoding="utf-8")))


def links(path: Path, root: Path) -> list[str]:
    """Links inside the book that lead nowhere."""
    found = []
    for address in re.findall(r'<(?:a|link)\b[^>]*?\shref="([^"]*)"', path.read_text(encoding="utf-8")):
        place, anchor = urldefrag(address.replace("&amp;", "&"))
        if re.match(r"\w+:|//", address) or not address:
            continue
        target = Path(os.path.normpath(path.parent / unquote(place.partition("?")[0]))) if place else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(root) or not target.is_file():
            found.append(f"no page: {address}")
        elif anchor and target.suffix == ".html" and unquote(anchor) not in anchors(target):
            found.append(f"no place in the page: {address}")
    return found


def mathematics(page: Page) -> list[str]:
    """Formulas that are not set."""
    return ask(page, "mathematics")


def overflow(page: Page, wide: bool) -> list[str]:
    """What sticks out of the page; on a wide screen also tables and printed text that have to be scrolled."""
    return ask(page, "overflow", wide)


def images(page: Page) -> list[str]:
    """Pictures without a size, or loaded long before they are seen."""
    return ask(page, "images", (page.viewport_size or {})["height"])


def headings(page: Page) -> list[str]:
    """Anything but one main heading."""
    count = page.locator("h1").count()
    return [] if count == 1 else [f"{count} main headings"]


def tab_stops(page: Page) -> list[str]:
    """Areas that a keyboard stops at without need, or that have no name."""
    return ask(page, "tabStops")


def weight(page: Page) -> list[str]:
    """More bytes than a first view may have."""
    entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    sizes = page.evaluate(f"{entries}.map(e => [e.encodedBodySize, e.name])")
    total = sum(size for size, _ in sizes)
    largest = ", ".join(f"{name.rsplit('/', 1)[-1][:30]} {size}" for size, name in sorted(sizes, reverse=True)[:4])
    return [f"{total} bytes: {largest}"] if total > LIMIT else []


def shifts(page: Page) -> list[str]:
    """More movement of what is already on the screen than a reader bears, while it loads and is read to its end."""
    ask(page, "readToTheEnd")
    page.wait_for_timeout(100)
    moved = page.evaluate("window.shifts")
    total = sum(value for value, _ in moved)
    return [f"{total:.3f} of the screen: {max(moved)}"] if total >= SHIFT else []


def accessibility(page: Page) -> list[str]:
    """What axe calls critical or serious."""
    ask(page, "markRepeated")
    options = {"resultTypes": ["violations"], "iframes": False, "preload": False}
    found = Axe().run(page, context={"exclude": [["[data-repeated]"]]}, options=options).response["violations"]
    return [
        f"{rule['impact']} {rule['id']}, {len(rule['nodes'])} times: {rule['nodes'][0]['html'][:90]}"
        for rule in found
        if rule["impact"] in ("critical", "serious")
    ]


def pixels(shot: bytes) -> bytes:
    """The pixels of a screenshot without its edge, which blends with the ground of the page."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    return image.crop((2, 2, image.width - 2, image.height - 2)).tobytes()


def pictures(page: Page) -> dict[str, bytes]:
    """The pixels of all pictures of the article as they are on the screen."""
    page.add_style_tag(content=".bd-header-article, #pst-back-to-top, .bd-sidebar { visibility: hidden !important }")
    shown = page.query_selector_all("article img, article .moving-figure canvas")
    return {
        f"{number} {(each.get_attribute('alt') or each.get_attribute('src') or '')[:50]}": pixels(each.screenshot())
        for number, each in enumerate(shown)
        if each.is_visible()
    }


def darkened(page: Page) -> list[str]:
    """Pictures that look otherwise in dark mode."""
    before = page.viewport_size or {"width": 1280, "height": 800}
    page.set_viewport_size({"width": before["width"], "height": 2400})  # a higher picture would be put together of two
    light = pictures(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = pictures(page)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.set_viewport_size(before)
    return [f"changes in dark mode: {name}" for name in light if light[name] != dark.get(name)]


def searched(page: Page, term: str) -> list[str]:
    """The addresses that the search page lists for a term; the page is open."""
    page.goto(f"{page.url.partition('?')[0]}?q={quote(term)}")
    page.wait_for_function(
        "document.querySelector('#search-results .search-summary')?.textContent.match(/\\d|not match/)"
    )
    return [str(href) for href in page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")]


def framed(page: Page) -> list[str]:
    """What a page lacks that others need to quote it: its address, title and picture."""
    wanted = (
        'link[rel="canonical"]',
        *(f'meta[property="og:{name}"]' for name in ("title", "description", "url", "image")),
    )
    return [f"lacks {each}" for each in wanted if page.locator(each).count() != 1]


def printed(page: Page) -> list[str]:
    """What paper should not show, or cuts off."""
    before = page.viewport_size or {"width": 1280, "height": 800}
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 with margins of 1 cm
    page.emulate_media(media="print")
    found = ask(page, "printed")
    page.emulate_media(media="screen")
    page.set_viewport_size(before)
    return found


def controls(figure: ElementHandle) -> Sequence[ElementHandle]:
    """What a keyboard reaches in a moving figure."""
    return [c for c in figure.query_selector_all("input, select, button, [tabindex='0']") if c.is_visible()]


def moving(page: Page) -> list[str]:
    """Moving figures without a control, and controls that no key moves anything with."""
    found = []
    for number, figure in enumerate(page.query_selector_all(".moving-figure")):
        figure.scroll_into_view_if_needed()
        page.wait_for_timeout(200)  # it may begin when it is seen
        reached = controls(figure)
        if not reached:
            found.append(f"moving figure {number}: a keyboard reaches nothing in it")
        for control in reached:
            before = figure.evaluate("figure => window.checks.signature(figure)")
            for key in ("ArrowRight", "ArrowUp", "End", "Enter", "Space", "Home"):
                control.focus()
                page.keyboard.press(key)
                page.wait_for_timeout(60)
                if figure.evaluate("figure => window.checks.signature(figure)") != before:
                    break
            else:
                found.append(f"moving figure {number}: no key moves {control.evaluate('e => e.outerHTML')[:80]}")
    return found
