"""What all figures that move share: the element on the page, and pictures as text."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from facelight._extras import extra

with extra("book"):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

LOSSLESS = 101  # OpenCV's quality of a WebP file that keeps every pixel
SITE = "https://facelight-book.github.io/facelight/book"


@dataclass(frozen=True)
class Moving:
    """A figure that moves, as the output of a cell: on a page its controls, elsewhere the still picture.

    Args:
        name: of the modules `facelight_lab.moving.NAME` and `book/_static/moving/NAME.js`.
        page: of the book, without an ending, such as "01_theory".
        label: what the figure is, for who hears the page: a few words.
        alt: what is seen on the still picture.
        data: what the script draws; JSON values, pictures as `encoded` makes them.
        picture: the still picture, a data URI, see `still`.
        size: its width and height, pixels.
    """

    name: str
    page: str
    label: str
    alt: str
    data: Mapping[str, Any] = field(repr=False)
    picture: str = field(repr=False)
    size: tuple[int, int]

    def _repr_html_(self) -> str:
        """The element; what moves is put into it by `frame.js`, before the still picture."""
        words = {name: html.escape(value) for name, value in vars(self).items() if isinstance(value, str)}
        width, height = self.size
        data = json.dumps(self.data, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
        return (
            f'<div class="moving-figure" id="moving-{words["name"]}" data-figure="{words["name"]}" role="group" '
            f'aria-label="{words["label"]}">\n'
            f'<img class="moving-still dark-light" src="{self.picture}" alt="{words["alt"]}" width="{width}" '
            f'height="{height}">\n'
            f'<p class="moving-note">This picture stands still. On <a href="{SITE}/{words["page"]}.html'
            f'#moving-{words["name"]}">the page of the book</a> it answers to controls.</p>\n'
            f'<script type="application/json">{data}</script>\n</div>'
        )


def encoded(picture: np.ndarray, quality: int = LOSSLESS) -> str:
    """A picture (H, W) or (H, W, 3), uint8, RGB, as the data URI of a WebP file.

    Args:
        picture: the pixels.
        quality: 1 to 100, of what is kept; `LOSSLESS` keeps every pixel.
    """
    pixels = picture if picture.ndim == 2 else picture[..., ::-1]
    done, buffer = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError(f"picture: OpenCV writes no WebP of shape {picture.shape} and type {picture.dtype}")
    return "data:image/webp;base64," + base64.b64encode(buffer.tobytes()).decode()


def still(figure: Figure, dpi: int = 110) -> tuple[str, tuple[int, int]]:
    """A figure of matplotlib as a data URI with its width and height in pixels; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    plt.close(figure)
    pixels = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError("figure: matplotlib wrote no PNG that can be read")
    return encoded(pixels), (pixels.shape[1], pixels.shape[0])
