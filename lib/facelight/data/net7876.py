"""Web faces of Sun, Wang and Tang (2013): 7,876 square crops with five points. Pictures are not decoded here.

Layout: `net7876/train/00000.jpg` ..., `net7876/test/05849.jpg` ..., and `net7876/landmarks.csv` with the columns file,
split, side, x0, y0, ..., x4, y4: eyes, tip of the nose, corners of the mouth, left of the picture first.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facelight import _check
from facelight.data import _crops_csv
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations
from facelight.data.sources import Report, data_root

KIND = _crops_csv.CropSet(
    name="net7876",
    folder="net7876",
    header=("file", "split", "side", *(f"{axis}{point}" for point in range(5) for axis in "xy")),
    words=2,
    counts={"train": 5849, "test": 2027},
    sha256="82a1004aad0aa1086896fe2b097e45de02dabeba76c7287fc2f58f35b1bea379",
)
EXTENT = 1.5  # side of a crop over that of the annotated box


def load(split: str = "train", root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> Annotations:
    """A split of the set: 5,849 faces for training or 2,027 for testing.

    Args:
        split: "train" or "test".
        root: directory that holds `net7876`; default: see `facelight.data.sources.data_root`.
        partial: take another number of faces than that; what is missing or damaged stays an error.

    Returns:
        Landmarks (N, 5, 2) in pixels of the crops; the box is the annotated one, a crop's side over `EXTENT` in its
        middle. Names are the files.

    Raises:
        DataError: the set or its `landmarks.csv` is missing or damaged, a picture is missing, or there are too few.
        ValueError: unknown split.

    Source: Sun, Wang, Tang (2013), doi:10.1109/CVPR.2013.446.
    """
    _check.one_of(split, tuple(KIND.counts), "split")
    top = data_root(root) / KIND.folder
    rows = _rows(top)
    of_split = np.array([words[1] == split for words in rows.words], bool)
    files = tuple(file for file, chosen in zip(rows.files, of_split, strict=True) if chosen)
    paths = _crops_csv.require(top, KIND, split, files, partial=partial)
    numbers = torch.from_numpy(rows.numbers[of_split])
    middle, half = (numbers[:, :1] - 1) / 2, numbers[:, :1] / EXTENT / 2
    return Annotations(
        path=paths,
        landmarks=numbers[:, 1:].reshape(-1, 5, 2).float(),
        box=torch.cat([middle - half, middle - half, middle + half, middle + half], 1).float(),
        attributes=torch.zeros(len(files), len(WFLW_ATTRIBUTES), dtype=torch.bool),
        name=files,
        source=f"net7876, {split}",
        sha256=_crops_csv.sha256(top, files),
    )


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at `landmarks.csv` and at every picture, its size among it, and compare the hash of all.

    Args:
        root: directory that holds `net7876`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory, or `landmarks.csv` is missing or damaged.
    """
    top = data_root(root) / KIND.folder
    rows = _rows(top)
    sides = {file: int(side) for file, side in zip(rows.files, _sides(rows), strict=True)}
    return _crops_csv.verify(top, KIND, {words[0]: words[1] for words in rows.words}, sides)


def _sides(rows: _crops_csv.Rows) -> npt.NDArray[np.float64]:
    return rows.numbers[:, 0]


def _rows(top: Path) -> _crops_csv.Rows:
    """The lines, each of a known split, with a whole side and points within the picture."""
    rows = _crops_csv.read(top, KIND)
    path = top / _crops_csv.FILE
    points, sides = rows.numbers[:, 1:], _sides(rows)[:, None]
    for line, words in enumerate(rows.words, 2):
        if words[1] not in KIND.counts:
            raise KIND.refused(path, f"line {line}: expected the split train or test, got {words[1]!r}")
    if (bad := ((sides < 1) | (sides != np.round(sides))).any(1)).any():
        raise KIND.refused(path, f"line {int(bad.argmax()) + 2}: expected a side in whole pixels")
    if (bad := ((points < -0.5) | (points > sides - 0.5)).any(1)).any():
        raise KIND.refused(path, f"line {int(bad.argmax()) + 2}: a point lies outside the picture")
    return rows
