"""What was recorded of choosing settings: how each was chosen, by name, and the figure of the ways to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facelight._extras import extra
from facelight_lab.frames import frame

with extra("book"):
    import pandas as pd
    from matplotlib.axes import Axes

PLAIN = {"Input": "raw", "clahe": "CLAHE", "modified_clahe": "M-CLAHE", "ln minus local mean": "ln less local mean"}
HOW = {
    "fixed": "fixed at {:g}",
    "grid": "best of the grid",
    "descent": "descent from {:g}",
    "per_image": "descent, per image",
    "random": "random search",
    "landscape": "every limit",
}
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


def _name(enhancer: str, method: str, limit: float) -> str:
    plain = PLAIN[enhancer]
    return f"{plain}, {HOW[method].format(limit)}" if limit == limit else plain
