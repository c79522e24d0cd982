"""Sets of crops with `landmarks.csv`: small copies in their layouts, what is wrong with others, and the real sets."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facelight.data import crops, net7876, wflw_crops
from facelight.data.sources import DataError
from facelight_lab import command as cli

FACES = {"train/00000.jpg": ("train", 100), "train/00001.jpg": ("train", 128), "test/00002.jpg": ("test", 66)}
EYES = (30.25, 31.5, 60.0, 32.0, 45.5, 48.0, 33.0, 60.0, 57.0, 61.5)


def picture(side: int, kind: str) -> bytes:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(kind, noise)[1].tobytes()


def write_csv(top: Path, header: tuple[str, ...], lines: list[list[object]]) -> Path:
    with (top / "landmarks.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return top / "landmarks.csv"


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """Three faces in the layout of net7876."""
    top = tmp_path / "net7876"
    for name, (_, side) in FACES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(picture(side, ".jpg"))
    write_csv(top, net7876.KIND.header, [[name, *about, *EYES] for name, about in FACES.items()])
    return tmp_path


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """Two faces in the layout of WFLW_crops."""
    top = tmp_path / "WFLW_crops"
    top.mkdir()
    lines: list[list[object]] = []
    for name in ("b.png", "a.png"):
        (top / name).write_bytes(picture(112, ".png"))
        lines.append([name, *np.linspace(0.1, 0.9, 196).round(6), 0, 0, 1, 0, 0, 0])
    write_csv(top, wflw_crops.KIND.header, lines)
    return tmp_path


def test_a_split_has_its_faces_in_the_order_of_the_file(web: Path) -> None:
    faces = net7876.load("train", web, partial=True)
    assert faces.name == ("train/00000.jpg", "train/00001.jpg")
    assert faces.path == tuple(web / "net7876" / name for name in faces.name)
    assert faces.landmarks.shape == (2, 5, 2)
    assert faces.landmarks[0, 0].tolist() == [30.25, 31.5]
    assert net7876.load("test", web, partial=True).name == ("test/00002.jpg",)
    assert net7876.load("test", web, partial=True).sha256 != faces.sha256


def test_the_box_is_the_middle_of_the_crop(web: Path) -> None:
    box = net7876.load("train", web, partial=True).box[0]
    assert box.tolist() == pytest.approx([49.5 - 100 / 3, 49.5 - 100 / 3, 49.5 + 100 / 3, 49.5 + 100 / 3])
    square = crops.squares(box[None], net7876.EXTENT)
    assert (square.corner.tolist(), square.side.tolist()) == ([[0, 0]], [100])  # the whole crop again


def test_crops_of_crops_keep_the_points_in_their_place(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    faces = crops.crop_faces(net7876.load("train", web, partial=True), 40, crops.BoxRule(margin=net7876.EXTENT))
    assert faces.image.shape == (2, 3, 40, 40)
    assert faces.landmarks[0, 0].tolist() == pytest.approx([30.75 * 0.4 - 0.5, 32 * 0.4 - 0.5])
    assert faces.visible.all()


def test_shares_of_the_side_become_pixels_and_the_box_is_tight(wild: Path) -> None:
    faces = wflw_crops.load(wild, partial=True)
    assert faces.name == ("b.png", "a.png")
    assert faces.landmarks.shape == (2, 98, 2)
    assert faces.landmarks[0, 0, 0].item() == pytest.approx(0.1 * 112 - 0.5)
    assert torch.equal(faces.box[:, :2], faces.landmarks.amin(1))
    assert faces.attributes[0].tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(("load", "name"), [(net7876.load, "web"), (lambda s, r: wflw_crops.load(r), "wild")])
def test_too_few_faces_are_refused_unless_partial(load, name, request) -> None:
    with pytest.raises(
        DataError, match=r"expected .* faces in the part 'test', got .*partial=True.*facelight data verify"
    ):
        load("test", request.getfixturevalue(name))


def test_a_set_that_is_not_there_names_card_folder_and_command(tmp_path: Path) -> None:
    for load in (net7876.load, lambda split, root: wflw_crops.load(root)):
        with pytest.raises(DataError, match=r"not a directory: follow the data card book/data/.*FACELIGHT_DATA"):
            load("test", tmp_path)


def test_an_unknown_split_is_refused(web: Path) -> None:
    with pytest.raises(ValueError, match="split: expected one of 'train', 'test'"):
        net7876.load("validation", web)


def change(top: Path, line: int, column: int, value: str) -> None:
    lines = [text.split(",") for text in (top / "landmarks.csv").read_text().splitlines()]
    lines[line][column] = value
    (top / "landmarks.csv").write_text("\n".join(map(",".join, lines)))


@pytest.mark.parametrize(
    ("line", "column", "value", "message"),
    [
        (0, 3, "x", r"expected the header file,split,side,x0,\.\.\. of 13 columns"),
        (2, 0, "../a.jpg", "line 3: .* leads out of the set"),
        (2, 0, "/a.jpg", "line 3: .* leads out of the set"),
        (2, 0, "train/00000.jpg", "train/00000.jpg occurs more than once"),
        (2, 1, "dev", "line 3: expected the split train or test, got 'dev'"),
        (2, 2, "64.5", "line 3: expected a side in whole pixels"),
        (2, 4, "3;5", "line 3: expected numbers with decimal points"),
        (2, 4, "nan", "line 3: expected finite numbers"),
        (2, 4, "128", "line 3: a point lies outside the picture"),
        (2, 4, "1,2", "line 3: expected 13 values, got 14"),
    ],
)
def test_a_damaged_line_is_named(web: Path, line: int, column: int, value: str, message: str) -> None:
    change(web / "net7876", line, column, value)
    for look in (lambda: net7876.load("train", web, partial=True), lambda: net7876.verify(web)):
        with pytest.raises(DataError, match=message + r".*book/data/net7876.md"):
            look()


def test_pixels_in_place_of_shares_and_wrong_flags_are_refused(wild: Path) -> None:
    change(wild / "WFLW_crops", 1, 5, "55.5")
    with pytest.raises(DataError, match="line 2: expected points as shares of the side, not pixels"):
        wflw_crops.load(wild, partial=True)
    change(wild / "WFLW_crops", 1, 5, "0.5")
    change(wild / "WFLW_crops", 2, 199, "2")
    with pytest.raises(DataError, match="line 3: expected six flags 0 or 1"):
        wflw_crops.load(wild, partial=True)


def test_a_missing_csv_and_a_missing_picture_are_named(web: Path) -> None:
    (web / "net7876/train/00001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 pictures of landmarks.csv are missing, train/00001.jpg first"):
        net7876.load("train", web, partial=True)
    (web / "net7876/landmarks.csv").unlink()
    for look in (net7876.load, lambda split, root: net7876.verify(root)):
        with pytest.raises(DataError, match=r"landmarks.csv: there is no such file"):
            look("train", web)


def test_ends_of_lines_and_marks_of_other_systems_are_read(web: Path) -> None:
    before = net7876.load("train", web, partial=True)
    path = web / "net7876/landmarks.csv"
    path.write_bytes(("\ufeff" + path.read_text()).replace("\n", "\r\n").encode())
    assert torch.equal(net7876.load("train", web, partial=True).landmarks, before.landmarks)


def test_verify_counts_and_compares(web: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    report = net7876.verify(web)
    assert (report.count, report.per_subject, report.missing, report.damaged) == (3, {"train": 2, "test": 1}, (), ())
    assert report.differing == (
        "landmarks.csv: 2 faces in train, 5849 expected",
        "landmarks.csv: 1 faces in test, 2027 expected",
    )
    monkeypatch.setattr(net7876, "KIND", replace(net7876.KIND, counts={"train": 2, "test": 1}, sha256=report.sha256))
    assert net7876.verify(web).complete
    assert cli.main(["data", "verify", "net7876", "--root", str(web)]) == 0
    assert "net7876: 3 of 3 faces" in capsys.readouterr().out
    (web / "net7876/train/00000.jpg").write_bytes(picture(101, ".jpg"))
    (web / "net7876/train/00001.jpg").write_bytes(picture(128, ".jpg")[:-9])
    (web / "net7876/test/00002.jpg").unlink()
    (web / "net7876/notes.txt").write_text("")
    report = net7876.verify(web)
    assert report.damaged == ("train/00000.jpg: 101x101 pixels, 100x100 expected", "train/00001.jpg")
    assert (report.missing, report.ignored, report.complete) == (("test/00002.jpg",), ("notes.txt",), False)
    (web / "net7876/train/00000.jpg").write_bytes(picture(100, ".jpg"))
    assert cli.main(["data", "verify", "net7876", "--root", str(web)]) == 1


def test_other_bytes_differ(wild: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wflw_crops, "KIND", replace(wflw_crops.KIND, counts={"test": 2}))
    report = wflw_crops.verify(wild)
    assert (report.count, report.differing) == (2, ("landmarks.csv or a picture",))


@pytest.mark.realdata
def test_the_real_web_faces(net7876_root: Path) -> None:
    assert net7876.verify(net7876_root).complete
    train, test = (net7876.load(split, net7876_root) for split in ("train", "test"))
    assert (len(train), len(test)) == (5849, 2027)
    for faces in (train, test):
        left, right, nose, mouth = (faces.landmarks[:, i] for i in (0, 1, 2, 3))
        assert (left[:, 0] < right[:, 0]).float().mean() > 0.99
        assert (mouth[:, 1] > left[:, 1]).float().mean() > 0.99
        inside = (faces.box[:, :2] < nose) & (nose < faces.box[:, 2:])
        assert inside.all(1).float().mean() > 0.99


@pytest.mark.realdata
def test_the_real_wflw_crops(wflw_crops_root: Path) -> None:
    assert wflw_crops.verify(wflw_crops_root).complete
    faces = wflw_crops.load(wflw_crops_root)
    assert len(faces) == 200
    assert not faces.attributes.any()  # as the card says
    assert (faces.landmarks[:, 60, 0] < faces.landmarks[:, 72, 0]).float().mean() > 0.95
