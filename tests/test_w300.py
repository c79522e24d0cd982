"""300-W: files in its layout, and the real set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facelight.data import w300
from facelight.data.landmarks import mean_shape
from facelight.data.samples import Annotations
from facelight.data.sources import DataError, sha256_of
from facelight_lab import command as cli

SHAPE = mean_shape("w300_68") * 40 + [64.25, 50.5]


def write_pts(path: Path, points: np.ndarray, header: str = "version: 1\nn_points: 68\n{\n", end: str = "}\n") -> None:
    path.write_text(header + "".join(f"{x:.3f} {y:.3f}\n" for x, y in points) + end)


def write_face(top: Path, name: str, shift: float = 0.0, suffix: str = ".png") -> Path:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(name)).integers(0, 256, (128, 120, 3), np.uint8)
    path.with_name(path.name + suffix).write_bytes(cv2.imencode(suffix, noise)[1].tobytes())
    write_pts(path.with_name(path.name + ".pts"), SHAPE + 1 + shift)
    return path.with_name(path.name + ".pts")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two faces of HELEN's test set, one of LFPW's, one of AFW and one of LFPW's training set."""
    top = tmp_path / "300w"
    write_face(top, "lfpw/testset/image_0001", 3)
    write_face(top, "lfpw/trainset/image_0001", 2)
    write_face(top, "helen/testset/b_1", 1)
    write_face(top, "helen/testset/a.b_1", 0)
    write_face(top, "afw/1_1", -60, ".jpg")
    return tmp_path


def test_a_file_by_hand(tmp_path: Path) -> None:
    lines = [f"{i + 1} {2 * i + 1.5}" for i in range(68)]
    lines[67] = "-3.25 400"
    path = tmp_path / "x.pts"
    for text in ("version: 1\nn_points:  68\n{\n" + "\n".join(lines) + "\n}\n", None):
        path.write_bytes((text or path.read_text().replace("\n", " \r\n")).encode())  # also with Windows' ends of lines
        points = w300.read_pts(path)
        assert points[:3].tolist() == [[0, 0.5], [1, 2.5], [2, 4.5]]  # counted from 0
        assert points[67].tolist() == [-4.25, 399]  # outside the picture
        assert points.shape == (68, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),  # an old Mac
        lambda text: text.replace("\n", "\r\r\n"),  # converted twice
        lambda text: text.replace("\n", "\n\n \n"),
        lambda text: text.replace(" ", "\t"),
    ],
)
def test_a_file_from_another_system(tmp_path: Path, change: Callable[[str], str]) -> None:
    path = tmp_path / "x.pts"
    write_pts(path, SHAPE + 1)
    path.write_bytes(change(path.read_text()).encode())
    assert np.abs(w300.read_pts(path) - SHAPE).max() < 0.001


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.pts"
    write_pts(path, SHAPE)
    mark = "" if encoding == "utf-16" else "\ufeff"
    path.write_bytes((mark + path.read_text()).encode(encoding))
    with pytest.raises(DataError, match=r"x.pts: this is UTF-16 text: save it again as UTF-8"):
        w300.read_pts(path)


@pytest.mark.parametrize("ending", [".JPG", ".Jpeg", ".jpeg", ".PNG", ".Png"])
@pytest.mark.parametrize("points", [".pts", ".PTS"])
def test_endings_may_be_upper_case(tree: Path, ending: str, points: str) -> None:
    before = w300.load("train", tree, partial=True)
    folder = tree / "300w/afw"
    (folder / "1_1.jpg").rename(folder / f"1_1{ending}")
    (folder / "1_1.pts").rename(folder / f"1_1{points}")
    faces = w300.load("train", tree, partial=True)
    assert faces.name == before.name
    assert faces.path[1] == folder / f"1_1{ending}"
    assert torch.equal(faces.landmarks, before.landmarks)
    report = w300.verify(tree)
    assert (report.count, report.damaged, report.ignored) == (5, (), ())


