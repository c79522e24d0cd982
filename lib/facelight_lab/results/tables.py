"""Statistics over records and the tables that chapters print: spread, paired differences, ours beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelight._extras import extra
from facelight_lab.results.records import Record

with extra("book"):
    import pandas as pd


def summary(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (NaN for one value) and number of values.

    >>> summary([1.0, 2.0, 3.0])
    (2.0, 1.0, 3)
    """
    array = np.asarray(list(values), np.float64)
    if array.size == 0:
        raise ValueError("values: expected at least one value")
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else math.nan, int(array.size)


def format_spread(values: Iterable[float], digits: int = 2) -> str:
    """`mean ± sd (n)`, or `value (single run)` for one value.

    >>> format_spread([1.0, 2.0, 3.0])
    '2.00 ± 1.00 (n = 3)'
    """
    mean, deviation, n = summary(values)
    return f"{mean:.{digits}f} (single run)" if n == 1 else f"{mean:.{digits}f} ± {deviation:.{digits}f} (n = {n})"


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `ours - base` over paired runs, its 95 % interval, Student's t, two-sided p and exact sign-flip p."""

    mean: float
    low: float
    high: float
    t: float
    p: float
    p_permutation: float
    n: int


def paired_difference(ours: Sequence[float], base: Sequence[float], confidence: float = 0.95) -> PairedDifference:
    """Compare two methods over the same seeds.

    With d = ours - base: interval mean(d) ± t* s/√n from Student's t with n - 1 degrees of freedom, and the exact
    permutation test that flips the signs of d in all 2^n ways (at most 2^20; p counts |mean| at least as large).

    Args:
        ours, base: one value per seed, in the same order of seeds; at least two.
        confidence: of the interval.

    Raises:
        ValueError: lengths differ, or fewer than two pairs.
    """
    with extra("book"):
        from scipy import stats

    if len(ours) != len(base) or len(ours) < 2:
        raise ValueError(f"expected two sequences of equal length >= 2, got {len(ours)} and {len(base)} values")
    if len(ours) > 20:
        raise ValueError(f"the exact test takes at most 20 pairs, got {len(ours)}")
    d = np.asarray(ours, np.float64) - np.asarray(base, np.float64)
    mean, deviation, n = summary(d)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * deviation / math.sqrt(n)
    t = mean / (deviation / math.sqrt(n)) if deviation > 0 else math.copysign(math.inf, mean) if mean else 0.0
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    exact = float(np.mean(np.abs(signs @ d / n) >= abs(mean) * (1 - 1e-12)))
    return PairedDifference(mean, mean - half, mean + half, t, float(2 * stats.t.sf(abs(t), n - 1)), exact, n)


def table(
    records: Iterable[Record],
    rows: str | Callable[[Record], str],
    columns: str | Callable[[Record], str],
    value: str | Callable[[Record], float],
    *,
    digits: int = 2,
) -> pd.DataFrame:
    """Records as a table of text: `mean ± sd (n)` over the records that share a row and a column.

    Args:
        records: records of one experiment.
        rows, columns: key in `config`, or a function of the record.
        value: key in `metrics`, or a function of the record.
        digits: decimals.
    """

    def of(item: Record, what: str | Callable[[Record], Any], where: Mapping[str, Any]) -> Any:
        return where[what] if isinstance(what, str) else what(item)

    cells: dict[str, dict[str, list[float]]] = {}
    for item in records:
        row, column = str(of(item, rows, item.config)), str(of(item, columns, item.config))
        cells.setdefault(row, {}).setdefault(column, []).append(float(of(item, value, item.metrics)))
    frame = pd.DataFrame({r: {c: format_spread(v, digits) for c, v in row.items()} for r, row in cells.items()}).T
    return frame.fillna("–")


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
        mean, deviation, n = summary(ours[name]) if ours.get(name) else (math.nan, math.nan, 0)
        spread = "single run" if n == 1 else f"{deviation:.{digits}f} (n = {n})" if n else "–"
        numbers = [f"{v:.{digits}f}" if math.isfinite(v) else "–" for v in (published, mean)]
        gap = f"{mean - published:+.{digits}f}" if math.isfinite(mean - published) else "–"
        frame[name] = [*numbers, gap, spread]
    return pd.DataFrame.from_dict(frame, orient="index", columns=["paper", "ours", "difference", "sd over runs"])
