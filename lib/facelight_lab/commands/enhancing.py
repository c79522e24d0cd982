"""`facelight enhance`: every enhancer of the library side by side, or one of them on a picture."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight import enhance
from facelight.data.photos import as_array
from facelight_lab.commands import photographs
from facelight_lab.commands.photographs import Picture
from facelight_lab.enhancers import FAMILY, Enhancer

COLUMNS = 5
CELL = 240  # longer side of a cell, pixels


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings from the words of a command line: `--clip-limit 2 --grid-size 8,8`.

    Raises:
        ValueError: a word that is no setting, or one without a value.

    >>> settings(["--clip-limit", "2", "--grid-size=8,8"])
    {'clip_limit': 2, 'grid_size': (8, 8)}
    """
    found: dict[str, Any] = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        name = rest.pop(0)
        if not name.startswith("--") or not rest:
            raise ValueError(f"{name}: expected --setting value, such as --clip-limit 2")
        value = rest.pop(0)
        try:
            found[name[2:].replace("-", "_")] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name[2:].replace("-", "_")] = value
    return found


def run(photo: str, output: Path | None, method: str | None, given: Mapping[str, Any]) -> Path:
    """Write one enhanced picture, or without `method` a sheet of all; returns where.

    Raises:
        DataError: the picture cannot be read.
        ValueError: an unknown method or setting; names those that there are.
    """
    (path, below), *more = photographs.asked_for([photo])
    if more or photographs.is_video(path):
        raise ValueError(f"PHOTO: expected one picture, got {photo}")
    if method is None and given:
        raise ValueError(f"{', '.join(given)}: settings belong to one enhancer: name it with --method")
    place = output or Path(f"{below.stem}_{method or 'enhancers'}.png")
    if place.is_dir() or place.suffix == "":
        place = place / f"{below.stem}.png"
    photographs.places([(path, below)], place)  # refuses to write over the picture
    array = as_array(path)
    if method is None:
        photographs.write_picture(place, all_of_them(array))
    else:
        photographs.write_picture(place, enhanced(array, Enhancer(method, given)))
    return place


def enhanced(array: npt.NDArray[Any], enhancer: Enhancer) -> Picture:
    """A picture (H, W, 3) behind an enhancer; its luminance only, where the enhancer can and is not told otherwise."""
    function = getattr(enhance, enhancer.name, None)
    if function is not None and "luminance_only" in inspect.signature(function).parameters:
        enhancer = Enhancer(enhancer.name, {"luminance_only": True} | dict(enhancer.settings))
    x = torch.from_numpy(array.astype(np.float32) / np.iinfo(array.dtype).max).permute(2, 0, 1)
    return _levels(enhancer(x))


def all_of_them(array: npt.NDArray[Any]) -> Picture:
    """A sheet of the family of the book, the picture itself first."""
    scale = min(1.0, CELL / max(array.shape[:2]))
    size = [max(16, round(scale * n)) for n in array.shape[1::-1]]
    small = cv2.resize(array, size, interpolation=cv2.INTER_AREA) if scale < 1 else array
    cells = [(name, enhanced(small, enhancer)) for name, enhancer in FAMILY.items()]
    return photographs.sheet([cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)])


def _levels(x: Tensor) -> Picture:
    levels = (255 * x.expand(3, -1, -1)).round().clamp(0, 255).byte()
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
