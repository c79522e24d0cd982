"""A figure that moves: epsilon and darkening against the response of a log neuron, with a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from facelight import illumination
from facelight._extras import extra
from facelight.layers import log_compress
from facelight_lab.moving.faces import Levels, lit
from facelight_lab.moving.frame import Moving, encoded, still
from facelight_lab.plot import COLORS

with extra("book"):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

EPSILONS = {
    "1": 1.0, "1/2": 1 / 2, "1/5": 1 / 5, "1/10": 1 / 10, "1/25": 1 / 25, "1/50": 1 / 50, "1/100": 1 / 100,
    "1/255": 1 / 255, "1/1000": 1 / 1000,
}  # fmt: skip
FACTORS = (1, 2, 3, 6, 12, 25)  # what gray levels are divided by
EDGE = (160, 80)  # gray levels on the two sides of the edge whose response is told
GRAYS = torch.arange(256, dtype=torch.float64) / 255


def response(x: Tensor, epsilon: float) -> Tensor:
    """ln(1 + x / epsilon), divided by what it is for white: 0 for black, 1 for white, whatever epsilon is."""
    return log_compress(x, 1.0, epsilon) / log_compress(torch.ones_like(x), 1.0, epsilon)


def darkened(factor: float) -> Tensor:
    """What becomes of each gray level, (256,) in [0, 1], when the picture is divided by a factor and rounded."""
    return illumination.darken(GRAYS.view(1, 1, 1, -1), factor).flatten()


def kept(epsilon: float, factor: float) -> float:
    """Share of the response to the edge that is left when the light is divided: 1 for an ideal logarithm."""
    high, low = (torch.tensor(level / 255, dtype=torch.float64) for level in EDGE)
    dark, full = (
        response(high / k, epsilon) - response(low / k, epsilon) for k in (torch.tensor(float(factor)), torch.tensor(1))
    )
    return (dark / full).item()


def data(face: Levels) -> dict[str, Any]:
    """What the script draws.

    Args:
        face: gray levels (H, W).

    Returns:
        "epsilons" and "factors", the names of the steps of both sliders; "response", for each epsilon the response to
        each gray level; "darkened", for each factor what becomes of each gray level; "kept", for each epsilon and
        factor the share of an edge's response, between the levels of "edge"; "face", the picture.
    """
    return {
        "epsilons": list(EPSILONS),
        "factors": list(FACTORS),
        "response": [[round(v, 4) for v in response(GRAYS, e).tolist()] for e in EPSILONS.values()],
        "darkened": [(255 * darkened(k)).round().int().tolist() for k in FACTORS],
        "kept": [[round(kept(e, k), 4) for k in FACTORS] for e in EPSILONS.values()],
        "edge": list(EDGE),
        "face": encoded(face),
    }


def moving() -> Moving:
    """The figure."""
    face = lit(20)
    picture, size = still(_still(face))
    alt = (
        "Left, the response of a log neuron against the gray level for three values of epsilon; right, the response to "
        "a face whose gray levels are divided by 6: almost black for epsilon 1, well visible for 1/255."
    )
    return Moving("epsilon", "01_theory", "Response of a log neuron", alt, data(face), picture, size)


def _still(face: Levels) -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.4), width_ratios=(1.5, 1, 1, 1), layout="constrained")
    shown = {"1": "red", "1/25": "orange", "1/255": "green"}
    for name, color in shown.items():
        curve = response(GRAYS, EPSILONS[name]).numpy()
        axes[0].plot(GRAYS, curve, color=COLORS[color], label=f"ε = {name}", marker="")
    axes[0].axvspan(0, 1 / 6, color="0.85", lw=0)
    axes[0].set(xlabel="gray level / 255", ylabel="response / that to white")
    axes[0].legend(fontsize=7)
    levels = (255 * darkened(6)).round().int().numpy()[face]
    for place, name in zip(axes[1:], shown, strict=True):
        seen = response(GRAYS, EPSILONS[name]).numpy()[levels]
        place.imshow(np.asarray(seen), cmap="gray", vmin=0, vmax=1)
        place.set_title(f"ε = {name}, light / 6", fontsize=8)
        place.axis("off")
    return figure
