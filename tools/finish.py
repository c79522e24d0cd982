"""Sphinx extension: finishes pages after Sphinx, its theme and its extensions have written them.

Pictures get their size and wait until they are near the screen; icons are drawn in the page instead of by a script of
1.5 MB; scripts that no page needs are not loaded; lists, buttons and summaries say what they are; a text that is not
English says its language. The whole book on one page (builder "singlehtml") lies where its links are right.
"""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path
from typing import Any

import imagesize
from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
SCRIPT = re.compile(r"[ \t]*<script\b([^>]*)>(.*?)</script>\n?", re.DOTALL)
UNUSED = re.compile(r"thebe|kernelName|/fontawesome\.js")  # no page runs code; icons are in the pages
SEARCH = re.compile(r"/?(searchtools|language_data|searchindex)\.js")
ICON = re.compile(r'<(i|span) class="([^"]*\bfa[bs]?\b[^"]*|[^"]*\bfa-(?:solid|brands)\b[^"]*)"([^>]*)></\1>')
IMAGE = re.compile(r"<img\b[^>]*>")


def attributes(tag: str) -> dict[str, str]:
    """The attributes of a tag."""
    return dict(re.findall(r'([\w-]+)="([^"]*)"', tag))


def scripts(page: str, search: bool) -> str:
    """Leave out the scripts that a page does not need, and the second of two equal ones."""
    seen: set[str] = set()

    def kept(match: re.Match[str]) -> str:
        whole, source = match[0].strip(), attributes(match[1]).get("src", "")
        if UNUSED.search(whole) or (SEARCH.search(source) and not search) or whole in seen:
            return ""
        seen.add(whole)
        return match[0]

    page = re.sub(r"[ \t]*<link [^>]*sphinx-thebe\.css[^>]*>\n?", "", page)
    return SCRIPT.sub(kept, page)


@functools.cache
def drawing(name: str, library: Path) -> tuple[str, str, str]:
    """Width, height and path of an icon of Font Awesome; the last of a name is the solid one."""
    found = re.findall(
        rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"\w+","([^"]+)"', library.read_text(encoding="utf-8")
    )
    if not found:
        raise ValueError(f"Font Awesome draws no icon {name!r} in one piece")
    return found[-1]


def icons(page: str, library: Path) -> str:
    """Draw the icons in the page."""

    def drawn(match: re.Match[str]) -> str:
        names = [word.removeprefix("fa-") for word in match[2].split() if word.startswith("fa-")]
        name = next(word for word in names if word not in ("solid", "brands", "lg"))
        width, height, path = drawing(name, library)
        rest = re.sub(r'\s*(title|aria-hidden)="[^"]*"', "", match[3])
        box = f'viewBox="0 0 {width} {height}" width="{int(width) / int(height):.3g}em" height="1em"'
        return f'<svg class="icon {match[2]}"{rest} {box} aria-hidden="true"><path d="{path}"/></svg>'

    return ICON.sub(drawn, page)