def test_of_two_pictures_of_one_name_the_jpg_counts(tree: Path) -> None:
    before = w300.load("train", tree, partial=True)
    for name in ("1_1.png", "1_1.JPEG"):
        (tree / "300w/afw" / name).write_bytes(b"another")
    assert w300.load("train", tree, partial=True).sha256 == before.sha256
    assert w300.verify(tree).ignored == ("afw/1_1.JPEG", "afw/1_1.png")


def test_hidden_files_are_not_looked_at(tree: Path) -> None:
    before, seen = w300.load("train", tree, partial=True), w300.verify(tree)
    for name in ("afw/._1_1.pts", "afw/._1_1.jpg", "afw/.ipynb_checkpoints/1_1.pts", ".DS_Store"):
        (tree / "300w" / name).parent.mkdir(exist_ok=True)
        (tree / "300w" / name).write_bytes(b"\0\5\x16\7")
    after = w300.load("train", tree, partial=True)
    assert (after.name, after.sha256) == (before.name, before.sha256)
    assert w300.verify(tree) == seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected `n_points: 68` and the points between"),
        ("version: 1\nn_points: 68\n{\n" + "1 2\n" * 68, "expected `n_points: 68` and the points between"),
        ("n_points: 68\n{\n" + "1 2\n" * 67 + "}", "expected 68 points, got n_points: 68 and 67 lines"),
        ("n_points: 29\n{\n" + "1 2\n" * 29 + "}", "expected 68 points, got n_points: 29 and 29 lines"),
        ("n_points: 68\n{\n" + "1 2\n" * 67 + "1\n}", "expected two numbers a line"),
        ("n_points: 68\n{\n" + "1 2 3\n" * 68 + "}", "expected two finite numbers a line"),
        ("n_points: 68\n{\n" + "1 2\n" * 67 + "1 x\n}", "expected two numbers a line"),
        ("n_points: 68\n{\n" + "1,5 2,5\n" * 68 + "}", "expected two numbers a line, with decimal points .*'1,5'"),
        ("n_points: 68\n{\n" + "1 2\n" * 67 + "nan 2\n}", "expected two finite numbers a line"),
        ("n_points: 68\n{\n" + "1 2\n" * 67 + "1 inf\n}", "expected two finite numbers a line"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tree: Path, text: str, message: str) -> None:
    path = tree / "300w/helen/testset/b_1.pts"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        w300.load("common", tree, partial=True)
    assert str(error.value).startswith(str(path))
    assert "book/data/w300.md" in str(error.value)
    assert "`facelight data verify w300`" in str(error.value)
    report = w300.verify(tree)
    assert len(report.damaged) == 1
    assert report.damaged[0].startswith(str(path))
    assert (report.count, report.per_subject["helen/testset"]) == (4, 1)


def test_the_splits(tree: Path) -> None:
    common = w300.load("common", tree, partial=True)
    assert isinstance(common, Annotations)
    assert common.name == ("helen/testset/a.b_1", "helen/testset/b_1", "lfpw/testset/image_0001")
    assert [path.name for path in common.path] == ["a.b_1.png", "b_1.png", "image_0001.png"]
    assert common.landmarks.shape == (3, 68, 2)
    assert common.landmarks.dtype == common.box.dtype == torch.float32
    expected = SHAPE[None] + np.array([0, 1, 3])[:, None, None]
    assert np.abs(common.landmarks.numpy() - expected).max() < 0.001  # three digits in the file
    assert common.box[1].tolist() == pytest.approx([*expected[1].min(0), *expected[1].max(0)], abs=0.001)
    assert common.attributes.shape == (3, 6)
    assert not common.attributes.any()
    train = w300.load("train", tree, partial=True)
    assert train.name == ("lfpw/trainset/image_0001", "afw/1_1")
    assert train.path[1].suffix == ".jpg"
    assert (train.landmarks[1] < 0).any()
    files = [p for f in ("helen/testset", "lfpw/testset") for p in (tree / "300w" / f).iterdir()]
    assert common.sha256 == sha256_of({p.relative_to(tree / "300w").as_posix(): p for p in files})
    part = common.select([False, True, True])
    assert (part.name, len(part), part.path) == (common.name[1:], 2, common.path[1:])


