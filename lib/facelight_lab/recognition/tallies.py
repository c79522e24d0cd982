"""What was recorded of naming faces, as frames: rates by group of pictures, and who was missed under which light."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from facelight._extras import extra
from facelight.data import yaleb
from facelight.data.yale_lights import subset_of
from facelight_lab.frames import frame

with extra("book"):
    import pandas as pd

ALL = "mean"
"""The group that stands for all groups."""
TABLE_5 = {  # of the M-CLAHE paper: per cent recognized in subsets 1 to 5 of Extended Yale B
    "VGG16": (100, 100, 97.80, 84.55, 75.7),
    "VGG16, M-CLAHE": (100, 100, 98.30, 95.6, 92.5),
    "ResNet50": (100, 100, 98.37, 86.61, 79.6),
    "ResNet50, M-CLAHE": (100, 100, 99.60, 96.33, 95.8),
    "Inception-v3": (100, 100, 98.81, 88.73, 83.7),
    "Inception-v3, M-CLAHE": (100, 100, 100, 99.20, 98.0),
}


def rates(experiment: str = "recognition", folder: Path | None = None) -> pd.DataFrame:
    """A row for every run, method and group of pictures, and one for all its groups together, called `ALL`.

    Columns: those of `frame`; `method`; `group`, a subset of light or a camera; `right`, `wrong` and `count`, numbers
    of pictures; `rate`, per cent right, of `ALL` the unweighted mean over the groups, as the M-CLAHE paper has it;
    `name`, the enhancer, or the first layer that stands in for it.

    Args:
        experiment: "recognition" or "embedding".
        folder: of the records; default: `results.root()`.
    """
    found = frame(experiment, right="{method}/right/{group}", count="{method}/count/{group}", folder=folder)
    found = found.assign(wrong=found["count"] - found["right"], rate=100 * found["right"] / found["count"])
    counted, which = {"right": "sum", "wrong": "sum", "count": "sum", "rate": "mean"}, ["run", "method"]
    totals = found.groupby(which).agg(counted).reset_index().assign(group=ALL)
    settings = found.drop(columns=["group", *counted]).drop_duplicates(which)
    return _named(pd.concat([found, settings.merge(totals, on=which)], ignore_index=True))


def missed(folder: Path | None = None) -> pd.DataFrame:
    """A row for every run, method and light under which pictures got a wrong name; `wrong` is their number.

    `light` is azimuth and elevation, "+035-20"; `session`, of CMU PIE only, "expression", "illumination", "lights" or
    "talking".
    """
    found = _named(frame("recognition", wrong="{method}/wrong/{light}", folder=folder))
    return found.assign(session=found["light"].str.rsplit(n=1).str[0].where(found["dataset"] == "pie"))


def intervals(right: pd.Series, count: pd.Series) -> pd.Series:
    """Wilson's 95 % interval of each rate, in per cent, as text: right answers to questions that are independent.

    >>> intervals(pd.Series([9]), pd.Series([10])).tolist()
    ['59.6–98.2']
    """
    with extra("book"):
        from scipy.stats import binomtest

    both = zip(right, count, strict=True)
    limits = [binomtest(k, n).proportion_ci(0.95, method="wilson") for k, n in both]
    return pd.Series([f"{100 * low:.1f}–{100 * high:.1f}" for low, high in limits], right.index)


def pictures_by_light() -> pd.Series:
    """How many pictures Extended Yale B has under each light outside subset 1, called as in `missed`."""
    lights = Counter(file[-12:-8] + file[-7:-4] for file in yaleb.expected_names())
    return pd.Series({light: n for light, n in sorted(lights.items()) if subset_of(*degrees(light)) > 1})


def degrees(light: str) -> tuple[float, float]:
    """Azimuth and elevation of a light.

    >>> degrees("+035-20")
    (35.0, -20.0)
    """
    return float(light[:4]), float(light[4:])


def table_5() -> pd.DataFrame:
    """Table 5 of the M-CLAHE paper: its networks down, subsets across."""
    return pd.DataFrame(TABLE_5, index=[f"S{subset}" for subset in range(1, 6)]).T


def _named(found: pd.DataFrame) -> pd.DataFrame:
    other = found["variant"].notna() & (found["variant"] != "linear")
    return found.assign(name=found["enhancer"].mask(other, found["variant"] + " as first layer"))
