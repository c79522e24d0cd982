"""The sample types that loaders return, and the sets that hold many of them. No reading of files here."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, cast, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node

__all__ = [
    "WFLW_ATTRIBUTES",
    "Annotation",
    "Annotations",
    "LandmarkFace",
    "LandmarkFaces",
    "LitFace",
    "LitFaces",
    "light_angle",
]

WFLW_ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")


class _Row(dict[str, Any]):
    """One sample: `row["image"]` or `row.image`; a dictionary, as `torch.utils.data.DataLoader` wants them.

    `torchvision.transforms.v2` takes it apart like a plain dictionary, and finds the image in it.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        register_pytree_node(cls, lambda row: (list(row.values()), list(row)), lambda v, k: cls(zip(k, v, strict=True)))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self)}") from None


class LitFace(_Row):
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


class LandmarkFace(_Row):
    """One face with its landmarks.

    Args:
        image: (C, H, W), uint8.
        landmarks: (K, 2), float32, x and y in pixels; the center of the top left pixel is (0, 0).
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


class Annotation(_Row):
    """What is written about one face in a picture on disk.

    Args:
        path: the picture, as text, see `pictures.read_picture`.
        landmarks: (K, 2), float32, x and y in pixels of the picture.
        box: (4,), float32, x_min, y_min, x_max, y_max in pixels.
        attributes: (6,), bool, in the order of `WFLW_ATTRIBUTES`.
        name: of the face.
    """

    path: str
    landmarks: Tensor
    box: Tensor
    attributes: Tensor
    name: str


R = TypeVar("R", bound=_Row)
Many: TypeAlias = slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor


@dataclass(frozen=True)
class _FaceSet(Generic[R]):
    """Columns of equal length. `set[i]` is a sample; a slice, positions or a mask give a smaller set of the same type.

    A set can be given to `torch.utils.data.DataLoader` as it is; batches are dictionaries of columns.
    """

    _row: ClassVar[type[Any]]

    def __post_init__(self) -> None:
        sizes = {name: len(column) for name, column in self._columns().items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"{type(self).__name__}: columns differ in length: {sizes}")

    def __len__(self) -> int:
        return len(next(iter(self._columns().values())))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> R: ...

    @overload
    def __getitem__(self, index: Many) -> Self: ...

    def __getitem__(self, index: int | np.integer[Any] | Many) -> R | Self:
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        if isinstance(index, Sequence) or (isinstance(index, np.ndarray | Tensor) and index.ndim > 0):
            return self.select(index)
        try:
            place = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(f"index {index}: this set has {len(self)} faces") from None
        return cast(R, self._row({name: _plain(column[place]) for name, column in self._columns().items()}))

    def select(self, index: Tensor | np.ndarray | Sequence[int] | Sequence[bool]) -> Self:
        """The samples at the given positions, or where a mask of the set's length is true.

        Raises:
            IndexError: a position outside the set, or a mask of another length.
            TypeError: neither whole numbers nor a mask.
        """
        picked = torch.as_tensor(index)
        if picked.dtype == torch.bool:
            if picked.shape != (len(self),):
                raise IndexError(f"expected a mask of shape ({len(self)},), got {tuple(picked.shape)}")
            picked = picked.nonzero().flatten()
        if picked.ndim != 1 or (picked.is_floating_point() and len(picked)):
            raise TypeError(f"expected positions (n,), whole numbers, got {picked.dtype} of {tuple(picked.shape)}")
        picked = picked.long()
        columns = {
            name: (column[picked] if isinstance(column, Tensor) else tuple(column[i] for i in picked.tolist()))
            for name, column in self._columns().items()
        }
        return dataclasses.replace(self, **columns)

    def _columns(self) -> dict[str, Tensor | tuple[Any, ...]]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("source", "sha256")}


def _plain(value: Any) -> Any:
    """A value of a row as a DataLoader takes it: numbers as Python's, paths as text."""
    if isinstance(value, Tensor) and value.ndim == 0:
        return value.item()
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class LitFaces(_FaceSet[LitFace]):
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

    _row: ClassVar[type[Any]] = LitFace


@dataclass(frozen=True)
class LandmarkFaces(_FaceSet[LandmarkFace]):
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

    _row: ClassVar[type[Any]] = LandmarkFace


@dataclass(frozen=True)
class Annotations(_FaceSet[Annotation]):
    """Faces in pictures on disk, as columns: what is written about each, and where its picture lies.

    Pictures are not decoded, so a set of thousands of large photographs fits into memory; `crops.crop_faces` makes
    `LandmarkFaces` of it.

    Args:
        path: N files; several faces may share one.
        landmarks: (N, K, 2), float32, x and y in pixels of the picture; the center of the top left pixel is (0, 0).
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

    _row: ClassVar[type[Any]] = Annotation


def light_angle(azimuth: float | np.ndarray | Tensor, elevation: float | np.ndarray | Tensor) -> np.ndarray:
    """Angle between the light and the camera axis in degrees: arccos(cos A * cos E), A azimuth, E elevation in degrees.

    >>> light_angle(60.0, 0.0).round(6).item()
    60.0
    """
    a, e = np.radians(np.asarray(azimuth, np.float64)), np.radians(np.asarray(elevation, np.float64))
    return np.degrees(np.arccos(np.cos(a) * np.cos(e)))
