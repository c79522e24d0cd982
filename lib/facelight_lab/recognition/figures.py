"""Figures of who is recognized under which light. No measuring here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from facelight._extras import extra
from facelight.data.samples import LitFaces
from facelight_lab import style
from facelight_lab.enhancers import FAMILY
from facelight_lab.plot import COLORS
from facelight_lab.recognition.tallies import called, degrees

with extra("book"):
    import pandas as pd
    from matplotlib.axes import Axes

METHODS = ("nearest", "shifted nearest", "lda", "ridge", "lbp", "kernel ridge")
"""Whose mistakes are drawn."""
CASES: tuple[dict[str, str], ...] = (
    {"marker": "o", "color": "black"},
    {"marker": "s", "color": "black", "mfc": "white"},
    {"marker": "^", "color": "#949494"},
)
"""Looks of protocols or lights, without the colors of methods."""


def trained_lights(axes: Axes, faces: LitFaces, train: Tensor, person: int = 0) -> None:
    """The lights of a person's pictures, filled where they are trained on; small dots where only those of others are.

    Args:
        axes: to draw on, azimuth across and elevation up.
        faces: the whole set.
        train: positions of the pictures that are trained on, see `protocols.split`.
        person: an identity.
    """
    trained, own = torch.zeros(len(faces), dtype=torch.bool).index_fill(0, train, True), faces.identity == person
    kinds = ((own & ~trained, "white", 6), (~own & trained, "black", 2), (own & trained, COLORS["red"], 6))
    for some, fill, size in kinds:
        at = faces.azimuth[some], faces.elevation[some]
        axes.plot(*at, "o", mfc=fill, mec="black", ms=size, mew=0.7)
    axes.set_xlabel("azimuth (degrees)")


def mistakes(axes: Axes, wrong: pd.DataFrame) -> None:
    """What is left wrong, enhancers down: logarithmic above 0.1 %, no mistake at the left edge.

    Args:
        axes: to draw on.
        wrong: per cent, a row for each of `enhancers.FAMILY` that is there and a column for each of `METHODS`.
    """
    names = [name for name in reversed(FAMILY) if name in wrong.index]
    for method in METHODS:
        look = style.recognizer(method).as_points(ms=5)
        axes.plot(wrong.loc[names, method].clip(lower=0), range(len(names)), **look)
    axes.set(xlabel="wrong names, %", yticks=range(len(names)), yticklabels=map(called, names))
    _logarithmic(axes)


def falls(
    axes: Axes, shares: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]], *, logarithmic: bool = True
) -> None:
    """How far each row falls from one case to another: a mark for each case, joined by a line.

    Args:
        axes: to draw on.
        shares: per cent, rows in the order from top to bottom, cases across; NaN where nothing was measured.
        looks: column -> keywords of its marks, as `CASES` and `style.Style.as_points` have them.
        logarithmic: of wrong names, logarithmic above 0.1 %, no mistake at the left edge; else from 0 to 100 %.
    """
    place, shares = range(len(shares) - 1, -1, -1), shares[list(looks)]
    axes.hlines(place, shares.min(axis=1).clip(lower=0), shares.max(axis=1), color="#999999", lw=1, zorder=1)
    for case, look in looks.items():
        words: dict[str, Any] = {"label": case, "ls": "", "ms": 6, **look}
        axes.plot(shares[case].clip(lower=0), place, **words)
    axes.set(xlabel="wrong names, %", yticks=place, yticklabels=shares.index, ylim=(-0.6, len(shares) - 0.4))
    if logarithmic:
        _logarithmic(axes)
    else:
        axes.set_xlim(-2, 102)


def missed_lights(axes: Axes, share: pd.Series) -> None:
    """Under which lights people are missed: discs of that area, crosses where nobody is, a full disc at the lower left.

    Args:
        axes: to draw on, azimuth across and elevation up.
        share: light, called as in `tallies.missed`, -> share of its pictures.
    """
    across, up = zip(*map(degrees, share.index), strict=True)
    axes.scatter(across, up, s=[0 if s else 9 for s in share], marker="x", lw=0.8, color=COLORS["blue"])
    axes.scatter(across, up, s=[150 * s for s in share], color=COLORS["red"], alpha=0.7)
    axes.scatter([-130], [-35], s=150, facecolor="none", edgecolor="black")
    axes.set_xlabel("azimuth (degrees)")


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlim(-0.02, 100)
    axes.set_xticks((0, 0.1, 1, 10, 100), labels=("0", "0.1", "1", "10", "100"))
