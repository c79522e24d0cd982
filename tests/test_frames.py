"""Records as frames: what becomes a column, what it is called, and what runs cannot be told apart."""

import importlib.util
import math

import pandas as pd
import pytest

import facelight_lab as lab
from facelight_lab import frames, results

DATA = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 3}


@pytest.fixture
def folder(tmp_path):
    """Two runs of a toy experiment, of which the second has a first stage."""

    def save(seed, first, scores, **more):
        config = {"variant": "a", "light": None, "recipe": {"epochs": 3, "rate": 0.1}, "first": first, "size": [4, 5]}
        metrics = {"scores": ["mean", "auc"], "lights": {"x1": scores, "/6": [9.0, 0.5]}, "trained_on": 7} | more
        item = results.record("toy", config, metrics, data=DATA, seconds=1.5, seed=seed)
        results.save(item, tmp_path)

    save(0, None, [1.0, 0.9], groups={"dark": {"x1": [2.0, 0.8], "count": 5}})
    save(1, {"epochs": 2, "rate": 0.2}, [3.0, 0.7])
    return tmp_path


def test_a_row_for_every_run_with_its_settings(folder):
    found = lab.recorded("toy", folder=folder).sort_values("seed").reset_index(drop=True)
    assert found["experiment"].tolist() == ["toy", "toy"]
    assert found["recipe.epochs"].tolist() == [3, 3]  # `epochs` alone would not tell it from the first stage's
    assert math.isnan(found["first.epochs"][0])
    assert found["first.epochs"][1] == 2
    assert found["size"].tolist() == [(4, 5), (4, 5)]
    assert found["data"].tolist() == ["dots", "dots"]
    assert found["seconds"].tolist() == [1.5, 1.5]
    assert "first" not in found
    assert found["light"].isna().all()  # which `frame` takes for the light of the test
    assert found["run"].is_unique


def test_names_are_as_short_as_they_can_be():
    paths = [("a",), ("b", "a"), ("c", "d"), ("e", "f", "g"), ("h", "f", "g"), ("i", "j", "k")]
    found = frames._short_names(paths)
    assert list(found.values()) == ["a", "b.a", "d", "e.f.g", "h.f.g", "k"]


def test_an_enhancer_is_called_as_in_the_tables_and_its_settings_are_columns(tmp_path):
    for enhancer in ({"name": "equalize", "settings": {}}, {"name": "clahe", "settings": {"clip_limit": 3.5}}):
        config = {"enhancer": enhancer, "changes": ["move", "flip"]}
        results.save(results.record("toy", config, {"rate": 1.0}, data=DATA, seconds=0), tmp_path)
    found = lab.recorded("toy", folder=tmp_path).set_index("enhancer")
    assert set(found.index) == {"HE", "clahe"}
    assert found.loc["clahe", "clip_limit"] == 3.5
    assert set(found["changes"]) == {"move, flip"}


def test_a_row_for_every_run_light_and_score(folder):
    found = lab.frame("toy", folder=folder)
    assert len(found) == 2 * 2 * 2
    cell = found.query("seed == 1 and light == 'x1' and score == 'auc'")
    assert cell["value"].tolist() == [0.7]
    assert cell["variant"].tolist() == ["a"]
    assert "metrics" not in found


def test_paths_go_where_they_lead(folder):
    groups = lab.frame("toy", error="groups/{group}/{light}/{score}", folder=folder)
    assert groups[["group", "light", "score", "error"]].values.tolist() == [
        ["dark", "x1", "mean", 2.0],
        ["dark", "x1", "auc", 0.8],
    ]
    assert lab.frame("toy", faces="trained_on", folder=folder)["faces"].tolist() == [7, 7]
    both = lab.frame("toy", first="lights/{light}/{place}", second="lights/{light}/{place}", folder=folder)
    assert set(both["place"]) == {0, 1}
    assert both["first"].equals(both["second"].rename("first"))


