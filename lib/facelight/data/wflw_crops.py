"""200 faces of WFLW's test list as square crops of 112 pixels with 98 points. Pictures are not decoded here.

Layout: `WFLW_crops/<name>.png` and `WFLW_crops/landmarks.csv` with the columns file, x0, y0, ..., x97, y97 as shares of
the side, and attribute0 to attribute5.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from facelight.data import _crops_csv
from facelight.data.crops import unit_to_pixels
from facelight.data.samples import Annotations
from facelight.data.sources import Report, data_root

SIDE = 112
KIND = _crops_csv.CropSet(
    name="wflw_crops",
    folder="WFLW_crops",
    header=(
        "file",
        *(f"{axis}{point}" for point in range(98) for axis in "xy"),
        *(f"attribute{number}" for number in range(6)),
    ),
    words=1,
    counts={"test": 200},
    sha256="fd5fdf1c89cc4a58d0b33d4e9ba63ac1757b5d08931b228222c114c848eae387",
)


def load(root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> Annotations:
    """The 200 faces: lines 0 to 199 of WFLW's test list, already cut out. There is no training set of this kind.

    Args:
        root: directory that holds `WFLW_crops`; default: see `facelight.data.sources.data_root`.
        partial: take another number of faces than 200; what is missing or damaged stays an error.

    Returns:
        Landmarks (N, 98, 2) in pixels of the crops; the box is their tight box, since that of the annotation is not
        there. Names are the files.

    Raises:
        DataError: the set or its `landmarks.csv` is missing or damaged, a picture is missing, or there are too few.

    Source: Wu, Qian, Yang, Wang, Cai, Zhou (2018), arXiv:1805.10483.
    """
    top = data_root(root) / KIND.folder
    rows = _rows(top)
    paths = _crops_csv.require(top, KIND, "test", rows.files, partial=partial)
    numbers = torch.from_numpy(rows.numbers)
    landmarks = unit_to_pixels(numbers[:, :196].reshape(-1, 98, 2), SIDE).float()
    return Annotations(
        path=paths,
        landmarks=landmarks,
        box=torch.cat([landmarks.amin(1), landmarks.amax(1)], dim=1),
        attributes=numbers[:, 196:] == 1,
        name=rows.files,
        source="WFLW, 200 test faces",
        sha256=_crops_csv.sha256(top, rows.files),
    )


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at `landmarks.csv` and at every picture, its size among it, and compare the hash of all.

    Args:
        root: directory that holds `WFLW_crops`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory, or `landmarks.csv` is missing or damaged.
    """
    top = data_root(root) / KIND.folder
    files = _rows(top).files
    return _crops_csv.verify(top, KIND, dict.fromkeys(files, "test"), dict.fromkeys(files, SIDE))


def _rows(top: Path) -> _crops_csv.Rows:
    """The lines, with flags 0 or 1 and points that are shares of a side."""
    rows = _crops_csv.read(top, KIND)
    points, flags = rows.numbers[:, :196], rows.numbers[:, 196:]
    if (bad := ((flags != 0) & (flags != 1)).any(1)).any():
        raise KIND.refused(top / _crops_csv.FILE, f"line {int(bad.argmax()) + 2}: expected six flags 0 or 1")
    if (bad := (abs(points - 0.5) > 1.5).any(1)).any():  # some points may lie outside of a picture, but not so far
        raise KIND.refused(
            top / _crops_csv.FILE, f"line {int(bad.argmax()) + 2}: expected points as shares of the side, not pixels"
        )
    return rows
