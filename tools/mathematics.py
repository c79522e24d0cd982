"""Sphinx extension: sets formulas while the book is built, by MathJax in an embedded V8; pages need no script for it.

A page carries the styles of the characters that its own formulas use, and MathML for screen readers.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.fileutil import copy_asset
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
FONTS = "_static/mathjax"
PARTS = ("startup", "core", "adaptors/liteDOM", "input/tex-full", "output/chtml", "output/chtml/fonts/tex")
START = """
var window = undefined, global = globalThis;
var MathJax = {
  loader: {load: []},
  startup: {typeset: false, input: ["tex"], output: "chtml"},
  chtml: {fontURL: "FONTS"},
  options: {enableMenu: false, enableAssistiveMml: true},
};
"""
READY = """
MathJax.startup.getComponents();
MathJax.startup.makeMethods();
function typeset(tex, display) {
  const options = {display: display, em: 16, ex: 8, containerWidth: 1280};
  return MathJax.startup.adaptor.outerHTML(MathJax.tex2chtml(tex, options));
}
function styles() {
  const css = MathJax.startup.adaptor.textContent(MathJax.chtmlStylesheet());
  MathJax.startup.output.clearCache();
  return css;
}
"""


def home() -> Path:
    """The folder of MathJax's files."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline brings MathJax: pip install sphinx-mathjax-offline")
    return Path(spec.origin).parent / "static" / "mathjax"


@functools.cache
def engine() -> MiniRacer:
    """V8 with MathJax in it; started for the first formula."""
    racer = MiniRacer()
    racer.eval(START)
    for part in (*PARTS, "a11y/assistive-mml"):
        racer.eval((home() / f"{part}.js").read_text(encoding="utf-8"))
    racer.eval(READY)
    return racer


@functools.cache
def typeset(tex: str, display: bool) -> str:
    r"""The HTML of one formula.

    Raises:
        ValueError: MathJax cannot read it.

    >>> "<mi>ln</mi>" in typeset(r"\ln x", False)
    True
    """
    found = str(engine().call("typeset", tex, display))
    if "<merror" in found:
        raise ValueError(f"MathJax cannot read {tex!r}")
    return found


def styles() -> str:
    """The styles of all formulas set since the last call; the next call begins with none."""
    typeset.cache_clear()
    return str(engine().call("styles"))


def close() -> None:
    """End V8, which otherwise may keep the process alive; the next formula starts it again."""
    if engine.cache_info().currsize:
        engine().close()
    engine.cache_clear()
    typeset.cache_clear()


def html(translator: Any, node: nodes.Node, tex: str, display: bool) -> str:
    """The HTML of a formula, or its source and a warning where MathJax cannot read it."""
    translator.builder.app.env.temp_data["formulas"] = True
    try:
        return typeset(tex, display)
    except ValueError as error:
        logger.warning("%s", error, location=node)
        return str(translator.encode(tex))


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula in a line."""
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    translator.body.append(html(translator, node, node.astext(), False) + "</span>")
    raise nodes.SkipNode


def lines(node: nodes.math_block) -> str:
    r"""The source of a displayed formula: blank lines part equations, `\\` parts lines, as Sphinx has it."""
    if node["nowrap"]:
        return node.astext()
    parts = [part for part in node.astext().split("\n\n") if part.strip()]
    split = [rf"\begin{{split}}{part}\end{{split}}" if r"\\" in part else part for part in parts]
    joined = r"\\".join(split)
    return rf"\begin{{align}}\begin{{aligned}}{joined}\end{{aligned}}\end{{align}}" if len(parts) > 1 else joined


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed formula with its number."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append(html(translator, node, lines(node), True) + "</div>\n")
    raise nodes.SkipNode


def add_styles(app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put the styles of a page's formulas into its head."""
    if app.env.temp_data.pop("formulas", False):
        css = styles().replace("FONTS", context["pathto"](FONTS, 1))
        context["metatags"] = context.get("metatags", "") + f"\n<style>{css}</style>"


def copy_fonts(app: Any, exception: Exception | None) -> None:
    """Put MathJax's fonts beside the pages; no formula follows."""
    close()
    if exception is None and app.builder.format == "html":
        copy_asset(home() / "output" / "chtml" / "fonts" / "woff-v2", Path(app.outdir) / FONTS)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx; `html_math_renderer: built` chooses it. One page at a time, because of its styles."""
    app.add_html_math_renderer("built", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", add_styles)
    app.connect("build-finished", copy_fonts)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
