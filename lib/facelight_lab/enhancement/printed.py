"""The M-CLAHE paper's printed numbers, the recorded runs that stand beside them, and the figure of both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from facelight import enhance
from facelight._extras import extra
from facelight_lab import plot, results
from facelight_lab.enhancement.preprocessing import BLOCKS, CLIP_LIMITS, SIZES, Preprocessing, figure_9, grids, table_3
from facelight_lab.enhancers import FAMILY, Enhancer, clahe, modified_clahe
from facelight_lab.frames import measured

with extra("book"):
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

TITLES = {"yaleb": "Extended Yale B", "pie": "CMU PIE, 32x32"}
"""Data sets of the paper in tables and figures."""

TABLES_1_AND_2 = pd.DataFrame(
    {
        "AMBE": [4.19, 4.07, 18.79, 34.42, 7.28, 7.07, 23.68, 45.92],
        "PSNR": [41.92, 45.26, 27.11, 24.30, 31.77, 34.32, 20.56, 18.43],
    },
    index=pd.MultiIndex.from_product([["yaleb", "pie"], ["CLAHE", "M-CLAHE", "BBHE", "GBIE"]]),
)
"""AMBE in gray levels and PSNR in dB, for each data set and enhancer."""

TABLE_3 = {
    "yaleb": {
        "CLAHE": [16.57, 18.91, 19.95, 17.24, 16.36, 15.19, 11.28],
        "M-CLAHE": [18.71, 20.19, 21.92, 18.53, 16.73, 15.66, 12.39],
    },
    "pie": {
        "CLAHE": [17.11, 18.05, 19.35, 17.22, 16.00, 15.06, 11.13],
        "M-CLAHE": [17.80, 18.99, 20.95, 17.93, 16.28, 15.15, 11.55],
    },
}
"""PSNR in dB for each of `preprocessing.BLOCKS`."""

STANDS_FOR = {
    "CLAHE": "CLAHE 0.01, MATLAB",
    "M-CLAHE": "M-CLAHE 0.01, MATLAB",
    "BBHE": "BBHE",
    "GBIE": "GBIE, G to 255",
}
"""Enhancer of the paper -> the one in `enhancers.FAMILY`. Of the first two, the limit of Table 3 is taken."""

NAMES = {"CLAHE": "clahe", "M-CLAHE": "modified_clahe", "BBHE": "bbhe", "GBIE": "gbie"}
"""Enhancer of the paper -> function of `facelight.enhance`."""


def runs(
    dataset: str, enhancers: Mapping[str, Enhancer], *, size: tuple[int, int] | None = None, every: int = 1
) -> dict[str, results.Record]:
    """The recorded runs of some enhancers on a data set, by the labels of the enhancers; see `Preprocessing`."""
    return results.named("preprocessing", {n: Preprocessing(dataset, e, size, every) for n, e in enhancers.items()})


def beside_measured(dataset: str) -> pd.DataFrame:
    """Tables 1 and 2 beside what was measured, a row for every enhancer of `FAMILY`.

    Columns: PSNR, `paper`, `measured`, `bound`, that of the mean AMBE, and `sd` over pictures; AMBE, `paper` and
    `measured`. The paper's enhancers stand where `STANDS_FOR` says.
    """
    columns = {("PSNR", "measured"): "psnr", ("PSNR", "bound"): "bound_of_means", ("PSNR", "sd"): "psnr_sd"}
    table = measured(runs(dataset, FAMILY), columns | {("AMBE", "measured"): "ambe"})
    for place, score in ((0, "PSNR"), (4, "AMBE")):
        table.insert(place, (score, "paper"), TABLES_1_AND_2.loc[dataset][score].rename(index=STANDS_FOR))
    return table


def against_bound() -> pd.DataFrame:
    """Tables 1 and 2 against 20 log10(255 / AMBE), a row for each data set and enhancer.

    Columns: whether the printed PSNR `exceeds` the bound of the mean AMBE; the ratio of arithmetic to geometric mean of
    AMBE that it would need, and the one `measured`, over the pictures that changed; PSNR and AMBE, printed; the bound.
    """
    bound = 20 * np.log10(255 / TABLES_1_AND_2["AMBE"])
    means = {"of each": "bound", "of the mean": "bound_of_means"}
    same = {name: FAMILY[ours] for name, ours in STANDS_FOR.items()}
    bounds = pd.concat({d: measured(runs(d, same), means) for d in TITLES})
    found = pd.DataFrame({"exceeds": np.where(TABLES_1_AND_2["PSNR"] > bound, "yes", "no")}, TABLES_1_AND_2.index)
    found["needed"] = 10 ** ((TABLES_1_AND_2["PSNR"] - bound) / 20)
    found["measured"] = 10 ** ((bounds["of each"] - bounds["of the mean"]) / 20)
    return found.assign(PSNR=TABLES_1_AND_2["PSNR"], bound=bound, AMBE=TABLES_1_AND_2["AMBE"]).rename(TITLES, level=0)


def draw_bound(axes: Axes) -> None:
    """PSNR over AMBE, as printed and as measured, each pair joined by a line, and the bound.

    Args:
        axes: to draw on; its limits are set.
    """
    line = np.array([2.5, 150])
    axes.plot(line, 20 * np.log10(255 / line), color="black", marker="")
    places, labels = [], []
    for dataset, color in zip(TITLES, ("blue", "orange"), strict=True):
        found = beside_measured(dataset).dropna()
        style: dict[str, Any] = {"color": plot.COLORS[color], "ls": ""}
        for paper, (_, row) in zip(STANDS_FOR, found.loc[list(STANDS_FOR.values())].iterrows(), strict=True):
            ends = [[row[(score, source)] for source in ("paper", "measured")] for score in ("AMBE", "PSNR")]
            axes.plot(*ends, color=plot.COLORS[color], marker="", lw=0.7, alpha=0.6)
            places.append((ends[0][0], ends[1][0]))
            labels.append(paper)
        for source, marker in (("paper", "X"), ("measured", "o")):
            told = f"{TITLES[dataset]}, {'printed' if source == 'paper' else 'measured'}"
            axes.plot(found[("AMBE", source)], found[("PSNR", source)], marker=marker, label=told, **style)
    axes.set(xscale="log", xlim=(2.5, 150), ylim=(0, 50), xlabel="AMBE (gray levels)", ylabel="PSNR (dB)")
    ticks = (3, 10, 30, 100)
    plot.factor_axis(axes, ticks)
    axes.text(4.6, 27.8, "bound", rotation=-25)
    axes.legend(loc="lower left")
    across, up = zip(*places, strict=True)
    plot.label_points(axes, across, up, labels)


def near_identity() -> pd.DataFrame:
    """CLAHE and M-CLAHE at clip limit 0 on Extended Yale B, a row for each size of the pictures.

    Columns: the steepest slope that a table may have; PSNR and AMBE of both.
    """
    sizes = {"192x168": (None, 1, 24 * 22), "299x299": ((299, 299), 4, 38 * 38), "480x640": ((480, 640), 8, 60 * 80)}
    rows = {}
    for name, (size, every, pixels) in sizes.items():
        found = runs("yaleb", {"CLAHE": clahe(0.0), "M-CLAHE": modified_clahe(0.0)}, size=size, every=every)
        slope = 255 * enhance.clip_count(0.0, pixels, "matlab") / pixels
        scores = measured(found, {"PSNR": "psnr", "AMBE": "ambe"}).T.unstack()
        rows[name] = {("", "steepest slope"): slope, **scores}
    return pd.DataFrame(rows).T


def clip_limits(dataset: str) -> pd.DataFrame:
    """Figure 9, measured: PSNR in dB, a row for each clip limit, a column for each enhancer and convention.

    The limits are MATLAB's; OpenCV's are 1 + 255 times as large, which leaves about the same count in a bin.
    """
    psnr = measured(results.named("preprocessing", dict(enumerate(figure_9(dataset)))), {"psnr": "psnr"})
    names = [f"{name}, {convention}" for name in ("CLAHE", "M-CLAHE") for convention in ("matlab", "opencv")]
    return pd.DataFrame(psnr.to_numpy().reshape(-1, len(names)), index=CLIP_LIMITS, columns=names)


def block_sizes(dataset: str) -> pd.DataFrame:
    """Table 3 and ours: PSNR in dB of both enhancers for each block size, as the paper has it and read in two ways.

    Columns: enhancer, and `paper`, `tiles` (a number of tiles) or `pixels` (of a tile); and the steepest slope that a
    table of gray levels may have. NaN where the picture does not allow that block size.
    """
    every = {config.enhancer.settings["grid_size"]: config.every for config in table_3(dataset)}
    places = grids(*SIZES[dataset])
    columns = {}
    for name, make in (("CLAHE", clahe), ("M-CLAHE", modified_clahe)):
        columns[(name, "paper")] = pd.Series(TABLE_3[dataset][name], BLOCKS)
        configs = {at: Preprocessing(dataset, make(grid_size=grid), every=every[grid]) for at, grid in places.items()}
        psnr = measured(results.named("preprocessing", configs), {"psnr": "psnr"})["psnr"]
        columns |= {(name, reading): psnr[reading] for reading in ("tiles", "pixels")}
    slopes = {block: _steepest(dataset, block) for reading, block in places if reading == "tiles"}
    columns[("slope", "tiles")] = pd.Series(slopes)
    return pd.DataFrame(columns, index=pd.Index(BLOCKS, name="block"))


def nearest_settings() -> pd.DataFrame:
    """Of all recorded settings of each enhancer, the one whose PSNR is nearest the one of Table 2, and its AMBE.

    Columns: AMBE and PSNR, each `paper` and `nearest`; `of`, so many settings; and the setting.
    """
    rows: dict[tuple[str, str], dict[tuple[str, str], Any]] = {}
    every_run = results.load("preprocessing")
    for dataset, name in itertools.product(TABLE_3, NAMES):
        printed = {score: float(TABLES_1_AND_2.loc[dataset][score][name]) for score in ("AMBE", "PSNR")}
        tried = [r for r in every_run if (r.config["dataset"], r.config["enhancer"]["name"]) == (dataset, NAMES[name])]
        gaps = [abs(run.metrics["psnr"] - printed["PSNR"]) for run in tried]
        best = tried[gaps.index(min(gaps))]
        setting = [*best.config["enhancer"]["settings"].values(), best.config["size"]]
        row: dict[tuple[str, str], Any] = {}
        for score, value in printed.items():
            row |= {(score, "paper"): value, (score, "nearest"): best.metrics[score.lower()]}
        row |= {("", "of"): len(tried), ("", "setting"): ", ".join(str(v) for v in setting if v is not None)}
        rows[(dataset, name)] = row
    return pd.DataFrame(rows).T.infer_objects()


def _steepest(dataset: str, tiles: int) -> float:
    """Steepest slope of a table at clip limit 0.01, tiles of even size as MATLAB makes them."""
    pixels = math.prod(-(-size // tiles // 2) * 2 for size in SIZES[dataset])
    return 255 * enhance.clip_count(0.01, pixels, "matlab") / pixels
