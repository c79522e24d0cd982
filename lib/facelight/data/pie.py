"""CMU PIE as small gray faces: 68 subjects, five near-frontal cameras, 21 flashes. No enhancement here.

Three layouts, all in the folder `PIE`: `<subject 1..68>/<n>.jpg`, 170 pictures of 32x32 pixels a subject (subject 38
has 164); `PIE_32x32.mat`, whose rows have the same order; and `Pose05_64x64.mat` with its four companions, one camera
each. The order is all that is said about camera and flash in the first two; `shot` writes down what it implies.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from facelight import _files
from facelight.data._pie_mat import read_mat, refused, row_names
from facelight.data.samples import LitFaces
from facelight.data.sources import Report, data_root, require_directory, sha256_of

CAMERAS = (5, 7, 9, 27, 29)
SIZE = (32, 32)
MAT = "PIE_32x32.mat"
# `sha256_of` all 11,554 pictures.
SHA256 = "f5d1c30320f0ffedae68721415bfbd0807a6cdd97eab02abbfb58d3fb5b27616"
_ABSENT = {38: (45, 46, 47, 87, 88, 89)}  # subject 38 lacks flashes 9 to 11 of cameras 7 and 27


@dataclass(frozen=True)
class PieFaces(LitFaces):
    """CMU PIE: the columns of `LitFaces` and what the order of the pictures implies.

    The directions of the flashes are not part of this release: azimuth and elevation are NaN, subset is 0.

    Args:
        camera: (N,), int64, number of the camera; 27 is frontal.
        flash: (N,), int64, place of the flash in the order from 1 to 21 (not the number in the PIE paper), 0 for none.
        room_lights: (N,), bool.
        session: N of "expression", "illumination", "lights", "talking".
    """

    camera: Tensor
    flash: Tensor
    room_lights: Tensor
    session: tuple[str, ...]


@dataclass(frozen=True)
class PoseFaces(LitFaces):
    """CMU PIE, one file a camera: the columns of `LitFaces` and what these files say besides.

    Session, flash and room lights are not said, so there is no such column: azimuth and elevation are NaN, subset is 0.

    Args:
        camera: (N,), int64, number of the camera, from the name of the file; 27 is frontal.
        is_test: (N,), int64, 1 for test and 0 for training in the split that comes with the file, -1 for a file
            without one.
    """

    camera: Tensor
    is_test: Tensor


def shot(place: int) -> tuple[int, str, int, bool]:
    """Camera, session, flash and room lights of a place in the order, 1 to 170.

    >>> shot(16), shot(142)
    ((5, 'illumination', 1, False), (5, 'lights', 0, True))
    """
    if not 1 <= place <= 170:
        raise ValueError(f"place: expected 1 to 170, got {place}")
    if place <= 15:
        return CAMERAS[(place - 1) % 5], "expression", 0, True
    if place <= 120:
        camera, flash = divmod(place - 16, 21)
        return CAMERAS[camera], "illumination", flash + 1, False
    if place <= 164:
        camera, flash = divmod(place - 121, 22)
        return (5, 27)[camera], "lights", (flash + 1) % 22, True
    return (5 if place <= 167 else 27), "talking", 0, True


def _shots() -> dict[str, tuple[int, int]]:
    """Name of each picture to subject and place."""
    found: dict[str, tuple[int, int]] = {}
    for subject in range(1, 69):
        places = [p for p in range(1, 171) if p not in _ABSENT.get(subject, ())]
        found |= {f"{subject}/{n}.jpg": (subject, place) for n, place in enumerate(places, 1)}
    return found


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at every picture under `root` and report what is there, missing, damaged or not the published bytes.

    `PIE_32x32.mat`, looked at where there are no folders of subjects, is either refused or reported as complete; which
    bytes were published is not known, so `sha256`, that of the file, is reported and not compared.

    Args:
        root: directory that holds `PIE`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory, or `load_mat` refuses the file.
    """
    folder = data_root(root) / "PIE"
    if not _has_only_mat(folder):
        return _read(folder)[0]
    path, faces, n = _files.in_any_case(folder / MAT), load_mat(folder / MAT), len(_shots())
    rows = dict(zip(map(str, range(1, 69)), faces.identity.bincount().tolist(), strict=True))
    return Report("pie", path, n, n, rows, missing=(), damaged=(), ignored=(), differing=(), sha256=faces.sha256)


