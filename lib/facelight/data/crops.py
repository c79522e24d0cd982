"""Square crops of annotated faces: where they lie, coordinates in them, and sets of them in the cache.

The box rule. The box of a face is that of the annotation, or the tight box of its landmarks. The crop is the square
around the center of the box whose side is `margin` times the longer side of the box, both rounded to whole pixels.

The warp. The pixels of the square, those beyond the border of the picture repeated from it, are resized by OpenCV: by
area averaging (`INTER_AREA`) when the square shrinks, so that nothing aliases, bilinearly when it grows. Because the
square consists of whole pixels, no other interpolation takes place.

The coordinates. u and v run from 0 at the left and upper edge of the square to 1 at the other, edges of pixels, not
centers: u = (x + 1/2 - left) / side. A crop of S pixels has the center of its first pixel at u = 1 / (2 S).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight import _check, _machine
from facelight.data import cache, pictures
from facelight.data.samples import Annotations, LandmarkFaces
from facelight.data.sources import DataError

BOXES = ("annotation", "landmarks")


@dataclass(frozen=True)
class BoxRule:
    """From a face to the square that is cut out, see the top of this file.

    Args:
        box: "annotation" or "landmarks".
        margin: side of the square over the longer side of the box, > 0; 1.2 leaves a tenth on either side.
    """

    box: str = "annotation"
    margin: float = 1.2

    def __post_init__(self) -> None:
        _check.one_of(self.box, BOXES, "box")
        _check.positive(self.margin, "margin")


@dataclass(frozen=True)
class Squares:
    """Squares of whole pixels in pictures, and the coordinates in them.

    Args:
        corner: (N, 2), int64, x and y of the first pixel inside; may lie outside the picture.
        side: (N,), int64, pixels, >= 1.

    >>> square = Squares(torch.tensor([[10, 20]]), torch.tensor([4]))
    >>> square.to_crop(torch.tensor([[[9.5, 21.5]]]))
    tensor([[[0.0000, 0.5000]]])
    """

    corner: Tensor
    side: Tensor

    def to_crop(self, points: Tensor) -> Tensor:
        """Points (N, K, 2) in pixels of the pictures, to coordinates in [0, 1] of the squares."""
        return (points + 0.5 - self.corner[:, None]) / self.side[:, None, None]

    def to_image(self, points: Tensor) -> Tensor:
        """The inverse of `to_crop`."""
        return points * self.side[:, None, None] + self.corner[:, None] - 0.5


def unit_to_pixels(points: Tensor, size: int) -> Tensor:
    """Coordinates in [0, 1] to pixels of a crop with the center of its first pixel at 0: u size - 1/2."""
    return points * size - 0.5


def pixels_to_unit(points: Tensor, size: int) -> Tensor:
    """The inverse of `unit_to_pixels`: what a landmark model is trained on.

    >>> pixels_to_unit(torch.tensor([-0.5, 31.5, 63.5]), 64)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (points + 0.5) / size


def squares(box: Tensor, margin: float, name: Sequence[str] | None = None) -> Squares:
    """The squares around boxes, see the top of this file.

    Args:
        box: (N, 4), x_min, y_min, x_max, y_max in pixels.
        margin: > 0, see `BoxRule`.
        name: of the faces, for messages.

    Raises:
        DataError: a box holds NaN, or its width or height is not positive; names the first such face.

    >>> square = squares(torch.tensor([[10.0, 10.0, 20.0, 30.0]]), 1.05)
    >>> square.corner.tolist(), square.side.tolist()
    ([[5, 10]], [21])
    """
    box = box.double()
    extent = box[:, 2:] - box[:, :2]
    bad = (~((extent > 0) & extent.isfinite()).all(1)).nonzero().flatten().tolist()
    if bad:
        which = name[bad[0]] if name is not None else f"face {bad[0]}"
        raise DataError(
            f"{which}: expected a box of positive width and height, got {box[bad[0]].tolist()} "
            f"({len(bad)} such boxes): correct the annotation or leave these faces out"
        )
    side = (margin * extent.amax(1)).round().clamp(min=1)
    corner = ((box[:, :2] + box[:, 2:]) / 2 - (side[:, None] - 1) / 2).round()
    return Squares(corner.long(), side.long())


