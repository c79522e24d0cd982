"""A figure that moves: enhancers by the quality of the picture and by what they do for recognition, with a face."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from facelight._extras import extra
from facelight_lab import results, style
from facelight_lab.enhancement import nearest, printed, quality
from facelight_lab.enhancers import FAMILY
from facelight_lab.moving.faces import Levels, lit
from facelight_lab.moving.frame import Moving, encoded, still

with extra("book"):
    import pandas as pd
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

SIZE = (112, 98)  # of the face
SIDE = 65  # azimuth of the light on it, degrees: as in subset 4 of Extended Yale B
SHOWN = "Tan-Triggs"  # at first, and on the still picture


def measured() -> pd.DataFrame:
    """PSNR, decibel, infinite for the input, and per cent recognized of each enhancer, of Extended Yale B's records."""
    rates = results.named("nearest", {name: nearest.Nearest("yaleb", e) for name, e in FAMILY.items()})
    return quality.compared(printed.runs("yaleb", FAMILY), rates)[["PSNR", "recognized"]]


def enhanced(face: Levels, name: str) -> Levels:
    """Gray levels (H, W) after an enhancer of the family, rounded."""
    y = FAMILY[name](torch.from_numpy(face)[None, None].float() / 255)
    done: Levels = (255 * y[0, 0]).round().clamp(0, 255).byte().numpy()
    return done


def data(face: Levels, frame: pd.DataFrame) -> dict[str, Any]:
    """What the script draws.

    Args:
        face: gray levels (H, W).
        frame: see `measured`.

    Returns:
        "points", for each enhancer its "name", "color", "psnr", decibel, None where infinite, and "recognized", per
        cent; "families", the "name" and "color" of each; "shown", the number of the first one to be shown; "size" of
        the face; "face" and "enhanced", the pictures, the latter for each enhancer below the one before.
    """
    points = [
        {
            "name": style.enhancer(str(name)).label,
            "color": style.enhancer(str(name)).color,
            "psnr": None if math.isinf(row.PSNR) else round(row.PSNR, 2),
            "recognized": round(row.recognized, 1),
        }
        for name, row in frame.iterrows()
    ]
    return {
        "points": points,
        "families": [{"name": kind.label, "color": kind.color} for kind in style.FAMILIES.values()],
        "shown": list(frame.index).index(SHOWN),
        "size": list(face.shape),
        "face": encoded(face),
        "enhanced": encoded(np.concatenate([enhanced(face, name) for name in frame.index]), 80),
    }


def moving() -> Moving:
    """The figure."""
    face, frame = lit(SIDE, size=SIZE), measured()
    picture, size = still(_still(face, frame))
    alt = (
        "Recognition against PSNR, one point for each of 22 enhancers: it falls from almost 100 per cent at the lowest "
        "PSNR to about 10 per cent at the highest. Beside it a face lit from the side, before and after Tan-Triggs."
    )
    return Moving("enhancers", "03_preprocessing", "22 enhancers", alt, data(face, frame), picture, size)


def _still(face: Levels, frame: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.8), width_ratios=(2, 1, 1), layout="constrained")
    top = frame["PSNR"][frame["PSNR"] < math.inf].max()
    for name, row in frame.iterrows():
        x = min(row.PSNR, 1.15 * top)
        axes[0].plot(x, row.recognized, **style.enhancer(str(name)).as_points(label=None))
    axes[0].set(xlabel="PSNR (dB); the input, infinite, at the right", ylabel="recognized (%)")
    for place, shown, title in zip(axes[1:], (face, enhanced(face, SHOWN)), ("input", SHOWN), strict=True):
        place.imshow(shown, cmap="gray", vmin=0, vmax=255)
        place.set_title(title, fontsize=8)
        place.axis("off")
    return figure
