"""Statistics over runs: their spread, and paired differences with an interval and a verdict. No records here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from facelight import _check
from facelight._extras import extra

with extra("book"):
    import pandas as pd

NOTHING = "–"
"""What a table has where there is nothing to say."""


def summary(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (NaN for one value) and number of values.

    >>> summary([1.0, 2.0, 3.0])
    (2.0, 1.0, 3)
    """
    array = np.asarray(list(values), np.float64)
    if array.size == 0:
        raise ValueError("values: expected at least one value")
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else math.nan, int(array.size)


def spread(values: Iterable[float], digits: int = 2, *, n: bool = True) -> str:
    """Mean, sample standard deviation and number of values in one text.

    Args:
        values: one a run, at least one.
        digits: decimals.
        n: whether the number is told; a column of its own may tell it.

    Raises:
        ValueError: no value, or one that is missing.

    >>> spread([1.0, 2.0, 3.0]), spread([1.0, 2.0, 3.0], n=False)
    ('2.00 ± 1.00 (n = 3)', '2.00±1.00')
    >>> spread([1.0]), spread([1.0], n=False)
    ('1.00 (single run)', '1.00')
    """
    mean, sd, count = summary(values)
    if math.isnan(mean):
        raise ValueError(f"values: some of {count} are missing: choose runs that were all measured there")
    text, scatter = f"{mean:.{digits}f}", f"{sd:.{digits}f}"
    if count == 1:
        return f"{text} (single run)" if n else text
    return f"{text} ± {scatter} (n = {count})" if n else f"{text}±{scatter}"


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `ours - base` over paired runs, its interval, Student's t, two-sided p and exact sign-flip p.

    With fewer than two pairs there is no interval: its limits, t and both p are NaN.
    """

    mean: float
    low: float
    high: float
    t: float
    p: float
    p_permutation: float
    n: int

    def text(self, digits: int = 2, *, exact: bool = False) -> str:
        """Mean and interval, `+0.20 [+0.10, +0.30]`; a dash with fewer than two pairs.

        Args:
            digits: decimals.
            exact: whether the p of the exact sign-flip test follows.
        """
        numbers = (f"{value:+.{digits}f}" for value in (self.mean, self.low, self.high))
        test = f" {self.p_permutation:.2f}" if exact else ""
        return NOTHING if self.n < 2 else "{} [{}, {}]".format(*numbers) + test

    def verdict(self, better: str = "lower", at_most: float | None = None) -> str:
        """The book's one rule: "better" or "worse" where the whole interval is on one side of 0, else "level".

        Where a bound was set before the runs: "reached" where the whole interval is below it, "mean only", or "missed".

        Args:
            better: "lower" for errors, "higher" for rates.
            at_most: the bound.

        Returns:
            The verdict on `ours`; a dash with fewer than two pairs.
        """
        _check.one_of(better, ("lower", "higher"), "better")
        if self.n < 2:
            return NOTHING
        if at_most is not None:
            return "reached" if self.high <= at_most else "mean only" if self.mean <= at_most else "missed"
        if self.low <= 0 <= self.high:
            return "level"
        return "better" if (self.mean < 0) == (better == "lower") else "worse"


def paired_difference(ours: Sequence[float], base: Sequence[float], confidence: float = 0.95) -> PairedDifference:
    """Compare two methods over the same seeds.

    With d = ours - base: interval mean(d) ± t* s/√n from Student's t with n - 1 degrees of freedom, and the exact
    permutation test that flips the signs of d in all 2^n ways (at most 2^20; p counts |mean| at least as large).

    Args:
        ours, base: one value per seed, in the same order of seeds; at least two.
        confidence: of the interval.

    Raises:
        ValueError: lengths differ, fewer than two pairs, or more than twenty.
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


@overload
def versus(ours: pd.DataFrame, base: pd.DataFrame, *, relative: bool = ..., confidence: float = ...) -> pd.Series: ...
@overload
def versus(ours: pd.Series, base: pd.Series, *, relative: bool = ..., confidence: float = ...) -> PairedDifference: ...
def versus(
    ours: pd.Series | pd.DataFrame,
    base: pd.Series | pd.DataFrame,
    *,
    relative: bool = False,
    confidence: float = 0.95,
) -> PairedDifference | pd.Series:
    """Compare two methods over the seeds that both have; see `paired_difference`.

    Args:
        ours, base: values by seed: the index says what belongs together. Of two frames, each column that both have.
        relative: how many per cent ours is above the base, pair by pair, instead of the difference.
        confidence: of the interval.

    Returns:
        The difference; of frames a series of them, one a column.

    Raises:
        ValueError: a seed that occurs twice, or more than twenty pairs.

    >>> ours, base = pd.Series([1.0, 3.0], index=[0, 1]), pd.Series([2.0, 1.0, 9.0], index=[1, 0, 2])
    >>> versus(ours, base).mean, versus(ours, base, relative=True).mean
    (0.5, 25.0)
    """
    if isinstance(ours, pd.DataFrame) and isinstance(base, pd.DataFrame):
        both = [column for column in ours if column in base]
        found = {name: versus(ours[name], base[name], relative=relative, confidence=confidence) for name in both}
        return pd.Series(found, dtype=object)
    for what, values in (("ours", ours), ("base", base)):
        if not values.index.is_unique:
            twice = values.index[values.index.duplicated()][0]
            raise ValueError(f"{what}: expected one value a seed, got several for {twice}: choose one kind of run")
    pairs = pd.concat([ours, base], axis=1, join="inner", keys=["ours", "base"]).astype(float).dropna()
    left, right = pairs["ours"].to_numpy(), pairs["base"].to_numpy()
    if relative:
        left, right = 100 * left / right, np.full(len(right), 100.0)
    if len(pairs) < 2:
        mean = float((left - right).mean()) if len(pairs) else math.nan
        return PairedDifference(mean, *(math.nan,) * 5, len(pairs))
    return paired_difference(left.tolist(), right.tolist(), confidence)
