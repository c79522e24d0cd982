"""CMU PIE: small trees and files in its three layouts, and the real set."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from facelight.data import pie
from facelight.data.sources import DataError, sha256_of
from facelight_lab import command as cli


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


def test_a_missing_subject_is_named(tree: Path) -> None:
    with pytest.raises(DataError, match=r"missing \(11388\): 1/3.jpg, 1/4.jpg"):
        pie.load(tree)
    assert sum(name.startswith("5/") for name in pie.verify(tree).missing) == 170


def test_names_may_be_upper_case_and_hidden_files_are_not_looked_at(tree: Path) -> None:
    before, seen = pie.load(tree, partial=True), pie.verify(tree)
    (tree / "PIE/1/2.jpg").rename(tree / "PIE/1/2.JPG")
    for name in ("1/._1.jpg", "1/._3.jpg", ".DS_Store"):
        (tree / "PIE" / name).write_bytes(b"\0\5\x16\7")
    after = pie.load(tree, partial=True)
    assert (after.name, after.sha256) == (before.name, before.sha256)
    assert torch.equal(after.image, before.image)
    assert pie.verify(tree) == seen


def mat_rows() -> dict[str, Any]:
    """What `PIE_32x32.mat` holds; each picture is one gray level, its row modulo 251."""
    level = (np.arange(11554) % 251).astype(np.uint8)
    subjects = np.repeat(np.arange(1, 69), [170] * 37 + [164] + [170] * 30)
    return {"fea": np.repeat(level[:, None], 1024, axis=1), "gnd": subjects[:, None].astype(np.float64)}


def write_mat(folder: Path, rows: dict[str, Any], name: str = pie.MAT, **options: Any) -> Path:
    path = folder / "PIE" / name
    path.parent.mkdir(exist_ok=True)
    savemat(path, rows, **options)
    return path


def pose_rows(each: int, seed: int = 0) -> dict[str, Any]:
    """What `Pose*_64x64.mat` holds, with `each` pictures a subject."""
    rng = np.random.default_rng(seed)
    return {
        "fea": rng.integers(0, 256, (68 * each, 4096), np.uint8),
        "gnd": np.repeat(np.arange(1, 69), each)[:, None].astype(np.uint8),
        "isTest": (np.arange(68 * each) % each == 0)[:, None].astype(np.float64),
    }


def test_a_mat_file_in_place_of_the_folders(tmp_path: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "other"
    root.mkdir()
    rows = mat_rows()
    one = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    one[3, 20] = 255  # a bright pixel high up on the right
    one[20, 3] = 0
    rows["fea"][2] = one.flatten(order="F")
    path = write_mat(root, rows)
    faces = pie.load(root)
    assert isinstance(faces, pie.PieFaces)
    assert (faces.image.shape, faces.image.dtype) == ((11554, 1, 32, 32), torch.uint8)
    assert torch.equal(faces.image[2, 0], torch.from_numpy(one))
    assert faces.image[3:, 0, 5, 7].tolist() == [i % 251 for i in range(3, 11554)]
    assert faces.identity.tolist() == (rows["gnd"][:, 0] - 1).tolist()
    assert faces.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert faces.name[170] == "PIE_32x32.mat, row 171"
    # Subject 38 lacks flashes 9 to 11 of cameras 7 and 27, so the 45th of its rows is flash 12.
    row = 37 * 170 + 44
    assert (faces.camera[row].item(), faces.flash[row].item(), faces.session[row]) == (7, 12, "illumination")
    assert (faces[row].identity, faces[row].name) == (37, f"PIE_32x32.mat, row {row + 1}")
    report = pie.verify(root)
    assert report.complete
    assert (report.count, report.expected, report.root, report.sha256) == (11554, 11554, path, faces.sha256)
    assert (report.per_subject["1"], report.per_subject["38"], report.per_subject["68"]) == (170, 164, 170)
    assert cli.main(["data", "verify", "pie", "--root", str(root)]) == 0
    assert "pie: 11554 of 11554 images" in capsys.readouterr().out
    path.rename(path.with_name("pie_32x32.MAT"))
    assert pie.load(root).sha256 == faces.sha256
    write_mat(tree, rows)
    assert len(pie.load(tree, partial=True)) == 166  # the folders come first


def broken(change: str) -> dict[str, Any]:
    """`mat_rows` with one thing wrong."""
    gnd = (rows := mat_rows())["gnd"]
    match change:
        case "no gnd":
            del rows["gnd"]
        case "no fea":
            rows = {"faces": rows["fea"], "gnd": gnd}
        case "width":
            rows["fea"] = rows["fea"][:, :1023]
        case "labels of other length":
            rows["gnd"] = gnd[:-1]
        case "label 0":
            gnd[gnd == 68] = 0
        case "label 1.5":
            gnd[0] = 1.5
        case "value 256":
            rows["fea"] = rows["fea"].astype(np.int16)
            rows["fea"][7, 7] = 256
        case "scaled":
            rows["fea"] = rows["fea"] / np.float32(255)
        case "nan":
            rows["fea"] = rows["fea"].astype(np.float32)
            rows["fea"][7, 7] = np.nan
        case "text":
            rows["fea"] = np.full((2, 1024), "a", dtype=object)
        case "no subject 5":
            rows = {name: value[gnd[:, 0] != 5] for name, value in rows.items()}
        case "a row less":
            rows = {name: value[1:] for name, value in rows.items()}
        case "order":
            gnd[[169, 170]] = gnd[[170, 169]]
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no gnd", r"expected the variables fea and gnd, found fea: gnd is missing"),
        ("no fea", r"found faces, gnd: fea is missing"),
        ("width", r"expected fea of shape \(n, 1024\), got \(11554, 1023\)"),
        ("labels of other length", r"expected gnd of shape \(11554, 1\), a row for each of fea, got \(11553, 1\)"),
        ("label 0", r"expected gnd to hold whole numbers in \[1, 68\], got values in \[0, 67\]"),
        ("label 1.5", r"expected gnd to hold whole numbers in \[1, 68\], got values in \[1, 68\]"),
        ("value 256", r"expected fea to hold whole numbers in \[0, 255\], got values in \[0, 256\]"),
        ("scaled", r"expected fea to hold whole numbers in \[0, 255\], got values in \[0, 0.9804\]"),
        ("nan", r"expected fea to hold whole numbers in \[0, 255\], got values in \[nan, nan\]"),
        ("text", r"expected fea to hold numbers, got object"),
        ("no subject 5", r"no picture of subject 5: expected all of 1 to 68"),
        ("a row less", r"expected 11554 rows, got 11553"),
        ("order", r"expected subject 1 in row 170 of gnd, got 2: other order"),
    ],
)
def test_a_wrong_mat_file_is_refused_by_name(tmp_path: Path, change: str, message: str) -> None:
    path = write_mat(tmp_path, broken(change))
    with pytest.raises(DataError, match=message) as error:
        pie.load(tmp_path)
    assert str(path) in str(error.value)
    assert "book/data/pie.md" in str(error.value)
    assert "`facelight data verify pie`" in str(error.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_mat_file_is_refused_by_name(tmp_path: Path, compressed: bool) -> None:
    path = write_mat(tmp_path, pose_rows(1), "Pose05_64x64.mat", do_compression=compressed)
    raw = path.read_bytes()
    for kept in (0, 60, 128, 130, 1000, len(raw) // 2, len(raw) - 700, len(raw) - 1):
        path.write_bytes(raw[:kept])
        with pytest.raises(DataError, match=r"not a MAT file, or cut short|expected the variables") as error:
            pie.load_pose(tmp_path, cameras=[5])
        assert str(path) in str(error.value)


def test_files_of_another_form_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "PIE" / pie.MAT
    with pytest.raises(DataError, match=r"PIE_32x32.mat: there is no such file; obtain the file again"):
        pie.load_mat(path)
    path.parent.mkdir()
    for raw in (b"\xff\xd8 a picture" * 99, b"\x89HDF\r\n\x1a\n" * 99, b"fea,gnd\n" * 99):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=rf"{path}: not a MAT file, or cut short"):
            pie.load(tmp_path)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" * 99)
    with pytest.raises(DataError, match=r"PIE_32x32.mat: saved in the HDF5 form \(version 7.3\).*with '-v7'"):
        pie.load_mat(path)
    assert cli.main(["data", "verify", "pie", "--root", str(tmp_path)]) == 1
    assert "PIE_32x32.mat: saved in the HDF5 form" in capsys.readouterr().err


def test_one_file_a_camera(tmp_path: Path) -> None:
    rows = {"Pose05_64x64.mat": pose_rows(3), "Pose27_64x64.mat": pose_rows(2, seed=1)}
    del rows["Pose27_64x64.mat"]["isTest"]
    rows["Pose27_64x64.mat"]["fea"] = rows["Pose27_64x64.mat"]["fea"].astype(np.float64)
    paths = {name: write_mat(tmp_path, value, name) for name, value in rows.items()}
    faces = pie.load_pose(tmp_path, cameras=(27, 5))
    assert (faces.image.shape, faces.image.dtype) == ((68 * 5, 1, 64, 64), torch.uint8)
    assert faces.camera.tolist() == [27] * 136 + [5] * 204
    assert faces.identity.tolist() == np.repeat(range(68), 2).tolist() + np.repeat(range(68), 3).tolist()
    assert faces.is_test.tolist() == [-1] * 136 + [1, 0, 0] * 68
    picture = rows["Pose05_64x64.mat"]["fea"][1].reshape((64, 64), order="F")
    assert torch.equal(faces.image[137, 0], torch.from_numpy(picture))
    assert faces.image[0, 0].T.flatten().tolist() == rows["Pose27_64x64.mat"]["fea"][0].tolist()
    assert faces.azimuth.isnan().all()
    sample = faces[137]
    assert (sample.name, sample.identity, sample.subset) == ("Pose05_64x64.mat, row 2", 0, 0)
    assert faces.sha256 == sha256_of(paths)
    assert pie.load_pose(tmp_path, cameras=[5]).is_test.sum() == 68
    with pytest.raises(DataError, match=r"Pose07_64x64.mat: there is no such file"):
        pie.load_pose(tmp_path)


def test_one_file_a_camera_refuses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set FACELIGHT_DATA.*holds PIE"):
        pie.load_pose(tmp_path)
    for cameras in ((), (6,), (5, 5)):
        with pytest.raises(ValueError, match=r"cameras: expected some of \(5, 7, 9, 27, 29\), each once, got"):
            pie.load_pose(tmp_path, cameras=cameras)
    rows = pose_rows(2)
    write_mat(tmp_path, {name: value[:-2] for name, value in rows.items()}, "Pose29_64x64.mat")
    with pytest.raises(DataError, match=r"Pose29_64x64.mat: no picture of subject 68"):
        pie.load_pose(tmp_path, cameras=[29])
    write_mat(tmp_path, {**rows, "isTest": rows["isTest"] * 2}, "Pose29_64x64.mat")
    with pytest.raises(DataError, match=r"expected isTest to hold whole numbers in \[0, 1\], got values in \[0, 2\]"):
        pie.load_pose(tmp_path, cameras=[29])
    write_mat(tmp_path, {**rows, "fea": rows["fea"][:, :1024]}, "Pose29_64x64.mat")
    with pytest.raises(DataError, match=r"Pose29_64x64.mat: expected fea of shape \(n, 4096\), got \(136, 1024\)"):
        pie.load_pose(tmp_path, cameras=[29])


@pytest.mark.realdata
def test_the_mat_file_of_the_real_pictures_equals_the_folders(pie_root: Path, tmp_path: Path) -> None:
    fea, gnd = [], []
    for subject in range(1, 69):
        for n in range(1, 165 if subject == 38 else 171):
            picture = cv2.imread(str(pie_root / f"PIE/{subject}/{n}.jpg"), cv2.IMREAD_UNCHANGED)
            fea.append(picture.T.ravel())
            gnd.append([subject])
    write_mat(tmp_path, {"fea": np.stack(fea), "gnd": np.array(gnd, np.uint8)})
    folders, mat = pie.load(pie_root), pie.load(tmp_path)
    for column in ("image", "identity", "camera", "flash", "room_lights", "subset"):
        assert torch.equal(getattr(folders, column), getattr(mat, column)), column
    assert folders.session == mat.session


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
