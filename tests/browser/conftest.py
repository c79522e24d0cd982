"""One browser for all tests of a process, and a server of the rendered book."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[dev]'")

import site_of_book as site
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium with the network off."""
    found = site.chromium()
    if found is None:
        pytest.skip("there is no Chromium: apt install chromium, or name a browser of its kind in CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=[site.ONLY_HERE, "--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the rendered book is served."""
    with site.served(site.BOOK) as place:
        yield place
