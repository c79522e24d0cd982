"""Differences over seeds and faces, and many of them at once: by hand, by simulation, by independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from facelight_lab.statistics import PairedDifference, holm, paired_difference, versus, versus_faces

SEEDS, FACES = 3, 24
TABLES = 300


def tables(of_seed: float, of_face: float, rest: float, seeds: int = SEEDS) -> np.ndarray:
    """Simulated differences (TABLES, seeds, FACES) of mean 0."""
    draw = np.random.default_rng(5).standard_normal
    return of_seed * draw((TABLES, seeds, 1)) + of_face * draw((TABLES, 1, FACES)) + rest * draw((TABLES, seeds, FACES))


def compared(d: np.ndarray, **options: bool) -> PairedDifference:
    return versus_faces(pd.DataFrame(5 + d), pd.DataFrame(np.full_like(d, 5.0)), **options)


def covered(d: np.ndarray) -> float:
    """How many of the intervals hold 0."""
    found = [compared(one) for one in d]
    return float(np.mean([one.low <= 0 <= one.high for one in found]))


@pytest.mark.parametrize(
    ("parts", "least"),
    [((0.3, 1.0, 1.0), 0.92), ((1.0, 0.0, 1.0), 0.9), ((0.0, 1.0, 3.0), 0.92)],
)
def test_of_intervals_of_95_percent_about_as_many_hold_the_truth(parts, least):
    assert least <= covered(tables(*parts)) <= 0.99


def test_a_bootstrap_over_three_seeds_holds_it_less_often():
    d = tables(1.0, 0.0, 1.0)
    draw = np.random.default_rng(6)
    rows = draw.multinomial(SEEDS, [1 / SEEDS] * SEEDS, size=(TABLES, 200)) / SEEDS
    columns = draw.multinomial(FACES, [1 / FACES] * FACES, size=(TABLES, 200)) / FACES
    means = np.einsum("tbs,tsf,tbf->tb", rows, d, columns, optimize=True)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.85 < covered(d)


def test_intervals_over_seeds_alone_forget_the_faces():
    d = tables(0.0, 1.0, 0.3)
    alone = [paired_difference(one.mean(1).tolist(), [0.0] * SEEDS) for one in d]
    assert np.mean([one.low <= 0 <= one.high for one in alone]) < 0.7 < 0.92 < covered(d)


def test_a_table_by_hand():
    d = np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 14.0]])  # mean 5; rows 3 and 7; columns 2, 3 and 10
    found = compared(d)
    rows, columns = 3 * (4 + 4) / 1, 2 * (9 + 4 + 25) / 2
    rest = sum((d[i, j] - (3, 7)[i] - (2, 3, 10)[j] + 5) ** 2 for i in range(2) for j in range(3)) / 2
    total = rows + columns - rest
    freedom = total**2 / (rows**2 / 1 + columns**2 / 2 + rest**2 / 2)
    error = math.sqrt(total / 6)
    assert (found.mean, found.n, found.faces) == (5, 2, 3)
    assert found.t == pytest.approx(5 / error)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(5 / error, freedom))
    assert found.p_permutation == 0.5  # both seeds say the same: two of four ways to set signs


def test_faces_that_all_say_the_same_leave_the_test_over_seeds():
    by_seed = np.array([1.0, 2.0, 4.0, 3.0])
    found = compared(np.repeat(by_seed[:, None], 5, axis=1))
    alone = versus(pd.Series(5 + by_seed), pd.Series([5.0] * 4))
    assert (found.mean, found.low, found.high, found.p) == pytest.approx((alone.mean, alone.low, alone.high, alone.p))


def test_seeds_that_all_say_the_same_leave_the_test_over_faces():
    by_face = np.array([1.0, 2.0, 4.0, 3.0, -1.0])
    found = compared(np.repeat(by_face[None], 3, axis=0))
    expected = stats.ttest_1samp(by_face, 0.0)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_equal_errors_are_level():
    found = compared(np.zeros((3, 4)))
    assert (found.mean, found.low, found.high, found.t, found.p) == (0, 0, 0, 0, 1)
    assert found.verdict() == "level"


def test_relative_differences_have_the_interval_of_the_quotient():
    draw = np.random.default_rng(1)
    base = pd.DataFrame(draw.uniform(1, 2, (4, 30)))
    ours = 1.1 * base + pd.DataFrame(draw.normal(0, 0.05, (4, 30)))
    found = versus_faces(ours, base, relative=True)
    assert found.mean == pytest.approx(100 * (ours.to_numpy().mean() / base.to_numpy().mean() - 1))
    scaled = versus_faces(100 * ours, 100 * base, relative=True)  # another unit
    assert (found.low, found.high) == pytest.approx((scaled.low, scaled.high))
    proportional = versus_faces(1.1 * base, base, relative=True)
    assert (proportional.low, proportional.high) == pytest.approx((10, 10))


def test_pairs_are_seeds_and_faces_that_both_have_whatever_the_order():
    ours = pd.DataFrame({"a": [1.0, 2.0, 9.0], "b": [3.0, 4.0, 9.0]}, index=[0, 1, 7])
    base = pd.DataFrame({"c": [0.0, 0.0, 0.0], "b": [1.0, 0.0, 9.0], "a": [2.0, 0.0, math.nan]}, index=[1, 0, 7])
    found = versus_faces(ours, base)
    assert (found.n, found.faces) == (2, 2)
    assert found.mean == (1 + 0 + 3 + 3) / 4


def test_one_seed_has_no_interval():
    one = versus_faces(pd.DataFrame([[2.0, 4.0]]), pd.DataFrame([[1.0, 1.0]]))
    assert (one.mean, one.n, one.verdict(), one.text()) == (2.0, 1, "–", "–")
    assert math.isnan(versus_faces(pd.DataFrame({0: []}), pd.DataFrame([[1.0]])).mean)


def test_two_rows_of_one_seed_are_refused():
    twice = pd.DataFrame([[1.0, 2.0], [1.0, 2.0]], index=[3, 3])
    with pytest.raises(ValueError, match="base: expected one row a seed and one column a face"):
        versus_faces(pd.DataFrame([[1.0, 2.0]]), twice)


def one(p: float, mean: float = 1.0) -> PairedDifference:
    return PairedDifference(mean, mean - 0.5, mean + 0.5, 2.0, p, p, 6)


def test_holm_by_hand():
    found = holm({"a": one(0.01), "b": one(0.04), "c": one(0.03), "d": one(0.005)})
    assert [found[label].adjusted for label in "abcd"] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [found[label].verdict() for label in "abcd"] == ["worse", "level", "level", "worse"]
    assert (found["b"].p, found["b"].low) == (0.04, 0.5)  # nothing else has changed


def test_holm_leaves_a_comparison_alone_that_is_alone():
    assert holm({"a": one(0.04)})["a"].adjusted == 0.04
    nothing = PairedDifference(1.0, *(math.nan,) * 5, 1)
    found = holm({"a": one(0.04), "b": nothing})
    assert (found["a"].adjusted, found["b"].adjusted) == (0.04, None)
    assert holm({}) == {}


def test_holm_errs_rarely_where_nothing_differs():
    d = tables(0.3, 1.0, 1.0).reshape(-1, 20, SEEDS, FACES)  # families of twenty
    wrong = [any(v.verdict() != "level" for v in holm(dict(enumerate(map(compared, family)))).values()) for family in d]
    alone = [any(compared(one).verdict() != "level" for one in family) for family in d]
    assert np.mean(wrong) <= 0.14 < 0.4 < np.mean(alone)


def test_a_bound_set_before_is_judged_by_the_interval_whatever_the_others_say():
    found = holm({"a": one(0.9), "b": one(0.9)})["a"]
    assert found.verdict(at_most=2.0) == "reached"
