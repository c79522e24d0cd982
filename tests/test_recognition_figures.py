"""Figures of who is recognized under which light, and the portraits that a system is shown."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from facelight.data.samples import LitFaces
from facelight_lab import plot
from facelight_lab.recognition import figures, portraits


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_trained_lights_of_one_person(axes):
    azimuth, identity = torch.tensor([0.0, 10.0, 0.0, 20.0]), torch.tensor([0, 0, 1, 1])
    image = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    subset = torch.ones(4, dtype=torch.long)
    faces = LitFaces(image, identity, azimuth, torch.zeros(4), subset, ("",) * 4, "dots", "0" * 64)
    figures.trained_lights(axes, faces, torch.tensor([1, 3]))
    own, others, trained = axes.lines
    assert own.get_xdata().tolist() == [0]
    assert others.get_xdata().tolist() == [20]
    assert trained.get_xdata().tolist() == [10]
    assert trained.get_markerfacecolor() == plot.COLORS["red"]


def test_mistakes_stand_in_the_order_of_the_family(axes):
    wrong = pd.DataFrame(3.0, ["Input", "local contrast", "HE"], list(figures.METHODS))
    wrong.loc["HE", "ridge"] = -1e-14  # rounding
    figures.mistakes(axes, wrong)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["local contrast", "HE", "Input"]
    (ridge,) = [line for line in axes.lines if line.get_label() == "ridge"]
    assert ridge.get_xydata().tolist() == [[3, 0], [0, 1], [3, 2]]
    assert axes.get_xscale() == "symlog"


def test_the_area_of_a_disc_is_the_share_that_was_missed(axes):
    figures.missed_lights(axes, pd.Series({"+035-20": 0.5, "-110+40": 0.0}))
    crosses, discs, full = axes.collections
    assert crosses.get_sizes().tolist() == [0, 9]
    assert discs.get_sizes().tolist() == [75, 0]
    assert discs.get_offsets().tolist() == [[35, -20], [-110, 40]]
    assert full.get_sizes().tolist() == [150]


def test_an_outline_is_closed_and_has_a_color_of_the_book_or_any_other(axes):
    plot.outline(axes, torch.tensor([1.0, 2.0, 5.0, 4.0]), "sky")
    plot.outline(axes, torch.tensor([0.0, 0.0, 1.0, 1.0]), "white", "--")
    first, second = axes.lines
    assert first.get_xydata().tolist() == [[1, 2], [5, 2], [5, 4], [1, 4], [1, 2]]
    assert to_hex(first.get_color()).upper() == plot.COLORS["sky"]
    assert (second.get_color(), second.get_linestyle()) == ("white", "--")


def test_boxes_stray_by_size_and_place():
    truth = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(2, 1)
    found = torch.tensor([[1.0, 0.0, 11.0, 10.0], [-1.0, 0.0, 9.0, 10.0]])
    apart = portraits.strayed(found, truth)
    assert apart["across"] == pytest.approx(0.1 * 2**0.5)
    assert apart["down"] == apart["size"] == 0
    larger = portraits.strayed(torch.tensor([[-5.0, -5.0, 15.0, 15.0], [0.0, 0.0, 10.0, 10.0]]), truth)
    assert larger["size"] == pytest.approx(0.5**0.5 / 1.5)
    assert larger["across"] == 0


def test_portraits_have_their_square_and_get_darker_with_the_exposure():
    pictures, squares, person = portraits.portraits(2, {0.0: 0.0, 45.0: -2.0}, seed=0, size=48)
    assert pictures.shape == (4, 1, 48, 48)
    assert person.tolist() == [0, 1, 0, 1]
    assert (pictures[2:].mean((1, 2, 3)) < pictures[:2].mean((1, 2, 3))).all()
    width, height = (squares[:, 2:] - squares[:, :2]).T
    assert torch.allclose(width, height, atol=1e-3)
    torch.testing.assert_close(squares[:2], squares[2:])  # the lamp moves, the face does not


def test_a_row_falls_from_case_to_case(axes):
    shares = pd.DataFrame({"P1": [0.0, 2.0], "P2": [50.0, 20.0], "P3": [99.0, 99.0]}, index=["ridge", "nearest"])
    figures.falls(axes, shares, dict(zip(("P1", "P2"), figures.CASES, strict=False)))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ridge", "nearest"]
    first, second = axes.lines
    assert first.get_xydata().tolist() == [[0, 1], [2, 0]]
    assert (second.get_label(), second.get_marker()) == ("P2", "s")
    (joined,) = axes.collections
    assert [segment[:, 0].tolist() for segment in joined.get_segments()] == [[0, 50], [2, 20]]  # not to P3
    assert axes.get_xscale() == "symlog"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1", "1", "10", "100"]


def test_a_fall_on_an_even_scale(axes):
    figures.falls(axes, pd.DataFrame({"one": [3.0]}, index=["row"]), {"one": {}}, logarithmic=False)
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim() == (-2, 102)
