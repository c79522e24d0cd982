"""Reading of MATLAB files: their variables, or what is wrong with the file. What they mean is a data set's business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from facelight._extras import extra


def variables(path: Path, names: Sequence[str], refused: Callable[[Path, str], Exception]) -> dict[str, np.ndarray]:
    """The variables of a file.

    Args:
        path: a MAT file, version 7 or older.
        names: of those that it must have.
        refused: makes the error from the file and what is wrong with it.
    """
    with extra("book"):
        from scipy.io import loadmat

    if not path.is_file():
        raise refused(path, "there is no such file")
    try:
        found = loadmat(path)
    except NotImplementedError as error:
        raise refused(
            path, "saved in the HDF5 form (version 7.3), which is not read here: save it in MATLAB with '-v7'"
        ) from error
    except Exception as error:  # scipy raises whatever its parser trips over
        raise refused(path, f"not a MAT file, or cut short ({type(error).__name__}: {error})") from error
    for name in names:
        if name not in found:
            there = ", ".join(key for key in found if not key.startswith("__")) or "no variable"
            raise refused(path, f"expected the variables {' and '.join(names)}, found {there}: {name} is missing")
    return {key: np.asarray(value) for key, value in found.items() if not key.startswith("__")}