def load(root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> PieFaces:
    """CMU PIE, five near-frontal cameras: 11,554 gray faces of 32x32 pixels with identity, camera and flash.

    Reads the folders of the subjects; where there are none, `load_mat` of `PIE/PIE_32x32.mat`.

    Args:
        root: directory that holds `PIE`; default: see `facelight.data.sources.data_root`.
        partial: take what is there instead of requiring the complete, unchanged set; a `.mat` is always required whole.

    Returns:
        Image (N, 1, 32, 32), identity 0 to 67; ordered by subject and place.

    Raises:
        DataError: the set is missing, incomplete or changed; names what, the data card, and the command.

    Source: Sim, Baker, Bsat (2003), doi 10.1109/TPAMI.2003.1251154; Cai, He, Hu, Han, Huang (2007) for the 32x32 crops.
    """
    folder = data_root(root) / "PIE"
    if _has_only_mat(folder):
        return load_mat(folder / MAT)
    report, pictures = _read(folder)
    if not partial or not pictures:
        report.require_complete()
    places = _shots()
    return _pie_faces(np.stack(list(pictures.values())), [places[n] for n in pictures], tuple(pictures), report.sha256)


def load_mat(path: str | os.PathLike[str]) -> PieFaces:
    """CMU PIE from `PIE_32x32.mat`: the pictures of `load`, in the same order, with the same columns.

    The file holds `fea` (11554, 1024), gray levels 0 to 255, a picture a row, column after column; and `gnd`
    (11554, 1), the subjects 1 to 68. That is taken from descriptions of the file, which was not at hand. Names count
    the rows from 1, the hash is that of the file.

    Args:
        path: the file, of MATLAB's version 5 to 7.

    Returns:
        Image (11554, 1, 32, 32), identity 0 to 67.

    Raises:
        DataError: it is not there, not such a file, cut short, or does not hold the 11,554 rows in their order.

    Source: Cai, He, Hu, Han, Huang (2007).
    """
    path = _files.in_any_case(_files.expanded(path, "path"))
    pictures, subjects, _ = read_mat(path, SIZE)
    shots = list(_shots().values())
    if len(subjects) != len(shots):
        raise refused(path, f"expected {len(shots)} rows, got {len(subjects)}")
    order = np.array([subject for subject, _ in shots])
    if (subjects != order).any():
        row = int((subjects != order).argmax())
        raise refused(path, f"expected subject {order[row]} in row {row + 1} of gnd, got {subjects[row]}: other order")
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return _pie_faces(pictures, shots, row_names(path, len(shots)), sha256)


def load_pose(root: str | os.PathLike[str] | None = None, *, cameras: Sequence[int] = CAMERAS) -> PoseFaces:
    """CMU PIE as 64x64 gray faces from `PIE/Pose05_64x64.mat` and so on: identity and camera, but no flash.

    Each file holds `fea` (n, 4096), a picture a row, column after column; `gnd` (n, 1), the subjects 1 to 68; and
    mostly `isTest` (n, 1): so they are described, none was at hand. All 68 subjects are required in each. The numbers
    of rows that are reported, 3332, 1629, 1632, 3329 and 1632, are those of the five cameras in `load`, so the order
    may be the same too; neither is required or relied on, and no flash is inferred.

    Args:
        root: directory that holds `PIE`; default: see `facelight.data.sources.data_root`.
        cameras: which files to read, of `CAMERAS`.

    Returns:
        Image (N, 1, 64, 64), identity 0 to 67; one camera after the other, rows as in the files.

    Raises:
        DataError: a file is not there, not of MATLAB's version 5 to 7, cut short, or not as described.
        ValueError: cameras are not some of the five, each once.

    Source: Sim, Baker, Bsat (2003), doi 10.1109/TPAMI.2003.1251154; the crops were prepared by D. Cai.
    """
    if not cameras or len(set(cameras)) != len(cameras) or not set(cameras) <= set(CAMERAS):
        raise ValueError(f"cameras: expected some of {CAMERAS}, each once, got {tuple(cameras)}")
    folder = data_root(root) / "PIE"
    require_directory(folder, "pie")
    paths = [_files.in_any_case(folder / f"Pose{camera:02d}_64x64.mat") for camera in cameras]
    pictures, subjects, tests = zip(*(read_mat(path, (64, 64)) for path in paths), strict=True)
    return PoseFaces(
        **_columns(
            np.concatenate(pictures),
            np.concatenate(subjects),
            tuple(name for path, part in zip(paths, subjects, strict=True) for name in row_names(path, len(part))),
            "CMU PIE (64x64, five cameras)",
            sha256_of({path.name: path for path in paths}),
        ),
        camera=torch.tensor(cameras).repeat_interleave(torch.tensor([len(part) for part in subjects])),
        is_test=torch.from_numpy(np.concatenate(tests)),
    )


def _columns(
    pictures: np.ndarray, subjects: np.ndarray, names: tuple[str, ...], source: str, sha256: str
) -> dict[str, Any]:
    """The columns of `LitFaces`."""
    unknown = torch.full((len(pictures),), float("nan"), dtype=torch.float32)
    return {
        "image": torch.from_numpy(pictures)[:, None],
        "identity": torch.from_numpy(subjects.astype(np.int64)) - 1,
        "azimuth": unknown,
        "elevation": unknown.clone(),
        "subset": torch.zeros(len(pictures), dtype=torch.int64),
        "name": names,
        "source": source,
        "sha256": sha256,
    }


def _pie_faces(pictures: np.ndarray, shots: Sequence[tuple[int, int]], names: tuple[str, ...], sha256: str) -> PieFaces:
    """What `load` and `load_mat` return, given the subject and the place of each picture."""
    subjects, order = zip(*shots, strict=True)
    camera, session, flash, room = zip(*(shot(place) for place in order), strict=True)
    return PieFaces(
        **_columns(pictures, np.array(subjects), names, "CMU PIE (32x32, five cameras)", sha256),
        camera=torch.tensor(camera),
        flash=torch.tensor(flash),
        room_lights=torch.tensor(room),
        session=tuple(session),
    )


def _has_only_mat(folder: Path) -> bool:
    return _files.in_any_case(folder / MAT).is_file() and not any(
        (folder / str(subject)).is_dir() for subject in range(1, 69)
    )


def _read(folder: Path) -> tuple[Report, dict[str, np.ndarray]]:
    require_directory(folder, "pie")
    pictures: dict[str, np.ndarray] = {}
    contents: dict[str, bytes] = {}
    missing, damaged, used = [], [], set()
    names = _shots()
    for name in names:
        path = _files.in_any_case(folder / name)
        if not path.is_file():
            missing.append(name)
            continue
        used.add(path)
        raw = _files.bytes_of(path)
        picture = _decode(raw)
        if picture is None:
            damaged.append(name)
        else:
            pictures[name], contents[name] = picture, raw
    sha256 = sha256_of(contents)
    others = [p for p in _files.visible(folder.rglob("*"), folder) if p.is_file() and p not in used]
    changed = not missing and not damaged and sha256 != SHA256
    report = Report(
        name="pie",
        root=folder,
        count=len(pictures),
        expected=len(names),
        per_subject={str(s): sum(n.startswith(f"{s}/") for n in pictures) for s in range(1, 69)},
        missing=tuple(missing),
        damaged=tuple(damaged),
        ignored=tuple(path.relative_to(folder).as_posix() for path in others),
        differing=("the set as a whole",) if changed else (),
        sha256=sha256,
    )
    return report, pictures


def _decode(raw: bytes) -> np.ndarray | None:
    """The picture, or None where the file is cut short, not JPEG, not gray, or of another size."""
    if not raw.startswith(b"\xff\xd8") or not raw.rstrip(b"\0").endswith(b"\xff\xd9"):
        return None
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture if picture is not None and picture.shape == SIZE else None
