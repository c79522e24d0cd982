"""CMU PIE, 32x32: small trees in the layout, and the real set."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facelight.data import pie
from facelight.data.sources import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Subject 38 complete (164 pictures), subject 1 with its first two."""
    rng = np.random.default_rng(0)
    for name in [f"38/{n}.jpg" for n in range(1, 165)] + ["1/1.jpg", "1/2.jpg"]:
        path = tmp_path / "PIE" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", rng.integers(0, 256, (32, 32), np.uint8))[1].tobytes())
    (tmp_path / "PIE/index_inferred.csv").write_text("file\n")
    return tmp_path


def test_what_the_order_implies() -> None:
    assert pie.shot(4) == (27, "expression", 0, True)
    assert pie.shot(16) == (5, "illumination", 1, False)
    assert pie.shot(120) == (29, "illumination", 21, False)
    assert pie.shot(143) == (27, "lights", 1, True)
    assert pie.shot(164) == (27, "lights", 0, True)
    assert pie.shot(170) == (27, "talking", 0, True)
    sessions = Counter(pie.shot(place)[1] for place in range(1, 171))
    assert sessions == {"expression": 15, "illumination": 105, "lights": 44, "talking": 6}
    with pytest.raises(ValueError, match="place: expected 1 to 170, got 171"):
        pie.shot(171)


def test_partial_load(tree: Path) -> None:
    faces = pie.load(tree, partial=True)
    assert faces.image.shape == (166, 1, 32, 32)
    assert faces.image.dtype == torch.uint8
    assert faces.identity.tolist() == [0, 0] + [37] * 164
    assert faces.azimuth.isnan().all()
    assert faces.subset.unique().tolist() == [0]
    # Subject 38 lacks flashes 9 to 11 of cameras 7 and 27, so its 45th picture is flash 12.
    number_45 = faces.name.index("38/45.jpg")
    assert (faces.camera[number_45].item(), faces.flash[number_45].item()) == (7, 12)
    sample = faces[number_45]
    assert (sample.name, sample.identity, sample.subset) == ("38/45.jpg", 37, 0)
    assert math.isnan(sample.azimuth)
    frontal = faces.select((faces.camera == 27) & ~faces.room_lights)
    assert frontal.flash.tolist() == [*range(1, 9), *range(12, 22)]


def test_verify_and_errors(tree: Path) -> None:
    report = pie.verify(tree)
    assert (report.count, report.expected, report.ignored) == (166, 11554, ("index_inferred.csv",))
    assert (report.per_subject["38"], report.per_subject["1"], report.per_subject["2"]) == (164, 2, 0)
    raw = (tree / "PIE/1/2.jpg").read_bytes()
    (tree / "PIE/1/2.jpg").write_bytes(raw[: len(raw) // 2])
    (tree / "PIE/1/1.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes())
    with pytest.raises(DataError, match=r"damaged \(2\): 1/1.jpg, 1/2.jpg") as error:
        pie.load(tree)
    assert "book/data/pie.md" in str(error.value)
    assert "`facelight data verify pie`" in str(error.value)
    with pytest.raises(DataError, match=r"set FACELIGHT_DATA.*holds PIE"):
        pie.load(tree / "elsewhere")


@pytest.mark.realdata
def test_the_real_set(pie_root: Path) -> None:
    faces = pie.load(pie_root)
    assert faces.image.shape == (11554, 1, 32, 32)
    assert faces.identity.bincount().tolist() == [170] * 37 + [164] + [170] * 30
    assert faces.sha256 == pie.SHA256
    assert pie.verify(pie_root).complete
    assert ((faces.camera == 27) & (faces.flash > 0) & ~faces.room_lights).sum() == 68 * 21 - 3
    index = pie_root / "PIE" / "index_inferred.csv"
    if index.exists():
        rows = {row["file"].removeprefix("PIE/"): row for row in csv.DictReader(index.open())}
        ours = zip(faces.name, faces.camera.tolist(), faces.flash.tolist(), strict=True)
        flashes = {f"k{i:02d}": i for i in range(1, 22)}
        theirs = [(n, int(rows[n]["camera"]), flashes.get(rows[n]["flash_order"], 0)) for n in faces.name]
        assert list(ours) == theirs
