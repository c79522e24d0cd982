"""Statistics over runs: their spread, and paired differences with an interval and a verdict. No records here.

Two networks are compared over seeds (`versus`) or over seeds and faces (`versus_faces`); many comparisons at once are
adjusted by `holm`. What may be said of each of them is `PairedDifference.verdict`, the one rule of the book.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np

from facelight import _check
from facelight._extras import extra

with extra("book"):
    import pandas as pd

K = TypeVar("K", bound=Hashable)

NOTHING = "–"
"""What a table has where there is nothing to say."""
LEVEL = 0.05
"""An adjusted p below it counts, see `holm`: what intervals of 95 % leave out."""


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

    With fewer than two pairs there is no interval: its limits, t and both p are NaN. `faces` tells over how many faces,
    or groups of them, the interval reaches besides the n runs; 0: over runs only. `adjusted` is p among other
    comparisons, see `holm`; None: this one stands alone.
    """

    mean: float
    low: float
    high: float
    t: float
    p: float
    p_permutation: float
    n: int
    faces: int = 0
    adjusted: float | None = None

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

        "Level" says that no difference was shown, not that there is none. Among other comparisons, see `holm`, it is
        also "level" where the adjusted p is not below `LEVEL`. Where a bound was set before the runs: "reached" where
        the whole interval is below it, "mean only", or "missed".

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
        if self.low <= 0 <= self.high or (self.adjusted is not None and not self.adjusted < LEVEL):
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
    if len(ours) != len(base) or len(ours) < 2:
        raise ValueError(f"expected two sequences of equal length >= 2, got {len(ours)} and {len(base)} values")
    if len(ours) > 20:
        raise ValueError(f"the exact test takes at most 20 pairs, got {len(ours)}")
    d = np.asarray(ours, np.float64) - np.asarray(base, np.float64)
    mean, deviation, n = summary(d)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    exact = float(np.mean(np.abs(signs @ d / n) >= abs(mean) * (1 - 1e-12)))
    return _with_interval(mean, deviation / math.sqrt(n), n - 1, confidence, exact, n, 0)


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


def versus_faces(
    ours: pd.DataFrame, base: pd.DataFrame, *, relative: bool = False, confidence: float = 0.95
) -> PairedDifference:
    """Compare two methods over the seeds and the faces that both have: would other seeds and other faces say the same?

    The differences d are taken as `mean + a_seed + b_face + rest`, with seeds and faces drawn at random and each seed
    tried on each face. The variance of their mean is that of both parts and of the rest, estimated from the mean
    squares of the two-way table; its degrees of freedom are Satterthwaite's. A bootstrap over seeds and faces would
    take the same two levels, but with three to six seeds it does not know how little it knows of their variance: where
    seeds matter most, only about four in five of its intervals of 95 % over three seeds hold the truth, and of these
    more than nine in ten (`tests/test_crossed.py`).

    Args:
        ours, base: errors, a row a seed and a column a face, or a group of equally many faces.
        relative: how many per cent the mean of ours is above that of the base, by the slope of the quotient.
        confidence: of the interval.

    Returns:
        The difference; without interval over fewer than two seeds or faces. `p_permutation` flips the signs of seeds.

    Raises:
        ValueError: a seed or face that occurs twice, or more than twenty seeds.

    >>> ours, base = pd.DataFrame([[3.0, 5.0], [3.5, 5.5]]), pd.DataFrame([[2.0, 4.0], [2.0, 4.0]])
    >>> versus_faces(ours, base).mean, versus_faces(ours, base, relative=True).mean
    (1.25, 41.66666666666667)

    Source: Searle, Casella, McCulloch (1992), Variance Components, ch. 4; Satterthwaite (1946), doi:10.2307/3002019.
    """
    for what, values in (("ours", ours), ("base", base)):
        if not values.index.is_unique or not values.columns.is_unique:
            raise ValueError(f"{what}: expected one row a seed and one column a face: choose one kind of run")
    ours, base = ours.dropna(), base.dropna()
    seeds, faces = ours.index.intersection(base.index), ours.columns.intersection(base.columns)
    left, right = (values.loc[seeds, faces].to_numpy(np.float64) for values in (ours, base))
    n, count = left.shape
    mean = float(left.mean() - right.mean()) if left.size else math.nan
    if relative and left.size:
        quotient = float(left.mean() / right.mean())
        mean, left, right = 100 * (quotient - 1), 100 * left / right.mean(), 100 * quotient * right / right.mean()
    if n < 2 or count < 2:
        return PairedDifference(mean, *(math.nan,) * 5, n, count)
    flips = paired_difference((left.mean(1) + (mean if relative else 0.0)).tolist(), right.mean(1).tolist(), confidence)
    variance, freedom = _crossed(left - right)
    return _with_interval(mean, math.sqrt(variance), freedom, confidence, flips.p_permutation, n, count)


def _crossed(d: np.ndarray) -> tuple[float, float]:
    """Variance of the mean of a table (seeds, faces), both at random, and Satterthwaite's degrees of freedom.

    A part whose estimate is below 0 is taken as 0 and left out.
    """
    n, count = d.shape
    rows, columns = d.mean(1) - d.mean(), d.mean(0) - d.mean()
    rest = float(((d - d.mean() - rows[:, None] - columns) ** 2).sum()) / ((n - 1) * (count - 1))
    of_seeds, of_faces = count * float(rows @ rows) / (n - 1), n * float(columns @ columns) / (count - 1)
    squares = [(of_seeds, n - 1), (of_faces, count - 1), (-rest, (n - 1) * (count - 1))]
    if of_seeds <= rest or of_faces <= rest:  # a part is estimated as 0: the larger of the others says it all
        squares = [max(squares[:2])] if max(of_seeds, of_faces) > rest else [(rest, (n - 1) * (count - 1))]
    total = sum(square for square, _ in squares)
    if total <= 0:
        return 0.0, float(n - 1)
    return total / d.size, total**2 / sum(square**2 / freedom for square, freedom in squares)


def _with_interval(
    mean: float, error: float, freedom: float, confidence: float, p_permutation: float, n: int, faces: int
) -> PairedDifference:
    """A difference of a standard error, with Student's t."""
    with extra("book"):
        from scipy import stats

    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    return PairedDifference(
        mean, mean - half, mean + half, t, float(2 * stats.t.sf(abs(t), freedom)), p_permutation, n, faces
    )


def holm(found: Mapping[K, PairedDifference]) -> dict[K, PairedDifference]:
    """Adjust comparisons that are looked at together, so that a wrong "better" or "worse" among all is rare.

    Holm's procedure: the p of each times how many are not smaller, and no less than that of any smaller one. Verdicts
    heed it; intervals stay those of each comparison alone. What has no p is not counted.

    Args:
        found: label -> difference.

    >>> three = {p: PairedDifference(1.0, 0.5, 1.5, 3.0, p, p, 6) for p in (0.04, 0.01, 0.03)}
    >>> [one.adjusted for one in holm(three).values()], [one.verdict() for one in holm(three).values()]
    ([0.06, 0.03, 0.06], ['level', 'worse', 'level'])

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    counted = sorted((label for label, one in found.items() if not math.isnan(one.p)), key=lambda label: found[label].p)
    adjusted, least = dict[K, float](), 0.0
    for place, label in enumerate(counted):
        least = max(least, min(1.0, (len(counted) - place) * found[label].p))
        adjusted[label] = least
    return {label: replace(one, adjusted=adjusted.get(label)) for label, one in found.items()}
