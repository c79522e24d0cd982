"""What was recorded of naming faces, as frames: rates by group of pictures, and who was missed under which light."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from facelight._extras import extra
from facelight.data import yaleb
from facelight.data.yale_lights import subset_of
from facelight_lab import style
from facelight_lab.enhancers import FAMILY
from facelight_lab.frames import frame
from facelight_lab.statistics import spread
from facelight_lab.stems import ZERO_PADDED

with extra("book"):
    import pandas as pd

CODES = {"random": "P1", "subset 1": "P2", "held-out lights": "P3", "one image": "P4"}
"""Protocols of Extended Yale B, see `protocols.split`, as the tables call them."""
FIRST_LAYERS = tuple(f"{name} as first layer" for name in ("ln(1 + x)", "ln(1 + 255x)", ZERO_PADDED))
"""First layers that stand in for an enhancer."""
OTHERS = {"pca": "PCA", "ridge without offset": "ridge, no offset"}
"""Methods that no figure shows."""
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


def on_yaleb(folder: Path | None = None) -> pd.DataFrame:
    """The rows of `rates` that compare methods on Extended Yale B, with one budget for all networks.

    `method` is "network" for the small network, "network, relit" where its training pictures are relit; `name` is of
    `enhancers.FAMILY` or `FIRST_LAYERS`; `code` is the protocol's, see `CODES`.
    """
    found = rates(folder=folder).query("dataset == 'yaleb' and (name in @FAMILY or name in @FIRST_LAYERS)")
    found = found.query("backbone.isna() or (backbone == 'resnet18_c4' and optimizer == 'adamw')")
    relit = found["method"].eq("network") & found["changes"].eq("move, flip, relight")
    method = found["method"].mask(relit, "network, relit")
    return found.assign(method=method, code=found["protocol"].map(CODES))


def grid(some: pd.DataFrame, down: str | Sequence[str] = "name", across: str = "method") -> pd.DataFrame:
    """Mean and standard deviation over seeds of the rate over all groups, as text, enhancers in the book's order.

    Args:
        some: rows of `rates`, one for each seed and cell.
        down, across: columns that name the rows and the columns of the table; the last of `down` names the enhancer.
    """
    keys = [down] if isinstance(down, str) else list(down)
    cells = some[some["group"] == ALL].groupby([*keys, across])["rate"]
    table = cells.agg(lambda values: spread(values, n=False)).unstack()
    order = {name: place for place, name in enumerate((*FAMILY, *FIRST_LAYERS))}
    where = [(*key[:-1], order[key[-1]]) for key in (table.index if len(keys) > 1 else [(k,) for k in table.index])]
    return table.iloc[sorted(range(len(where)), key=where.__getitem__)]


def called(name: str) -> str:
    """How tables and figures call an enhancer, a first layer that stands in for one, or a method; see `style`.

    >>> called("M-CLAHE 0.01, MATLAB"), called("ln(1 + x) as first layer"), called("lda")
    ('M-CLAHE 0.01 (MATLAB)', 'log layer', 'LDA')
    """
    layer = name.removesuffix(" as first layer")
    tables: tuple[Mapping[str, style.Style], ...] = (style.ENHANCERS, style.RECOGNIZERS)
    if layer != name:
        tables = (style.FIRST_LAYERS,)
    return next((table[layer].label for table in tables if layer in table), OTHERS.get(name, name))


def row(method: str, name: str) -> str:
    """A method and what stands before it, as a figure writes it beside a row.

    >>> row("ridge", "HE").splitlines(), row("lda", "Input").splitlines()
    (['ridge', 'behind HE'], ['LDA', 'on the input'])
    """
    return f"{called(method)}\n" + ("on the input" if name == "Input" else f"behind {called(name)}")


def labeled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its rows and columns called as everywhere in the book."""
    return table.rename(index=called, columns=called)


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
