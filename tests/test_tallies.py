"""Rates of recorded runs as a frame, counted by hand; lights, intervals and the paper's table."""

import pandas as pd
import pytest

from facelight.data import yaleb
from facelight_lab import results
from facelight_lab.recognition import tallies

DATA = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 3}


@pytest.fixture
def folder(tmp_path):
    """A classical run on Extended Yale B, and one of CMU PIE by a network with another first layer."""

    def save(config, metrics):
        config = {"enhancer": {"name": "equalize", "settings": {}}} | config
        item = results.record("recognition", config, metrics, data=DATA, seconds=1.0, seed=0)
        results.save(item, tmp_path)

    counted = {"right": {"1": 9, "2": 10}, "count": {"1": 10, "2": 40}, "wrong": {"+035-20": 31}}
    save({"dataset": "yaleb", "network": None}, {"nearest": counted, "trained_on": 7})
    for variant in ("linear", "ln(1 + x)"):
        counted = {"right": {"7": 4}, "count": {"7": 8}, "wrong": {"talking 00": 1, "lights 03": 1, "lights 04": 2}}
        save({"dataset": "pie", "network": {"variant": variant}}, {"network": counted})
    return tmp_path


def test_rates_of_groups_and_their_mean(folder):
    found = tallies.rates(folder=folder).query("dataset == 'yaleb'").set_index("group")
    assert found["rate"].to_dict() == {"1": 90.0, "2": 25.0, tallies.ALL: 57.5}
    assert found.loc[tallies.ALL, ["right", "wrong", "count"]].tolist() == [19, 31, 50]
    assert found["wrong"].to_dict() == {"1": 1, "2": 30, tallies.ALL: 31}
    assert set(found["method"]) == {"nearest"}


def test_a_first_layer_stands_in_for_the_enhancer(folder):
    found = tallies.rates(folder=folder)
    names = found.groupby("variant", dropna=False)["name"].unique().map(list)
    assert names["linear"] == ["HE"]
    assert names["ln(1 + x)"] == ["ln(1 + x) as first layer"]
    assert set(found.query("dataset == 'yaleb'")["name"]) == {"HE"}


def test_who_was_missed_under_which_light_and_in_which_session(folder):
    found = tallies.missed(folder).query("name == 'HE'")
    real = found.query("dataset == 'yaleb'")
    assert real[["light", "wrong"]].values.tolist() == [["+035-20", 31]]
    assert real["session"].isna().all()
    sessions = found.query("dataset == 'pie'").groupby("session")["wrong"].sum()
    assert sessions.to_dict() == {"lights": 3, "talking": 1}


def test_methods_on_yale_b_have_one_budget_and_a_protocol(tmp_path):
    counted = {"right": {"1": 9, "2": 10}, "count": {"1": 10, "2": 40}}
    plain = {"backbone": "resnet18_c4", "variant": "linear", "changes": ["move", "flip"]}
    plain["recipe"] = {"optimizer": "adamw"}
    networks = {
        "plain": plain,
        "relit": plain | {"changes": ["move", "flip", "relight"]},
        "stated": plain | {"recipe": {"optimizer": "sgd"}},
        "large": plain | {"backbone": "resnet50"},
        "no": None,
    }
    for kind, network in networks.items():
        config = {"enhancer": {"name": "equalize", "settings": {}}, "dataset": "yaleb", "protocol": "subset 1"}
        method = "ridge" if network is None else "network"
        config |= {"network": network, "kind": kind}
        results.save(results.record("recognition", config, {method: counted}, data=DATA, seconds=1.0, seed=0), tmp_path)
    found = tallies.on_yaleb(tmp_path).query("group == 'mean'")
    assert dict(zip(found["kind"], found["method"], strict=True)) == {
        "plain": "network",
        "relit": "network, relit",
        "no": "ridge",
    }
    assert set(found["code"]) == {"P2"}


def test_a_grid_is_in_the_order_of_the_enhancers():
    rows = [("ridge", "local contrast", 1, 90.0), ("ridge", "Input", 0, 10.0), ("ridge", "Input", 1, 20.0)]
    some = pd.DataFrame(rows, columns=["method", "name", "seed", "rate"]).assign(group="mean")
    some.loc[3] = ["ridge", "Input", 2, 99.0, "1"]  # of one group
    found = tallies.grid(some)
    assert found["ridge"].to_dict() == {"Input": "15.00±7.07", "local contrast": "90.00"}
    assert list(found.index) == ["Input", "local contrast"]
    by_both = tallies.grid(some, ["method", "name"], "seed")
    assert list(by_both.index) == [("ridge", "Input"), ("ridge", "local contrast")]


def test_tables_call_methods_as_the_whole_book_does():
    names = ["CLAHE 2, OpenCV", tallies.FIRST_LAYERS[0], "nearest", "pca", "P1", "window"]
    found = tallies.labeled(pd.DataFrame(0, index=names, columns=["ridge"]))
    assert list(found.index) == ["CLAHE 2 (OpenCV)", "log layer", "nearest picture", "PCA", "P1", "window"]


def test_intervals_are_wilsons():
    found = tallies.intervals(pd.Series([0, 50], ["a", "b"]), pd.Series([10, 100], ["a", "b"]))
    z = 1.959964
    middle, half = 0.5, z * (0.25 / 100 + z**2 / 4 / 100**2) ** 0.5 / (1 + z**2 / 100)
    assert found["a"] == f"0.0–{100 * z**2 / (10 + z**2):.1f}"
    assert found["b"] == f"{100 * (middle - half):.1f}–{100 * (middle + half):.1f}"


def test_pictures_by_light_are_those_outside_subset_1():
    found = tallies.pictures_by_light()
    assert len(found) == 57
    assert found.sum() == len(yaleb.expected_names()) - 263
    assert found["+095+00"] == 34
    assert "+000+00" not in found
    assert tallies.degrees("-110+40") == (-110, 40)


def test_the_papers_table():
    found = tallies.table_5()
    assert found.loc["Inception-v3, M-CLAHE"].mean() == pytest.approx(99.44)  # as its abstract has it
    assert list(found) == ["S1", "S2", "S3", "S4", "S5"]
