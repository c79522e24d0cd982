"""How settings were chosen: the names of runs, their order, and the figure of the ways to a clip limit."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from facelight_lab import results
from facelight_lab.enhancement import choices
from facelight_lab.statistics import versus

DATA = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 3}
CLAHE = {"name": "clahe", "settings": {"clip_limit": 40.0}}


@pytest.fixture
def folder(tmp_path):
    def save(method, enhancer, seed=0, temperature=20.0, **metrics):
        config = {"method": method, "enhancer": enhancer, "seed": seed, "temperature": temperature}
        config["learn_temperature"] = False
        item = results.record("learned", config, {"images": 5, **metrics}, data=DATA, seconds=1.0, seed=seed)
        results.save(item, tmp_path)

    save("descent", CLAHE, curve={"clip_limit": [40.0, 50.0], "step": [0, 5]})
    save("descent", CLAHE, temperature=10.0)
    save(
        "descent", {"name": "clahe", "settings": {"clip_limit": 2.0}}, curve={"clip_limit": [2.0, 3.0], "step": [0, 5]}
    )
    save("fixed", {"name": "log_contrast", "settings": {}})
    save("fixed", {"name": "identity", "settings": {}}, seed=1)
    save("fixed", {"name": "identity", "settings": {}})
    save("grid", CLAHE)
    tried = {"rate": [0.1, 0.2], "loss": [2.0, 1.0], "rate_exact": [0.1, 0.3], "loss_exact": [2.0, 1.5]}
    save("landscape", CLAHE, curve={"clip_limit": [1.0, 256.0], **tried})
    return tmp_path


def test_runs_are_called_by_how_their_settings_were_chosen_and_stand_in_order(folder):
    found = choices.chosen(folder, images="images")
    names = ["Input", "Input", "ln minus local mean", "CLAHE (best of the grid)", "CLAHE (descent from 2)"]
    assert found["name"].tolist() == [*names, "CLAHE (descent from 40)", "CLAHE (every limit)"]
    assert found["seed"].tolist()[:2] == [0, 1]


def test_other_temperatures_only_where_they_are_asked_for(folder):
    assert set(choices.chosen(folder, images="images")["temperature"]) == {20.0}
    assert set(choices.chosen(folder, every=True, images="images")["temperature"]) == {10.0, 20.0}


def test_the_figure_has_both_modes_and_every_start(folder):
    figure, axes = plt.subplots(1, 3)
    choices.draw(axes, folder=folder)
    continuous, exact = axes[0].lines
    assert continuous.get_xydata().tolist() == [[1, 0.1], [256, 0.2]]
    assert exact.get_ydata().tolist() == [0.1, 0.3]
    assert axes[1].lines[1].get_ydata().tolist() == [2.0, 1.5]
    assert {line.get_label(): line.get_xydata().tolist() for line in axes[2].lines} == {
        "from 2": [[0, 2], [5, 3]],
        "from 40": [[0, 40], [5, 50]],
    }
    assert [ax.get_xscale() for ax in axes] == ["log", "log", "linear"]
    plt.close(figure)


def test_gains_stand_in_order_with_their_intervals():
    better, worse = (
        versus(*map(pd.Series, pair)) for pair in (([2.0, 3.0, 4.0], 3 * [0.0]), (3 * [0.0], [1.0, 2.0, 4.0]))
    )
    figure, axes = plt.subplots()
    choices.draw_gains(axes, {"a (descent)": better, "b": worse}, "the rest")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a (descent)"]
    assert [bars.get_segments()[0][:, 0].tolist() for bars in axes.collections] == [
        pytest.approx([one.low, one.high]) for one in (worse, better)
    ]
    assert [text.get_text() for text in axes.texts] == ["−2.33", "+3.00"]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    plt.close(figure)
