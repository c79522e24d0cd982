"""Serves the rendered book to a browser as a web server would, and opens pages of it with the network off."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "_build" / "html"
TEXT = {".html", ".css", ".js", ".svg", ".json"}
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 667}
ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # the network is off
IN_PAGE = Path(__file__).with_name("in_page.js")


def pages(folder: Path = BOOK) -> list[str]:
    """The addresses of all pages, the search page included."""
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
    return [name for name in found if not name.startswith("_static") and name != "index.html"]


def chromium() -> str | None:
    """The browser: $CHROMIUM, or the one that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@cache
def packed(path: str, changed: int) -> bytes:
    """A file as a server compresses it."""
    return gzip.compress(Path(path).read_bytes(), 6)


class Handler(SimpleHTTPRequestHandler):
    """Sends text compressed, as GitHub Pages does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name == "favicon.ico":  # a browser asks for it in every folder
            self.send_response(204)
            self.end_headers()
        elif path.suffix in TEXT and path.is_file():
            body = packed(str(path), path.stat().st_mtime_ns)
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(str(path)))
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of this folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Visit:
    """A page that is open, and what went wrong while it loaded."""

    page: Page
    context: BrowserContext
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Visit:
        """The page closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the page."""
        self.context.close()


def visit(browser: Browser, address: str, size: dict[str, int] = WIDE) -> Visit:
    """Open a page with nothing in the cache and wait until it is quiet."""
    context = browser.new_context(viewport=size, color_scheme="light")  # type: ignore[arg-type]
    page = context.new_page()
    found = Visit(page, context)
    page.on("console", lambda m: found.wrong.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: found.wrong.append(f"script: {error}"))
    page.on("requestfailed", lambda request: found.wrong.append(f"request: {request.url}"))
    page.on("response", lambda r: found.wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.add_init_script(path=IN_PAGE)
    page.goto(address, wait_until="networkidle")
    return found
