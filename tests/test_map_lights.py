"""The map: its cells by hand, what is kept of errors, and what is read and drawn from it."""

from __future__ import annotations

import functools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from facelight import illumination
from facelight.data.samples import LandmarkFaces
from facelight_lab.landmarks import atlas, grid, lights
from facelight_lab.landmarks.grid import CELLS, GROUPS, Cell

PLACE = functools.partial(Cell, "gray levels")


def pictures(count: int = 3, size: int = 16) -> torch.Tensor:
    levels = torch.randint(256, (count, 3, size, size), generator=torch.Generator().manual_seed(0))
    return levels / 255


def test_cells_are_all_combinations_and_undivided_light_counts_once():
    assert len(CELLS) == len({*CELLS}) == 2 * 5 * 4 * 3 + 3 == 123
    assert [cell.camera for cell in CELLS if cell.factor == 1] == list(grid.CAMERAS)
    assert str(PLACE(6, "ramp", "no noise")) == "gray levels / 6, ramp, no noise"


def test_even_light_is_divided_in_gray_levels_or_in_linear_light():
    x = pictures()
    assert torch.equal(grid.seen(x, PLACE(6, "even", "no noise")), illumination.darken(x, 6))
    linear = grid.seen(x, Cell("linear light", 6, "even", "no noise"))
    assert torch.equal(linear, illumination.darken(x, 6, linear_light=True))
    assert torch.equal(grid.seen(x, PLACE(1, "even", "no noise")), x)


@pytest.mark.parametrize("shape", grid.SHAPES[1:])
def test_uneven_light_divides_by_the_factor_at_its_darkest_and_on_a_side_that_the_picture_draws(shape):
    x = pictures(12, 32)
    depth = grid.depth(x, shape)
    assert depth.shape == (12, 1, 32, 32)
    assert depth.amin() >= 0
    assert depth.amax((1, 2, 3)).min() > 0.97
    assert len(depth.unique(dim=0)) == 2
    assert torch.equal(depth, torch.cat([grid.depth(one[None], shape) for one in x]))  # of the picture only


@pytest.mark.parametrize(
    ("shape", "light"),
    [("ramp", lights.ramped), ("half shadow", lights.shadowed)],
)
def test_halves_and_ramps_are_those_of_the_other_tests(shape, light):
    x = pictures(8)
    ours = grid.seen(x, PLACE(12, shape, "no noise"))
    sides = [light(x, 12, side) for side in ("left", "right")]
    close = [((ours - side).abs().amax((1, 2, 3)) < 1.1 / 255) for side in sides]
    assert (close[0] ^ close[1]).all()
    assert 0 < close[0].sum() < 8


def test_noise_is_the_camera_s_and_the_same_for_every_network():
    x = torch.full((1, 3, 64, 64), 0.5)
    few, many = (grid.seen(x, PLACE(1, "even", f"{n} electrons")) for n in ("1,000", "20,000"))
    assert torch.equal(few, grid.seen(x, PLACE(1, "even", "1,000 electrons")))
    deviation = [illumination.srgb_to_linear(y).std().item() for y in (few, many)]
    light = illumination.srgb_to_linear(torch.tensor([[[0.5]]])).item()
    assert deviation[0] == pytest.approx((light / 1000 + (2 / 1000) ** 2) ** 0.5, rel=0.05)
    assert deviation[1] == pytest.approx((light / 20000 + (3 / 20000) ** 2) ** 0.5, rel=0.1)


def test_groups_keep_the_mean_and_the_scatter():
    errors = np.random.default_rng(0).gamma(4, 0.005, 554)
    found = grid.by_group(errors)
    assert found.shape == (GROUPS,)
    assert found.mean() == pytest.approx(errors.mean())
    scatter = [grid.by_group(np.random.default_rng(i).normal(0, 1, 554)).std(ddof=1) for i in range(60)]
    assert np.mean(scatter) / GROUPS**0.5 == pytest.approx(1 / 554**0.5, rel=0.05)  # the standard error of the mean
    with pytest.raises(ValueError, match="at least 24 faces"):
        grid.by_group(errors[:20])


def test_what_is_packed_comes_back_to_half_a_step():
    table = np.random.default_rng(0).gamma(4, 0.005, (len(CELLS), GROUPS))
    text = grid.packed(table)
    assert np.abs(grid.unpacked(text, GROUPS) - table).max() <= grid.STEP / 2 * (1 + 1e-9)
    with pytest.raises(ValueError, match="predicts nothing sensible"):
        grid.packed(np.array([[np.nan]]))


class Darkness(nn.Module):
    """Predicts the true landmarks, moved to the right as far as the picture is dark."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Landmarks (B, K, 2)."""
        shift = 0.1 * (1 - x.mean((1, 2, 3)))
        return self.target + torch.stack([shift, 0 * shift], -1)[:, None]


