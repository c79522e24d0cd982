"""Tables of text that chapters print: spread over seeds, differences with intervals, ours beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from facelight._extras import extra
from facelight_lab.markup import Table
from facelight_lab.statistics import NOTHING, PairedDifference, spread, summary, versus

with extra("book"):
    import pandas as pd


def table(
    wide: pd.DataFrame,
    rows: Sequence[str] | Mapping[str, str] | None = None,
    *,
    digits: int = 2,
    n: bool = True,
    sd: bool = True,
) -> pd.DataFrame:
    """Mean and standard deviation over seeds, for each method a row and for each light a column.

    Args:
        wide: see `frames.wide`; the first level of its index names the methods, the others are seeds.
        rows: which methods, in this order; or title -> method. Those without a run are left out. Default: all.
        digits: decimals.
        n: whether a first column has the number of runs.
        sd: whether the standard deviation is told.

    Returns:
        Text; a dash where nothing was measured.

    Raises:
        ValueError: only some runs of a method were measured under a light.
    """
    there = wide.index.get_level_values(0)
    chosen = rows if isinstance(rows, Mapping) else {name: name for name in (there.unique() if rows is None else rows)}

    def cell(values: pd.Series) -> str:
        if values.isna().all():
            return NOTHING
        text = spread(values, digits, n=False)
        return text if sd else text.partition("±")[0]

    found: dict[str, dict[Any, Any]] = {}
    for title, name in chosen.items():
        some = wide[there == name]
        if len(some):
            found[title] = ({"n": len(some)} if n else {}) | {column: cell(some[column]) for column in some}
    return pd.DataFrame.from_dict(found, orient="index", dtype=object)


def differences(
    wide: pd.DataFrame,
    pairs: Mapping[str, tuple[str, str]],
    *,
    relative: bool = False,
    digits: int = 2,
    exact: bool = False,
) -> pd.DataFrame:
    """Paired differences with their intervals, for each light a row and for each pair of methods a column.

    Args:
        wide: see `frames.wide`; the first level of its index names the methods, the others are what pairs runs.
        pairs: title -> ours and base.
        relative: how many per cent ours is above the base, see `versus`.
        digits: decimals.
        exact: whether the p of the exact sign-flip test follows.
    """

    def of(name: str) -> pd.DataFrame:
        return wide[wide.index.get_level_values(0) == name].droplevel(0)

    found = {title: versus(of(ours), of(base), relative=relative) for title, (ours, base) in pairs.items()}
    return pd.DataFrame(found).map(lambda d: d.text(digits, exact=exact))


def verdicts(
    found: Mapping[str, PairedDifference],
    better: str,
    *,
    at_most: Mapping[str, float | None] | None = None,
    digits: int = 2,
) -> pd.DataFrame:
    """A row for each comparison: mean, 95 % interval, number of pairs, and the verdict by the book's one rule.

    Args:
        found: title -> difference.
        better: "lower" or "higher", see `PairedDifference.verdict`.
        at_most: title -> bound that was set before the runs, None where there was none; they are a column, too.
        digits: decimals.
    """
    rows = {}
    for title, d in found.items():
        bound = (at_most or {}).get(title)
        mean, _, interval = d.text(digits).partition(" ")
        asked = {} if at_most is None else {"asked": NOTHING if bound is None else f"<= {bound:g}"}
        said = {"difference": mean, "95 %": interval or NOTHING, "n": d.n, "verdict": d.verdict(better, bound)}
        rows[title] = asked | said
    return pd.DataFrame.from_dict(rows, orient="index")


def beside_paper(ours: Mapping[str, Sequence[float]], paper: Mapping[str, float], *, digits: int = 2) -> pd.DataFrame:
    """Our values beside the published ones, row by row.

    Args:
        ours: for each row, one value per run (seeds); a row may be missing.
        paper: for each row, the published value; NaN where the paper gives none.
        digits: decimals.

    Returns:
        Columns `paper`, `ours`, `difference` (ours - paper) and `sd over runs`; en dash where undefined.
    """
    frame = {}
    for name in dict.fromkeys([*paper, *ours]):
        published = paper.get(name, math.nan)
        mean, deviation, n = summary(ours[name]) if len(ours.get(name, ())) else (math.nan, math.nan, 0)
        scatter = "single run" if n == 1 else f"{deviation:.{digits}f} (n = {n})" if n else NOTHING
        numbers = [f"{v:.{digits}f}" if math.isfinite(v) else NOTHING for v in (published, mean)]
        gap = f"{mean - published:+.{digits}f}" if math.isfinite(mean - published) else NOTHING
        frame[name] = [*numbers, gap, scatter]
    return pd.DataFrame.from_dict(frame, orient="index", columns=["paper", "ours", "difference", "sd over runs"])


def show(table: pd.DataFrame | Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Show a table below its title, with a dash in empty cells; as text where there is no browser.

    Args:
        table: a frame, or for each row what its columns hold.
        title: its number in the chapter, what is measured, on what, and the unit: "Table 3.2. Mean PSNR, dB".
    """
    with extra("book"):
        from IPython.display import display

    display(Table(table if isinstance(table, pd.DataFrame) else pd.DataFrame(table).T, title))


def say(*paragraphs: str) -> None:
    """Show text whose numbers a cell has computed, as Markdown: paragraphs, or items that begin with "- "."""
    with extra("book"):
        from IPython.display import Markdown, display

    display(Markdown("\n\n".join(paragraphs)))
