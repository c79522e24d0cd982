"""Figures that move on the pages of the book: their data, computed here, and the still picture for all other places.

`figure(NAME)` is what `NAME.py` makes, and `book/_static/moving/NAME.js` draws; `frame.js` there is what all share.
"""

from __future__ import annotations

import importlib
from typing import cast

from facelight import _check
from facelight_lab.moving.frame import Moving, encoded, still

__all__ = ["FIGURES", "Moving", "encoded", "figure", "still"]
FIGURES = ("epsilon", "clahe", "enhancers", "protocols", "hero")


def figure(name: str) -> Moving:
    """A figure that moves, by its name.

    Raises:
        ValueError: an unknown name.

    >>> figure("horoscope")
    Traceback (most recent call last):
    ValueError: name: expected one of 'epsilon', 'clahe', 'enhancers', 'protocols', 'hero', got 'horoscope'
    """
    _check.one_of(name, FIGURES, "name")
    return cast(Moving, importlib.import_module(f"{__name__}.{name}").moving())
