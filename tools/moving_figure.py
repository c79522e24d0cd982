"""Sphinx extension: the directive `moving-figure` puts a figure of `facelight_lab.moving` into a page without cells."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from facelight_lab import moving


class MovingFigure(SphinxDirective):
    """The figure named by the argument; the content stands below it, as a legend: it has no number."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """A figure with the element that a script fills."""
        shown = nodes.figure("", nodes.raw("", moving.figure(self.arguments[0])._repr_html_(), format="html"))
        if self.content:
            shown += nodes.legend("", nodes.paragraph("", "", *self.parse_inline(" ".join(self.content))[0]))
        return [shown]


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("moving-figure", MovingFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
