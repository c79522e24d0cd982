"""Sphinx extension: draws the picture that other sites show with a link to the book, `_static/shared.png`.

One rendered face under three lights, below the title.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import facelight_render

SIZE = (1200, 630)  # pixels, what most sites show whole
LIGHTS = ((0.0, 0.0), (60.0, 10.0), (110.0, 15.0))  # azimuth and elevation, degrees


def draw() -> Figure:
    """The title above, the face under the three lights below."""
    faces = facelight_render.lights(1, seed=4, size=(384, 336), directions=LIGHTS).image[:, 0].numpy()
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor="#10202f")
    figure.text(0.05, 0.88, "Faces under changing light", color="white", fontsize=38, weight="bold", va="center")
    words = "Enhancement, recognition and landmarks: every number with the code that measured it"
    figure.text(0.05, 0.775, words, color="#c8d6e5", fontsize=16.5, va="center")
    width = 0.9 / 3 - 0.012
    for place, face in enumerate(faces):
        axes = figure.add_axes((0.05 + place * 0.304, 0.06, width, 0.64))
        axes.imshow(face, cmap="gray", vmin=0, vmax=255, aspect="auto", extent=(0, 336, 384, 0))
        axes.set_ylim(384 * 0.95, 384 * 0.95 - 336 * (0.64 * SIZE[1]) / (width * SIZE[0]))
        axes.set_axis_off()
    return figure


def put(app: Any, exception: Exception | None) -> None:
    """Put the picture beside the pages."""
    if exception is None and app.builder.format == "html":
        draw().savefig(Path(app.outdir) / "_static" / "shared.png", dpi=100, pil_kwargs={"optimize": True})


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
