"""Extended Yale B: small trees in the official layout, and the real set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facelight.data import yaleb
from facelight.data.sources import DataError, sha256_of


def write(root: Path, name: str, *, shape: tuple[int, int] = (192, 168), cut: int = 0) -> Path:
    path = root / "CroppedYale" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(sum(name.encode())).integers(0, 256, shape, np.uint8)
    raw = b"P5\n%d %d\n255\n" % shape[::-1] + picture.tobytes()
    path.write_bytes(raw[: len(raw) - cut])
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two subjects: one complete, one with two lights; with everything else that the release holds beside them."""
    for name in yaleb.expected_names():
        if name.startswith("yaleB11/"):
            write(tmp_path, name)
    write(tmp_path, "yaleB01/yaleB01_P00A+035E+40.pgm")
    write(tmp_path, "yaleB01/yaleB01_P00A-110E-20.pgm")
    write(tmp_path, "yaleB11/yaleB11_P00_Ambient.pgm", shape=(480, 640))
    write(tmp_path, "yaleB11/yaleB11_P00A+050E-40.pgm.bad")
    (tmp_path / "CroppedYale/yaleB01/yaleB01_P00.info").write_text("yaleB01_P00_Ambient.pgm\n")
    (tmp_path / "CroppedYale/yaleB01/DEADJOE").write_text("left by an editor")
    return tmp_path


def test_the_names_that_make_up_the_release() -> None:
    names = yaleb.expected_names()
    assert len(names) == 2414
    assert len(yaleb.BAD) == 18
    assert len({name[:7] for name in names}) == 38
    assert "yaleB14" not in {name[:7] for name in names}
    assert {n: sum(x.startswith(n) for x in names) for n in ("yaleB01", "yaleB11", "yaleB12", "yaleB39")} == {
        "yaleB01": 64,
        "yaleB11": 60,
        "yaleB12": 59,
        "yaleB39": 64,
    }


def test_partial_load(tree: Path) -> None:
    faces = yaleb.load(tree, partial=True)
    assert faces.image.shape == (62, 1, 192, 168)
    assert faces.image.dtype == torch.uint8
    assert faces.identity.tolist() == [0] * 2 + [10] * 60
    one = faces[0]
    assert (one.name, one.azimuth, one.elevation, one.subset) == ("yaleB01/yaleB01_P00A+035E+40.pgm", 35, 40, 3)
    assert (faces[1].azimuth, faces[1].elevation, faces[1].subset) == (-110, -20, 5)
    raw = (tree / "CroppedYale" / one.name).read_bytes()
    assert one.image.numpy().tobytes() == raw[-192 * 168 :]
    assert faces.sha256 == sha256_of({n: tree / "CroppedYale" / n for n in faces.name})


def test_verify_counts_and_names_what_it_ignores(tree: Path) -> None:
    report = yaleb.verify(tree)
    assert not report.complete
    assert (report.count, report.expected) == (62, 2414)
    assert (report.per_subject["yaleB11"], report.per_subject["yaleB01"], report.per_subject["yaleB02"]) == (60, 2, 0)
    assert len(report.missing) == 2414 - 62
    assert report.differing == ("yaleB11",)  # complete, yet not the published bytes
    assert [n.rsplit("/")[-1] for n in report.ignored] == [
        "DEADJOE",
        "yaleB01_P00.info",
        "yaleB11_P00A+050E-40.pgm.bad",
        "yaleB11_P00_Ambient.pgm",
    ]


def test_incomplete_set_is_refused_by_name(tree: Path) -> None:
    with pytest.raises(DataError, match=r"62 of 2414 images") as error:
        yaleb.load(tree)
    text = str(error.value)
    assert "missing (2352): yaleB01/yaleB01_P00A" in text
    assert "book/data/yaleb.md" in text
    assert "`facelight data verify yaleb`" in text
    assert "partial=True" in text


