"""Scores of enhanced pictures against what the enhancers do for recognition: the frame and its figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from facelight._extras import extra
from facelight_lab import plot, style
from facelight_lab.enhancement import preprocessing
from facelight_lab.frames import measured
from facelight_lab.results import Record

with extra("book"):
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SCORES = {
    "PSNR": "psnr",
    "AMBE": "ambe",
    "SSIM": "ssim",
    "contrast": "contrast",
    "entropy": "entropy",
    "noise": "noise_amplification",
}
"""Score in tables and figures -> name in the records of `preprocessing`."""

HARD = ("4", "5")
"""Subsets with the light far to the side."""

UNITS = {"SSIM": "", "contrast": " (levels)", "entropy": " (bits)", "noise": " gain", "noise / contrast": ""}


def label(name: str) -> str:
    """What an enhancer of `FAMILY` is called in figures and tables; without a comma."""
    return style.enhancer(name).label


def hard(runs: Mapping[str, Record], metric: str, counts: Record) -> pd.Series:
    """A metric over the pictures of subsets 4 and 5 together.

    Args:
        runs: label -> record with `<metric>_by_subset`.
        metric: its name.
        counts: record of `nearest` that says how many pictures each subset has.
    """
    n = pd.Series({s: counts.metrics["n_by_subset"][s] for s in HARD})
    return (measured(runs, {s: f"{metric}_by_subset/{s}" for s in HARD}) * n).sum(axis=1, skipna=False) / n.sum()


def recognized(runs: Mapping[str, Record]) -> pd.Series:
    """Per cent of the pictures in subsets 4 and 5 that are given their right name; runs of `nearest`."""
    return 100 * hard(runs, "rate", next(iter(runs.values())))


def with_intervals(runs: Mapping[str, Record]) -> pd.DataFrame:
    """Per cent recognized in each subset with its 95 % interval, as text; runs of `nearest`."""
    rows = {}
    for name, item in runs.items():
        rate, low, high = (item.metrics[f"{part}_by_subset"] for part in ("rate", "low", "high"))
        rows[name] = {f"S{s}": f"{100 * rate[s]:.3g} [{100 * low[s]:.0f}–{100 * high[s]:.0f}]" for s in rate}
    return pd.DataFrame(rows).T


def scores(x: Tensor, y: Tensor) -> dict[str, float]:
    """Each of `SCORES` of one picture y (C, H, W) that was x, in [0, 1]."""
    found = preprocessing.scores(x, y)
    return {title: found[name].item() for title, name in SCORES.items()}


def per_contrast(frame: pd.DataFrame, unchanged: str) -> pd.DataFrame:
    """The frame with the column "noise / contrast": the noise, less what is only a gain in contrast.

    Args:
        frame: with `noise`, an amplification, and `contrast`.
        unchanged: its row for the picture as it was.
    """
    gain = frame["contrast"] / frame["contrast"][unchanged]
    return frame.assign(**{"noise / contrast": frame["noise"] / gain})


def compared(scored: Mapping[str, Record], named: Mapping[str, Record], *, only_hard: bool = False) -> pd.DataFrame:
    """Every score of each enhancer, and the share recognized; the unchanged input has infinite PSNR.

    Args:
        scored: enhancer -> run of `preprocessing`, "Input" among them.
        named: enhancer -> run of `nearest`.
        only_hard: whether scores are taken over subsets 4 and 5 only.

    Returns:
        Columns: the `SCORES`; "noise / contrast", see `per_contrast`; "recognized", per cent.
    """
    if only_hard:
        frame = pd.DataFrame({title: hard(scored, score, named["Input"]) for title, score in SCORES.items()})
    else:
        frame = measured(scored, SCORES)
    frame.loc["Input", "PSNR"] = math.inf
    return per_contrast(frame, "Input").assign(recognized=recognized(named))


def rank_correlations(frame: pd.DataFrame) -> pd.Series:
    """Spearman's correlation of each score with the share recognized, see `compared`."""
    return frame.rank().corr()["recognized"].drop("recognized")