def test_errors_are_those_of_the_pictures_under_each_light():
    count, size = 48, 16
    x = pictures(count, size)
    landmarks = torch.linspace(2, 12, 136).view(1, 68, 2).expand(count, -1, -1)
    faces = LandmarkFaces(
        (255 * x).round().byte(), landmarks, torch.ones(count, 68, dtype=torch.bool), torch.zeros(count, 4),
        torch.zeros(count, 6, dtype=torch.bool), ("",) * count, "noise", "-",
    )  # fmt: skip
    cells = [CELLS[0], PLACE(6, "even", "no noise"), PLACE(12, "ramp", "1,000 electrons")]
    found = grid.measure(Darkness((landmarks[:1] + 0.5) / size), faces, cells)
    table = grid.unpacked(found["errors"], GROUPS)
    assert (found["cells"], found["groups"], table.shape) == (3, GROUPS, (3, GROUPS))
    for row, cell in zip(table, cells, strict=True):
        expected = 0.1 * (1 - grid.seen(x, cell).mean((1, 2, 3)))
        assert row == pytest.approx(grid.by_group(expected.double().numpy()), abs=0.6 * grid.STEP)


def record(seed: int, variant: str, factor: float) -> dict[str, object]:
    """A row of `frames.recorded`: errors that grow with the cell, times a factor."""
    scatter = np.random.default_rng(seed).normal(1, 0.01, (len(CELLS), GROUPS))
    table = factor * np.linspace(0.02, 0.05, len(CELLS))[:, None] * scatter
    return {
        "variant": variant,
        "seed": seed,
        "metrics": {"map": {"cells": len(CELLS), "groups": GROUPS, "errors": grid.packed(table)}},
    }


RUNS = pd.DataFrame([record(seed, *kind) for seed in range(3) for kind in (("a", 1.0), ("b", 1.1), ("c", 1.0))])


def test_losses_are_above_the_best_of_each_cell():
    found = atlas.errors(RUNS)
    assert found["a"].seeds == (0, 1, 2)
    loss = atlas.losses(found)
    assert loss.shape == (3, 123)
    assert (loss.min() == 0).all()
    assert loss.loc["b"].to_numpy() == pytest.approx(10, abs=0.1)
    assert atlas.within(found, "a", 2.0) == 1
    assert atlas.within(found, "b", 2.0) == 0
    assert atlas.losses(found, ["b"]).loc["a"].max() < 0  # better than the best of these


def test_verdicts_are_adjusted_for_the_number_of_cells():
    found = atlas.errors(RUNS)
    worse = atlas.versus_everywhere(found["b"], found["a"])
    assert len(worse) == 123
    assert all(one.adjusted >= one.p for one in worse.values())
    assert atlas.tally(worse) == {"better": 0, "level": 0, "worse": 123}
    assert atlas.tally(atlas.versus_everywhere(found["c"], found["a"])) == {"better": 0, "level": 123, "worse": 0}


def test_errors_are_averaged_over_cells_before_they_are_compared():
    found = atlas.errors(RUNS)["a"]
    pair = [CELLS[0], CELLS[5]]
    assert found.at(pair).to_numpy() == pytest.approx(found.values[:, [0, 5]].mean(1))
    assert list(found.at(pair).index) == [0, 1, 2]


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="variant a: several runs of one seed"):
        atlas.errors(pd.concat([RUNS, RUNS]))
    other = RUNS.assign(metrics=[{"map": {"cells": 5, "groups": GROUPS, "errors": ""}}] * len(RUNS))
    with pytest.raises(ValueError, match=r"expected 123 cells .* got 5 .* measure the run again"):
        atlas.errors(other)


def test_a_heat_map_shows_each_loss_in_its_place_and_where_a_rival_is_overtaken():
    loss = pd.Series(np.arange(123.0), index=list(CELLS))
    table = atlas.spread_out(loss)
    assert table.shape == (8, 18)
    assert table[0, 0] == table[7, 0] == 0  # undivided light stands in every row
    assert table[5, 6 + 3] == loss[Cell("linear light", 6, "ramp", "20,000 electrons")]
    figure, axes = plt.subplots()
    ahead = pd.Series([cell.factor <= 3 for cell in CELLS], index=list(CELLS))
    picture = atlas.heat(axes, loss, ahead=ahead)
    assert np.array_equal(picture.get_array(), table)
    lines = [line for line in axes.lines if line.get_color() == "#D55E00"]
    assert {tuple(line.get_xdata()) for line in lines} == {(2.5, 2.5), (8.5, 8.5), (14.5, 14.5)}
    assert len(lines) == 3 * 8
    plt.close(figure)
