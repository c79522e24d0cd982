"""What was recorded of choosing settings: how each was chosen, by name, and the figures of what it brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab.frames import frame
from facelight_lab.plot import COLORS
from facelight_lab.statistics import PairedDifference

with extra("book"):
    import pandas as pd
    from matplotlib.axes import Axes

PLAIN = {"Input": "Input", "clahe": "CLAHE", "modified_clahe": "M-CLAHE", "ln minus local mean": "ln minus local mean"}
HOW = {
    "fixed": "fixed at {:g}",
    "grid": "best of the grid",
    "descent": "descent from {:g}",
    "per_image": "descent per image",
    "random": "random search",
    "landscape": "every limit",
}
SYMBOLS = {"clip_limit": "c", "flat": "τ (flat)", "gain": "κ (gain)", "prefilter": "p (prefilter)"}
SYMBOLS |= {"strength": "r (strength)"}
"""Setting of M-CLAHE -> its symbol in the equations of chapter 03, and its name."""

TEMPERATURE = 20.0  # of the runs that are compared


def chosen(folder: Path | None = None, *, every: bool = False, **values: str) -> pd.DataFrame:
    """What `frame` finds of the experiment "learned", with `name`: the enhancer, how its settings were chosen, and from
    which clip limit. In the order of `HOW`, of the enhancers in `PLAIN`, of clip limits, and of seeds.

    Args:
        folder: of the records; default: `results.root()`.
        every: also runs at other temperatures of the loss, or at a learned one.
        values: see `frame`.
    """
    found = frame("learned", folder=folder, **values)
    if not every:
        found = found[(found["temperature"] == TEMPERATURE) & ~found["learn_temperature"]]
    places = pd.DataFrame({"how": found["method"].map([*HOW].index), "what": found["enhancer"].map([*PLAIN].index)})
    places[["limit", "seed"]] = found[["clip_limit", "seed"]]
    found = found.loc[places.sort_values(["how", "what", "limit", "seed"], kind="stable").index]
    return found.assign(
        name=[_name(*row) for row in found[["enhancer", "method", "clip_limit"]].itertuples(index=False)]
    )


def draw(axes: Sequence[Axes], seed: int = 0, folder: Path | None = None) -> None:
    """Rate and loss on validation over the clip limit, and the clip limit during descent from three starts.

    Args:
        axes: three.
        seed: of the runs.
        folder: of the records; default: `results.root()`.
    """
    curves = chosen(folder, value="curve/{curve}/{place}").query("seed == @seed and enhancer == 'clahe'")
    curves = curves.pivot_table("value", ["method", "name", "place"], "curve", sort=False)
    tried = curves.loc["landscape"]
    for ax, what in zip(axes, ("rate", "loss"), strict=False):
        ax.plot(tried["clip_limit"], tried[what], marker="", label="continuous")
        ax.plot(tried["clip_limit"], tried[f"{what}_exact"], marker="", lw=1, label="exact")
    for _, steps in curves.loc["descent"].groupby(level=0, sort=False):
        axes[2].plot(steps["step"], steps["clip_limit"], label=f"from {steps['clip_limit'].iloc[0]:g}")
    for ax, title in zip(axes, ("rate, validation", "loss, validation (nats)", "clip limit"), strict=True):
        ax.set(xlabel="step" if ax is axes[2] else "clip limit", ylabel=title)
        ax.set_xscale("linear" if ax is axes[2] else "log")
        ax.legend()
    axes[2].set_yscale("log")


def draw_gains(axes: Axes, gains: Mapping[str, PairedDifference], base: str) -> None:
    """Differences with their 95 % intervals, the greatest on top: blue, what descent found; gray, what was only tried.

    Args:
        axes: to draw on.
        gains: name of `chosen` -> difference, in percentage points.
        base: what they are compared with.
    """
    order = sorted(gains, key=lambda name: gains[name].mean)
    for place, name in enumerate(order):
        gain, learned = gains[name], "descent" in name
        style: dict[str, Any] = {
            "fmt": "o" if learned else "s",
            "color": COLORS["blue"] if learned else "#666666",
            "lw": 1.2,
        }
        axes.errorbar(gain.mean, place, xerr=[[gain.mean - gain.low], [gain.high - gain.mean]], **style)
        label: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8.5}
        axes.annotate(f"{gain.mean:+.2f}".replace("-", "−"), (gain.mean, place), (0, 5), **label)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(order)), labels=order)
    axes.set(xlabel=f"recognized, minus {base} (points)", ylim=(-0.6, len(order) - 0.2))


def _name(enhancer: str, method: str, limit: float) -> str:
    plain = PLAIN[enhancer]
    return f"{plain} ({HOW[method].format(limit)})" if limit == limit else plain