def size(picture: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels.

    Raises:
        ValueError: the file does not say.
    """
    width, height = imagesize.get(picture)
    if width <= 0 and picture.suffix == ".svg":
        box = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', picture.read_text(encoding="utf-8"))
        width, height = (float(side) for side in box.groups()) if box else (-1, -1)
    if width <= 0 or height <= 0:
        raise ValueError(f"{picture} does not say how large it is")
    return round(width), round(height)


def images(page: str, folder: Path, *, lazy: bool = True) -> str:
    """Give pictures their size; all but the first of the article load when they come near the screen, if `lazy`."""
    article = page.find("<article")
    first = page.find("<img", max(article, 0))

    def sized(match: re.Match[str]) -> str:
        tag, has = match[0], attributes(match[0])
        words = []
        source = folder / has.get("src", "").partition("?")[0]
        if "src" in has and not re.match(r"\w+:", has["src"]) and not {"width", "height"} <= has.keys():
            width, height = size(source)
            if given := re.match(r"\d+$", has.get("width", "")):
                width, height = int(given[0]), round(int(given[0]) * height / width)
            tag = re.sub(r'\s(width|height)="[^"]*"', "", tag)
            words += [f'width="{width}"', f'height="{height}"']
        if lazy and match.start() > first > article and "loading" not in has:
            words += ['loading="lazy"', 'decoding="async"']
        return re.sub(r"\s*/?>$", "", tag) + "".join(f" {word}" for word in words) + "/>"

    return IMAGE.sub(sized, page)


def names(page: str) -> str:
    """Say what parts of the page are: a list of citations is no list of items, a fold of the contents has a name."""
    page = page.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    page = re.sub(
        r">([^<]+)</a><details([^>]*)><summary>",
        r'>\1</a><details\2><summary aria-label="Pages of: \1">',
        page,
    )
    page = re.sub(r'(<div id="jb-print-docs-body" class="onlyprint">)\s*<h1>.*?</h1>', r"\1", page, flags=re.DOTALL)
    said = '<meta property="og:description" content="'
    page = page.replace(f"{said}Open in Colab ", said)
    page = re.sub(r'(<button class="sidebar-toggle[^>]*) title="([^"]*)"', r'\1 title="\2" aria-label="\2"', page)
    return re.sub(
        r'(<meta name="viewport"[^>]*>)(.*?)(<meta name="viewport"[^>]*>\s*)+', r"\1\2", page, flags=re.DOTALL
    )


def theme(page: str) -> str:
    """Choose light or dark before anything is drawn: nothing moves when the theme's script starts, or without it."""
    page = re.sub(r"<html (?![^>]*data-theme)", '<html data-theme="light" data-mode="auto" ', page, count=1)
    chosen = 'localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
    page = page.replace('localStorage.getItem("theme") || "";', f"{chosen};")
    page = page.replace('localStorage.getItem("mode") || "";', 'localStorage.getItem("mode") || "auto";')
    return page.replace('data-default-mode=""', 'data-default-mode="auto"')


def language(app: Any, document: nodes.document) -> None:
    """Say the language of a text that begins with `lang: uk`: docutils writes the class as `lang="uk"`."""
    if lang := app.env.metadata[app.env.docname].get("lang"):
        for section in document.findall(nodes.section):
            section["classes"].append(f"language-{lang}")


def titled(page: str, titles: dict[str, str]) -> str:
    """Say the language of titles that are not English, in menus and links.

    Args:
        page: HTML.
        titles: title of a page -> its language, such as "uk".
    """
    for title, lang in titles.items():
        text = re.escape(html.escape(title, quote=False))
        inside = rf"(<(?:a|p|span)\b(?![^>]*\blang=)[^>]*>\s*)({text})(?=\s*</(?:a|p|span)>)"
        page = re.sub(inside, rf'\1<span lang="{lang}">\2</span>', page)
    return page


def one_page(root: Path, name: str) -> None:
    """Put the whole book on one page where it belongs: Sphinx writes it below a folder and links as if it were not.

    Args:
        root: the folder of the output.
        name: of the first page, such as "book/index".
    """
    text = (root / f"{name}.html").read_text(encoding="utf-8")
    (root / f"{name}.html").unlink()
    (root / "index.html").write_text(text.replace(f'href="{name}.html#', 'href="#'), encoding="utf-8")


def finish(app: Any, exception: Exception | None) -> None:
    """Finish every page that is not finished."""
    if exception is not None or app.builder.format != "html":
        return
    root = Path(app.outdir)
    single = app.builder.name == "singlehtml"
    if single:
        one_page(root, app.config.root_doc)
    library = root / "_static" / "scripts" / "fontawesome.js"
    spoken = {name: meta["lang"] for name, meta in app.env.metadata.items() if "lang" in meta}
    titles = {app.env.titles[name].astext(): lang for name, lang in spoken.items()}
    for path in sorted(root.rglob("*.html")):
        if "_static" in path.relative_to(root).parts:
            continue
        before = path.read_text(encoding="utf-8")
        try:
            after = icons(scripts(before, path.name == "search.html"), library)
            after = images(after, path.parent, lazy=not single)
        except (OSError, ValueError) as error:
            logger.warning("%s: %s", path.relative_to(root), error)
            continue
        after = titled(theme(names(after)), titles)
        if after != before:
            path.write_text(after, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx, after everything that still writes pages."""
    app.connect("doctree-read", language, priority=900)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
