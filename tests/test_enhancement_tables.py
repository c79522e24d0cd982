"""The M-CLAHE paper beside ours, and scores beside recognition: from the book's records, and from made-up ones."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import pytest
import torch

from facelight import metrics
from facelight_lab import results
from facelight_lab.enhancement import printed, quality
from facelight_lab.enhancement.preprocessing import BLOCKS, CLIP_LIMITS, Preprocessing
from facelight_lab.enhancers import FAMILY, clahe

DATA = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 3}


def run(**values):
    """A record whose metrics are the same in all subsets but the last."""
    by_subset = {f"{k}_by_subset": {"2": v, "4": v, "5": None if v is None else v / 2} for k, v in values.items()}
    counts = {"n_by_subset": {"2": 9, "4": 3, "5": 1}}
    return results.record("toy", {}, values | by_subset | counts, data=DATA, seconds=0)


def scored(psnr, noise, contrast):
    return run(psnr=psnr, ambe=1.0, ssim=1 / noise, contrast=contrast, entropy=noise, noise_amplification=noise)


@pytest.fixture
def frame():
    runs = {"Input": scored(None, 1.0, 50.0), "HE": scored(20.0, 4.0, 100.0), "Tan-Triggs": scored(10.0, 9.0, 25.0)}
    named = {"Input": run(rate=0.1), "HE": run(rate=0.2), "Tan-Triggs": run(rate=0.9)}
    return quality.compared(runs, named)


def test_hard_subsets_are_weighted_by_their_pictures():
    runs = {"a": run(rate=0.8), "b": run(rate=None)}
    found = quality.hard(runs, "rate", runs["a"])
    assert found["a"] == pytest.approx((3 * 0.8 + 1 * 0.4) / 4)
    assert math.isnan(found["b"])
    assert quality.recognized({"a": runs["a"]})["a"] == pytest.approx(70)


def test_the_input_is_infinitely_like_itself_and_noise_is_divided_by_the_gain(frame):
    assert frame.loc["Input", "PSNR"] == math.inf
    assert frame["noise / contrast"].tolist() == [1.0, 2.0, 18.0]
    assert frame["recognized"].tolist() == pytest.approx([8.75, 17.5, 78.75])


def test_ranks_are_correlated(frame):
    found = quality.rank_correlations(frame)
    assert found["PSNR"] == pytest.approx(-1)
    assert found["noise"] == pytest.approx(1)
    assert found["contrast"] == pytest.approx(-0.5)
    assert "recognized" not in found


def test_intervals_are_told_in_per_cent():
    rates = {"rate_by_subset": {"2": 0.5}, "low_by_subset": {"2": 0.251}, "high_by_subset": {"2": 0.749}}
    item = results.record("toy", {}, rates, data=DATA, seconds=0)
    assert quality.with_intervals({"a": item}).loc["a", "S2"] == "50 [25–75]"


def test_scores_of_one_picture_are_those_of_the_metrics():
    x, y = torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    found = quality.scores(x, y)
    assert list(found) == list(quality.SCORES)
    assert found["PSNR"] == metrics.psnr(x, y).item()
    assert found["noise"] == metrics.noise_amplification(x, y).item()


def test_infinity_stands_at_the_right_of_the_finite_values(frame):
    figure = quality.figure(frame, "dots")
    (large,) = figure.axes
    assert large.get_title() == "dots: ρ = −1.00"
    labels = [label.get_text() for label in large.get_xticklabels()]
    assert labels[-1] == "∞"
    assert large.get_xticks()[-1] == pytest.approx(22)
    assert max(large.get_xticks()[:-1]) <= 21
    assert {text.get_text() for text in large.texts} >= {"Input", "HE", "from the top:\nTan-Triggs", "//"}
    plt.close(figure)


def test_every_other_score_has_a_panel(frame):
    figure = quality.others(frame)
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_xlabel().partition(" (")[0].removesuffix(" gain") for axes in panels] == [*quality.UNITS]
    assert panels[1].get_title() == "ρ = −0.50"
    plt.close(figure)


def test_rates_are_drawn_with_their_intervals_the_best_on_top():
    def rate(value):
        parts = {"rate": value, "low": value - 0.1, "high": value + 0.1}
        return run(**parts)

    figure = quality.rates({"HE": rate(0.8), "Tan-Triggs": rate(0.6)})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Tan-Triggs", "HE"]
    points = [line for line in axes.lines if line.get_marker() in ("s", "D")]
    assert sorted(line.get_xdata()[0] for line in points) == pytest.approx([30, 40, 60, 80])
    (first, *_) = [bars.get_segments()[0] for bars in axes.collections]
    assert [point[0] for point in first] == pytest.approx([50, 70])
    plt.close(figure)


def test_the_paper_s_rows_stand_beside_what_was_measured():
    table = printed.beside_measured("pie")
    assert list(table.index) == list(FAMILY)
    assert table[("AMBE", "paper")].dropna().to_dict() == {
        "CLAHE 0.01, MATLAB": 7.28,
        "M-CLAHE 0.01, MATLAB": 7.07,
        "BBHE": 23.68,
        "GBIE, G to 255": 45.92,
    }
    record = results.find("preprocessing", Preprocessing("pie", FAMILY["HE"]))
    assert table.loc["HE", ("PSNR", "measured")] == record.metrics["psnr"]


def test_seven_of_eight_printed_pairs_exceed_the_bound_and_no_measured_one_does():
    table = printed.against_bound()
    assert table["exceeds"].tolist() == 6 * ["yes"] + ["no", "yes"]
    assert (table["needed"] > 1).tolist() == (table["exceeds"] == "yes").tolist()
    printed_bound = metrics.psnr_bound(torch.tensor(4.19)).item()
    assert table.loc[("Extended Yale B", "CLAHE"), "needed"] == pytest.approx(10 ** ((41.92 - printed_bound) / 20))
    assert (table["measured"] >= 1).all()  # an arithmetic mean is not below the geometric one
    every = [printed.beside_measured(dataset)["PSNR"].iloc[1:] for dataset in printed.TITLES]
    assert all((one["measured"] < one["bound"]).all() for one in every)


def test_printed_and_measured_pairs_are_joined():
    figure, axes = plt.subplots()
    printed.draw_bound(axes)
    (bound,) = [line for line in axes.lines if line.get_color() == "black"]
    assert bound.get_ydata()[0] == pytest.approx(20 * math.log10(255 / 2.5))
    joined = [line for line in axes.lines if line.get_alpha()]
    assert len(joined) == 8
    assert (joined[0].get_xdata()[0], joined[0].get_ydata()[0]) == (4.19, 41.92)
    assert len(axes.get_legend().get_texts()) == 4
    plt.close(figure)


def test_block_sizes_are_read_in_two_ways():
    table = printed.block_sizes("pie")
    assert table.index.tolist() == list(BLOCKS)
    assert table[("CLAHE", "tiles")].notna().sum() == 5  # 32x32 pictures have no 64 tiles
    assert table.loc[8, ("CLAHE", "tiles")] == table.loc[4, ("CLAHE", "pixels")]
    assert table.loc[16, ("slope", "tiles")] == 255 / 4


def test_clip_limits_have_a_column_for_each_enhancer_and_convention():
    table = printed.clip_limits("yaleb")
    assert table.index.tolist() == list(CLIP_LIMITS)
    record = results.find("preprocessing", Preprocessing("yaleb", clahe(0.002)))
    assert table.loc[0.002, "CLAHE, matlab"] == record.metrics["psnr"]


def test_larger_pictures_are_changed_less():
    table = printed.near_identity()
    assert table[("", "steepest slope")].is_monotonic_decreasing
    assert table[("CLAHE", "PSNR")].is_monotonic_increasing


def test_no_recorded_setting_is_nearer_than_the_nearest():
    table = printed.nearest_settings()
    gaps = (table[("PSNR", "nearest")] - table[("PSNR", "paper")]).abs()
    runs = [r for r in results.load("preprocessing") if r.config["dataset"] == "yaleb"]
    assert gaps[("yaleb", "GBIE")] == min(
        abs(r.metrics["psnr"] - 24.30) for r in runs if r.config["enhancer"]["name"] == "gbie"
    )
    assert table.loc[("yaleb", "BBHE"), ("", "of")] == 1