@pytest.mark.parametrize("damage", ["cut", "size", "text", "empty", "color"])
def test_damaged_files_are_named(tree: Path, damage: str) -> None:
    name = "yaleB01/yaleB01_P00A+035E+40.pgm"
    path = tree / "CroppedYale" / name
    if damage == "cut":
        write(tree, name, cut=1)
    elif damage == "size":
        write(tree, name, shape=(168, 192))
    elif damage == "color":
        path.write_bytes(cv2.imencode(".ppm", np.zeros((192, 168, 3), np.uint8))[1].tobytes())
    else:
        path.write_bytes(b"not a picture" * (damage == "text"))
    report = yaleb.verify(tree)
    assert report.damaged == (name,)
    assert report.count == 61
    assert name not in yaleb.load(tree, partial=True).name
    with pytest.raises(DataError, match="damaged \\(1\\): yaleB01/"):
        yaleb.load(tree)


def test_missing_folder_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"book/data/yaleb\.md, set FACELIGHT_DATA.*facelight data verify yaleb"):
        yaleb.load(tmp_path)
    (tmp_path / "CroppedYale").mkdir()
    with pytest.raises(DataError, match="0 of 2414"):
        yaleb.load(tmp_path, partial=True)


def test_resize(tree: Path) -> None:
    full = yaleb.load(tree, partial=True)
    half = yaleb.load(tree, size=(96, 84), partial=True)
    assert half.image.shape == (62, 1, 96, 84)
    mean = torch.nn.functional.avg_pool2d(full.image.float(), 2)
    assert (half.image - mean).abs().max() <= 0.5
    assert yaleb.load(tree, size=(224, 224), partial=True).image.shape == (62, 1, 224, 224)


@pytest.mark.parametrize("size", [(0, 3), 32, (1.5, 2), (2, 2, 2)])
def test_a_wrong_size_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match=r"size: expected \(height, width\) in whole pixels"):
        yaleb.load(size=size)


@pytest.mark.realdata
def test_the_real_set(yaleb_root: Path) -> None:
    faces = yaleb.load(yaleb_root)
    assert faces.image.shape == (2414, 1, 192, 168)
    assert faces.subset.bincount().tolist() == [0, 263, 456, 455, 526, 714]
    assert faces.identity.bincount().tolist() == [64] * 10 + [60, 59, 60, 63, 62, 63, 63] + [64] * 21
    assert faces.sha256 == yaleb.SHA256
    # Azimuth is positive where the light comes from the left of the picture.
    left, right = faces.image[..., :84].float().mean((1, 2, 3)), faces.image[..., 84:].float().mean((1, 2, 3))
    assert (left > right)[faces.azimuth >= 50].float().mean() > 0.95
    assert (left < right)[faces.azimuth <= -50].float().mean() > 0.95
    report = yaleb.verify(yaleb_root)
    assert report.complete
    assert sum(name.endswith(".bad") for name in report.ignored) == 18
    ambient = [name for name in report.ignored if name.endswith("_Ambient.pgm")]
    sizes = [cv2.imread(str(report.root / name), cv2.IMREAD_UNCHANGED).shape for name in ambient]
    assert (len(ambient), sizes.count((480, 640))) == (38, 28)


def test_names_may_be_upper_case_and_hidden_files_are_not_looked_at(tree: Path) -> None:
    before, seen = yaleb.load(tree, partial=True), yaleb.verify(tree)
    folder = tree / "CroppedYale/yaleB01"
    path = folder / "yaleB01_P00A+035E+40.pgm"
    path.rename(folder / path.name.upper())
    for name in ("._yaleB01_P00A+035E+40.pgm", "._yaleB01_P00A+000E+00.pgm", ".DS_Store"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    after = yaleb.load(tree, partial=True)
    assert (after.name, after.sha256) == (before.name, before.sha256)
    assert torch.equal(after.image, before.image)
    assert yaleb.verify(tree) == seen
