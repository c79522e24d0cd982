"""The sample types that loaders return, and the sets that hold many of them. No reading of files here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

WFLW_ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")


@dataclass(frozen=True)
class LitFace:
    """One face with its identity and light.

    Args:
        image: (C, H, W), uint8.
        identity: class index, from 0.
        azimuth: angle of the light, degrees; positive: it comes from the left of the picture (the subject's right).
        elevation: angle of the light, degrees, positive above the horizon.
        subset: illumination subset, from 1.
        name: where the picture comes from, for messages.
    """

    image: Tensor
    identity: int
    azimuth: float
    elevation: float
    subset: int
    name: str


@dataclass(frozen=True)
class LandmarkFace:
    """One face with its landmarks.

    Args:
        image: (C, H, W), uint8.
        landmarks: (K, 2), float32, x and y in pixels; the centre of the top left pixel is (0, 0).
        visible: (K,), bool.
        box: (4,), float32, x_min, y_min, x_max, y_max in pixels.
        attributes: (6,), bool, in the order of `WFLW_ATTRIBUTES`.
        name: where the picture comes from, for messages.
    """

    image: Tensor
    landmarks: Tensor
    visible: Tensor
    box: Tensor
    attributes: Tensor
    name: str


@dataclass(frozen=True)
class _FaceSet:
    """Columns of equal length; `set[i]` is a sample, `set.select(...)` a smaller set."""

    def __post_init__(self) -> None:
        sizes = {
            f.name: len(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in ("source", "sha256")
        }
        if len(set(sizes.values())) != 1:
            raise ValueError(f"{type(self).__name__}: columns differ in length: {sizes}")

    def _row(self, index: int) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("source", "sha256")}
        return {k: (v[index].item() if isinstance(v, Tensor) and v.ndim == 1 else v[index]) for k, v in values.items()}

    def select(self, index: Tensor | Sequence[int] | Sequence[bool]) -> Self:
        """The samples at the given positions, or where a mask of the set's length is true."""
        picked = torch.as_tensor(index)
        if picked.dtype == torch.bool:
            picked = picked.nonzero().flatten()
        columns = {
            f.name: (value[picked] if isinstance(value, Tensor) else tuple(value[i] for i in picked.tolist()))
            for f in dataclasses.fields(self)
            if f.name not in ("source", "sha256")
            for value in [getattr(self, f.name)]
        }
        return dataclasses.replace(self, **columns)


@dataclass(frozen=True)
class LitFaces(_FaceSet):
    """Many `LitFace` samples of one image size, as columns.

    Args:
        image: (N, C, H, W), uint8.
        identity: (N,), int64. azimuth, elevation: (N,), float32, degrees. subset: (N,), int64.
        name: N names.
        source: name of the data set.
        sha256: hash of what was read or rendered.
    """

    image: Tensor
    identity: Tensor
    azimuth: Tensor
    elevation: Tensor
    subset: Tensor
    name: tuple[str, ...]
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, index: int) -> LitFace:
        return LitFace(**self._row(index))


@dataclass(frozen=True)
class LandmarkFaces(_FaceSet):
    """Many `LandmarkFace` samples of one image size, as columns.

    Args:
        image: (N, C, H, W), uint8.
        landmarks: (N, K, 2), float32, pixels. visible: (N, K), bool. box: (N, 4), float32, pixels.
        attributes: (N, 6), bool, in the order of `WFLW_ATTRIBUTES`.
        name: N names.
        source: name of the data set.
        sha256: hash of what was read or rendered.
    """

    image: Tensor
    landmarks: Tensor
    visible: Tensor
    box: Tensor
    attributes: Tensor
    name: tuple[str, ...]
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, index: int) -> LandmarkFace:
        row = self._row(index)
        return LandmarkFace(**row)


@dataclass(frozen=True)
class Annotations(_FaceSet):
    """Faces in pictures on disk, as columns: what is written about each, and where its picture lies.

    Pictures are not decoded, so a set of thousands of large photographs fits into memory; `crops.crop_faces` makes
    `LandmarkFaces` of it.

    Args:
        path: N files; several faces may share one.
        landmarks: (N, K, 2), float32, x and y in pixels of the picture; the centre of the top left pixel is (0, 0).
            Points may lie outside the picture.
        box: (N, 4), float32, x_min, y_min, x_max, y_max in pixels.
        attributes: (N, 6), bool, in the order of `WFLW_ATTRIBUTES`; all False where the data set has none.
        name: N names, each of one face.
        source: name of the data set.
        sha256: hash of the files that were read and of the pictures.
    """

    path: tuple[Path, ...]
    landmarks: Tensor
    box: Tensor
    attributes: Tensor
    name: tuple[str, ...]
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.path)


def light_angle(azimuth: float | np.ndarray | Tensor, elevation: float | np.ndarray | Tensor) -> np.ndarray:
    """Angle between the light and the camera axis in degrees: arccos(cos A * cos E), A azimuth, E elevation in degrees.

    >>> light_angle(60.0, 0.0).round(6).item()
    60.0
    """
    a, e = np.radians(np.asarray(azimuth, np.float64)), np.radians(np.asarray(elevation, np.float64))
    return np.degrees(np.arccos(np.cos(a) * np.cos(e)))
