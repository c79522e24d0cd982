"""Experiment "predictions": which faces are shown, and that the points told are those of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import facelight_render as synthetic
from facelight.data import crops
from facelight.data.crops import BoxRule
from facelight_lab import experiments
from facelight_lab.landmarks import face_sets, landmarks, lights, predictions
from facelight_lab.stems import VARIANTS


class Brightness(nn.Module):
    """All points at (brightness, 1 / 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3)).view(-1, 1, 1)
        return torch.cat([level, self.middle.expand_as(level)], 2).expand(-1, 98, 2)


def test_shown_are_the_first_plain_faces() -> None:
    faces = synthetic.landmarks("test", 4, size=64)
    attributes = torch.zeros(4, 6, dtype=torch.bool)
    attributes[0, 3] = attributes[2, 0] = True
    faces = replace(faces, attributes=attributes)
    assert predictions.shown(faces, 2).tolist() == [1, 3]
    with pytest.raises(ValueError, match="expected 3 without attributes, got 2: render more"):
        predictions.shown(faces, 3)


def test_what_is_told_is_what_the_network_says() -> None:
    faces = face_sets.crop(synthetic.landmarks("test", 4, size=64), 32, BoxRule())
    rows = torch.tensor([2, 0])
    found = predictions.asked(Brightness(), faces, rows)
    target = crops.pixels_to_unit(faces.landmarks, 32)
    eyes = (target[:, 60] - target[:, 72]).norm(dim=1)
    wanted: dict[str, Callable[..., Tensor]] = {"half": partial(lights.shadowed, side="left"), "noise": lights.noisy}
    for kind, light in wanted.items():
        x = light(faces.image.float() / 255, factor=6)
        where = torch.stack([x.mean((1, 2, 3)), torch.full((4,), 0.5)], 1)[:, None]
        told = torch.tensor(found["points"][kind][predictions.STRENGTHS.index(6)]).view(2, 98, 2)
        assert (told - 1000 * where[rows]).abs().max() <= 0.5001
        error = (where - target).norm(dim=2).mean(1) / eyes
        place = predictions.STRENGTHS.index(6)
        assert found["errors"][kind][place] == pytest.approx(error[rows].tolist(), abs=1e-4)
        assert found["mean"][kind][place] == pytest.approx(error.mean().item(), abs=1e-4)


def test_strength_one_is_the_light_of_the_training() -> None:
    x = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    for kind in ("even", "half"):
        assert torch.allclose(predictions.KINDS[kind](x, factor=1), (255 * x).round() / 255)


def test_runs_are_those_of_the_other_experiments_on_rendered_faces() -> None:
    runs = predictions.configs("laptop")
    assert [run.variant for run in runs] == list(predictions.COMPARED)
    assert {*predictions.COMPARED} <= {*VARIANTS}
    others = [c for name in ("landmarks", "beyond") for c in experiments.module(name).configs("laptop")]
    assert {*runs} <= {*others}


def test_book_measures_one_network_and_saves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "records"))
    (found,) = experiments.run("predictions", "book")
    points = found.metrics["points"]
    assert set(points) == set(predictions.KINDS)
    assert [len(points["even"]), len(points["even"][0]), len(points["even"][0][0])] == [6, 1, 196]
    assert not (tmp_path / "records").exists()
    assert len(landmarks.load_few("synthetic").test) == face_sets.FEW_RENDERED[1]
