"""Reading of the MATLAB files in which small CMU PIE faces are passed on. What the rows mean is said in `pie`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facelight.data import _mat
from facelight.data.sources import DataError


def refused(path: Path, what: str) -> DataError:
    """The error that names the file, what is wrong with it, the data card and the command."""
    return DataError(
        f"{path}: {what}; obtain the file again as the data card book/data/pie.md says, then run "
        "`facelight data verify pie`"
    )


def read_mat(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (N, H, W), uint8, upright; subjects (N,); and `isTest` (N,), -1 where the file has none."""
    found = _mat.variables(path, ("fea", "gnd"), refused)
    fea, (height, width) = found["fea"], size
    if fea.ndim != 2 or fea.shape[1] != height * width:
        raise refused(path, f"expected fea of shape (n, {height * width}), got {fea.shape}")
    pictures = _whole(path, fea, "fea", 0, 255).astype(np.uint8).reshape(-1, width, height).transpose(0, 2, 1)
    subjects = _whole(path, found["gnd"], "gnd", 1, 68, len(fea))
    if lost := sorted(set(range(1, 69)) - set(subjects.tolist())):
        raise refused(path, f"no picture of subject {', '.join(map(str, lost))}: expected all of 1 to 68")
    tests = _whole(path, found["isTest"], "isTest", 0, 1, len(fea)) if "isTest" in found else np.full(len(fea), -1)
    return np.ascontiguousarray(pictures), subjects, tests


def _whole(path: Path, value: np.ndarray, name: str, low: int, high: int, rows: int | None = None) -> np.ndarray:
    """A variable after its values were checked; with `rows`, a column of that length as (rows,), int64."""
    value = np.asarray(value)
    if rows is not None and value.shape not in ((rows, 1), (1, rows)):
        raise refused(path, f"expected {name} of shape ({rows}, 1), a row for each of fea, got {value.shape}")
    if value.dtype.kind not in "uif":
        raise refused(path, f"expected {name} to hold numbers, got {value.dtype}")
    if value.size and not (value.min() >= low and value.max() <= high and (value == np.round(value)).all()):
        seen = f"[{value.min():.4g}, {value.max():.4g}]"
        raise refused(path, f"expected {name} to hold whole numbers in [{low}, {high}], got values in {seen}")
    return value if rows is None else value.ravel().astype(np.int64)


def row_names(path: Path, count: int) -> tuple[str, ...]:
    """Names of the pictures in a file."""
    return tuple(f"{path.name}, row {row}" for row in range(1, count + 1))
