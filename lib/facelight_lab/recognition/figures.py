"""Figures of who is recognized under which light. No measuring here."""

from __future__ import annotations

import torch
from torch import Tensor

from facelight._extras import extra
from facelight.data.samples import LitFaces
from facelight_lab.enhancers import FAMILY
from facelight_lab.plot import COLORS
from facelight_lab.recognition.tallies import degrees

with extra("book"):
    import pandas as pd
    from matplotlib.axes import Axes

MARKS = {"nearest": "o", "shifted nearest": "s", "lda": "^", "ridge": "D", "lbp": "x", "kernel ridge": "*"}
"""Method -> marker."""


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
        wrong: per cent, a row for each of `enhancers.FAMILY` that is there and a column for each of `MARKS`.
    """
    names = [name for name in reversed(FAMILY) if name in wrong.index]
    for method, mark in MARKS.items():
        axes.plot(wrong.loc[names, method].clip(lower=0), range(len(names)), mark, ls="", ms=5, label=method)
    axes.set(xlabel="wrong (%)", yticks=range(len(names)), yticklabels=names)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlim(-0.02, 100)


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
