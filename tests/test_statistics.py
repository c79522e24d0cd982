"""Spread, paired differences and verdicts: values by hand, and by SciPy."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from facelight_lab import statistics
from facelight_lab.statistics import PairedDifference


def interval(low, high):
    return PairedDifference((low + high) / 2, low, high, 1.0, 0.1, 0.1, 6)


def test_spread_by_hand():
    assert statistics.spread([2, 4, 9], 1) == "5.0 ± 3.6 (n = 3)"  # sqrt((9 + 1 + 16) / 2)
    assert statistics.spread([2, 4, 9], 1, n=False) == "5.0±3.6"


def test_spread_of_nothing_or_of_missing_values_is_refused():
    with pytest.raises(ValueError, match="expected at least one value"):
        statistics.spread([])
    with pytest.raises(ValueError, match="some of 2 are missing: choose runs"):
        statistics.spread([1.0, math.nan])


def test_paired_difference_against_scipy_and_a_slow_permutation_test():
    ours, base = [0.0461, 0.0466, 0.0479, 0.0449, 0.0464, 0.0466], [0.0481, 0.0485, 0.0489, 0.0475, 0.0485, 0.0483]
    found = statistics.paired_difference(ours, base)
    expected = stats.ttest_rel(ours, base)
    limits = expected.confidence_interval(0.95)
    assert found.t == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    d = np.subtract(ours, base)
    means = [abs(np.mean(d * s)) for s in product([1, -1], repeat=6)]
    assert found.p_permutation == pytest.approx(np.mean([m >= abs(d.mean()) - 1e-15 for m in means]))
    assert found.p_permutation == pytest.approx(2 / 64)  # all six signs agree


@pytest.mark.parametrize(
    ("ours", "base", "message"), [([1], [2], ">= 2"), ([1, 2], [1, 2, 3], "2 and 3"), ([0] * 21, [1] * 21, "20 pairs")]
)
def test_paired_difference_errors(ours, base, message):
    with pytest.raises(ValueError, match=message):
        statistics.paired_difference(ours, base)


def test_identical_runs_have_no_difference():
    found = statistics.paired_difference([1.0, 2.0], [1.0, 2.0])
    assert (found.mean, found.t, found.p, found.p_permutation) == (0, 0, 1, 1)


def test_versus_pairs_by_seed_whatever_the_order():
    ours = pd.Series({5: 3.0, 1: 1.0, 2: 2.0})
    base = pd.Series({1: 2.0, 5: 5.0, 7: 0.0, 2: 4.0})
    assert statistics.versus(ours, base) == statistics.paired_difference([3, 1, 2], [5, 2, 4])
    share = statistics.versus(ours, base, relative=True)
    assert share.mean == pytest.approx((60 + 50 + 50) / 3 - 100)
    assert share.n == 3


def test_versus_of_frames_is_that_of_each_column_they_share():
    ours = pd.DataFrame({"x1": [1.0, 2.0], "/6": [3.0, 5.0], "only here": [0.0, 0.0]})
    base = pd.DataFrame({"/6": [1.0, 1.0], "x1": [2.0, 2.0]})
    found = statistics.versus(ours, base)
    assert list(found.index) == ["x1", "/6"]
    assert found["/6"] == statistics.versus(ours["/6"], base["/6"])


def test_fewer_than_two_pairs_have_no_interval():
    one = statistics.versus(pd.Series({0: 3.0}), pd.Series({0: 1.0, 1: 1.0}))
    none = statistics.versus(pd.Series({0: 3.0}), pd.Series({1: 1.0}))
    assert (one.mean, one.n, none.n) == (2.0, 1, 0)
    assert math.isnan(none.mean)
    assert math.isnan(one.low)
    assert (one.text(), one.verdict(), none.verdict("higher", 1.0)) == ("–", "–", "–")


def test_a_run_that_lacks_the_score_is_no_pair():
    ours = pd.Series({0: 3.0, 1: math.nan, 2: 4.0})
    assert statistics.versus(ours, pd.Series({0: 1.0, 1: 1.0, 2: 1.0})).n == 2


def test_two_runs_of_one_seed_are_refused():
    twice = pd.Series([1.0, 2.0], index=[3, 3])
    with pytest.raises(ValueError, match="ours: expected one value a seed, got several for 3"):
        statistics.versus(twice, twice[:1])


def test_text_has_signs():
    assert interval(-0.25, 0.75).text(2) == "+0.25 [-0.25, +0.75]"


def test_text_may_tell_the_exact_test():
    d = statistics.paired_difference([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    assert d.text(0, exact=True) == d.text(0) + " 0.25"  # two of the eight ways to set signs
    assert statistics.versus(pd.Series([1.0]), pd.Series([2.0])).text(exact=True) == "–"


def test_verdict_is_one_rule():
    assert interval(-2, -1).verdict() == "better"
    assert interval(-2, -1).verdict("higher") == "worse"
    assert interval(1, 2).verdict() == "worse"
    assert interval(1, 2).verdict("higher") == "better"
    assert interval(-1, 1).verdict() == interval(0, 1).verdict("higher") == "level"
    with pytest.raises(ValueError, match="better: expected one of 'lower', 'higher'"):
        interval(1, 2).verdict("more")


def test_verdict_on_a_bound_set_before():
    assert interval(-2, 0.5).verdict(at_most=0.5) == "reached"
    assert interval(0, 0.8).verdict(at_most=0.5) == "mean only"
    assert interval(0.4, 0.8).verdict(at_most=0.5) == "missed"
