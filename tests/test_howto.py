"""The page on additions: its code runs as it stands. Enhancer and first layer go into a copy in test_added_*.py."""

from __future__ import annotations

import math
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from facelight import enhance
from facelight.data import LandmarkFaces
from facelight_lab import stems
from pages import blocks

PAGE = blocks("howto.md")


def run(code: str, name: str = "__main__") -> dict[str, object]:
    module = types.ModuleType(name)
    exec(compile(code, f"howto.md, {name}", "exec"), module.__dict__)
    return module.__dict__


def test_all_code_is_tried() -> None:
    assert {heading: len(code) for heading, code in PAGE.items()} == {
        "Add an enhancer": 2,
        "Add a first layer": 3,
        "Add a data set": 1,
        "Train with the library": 1,
    }


def test_an_enhancer() -> None:
    module, line = PAGE["Add an enhancer"]
    names = run(module, "facelight.enhance.s_curve")
    assert line.splitlines()[1] == "from facelight.enhance.s_curve import *"
    assert "from facelight.enhance.pointwise import *" in Path(enhance.__file__).read_text()  # such lines are there
    x = torch.tensor([[[0.25, 0.75]]])
    expected = [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))]
    assert names["SCurve"](8.0)(x).flatten().tolist() == pytest.approx(expected)


def test_a_first_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    module, line, use = PAGE["Add a first layer"]
    kind = run(module, "facelight.layers.square_root")["SquareRoot"]
    entry = eval("{" + line + "}", {"Variant": stems.Variant, "SquareRoot": kind})
    for name, variant in entry.items():
        monkeypatch.setitem(stems.VARIANTS, name, variant)
    network = run(use)["network"]
    assert any(isinstance(layer, kind) for layer in network.modules())
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 98, 2)


def test_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces").mkdir()
    rng = np.random.default_rng(0)
    for i in range(9):
        cv2.imwrite(str(tmp_path / "faces" / f"{i}.png"), rng.integers(0, 256, (80, 100, 3), np.uint8))
        np.savetxt(tmp_path / "faces" / f"{i}.txt", rng.uniform(20, 60, (68, 2)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    names = run(PAGE["Add a data set"][0])
    faces = names["faces"]
    assert isinstance(faces, LandmarkFaces)
    assert faces.image.shape == (9, 3, 96, 96)
    assert isinstance(names["some"], LandmarkFaces)
    assert len(names["some"]) == 8
    assert names["first"]["name"] == "0"
    batches = list(DataLoader(faces, batch_size=4, num_workers=2))
    assert torch.equal(torch.cat([batch["landmarks"] for batch in batches]), faces.landmarks)
    assert [name for batch in batches for name in batch["name"]] == [str(i) for i in range(9)]


def test_training() -> None:
    names = run(PAGE["Train with the library"][0])
    assert torch.isfinite(names["loss"])
    assert names["landmarks"].shape == (16, 98, 2)
    moved = [p.grad for p in names["model"].parameters() if p.requires_grad]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in moved)