def draw(axes: Axes, frame: pd.DataFrame, score: str, labels: Collection[str] = ()) -> list[Line2D]:
    """One score against recognition; infinity stands at the right, behind a gap.

    Args:
        axes: to draw on, with its title and labels.
        frame: see `compared`, of enhancers of `FAMILY`.
        score: a column of it.
        labels: the enhancers whose names are written.

    Returns:
        The marks of the groups, for a legend.
    """
    handles = []
    x, y = frame[score].copy(), frame["recognized"]
    top, least = x[x < math.inf].max(), x.min()
    place = top + 0.2 * (top - least)
    x[x == math.inf] = place
    for title, look in style.FAMILIES.items():
        of = [name for name in frame.index if style.family(name) == title]
        handles += axes.plot(x[of], y[of], **look.as_points(mec="black", mew=0.5))
    width = x.max() - least
    axes.set(ylim=(-12, 112), xlim=(least - 0.09 * width, x.max() + 0.12 * width))
    plot.label_points(axes, list(x), list(y), [label(name) if name in labels else "" for name in frame.index], size=7.8)
    if math.inf in frame[score].to_numpy():
        ticks = [tick for tick in axes.get_xticks() if least - 2 < tick <= top + 1]
        axes.set_xticks([*ticks, place], [*(f"{tick:g}" for tick in ticks), "∞"])
        options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 13, "backgroundcolor": "white"}
        axes.text((top + place) / 2, axes.get_ylim()[0], "//", **options)
    return handles


def figure(frame: pd.DataFrame, title: str) -> Figure:
    """Every enhancer by its PSNR and by what it does for recognition, with the rank correlation.

    Args:
        frame: see `compared`.
        title: on which pictures.
    """
    drawn, axes = plt.subplots(figsize=(5.4, 5.4))
    crowd = frame[[style.family(name) == "neighbors" for name in frame.index]]
    crowd = crowd.sort_values("recognized", ascending=False)
    handles = draw(axes, frame, "PSNR", tuple(frame.index.difference(crowd.index)))
    axes.set(title=f"{title}: {_rho(frame)['PSNR']}", ylabel="recognized in subsets 4 and 5 (%)")
    axes.set_xlabel("PSNR against the input (dB): higher counts as better")
    axes.legend(handles=handles, title="a new value comes from", loc="center right", bbox_to_anchor=(1, 0.64))
    if len(crowd):  # too close together for a label at each
        names = textwrap.fill(", ".join(map(label, crowd.index)), 34)
        color = style.FAMILIES["neighbors"].color
        place = (crowd["PSNR"].max() + 0.8, 108)
        axes.text(*place, f"from the top:\n{names}", color=color, va="top", fontsize=8.5, linespacing=1.25)
    return drawn


def others(frame: pd.DataFrame) -> Figure:
    """Every enhancer by the scores of `UNITS` and by what it does for recognition, with the rank correlations.

    Args:
        frame: see `compared`.
    """
    drawn, grid = plt.subplots(2, 3, figsize=(5.4, 4.4), sharey=True)
    panels, rho = list(grid.flat), _rho(frame)
    for axes, (score, unit) in zip(panels, UNITS.items(), strict=False):
        axes.set(xlabel=score + unit, title=rho[score])
        handles = draw(axes, frame, score, ("Input",))
    for axes in grid[:, 0]:
        axes.set_ylabel("recognized (%)")
    panels[-1].set_axis_off()
    panels[-1].legend(handles=handles, loc="center", title="a new value\ncomes from")
    return drawn


def rates(runs: Mapping[str, Record]) -> Figure:
    """Per cent recognized in the two hardest subsets, with the 95 % intervals; runs of `nearest`.

    Args:
        runs: enhancer of `FAMILY` -> run; the best is drawn on top.
    """
    order = recognized(runs).sort_values().index
    drawn, axes = plt.subplots(figsize=(5.4, 5.6))
    for subset, filled, shift in zip(HARD, (True, False), (0.16, -0.16), strict=True):
        paths = {part: f"{part}_by_subset/{subset}" for part in ("rate", "low", "high")}
        found = 100 * measured(runs, paths).loc[order]
        reach = [found["rate"] - found["low"], found["high"] - found["rate"]]
        for place, name in enumerate(order):
            look = style.FAMILIES[style.family(name)]
            points = look.as_points(mfc=look.color if filled else "white", lw=1, label=f"subset {subset}")
            axes.errorbar(found["rate"].iloc[place], place + shift, xerr=[[r[name]] for r in reach], **points)
    axes.set_yticks(range(len(order)), labels=[label(name) for name in order])
    axes.set(xlabel="recognized (%)", xlim=(-2, 102), ylim=(-0.7, len(order) - 0.3))
    axes.legend(handles=axes.get_legend_handles_labels()[0][:: len(order)], loc="lower right")
    return drawn


def _rho(frame: pd.DataFrame) -> pd.Series:
    return rank_correlations(frame).map(lambda r: f"ρ = {r:+.2f}".replace("-", "−"))
