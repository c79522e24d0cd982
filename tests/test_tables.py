"""Tables that chapters print, from frames small enough to be worked out by hand."""

import math

import pandas as pd
import pytest

from facelight_lab import statistics, tables

INDEX = pd.MultiIndex.from_tuples([("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)], names=["variant", "seed"])
WIDE = pd.DataFrame({"x1": [1.0, 3.0, 2.0, 2.5, 9.0], "/6": [4.0, 4.0, math.nan, math.nan, 8.0]}, INDEX)


def test_table_has_a_row_a_method_and_says_how_many_runs():
    found = tables.table(WIDE, digits=1)
    assert found.loc["a"].tolist() == [2, "2.0±1.4", "4.0±0.0"]
    assert found.loc["b"].tolist() == [2, "2.2±0.4", "–"]
    assert found.loc["c"].tolist() == [1, "9.0", "8.0"]
    assert list(found.columns) == ["n", "x1", "/6"]


def test_table_takes_rows_in_the_order_asked_and_calls_them_so():
    assert list(tables.table(WIDE, ["c", "nowhere", "a"]).index) == ["c", "a"]
    found = tables.table(WIDE, {"third": "c", "first": "a"}, n=False, sd=False)
    assert found.loc["first"].tolist() == ["2.00", "4.00"]
    assert list(found.index) == ["third", "first"]


def test_table_refuses_methods_of_which_only_some_runs_were_measured():
    some = WIDE.copy()
    some.loc[("a", 1), "/6"] = math.nan
    with pytest.raises(ValueError, match="some of 2 are missing"):
        tables.table(some)


def test_differences_are_paired_by_seed():
    found = tables.differences(WIDE, {"a - b": ("a", "b"), "a - c": ("a", "c"), "a - nowhere": ("a", "nowhere")})
    expected = statistics.paired_difference([1.0, 3.0], [2.0, 2.5]).text()
    assert found.loc["x1"].tolist() == [expected, "–", "–"]
    assert found.loc["/6", "a - b"] == "–"
    exact = tables.differences(WIDE, {"a - b": ("a", "b")}, exact=True)
    assert exact.loc["x1", "a - b"] == expected + " 1.00"
    relative = tables.differences(WIDE, {"a / b": ("a", "b")}, relative=True, digits=1)
    assert relative.loc["x1", "a / b"].startswith("-15.0 [")  # (50 % + 120 %) / 2


def test_verdicts():
    found = {"up": statistics.paired_difference([2.0, 3.1], [1.0, 2.0])}
    found["alone"] = statistics.versus(pd.Series({0: 1.0}), pd.Series({0: 1.0}))
    plain = tables.verdicts(found, "higher", digits=1)
    assert plain.loc["up"].tolist() == ["+1.1", "[+0.4, +1.7]", 2, "better"]
    assert plain.loc["alone"].tolist() == ["–", "–", 1, "–"]
    asked = tables.verdicts(found, "lower", at_most={"up": 2, "alone": None})
    assert asked["asked"].tolist() == ["<= 2", "–"]
    assert asked.loc["up", "verdict"] == "reached"


def test_beside_paper():
    beside = tables.beside_paper({"a": [1.0, 3.0], "b": [5.0]}, {"a": 1.5, "c": 9.0}, digits=1)
    assert beside.loc["a"].tolist() == ["1.5", "2.0", "+0.5", "1.4 (n = 2)"]
    assert beside.loc["b"].tolist() == ["–", "5.0", "–", "single run"]
    assert beside.loc["c"].tolist() == ["9.0", "–", "–", "–"]


def test_show_prints_title_and_table_without_names_of_axes(capsys):
    tables.show({"first": {"x": "1"}, "second": {"y": "2"}}, "what, %")
    title, columns, first, second = capsys.readouterr().out.splitlines()
    assert (title, columns.split()) == ("what, %", ["x", "y"])
    assert (first.split(), second.split()) == (["first", "1", "–"], ["second", "–", "2"])
    tables.show(WIDE, "wide")
    assert "variant" not in capsys.readouterr().out
    assert WIDE.index.names == ["variant", "seed"]


def test_what_is_said_is_markdown_in_paragraphs(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    tables.say("- one", "- **two**")
    assert [text.data for text in shown] == ["- one\n\n- **two**"]