def test_what_is_missing_is_said(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"got helen/testset: 2 of 330, lfpw/testset: 1 of 224.*load with partial=True"):
        w300.load("common", tree)
    with pytest.raises(DataError, match="ibug: 0 of 135") as error:
        w300.load("challenging", tree, partial=True)
    assert "partial" not in str(error.value)
    with pytest.raises(DataError, match=r"set FACELIGHT_DATA.*holds 300w"):
        w300.load("train", tree / "elsewhere")
    with pytest.raises(ValueError, match="split: expected one of 'train', 'common', 'challenging', got 'test'"):
        w300.load("test", tree)
    (tree / "300w/afw/readme.txt").write_text("")
    report = w300.verify(tree)
    assert report.missing == (
        *("helen/trainset: 0 of 2000", "lfpw/trainset: 1 of 811", "afw: 1 of 337"),
        *("helen/testset: 2 of 330", "lfpw/testset: 1 of 224", "ibug: 0 of 135"),
    )
    assert (report.count, report.expected, report.damaged) == (5, 3148 + 554 + 135, ())
    assert report.ignored == ("afw/readme.txt",)
    assert cli.main(["data", "verify", "w300", "--root", str(tree)]) == 1
    printed = capsys.readouterr().out
    assert "w300: 5 of 3837 faces" in printed
    assert "these are not the pictures that this book measures on" in printed


def test_the_sets_of_the_published_size_are_complete(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w300, "SPLITS", {"common": {"helen/testset": 2, "lfpw/testset": 1}})
    assert w300.verify(tree).complete
    assert len(w300.load("common", tree)) == 3
    monkeypatch.setattr(w300, "SHA256", w300.verify(tree).sha256)
    assert "these are the pictures that this book measures on" in str(w300.verify(tree))


def test_a_picture_that_is_missing_or_cut_short(tree: Path) -> None:
    picture = tree / "300w/afw/1_1.jpg"
    raw = picture.read_bytes()
    picture.write_bytes(raw[:-100])
    (damaged,) = w300.verify(tree).damaged
    assert damaged == f"{picture}: damaged, cut short, or not a picture"
    picture.unlink()
    with pytest.raises(DataError, match=r"1_1.pts: there is no .jpg, .jpeg or .png of that name beside it"):
        w300.load("train", tree, partial=True)
    (damaged,) = w300.verify(tree).damaged
    png = tree / "300w/helen/testset/b_1.png"
    raw = png.read_bytes()
    png.write_bytes(raw[:5000] + bytes(200) + raw[5200:])  # the start and the end are there
    assert w300.verify(tree).damaged[-1] == f"{png}: damaged, cut short, or not a picture"
    assert "there is no .jpg, .jpeg or .png" in damaged


@pytest.mark.realdata
def test_the_real_set(w300_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = w300.verify(w300_root)
    if report.sha256 != w300.SHA256:
        pytest.skip("another copy than the one that the book measures on")
    assert report.per_subject == {folder: n for folders in w300.COPY.values() for folder, n in folders.items()}
    assert report.damaged == report.ignored == ()
    common = w300.load("common", w300_root)
    assert len(common) == 554
    train = w300.load("train", w300_root, partial=True)
    assert len(train) == 2012
    assert not set(train.name) & set(common.name)
    outside = []  # how far a face's farthest point lies outside the picture, as the data card has it
    for path, points in zip((*train.path, *common.path), (*train.landmarks, *common.landmarks), strict=True):
        height, width = cv2.imread(str(path)).shape[:2]
        outside.append(torch.cat([-points, points - torch.tensor([width - 1, height - 1])]).max().item())
    assert sum(far > 0 for far in outside) == 65
    assert max(outside) < 0.5
    for faces in (train, common):
        eyes = (faces.landmarks[:, 45] - faces.landmarks[:, 36]).norm(dim=1)
        assert (eyes > 15).all()
        assert (faces.landmarks[:, 36, 0] < faces.landmarks[:, 45, 0]).float().mean() > 0.99
        assert (faces.landmarks[:, 8, 1] > faces.landmarks[:, 27, 1]).all()  # the chin is below the nose
    assert cli.main(["data", "verify", "w300", "--root", str(w300_root)]) == 1
    assert "2566 of 3837 faces" in capsys.readouterr().out
