"""300-W: faces in photographs of HELEN, LFPW, AFW and iBUG with 68 landmarks. Pictures are not decoded here.

Layout: `300w/helen/trainset/<name>.jpg` (or `.jpeg`, `.png`) and `<name>.pts` beside it, and so on for the folders in
`SPLITS`; endings may be upper case, hidden files are not looked at. A `.pts` file counts pixels from 1; everything here
counts from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facelight import _check, _files
from facelight.data.pictures import is_whole
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations
from facelight.data.sources import DataError, Report, data_root, require_directory, sha256_of

# Split -> folder -> number of faces in the published set.
SPLITS = {
    "train": {"helen/trainset": 2000, "lfpw/trainset": 811, "afw": 337},
    "common": {"helen/testset": 330, "lfpw/testset": 224},
    "challenging": {"ibug": 135},
}
# The same of the copy that this book measures on, and its `sha256_of`.
COPY = {
    "train": {"helen/trainset": 870, "lfpw/trainset": 805, "afw": 337},
    "common": SPLITS["common"],
    "challenging": {"ibug": 0},
}
SHA256 = "d85835dd7240e09490226041062bf2af676304669b0ae397f445925cc843526a"
_SUFFIXES = (".jpg", ".jpeg", ".png")  # of two pictures of one name the first of these counts
_PTS = re.compile(r"n_points:\s*(\d+)\s*\{(.*)\}", re.DOTALL)


def read_pts(path: Path) -> npt.NDArray[np.float64]:
    """The 68 points of a `.pts` file, (68, 2), x and y in pixels; the center of the top left pixel is (0, 0).

    Points outside the picture are allowed.

    Raises:
        DataError: the file is damaged, holds NaN, or another number of points.
    """
    try:
        text = _files.text_of(path)
    except (OSError, ValueError) as error:
        raise _refused(path, str(getattr(error, "strerror", None) or error)) from error
    match = _PTS.search(text)
    if match is None:
        raise _refused(path, "expected `n_points: 68` and the points between { and }")
    lines = [line.split() for line in match[2].splitlines() if line.strip()]
    if int(match[1]) != 68 or len(lines) != 68:
        raise _refused(path, f"expected 68 points, got n_points: {match[1]} and {len(lines)} lines")
    try:
        points = np.array(lines, np.float64)
    except ValueError as error:
        raise _refused(path, f"expected two numbers a line, with decimal points ({error})") from error
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise _refused(path, "expected two finite numbers a line")
    return points - 1


def load(split: str = "train", root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> Annotations:
    """A split of 300-W: 3,148 faces for training, 554 in the common test set, 135 in the challenging one.

    Args:
        split: "train", HELEN's and LFPW's training sets and AFW; "common", the test sets of HELEN and LFPW;
            "challenging", iBUG.
        root: directory that holds `300w`; default: see `facelight.data.sources.data_root`.
        partial: take fewer faces than the published number, or more; what is damaged stays an error.

    Returns:
        Landmarks (N, 68, 2). The box is the tight box of the landmarks: the boxes of the challenge are not read. Names
        are `helen/testset/<file>` and so on, in the order of the folders in `SPLITS`, then of the names.

    Raises:
        DataError: faces are missing (unless partial), a `.pts` file is damaged or has no picture beside it.
        ValueError: unknown split.

    Source: Sagonas, Tzimiropoulos, Zafeiriou, Pantic (2013), doi 10.1109/ICCVW.2013.59.
    """
    _check.one_of(split, tuple(SPLITS), "split")
    top = data_root(root) / "300w"
    require_directory(top, "w300")
    files = _faces(top, split)
    short = _short(files, split)
    if not files or (short and not partial):
        raise DataError(
            f"w300: expected all of the split {split!r} in {top}, got {', '.join(short)}: obtain the files as the data "
            "card book/data/w300.md says, then run `facelight data verify w300`"
            + ("; to use what is there, load with partial=True" if files else "")
        )
    pictures = tuple(_picture(*pair) for pair in files.values())
    points = [path for path, _ in files.values()]
    landmarks = torch.from_numpy(np.stack([read_pts(path) for path in points])).float()
    return Annotations(
        path=pictures,
        landmarks=landmarks,
        box=torch.cat([landmarks.amin(1), landmarks.amax(1)], dim=1),
        attributes=torch.zeros(len(files), len(WFLW_ATTRIBUTES), dtype=torch.bool),
        name=tuple(files),
        source=f"300-W, {split}",
        sha256=_sha256(top, [*points, *pictures]),
    )


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at every `.pts` file and its picture, and report what is there, missing or damaged.

    Complete is what has as many faces as the published set. No hash of that is published; `note` says whether these
    are the pictures that this book measures on.

    Args:
        root: directory that holds `300w`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory.
    """
    top = data_root(root) / "300w"
    require_directory(top, "w300")
    counts: dict[str, int] = {}
    sound: list[Path] = []
    damaged, missing = [], []
    for split, folders in SPLITS.items():
        files = _faces(top, split)
        missing += _short(files, split)
        counts |= dict.fromkeys(folders, 0)
        for name, (path, beside) in files.items():
            try:
                read_pts(path)
                picture = _picture(path, beside)
                if not is_whole(_files.bytes_of(picture)):
                    raise _refused(picture, "damaged, cut short, or not a picture")
            except DataError as error:
                damaged.append(str(error).partition(": obtain")[0])
                continue
            counts[name.rpartition("/")[0]] += 1
            sound += [path, picture]
    sha256 = _sha256(top, sound)
    ignored = {path for path in _files.visible(top.rglob("*"), top) if path.is_file()} - set(sound)
    return Report(
        name="w300",
        root=top,
        count=sum(counts.values()),
        expected=sum(sum(folders.values()) for folders in SPLITS.values()),
        per_subject=counts,
        missing=tuple(missing),
        damaged=tuple(damaged),
        ignored=tuple(sorted(path.relative_to(top).as_posix() for path in ignored)),
        differing=(),
        sha256=sha256,
        unit="faces",
        note=f"these are {'' if sha256 == SHA256 else 'not '}the pictures that this book measures on",
    )


def _faces(top: Path, split: str) -> dict[str, tuple[Path, Path | None]]:
    """Name of each face of a split to its `.pts` file and the picture of that name beside it."""
    found: dict[str, tuple[Path, Path | None]] = {}
    for folder in SPLITS[split]:
        there = _files.visible((top / folder).glob("*"), top)
        pictures: dict[str, Path] = {}
        for suffix in reversed(_SUFFIXES):
            pictures |= {path.stem: path for path in there if path.suffix.lower() == suffix}
        points = [path for path in there if path.suffix.lower() == ".pts"]
        found |= {f"{folder}/{path.stem}": (path, pictures.get(path.stem)) for path in points}
    return found


def _short(files: Collection[str], split: str) -> list[str]:
    """What to say of the folders of a split that do not hold as many faces as published."""
    there = {folder: sum(name.startswith(f"{folder}/") for name in files) for folder in SPLITS[split]}
    return [f"{folder}: {there[folder]} of {n}" for folder, n in SPLITS[split].items() if there[folder] != n]


def _picture(path: Path, picture: Path | None) -> Path:
    """The picture of a `.pts` file, which must be there."""
    if picture is None:
        raise _refused(path, "there is no .jpg, .jpeg or .png of that name beside it")
    return picture


def _sha256(top: Path, files: list[Path]) -> str:
    return sha256_of({path.relative_to(top).as_posix(): path for path in files})


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: {why}: obtain the file again as the data card book/data/w300.md says, then run "
        "`facelight data verify w300`"
    )
