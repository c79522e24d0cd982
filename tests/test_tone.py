"""Experiment "tone": what is asked, that it can be learned from brightness, and what a mean without it cannot know."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import facelight_render as synthetic
from facelight import train
from facelight.data.samples import LandmarkFaces
from facelight_lab import experiments
from facelight_lab.landmarks import face_sets, tone
from facelight_lab.landmarks.face_sets import Sets
from facelight_lab.landmarks.tone import Tone, truth
from facelight_lab.stems import OURS

RECIPE = train.Recipe(epochs=12, batch=16, learning_rate=2e-3, bf16=False)


def test_truth_is_what_the_faces_were_rendered_with() -> None:
    from facelight_render.photo import identity_of
    from facelight_render.scene import sample_scene

    faces = synthetic.landmarks("test", 3, size=64)
    found = truth(faces)
    scene = sample_scene(0, "test", 2)
    assert found.shape == (3, 2)
    assert found[2].tolist() == pytest.approx([identity_of(scene).look.pigment, scene.exposure])
    with pytest.raises(ValueError, match=r"expected those of synthetic\.landmarks, got one called 'helen/1'"):
        truth(replace(faces, name=("helen/1",) * 3))


def lit(count: int, split: str) -> tuple[LandmarkFaces, torch.Tensor]:
    """Rendered faces' names and landmarks with pictures whose brightness is the exposure."""
    faces = synthetic.landmarks("test", 3, size=64)
    value = torch.rand(count, generator=torch.Generator().manual_seed(len(split)))
    texture = torch.rand((count, 3, 64, 64), generator=torch.Generator().manual_seed(1 + len(split)))
    image = (255 * (0.3 + 0.6 * value).view(-1, 1, 1, 1) * (0.8 + 0.2 * texture)).byte()
    rows = torch.arange(count) % 3
    made = faces.select(rows)
    return replace(made, image=image, name=tuple(f"synthetic/{split}/0/{i:05d}" for i in range(count))), value


def test_brightness_is_learned_by_the_plain_network_and_not_by_one_that_ignores_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (known, value), (asked, other) = lit(96, "train"), lit(48, "test")
    values = {"train": value, "test": other}

    def stand_in(faces: LandmarkFaces) -> torch.Tensor:
        split = faces.name[0].split("/")[1]
        return torch.stack([values[split], torch.arange(len(faces)) % 2], 1).float()

    monkeypatch.setattr(tone, "truth", stand_in)
    sets = Sets(known, asked, "made up")
    found = {v: tone.measure(Tone(v, size=32, recipe=RECIPE), sets)["r2"]["pigment"] for v in ("linear", OURS)}
    assert found["linear"] > 0.5 > 0.3 > found[OURS]


def test_runs() -> None:
    runs = tone.configs("laptop")
    assert max(Counter(runs).values()) == 1
    assert {run.variant for run in runs} == set(tone.COMPARED)
    assert all({r.seed for r in runs if r.variant == v} == {0, 1, 2} for v in tone.COMPARED)
    with pytest.raises(ValueError, match="dataset: expected one of 'synthetic'"):
        Tone(dataset="w300")
    with pytest.raises(ValueError, match="variant: expected one of"):
        Tone("quadratic")


def test_book_measures_two_networks_and_saves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "records"))
    monkeypatch.setattr(face_sets, "FEW_RENDERED", (32, 12))
    found = experiments.run("tone", "book")
    assert [item.config["variant"] for item in found] == ["linear", OURS]
    assert set(found[0].metrics["r2"]) == {"pigment", "exposure"}
    assert not (tmp_path / "records").exists()