def test_what_cannot_be_read_is_refused(folder):
    with pytest.raises(FileNotFoundError, match=r"no records of 'nothing' in .*: `facelight run nothing --profile"):
        lab.recorded("nothing", folder=folder)
    with pytest.raises(ValueError, match=r"nothing lies at speed/\{what\}; these metrics are there: groups, lights"):
        lab.frame("toy", value="speed/{what}", folder=folder)
    with pytest.raises(ValueError, match="paths with the same levels"):
        lab.frame("toy", a="lights/{light}", b="lights/{other}", folder=folder)
    with pytest.raises(ValueError, match="'variant' is the name of a setting"):
        lab.frame("toy", variant="lights/{light}/{score}", folder=folder)


TALL = pd.DataFrame(
    [("a", 0, "x1", 1.0, 8), ("a", 0, "/6", 2.0, 8), ("a", 1, "x1", 3.0, 8), ("a", 1, "/6", 5.0, 8)],
    columns=["variant", "seed", "light", "value", "size"],
)


def test_wide_has_a_row_a_run_and_a_column_a_light():
    found = lab.wide(TALL, ["variant", "seed"])
    assert list(found.columns) == ["x1", "/6"]
    assert found.loc["a"].values.tolist() == [[1.0, 2.0], [3.0, 5.0]]
    assert lab.wide(TALL, "seed", ["variant", "light"]).columns.tolist() == ["a, x1", "a, /6"]


def test_groups_choose_order_and_average():
    found = lab.wide(TALL, "seed", groups={"dark": "/6", "both": ("x1", "/6")})
    assert found.to_dict("list") == {"dark": [2.0, 5.0], "both": [1.5, 4.0]}
    assert list(lab.wide(TALL, "seed", groups=["/6", "x1"]).columns) == ["/6", "x1"]
    lacking = lab.wide(TALL[:3], "seed", groups={"both": ("x1", "/6")})
    assert math.isnan(lacking.loc[1, "both"])
    with pytest.raises(ValueError, match="light: there is no '/9'; there are 'x1', '/6'"):
        lab.wide(TALL, "seed", groups=["/9"])


def test_runs_that_cannot_be_told_apart_are_refused_with_what_would():
    other = TALL[:1].assign(size=9)
    with pytest.raises(ValueError, match=r"2 values at variant a, seed 0, light x1, of runs that differ in size:"):
        lab.wide(pd.concat([TALL, other]), ["variant", "seed"])


def test_rates_are_counted_together():
    tall = pd.DataFrame(
        [(0, "P1", "S1", 9, 10), (0, "P1", "S2", 0, 30), (1, "P1", "S1", 5, 10)],
        columns=["seed", "protocol", "subset", "right", "count"],
    )
    assert lab.rates(tall, "seed", "protocol")["P1"].tolist() == [22.5, 50.0]
    assert lab.rates(tall, "seed", "subset").loc[0].tolist() == [90.0, 0.0]


def test_the_lab_offers_its_names_without_importing_them():
    assert set(lab.__all__) <= set(dir(lab))
    assert all(callable(getattr(lab, name)) for name in lab.__all__)
    assert not any(importlib.util.find_spec(f"facelight_lab.{name}") for name in lab.__all__)  # would hide it
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lab.nothing


def test_named_runs_have_a_row_each_and_the_values_asked_for(tmp_path):
    for limit, value in ((1, 0.5), (2, None)):
        metrics = {"rate": value, "by_subset": {"4": 7 * limit}}
        results.save(results.record("toy", {"limit": limit}, metrics, data=DATA, seconds=0), tmp_path)
    runs = results.named("toy", {("b", 2): {"limit": 2}, ("a", 1): {"limit": 1}}, folder=tmp_path)
    found = lab.measured(runs, {("S4", "n"): "by_subset/4", ("", "rate"): "rate"})
    assert found.index.tolist() == [("b", 2), ("a", 1)]
    assert found[("S4", "n")].tolist() == [14, 7]
    assert math.isnan(found.loc[("b", 2), ("", "rate")])
    with pytest.raises(FileNotFoundError, match=r"run 'c' of 'toy' is not recorded: `facelight run toy"):
        results.named("toy", {"c": {"limit": 3}}, folder=tmp_path)