def squares_of(faces: Annotations, rule: BoxRule) -> Squares:
    """The squares of annotated faces by a rule; with them, `to_image` leads from a prediction to the photograph."""
    landmarks = faces.landmarks
    bad = (~landmarks.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise DataError(f"{faces.name[bad[0]]}: expected finite landmarks, got NaN or infinity: leave the face out")
    tight = rule.box == "landmarks"
    return squares(
        torch.cat([landmarks.amin(1), landmarks.amax(1)], 1) if tight else faces.box, rule.margin, faces.name
    )


def cut(picture: npt.NDArray[np.uint8], left: int, top: int, side: int, size: int) -> npt.NDArray[np.uint8]:
    """One square of a picture (H, W, 3), resized to (size, size, 3), see the top of this file.

    Raises:
        ValueError: the square lies outside the picture, or is more than ten times as large.
    """
    height, width = picture.shape[:2]
    if not (-side < left < width and -side < top < height and side <= 10 * max(height, width)):
        raise ValueError(
            f"the square of {side} pixels at x={left}, y={top} does not fit a picture of {width}x{height} pixels"
        )
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(picture[rows[:, None], columns], (size, size), interpolation=how)


def crop_faces(
    faces: Annotations, size: int = 96, rule: BoxRule | None = None, *, workers: int | None = None
) -> LandmarkFaces:
    """The crops of annotated faces, decoded once and kept in the cache, memory-mapped, 8 bits a channel.

    Args:
        faces: from `w300.load` or `wflw.load`.
        size: side of the crops in pixels.
        rule: default: `BoxRule()`.
        workers: threads that decode; None: one per processor that this process may use. Does not change the crops.

    Returns:
        Images (N, 3, size, size), RGB; landmarks and boxes in pixels of the crop (`pixels_to_unit` leads to [0, 1]);
        a landmark is visible where it lies inside the crop and the picture.

    Raises:
        DataError: a picture cannot be read, a box has no area or lies outside its picture; names the face or file.
        ValueError: size is not a whole number >= 8.
    """
    if not isinstance(size, int) or size < 8:
        raise ValueError(f"size: expected a whole number of pixels >= 8, got {size!r}")
    rule = rule or BoxRule()
    places = squares_of(faces, rule)
    config = {"data": faces.sha256, "faces": _digest(faces), "rule": dataclasses.asdict(rule), "size": size, **_code()}
    entry = cache.cached("crops", config, lambda: _make(faces, places, size, workers))
    columns = {name: torch.from_numpy(array) for name, array in entry.arrays.items()}
    return LandmarkFaces(**columns, name=faces.name, source=faces.source, sha256=entry.sha256)


def _make(faces: Annotations, places: Squares, size: int, workers: int | None) -> cache.Arrays:
    from tqdm import tqdm

    image = np.empty((len(faces), 3, size, size), np.uint8)
    extent = np.empty((len(faces), 2))
    of_picture: dict[Path, list[int]] = {}
    for row, path in enumerate(faces.path):
        of_picture.setdefault(path, []).append(row)

    def one(task: tuple[Path, list[int]]) -> None:
        path, rows = task
        picture = pictures.read_picture(path)
        for row in rows:
            left, top, side = *places.corner[row].tolist(), int(places.side[row])
            try:
                image[row] = cut(picture, left, top, side, size).transpose(2, 0, 1)
            except ValueError as error:
                raise DataError(f"{faces.name[row]}: {error}: correct the box or leave the face out") from error
            extent[row] = picture.shape[1::-1]

    with ThreadPoolExecutor(workers or _machine.processors()) as pool:
        done = pool.map(one, of_picture.items())
        # The bar appears after two seconds, and on a terminal or in a notebook only.
        list(tqdm(done, "cutting out faces", len(of_picture), delay=2, disable=None))
    unit = places.to_crop(faces.landmarks)
    last = torch.from_numpy(extent)[:, None] - 0.5
    inside = ((unit >= 0) & (unit <= 1) & (faces.landmarks >= -0.5) & (faces.landmarks <= last)).all(2)
    box = unit_to_pixels(places.to_crop(faces.box.reshape(-1, 2, 2)), size)
    return {
        "image": image,
        "landmarks": unit_to_pixels(unit, size).numpy(),
        "visible": inside.numpy(),
        "box": box.reshape(-1, 4).numpy(),
        "attributes": faces.attributes.numpy(),
    }


def _digest(faces: Annotations) -> str:
    """Hash of the rows, which may be a selection of those that were read."""
    digest = hashlib.sha256("\n".join(faces.name).encode(errors="surrogateescape"))
    for column in (faces.landmarks, faces.box, faces.attributes):
        digest.update(column.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _code() -> dict[str, str]:
    """What else decides the crops: the files that make them, and the package that decodes and resizes."""
    code = hashlib.sha256()
    for file in (__file__, pictures.__file__):
        code.update(Path(file).read_bytes())
    return {"code": code.hexdigest(), "opencv": cv2.__version__}
