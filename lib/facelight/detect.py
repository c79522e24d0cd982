"""Finding the face and its parts with Viola and Jones' cascades, and cutting it out. No enhancement, no recognition.

A cascade is a trained detector in an XML file. OpenCV 4 ships the files of `FACE_CASCADES`, and among others those for
eyes and smiles that `PART_CASCADES` names. It ships none for noses, and for mouths only the one for smiles.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facelight import _check
from facelight.illumination import to_gray

__all__ = ["Boxes", "crop", "detect_faces", "detect_parts"]

FACE_CASCADES = ("frontalface_alt2", "frontalface_default", "frontalface_alt", "frontalface_alt_tree", "profileface")
PARTS = ("left eye", "right eye", "mouth")  # left and right as one sees them in the picture
PART_CASCADES = {"left eye": "eye", "right eye": "eye", "mouth": "smile"}
FILLS = ("black", "edge")
# Where a part is searched: x_min, y_min, x_max, y_max as shares of the side of the face's box.
REGIONS = {"left eye": (0.05, 0.15, 0.55, 0.6), "right eye": (0.45, 0.15, 0.95, 0.6), "mouth": (0.15, 0.55, 0.85, 1.05)}
SMALLEST = {"left eye": 0.15, "right eye": 0.15, "mouth": 0.3}  # width, as a share of that of the face
_FACE = 140  # width in pixels at which parts are searched; the windows of their cascades are 20 and 36 wide


@dataclass(frozen=True)
class Boxes:
    """One box for each thing that was searched, found or not.

    Args:
        box: (*, 4), float32, x_min, y_min, x_max, y_max in pixels: rows y_min to y_max - 1 and columns x_min to
            x_max - 1 belong to it, so that its edges are 0, 0, W, H for a whole picture. Add -0.5 for coordinates in
            which the center of the top left pixel is (0, 0), as those of landmarks.
        votes: (*), int64, neighboring windows that agreed on it; 0 where nothing was found.
    """

    box: Tensor
    votes: Tensor

    @property
    def found(self) -> Tensor:
        """Whether each was found, (*), bool; where it was not, its box is the whole region that was searched."""
        return self.votes > 0


def detect_faces(
    x: Tensor,
    *,
    cascade: str = "frontalface_alt2",
    scale_factor: float = 1.05,
    min_neighbors: int = 3,
    min_size: float = 0.2,
    border: float = 0.0,
    fill: str = "black",
) -> Boxes:
    """Find the face in each picture: the box on which most windows of the cascade agree.

    Windows of the cascade's size, then larger ones, slide over the picture; each is accepted or rejected by stages of
    thresholds on Haar features, differences of sums over rectangles, of the window normalized to unit variance.
    Accepted windows that lie close together become one box, their mean; `votes` is their number. One box a picture is
    kept, the one with most votes, of equal ones the widest. Where there is none the box is the whole picture, and
    `found` is False. OpenCV also rejects every window whose standard deviation is below 10 gray levels: so a face in
    the dark is missed although the normalized window does not depend on the light.

    Args:
        x: pictures (*, C, H, W) with 1 or 3 channels, float in [0, 1]; color is turned into luma,
            `illumination.to_gray`.
        cascade: one of `FACE_CASCADES`, named as OpenCV's file, without its prefix and suffix.
        scale_factor: > 1, from one size of window to the next.
        min_neighbors: votes that a box needs, >= 1.
        min_size: smallest face, as a share in (0, 1] of the picture's shorter side.
        border: width of a border that is added on all sides first, as a share >= 0 of the picture's shorter side,
            rounded to pixels. Crops cut inside the outline of the face need one, since a window must lie within.
        fill: what the border shows: "black", or "edge", the nearest pixel of the picture.

    Returns:
        Boxes (*, 4) in the coordinates of x without the border, not clipped: with a border they may exceed it.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, a setting out of range, an unknown cascade, a picture that is too small.
        ImportError: this OpenCV has no cascades.

    >>> faces = detect_faces(torch.zeros(2, 1, 48, 48))
    >>> faces.found.tolist(), faces.box[0].tolist()
    ([False, False], [0.0, 0.0, 48.0, 48.0])

    Source: Viola, Jones (2004), doi:10.1023/B:VISI.0000013087.49260.fb; Lienhart, Maydt (2002),
        doi:10.1109/ICIP.2002.1038171.
    Differs from the paper: it gives neither the cascade nor its settings; the cascade is OpenCV's, the settings ours.
    """
    x = _check.images(x, channels=(1, 3))
    _check.one_of(fill, FILLS, "fill")
    _settings(scale_factor, min_neighbors)
    if not 0 < min_size <= 1:
        raise ValueError(f"min_size: expected a share of the shorter side in (0, 1], got {min_size}")
    if not 0 <= border < math.inf:
        raise ValueError(f"border: expected a share >= 0 of the shorter side, got {border}")
    classifier = _classifier(cascade)
    height, width = x.shape[-2:]
    margin, smallest = round(border * min(height, width)), round(min_size * min(height, width))
    least = max(classifier.getOriginalWindowSize())
    if min(height, width) + 2 * margin < least:
        raise ValueError(
            f"x: {cascade} needs pictures of at least {least}x{least} pixels, border included, got {height}x{width} "
            f"with a border of {margin}: resize them first"
        )
    mode: Any = "constant" if fill == "black" else "edge"
    whole = (0.0, 0.0, float(width), float(height))
    rows = []
    for picture in _bytes(x):
        found = _best(classifier, np.pad(picture, margin, mode), scale_factor, min_neighbors, smallest)
        rows.append((*(v - margin for v in found[:4]), found[4]) if found else (*whole, 0))
    return _boxes(rows, x.shape[:-3])


def detect_parts(x: Tensor, box: Tensor, *, scale_factor: float = 1.05, min_neighbors: int = 3) -> Boxes:
    """Find eyes and mouth in each face: each in the region of the face's box where it should be, see `REGIONS`.

    The region is cut out, what lies outside the picture repeating its edge, and resized as if the face were 140 pixels
    wide; then the cascade of the part searches it as in `detect_faces`. The mouth is searched with the cascade for
    smiles, which also accepts many closed mouths. There is no search for the nose: OpenCV ships no cascade for it.

    Args:
        x: pictures (*, C, H, W) with 1 or 3 channels, float in [0, 1].
        box: (*, 4), the face in each, as `detect_faces` gives it.
        scale_factor: > 1, from one size of window to the next.
        min_neighbors: votes that a box needs, >= 1.

    Returns:
        Boxes (*, 3, 4) in the order of `PARTS`, in the coordinates of x; found (*, 3).

    Raises:
        TypeError: x or box is not a floating-point tensor.
        ValueError: wrong shape or range of x, boxes that do not fit x or are empty, a setting out of range.
        ImportError: this OpenCV has no cascades.

    >>> detect_parts(torch.zeros(1, 64, 64), torch.tensor([8.0, 8.0, 56.0, 56.0])).found
    tensor([False, False, False])

    Source: Viola, Jones (2004), doi:10.1023/B:VISI.0000013087.49260.fb.
    Differs from the paper: it lists the nose among the parts.
    """
    x = _check.images(x, channels=(1, 3))
    _settings(scale_factor, min_neighbors)
    faces = _whole_pixels(box, x)
    classifiers = [_classifier(PART_CASCADES[part]) for part in PARTS]
    rows = [
        _part(part, classifier, picture, face, scale_factor, min_neighbors)
        for picture, face in zip(_bytes(x), faces, strict=True)
        for part, classifier in zip(PARTS, classifiers, strict=True)
    ]
    return _boxes(rows, (*x.shape[:-3], len(PARTS)))


def crop(x: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a box out of each picture and resize it, bilinearly with antialiasing; differentiable in x.

    Args:
        x: pictures (*, C, H, W), float in [0, 1].
        box: (*, 4), one for each picture, as `detect_faces` gives it, rounded to pixels. It may reach out of the
            picture; what lies outside repeats the nearest pixel.
        size: (H, W) of the result.

    Returns:
        Pictures (*, C, H', W') with (H', W') = size, in [0, 1], dtype of x; each axis is scaled by itself.

    Raises:
        TypeError: x or box is not a floating-point tensor.
        ValueError: wrong shape or range of x, boxes that do not fit x or are empty, a wrong size.
    """
    x = _check.images(x)
    if np.shape(size) != (2,) or not all(isinstance(n, int) and n >= 1 for n in size):
        raise ValueError(f"size: expected (height, width) in whole pixels >= 1, got {size!r}")
    boxes = _whole_pixels(box, x)
    cut = [
        F.interpolate(_cut(image, face)[None], size, mode="bilinear", antialias=True)
        for image, face in zip(_check.precise(x).reshape(-1, *x.shape[-3:]), boxes, strict=True)
    ]
    together = torch.cat([x.new_empty(0, x.shape[-3], *size), *cut]).reshape(*x.shape[:-2], *size)
    return _check.limited(together).to(x.dtype)  # the weights of a pixel sum to 1 up to rounding


def _settings(scale_factor: float, min_neighbors: int) -> None:
    if not 1 < scale_factor < math.inf:
        raise ValueError(f"scale_factor: expected a number > 1, got {scale_factor}: 1.05 enlarges by 5 %")
    if not isinstance(min_neighbors, int) or min_neighbors < 1:
        raise ValueError(f"min_neighbors: expected a whole number >= 1, got {min_neighbors!r}")


def _classifier(name: str) -> Any:
    """A cascade, loaded anew: it must not be shared between threads."""
    _check.one_of(name, (*FACE_CASCADES, *PART_CASCADES.values()), "cascade")
    file = _file(name)  # first: it says what is missing
    return cv2.CascadeClassifier(str(file))


@functools.cache
def _file(name: str) -> Path:
    advice = "install the 4.x series, pip install 'opencv-python-headless<5'"
    folder = getattr(cv2, "data", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        raise ImportError(f"OpenCV {cv2.__version__} has no CascadeClassifier: {advice}")
    path = Path(folder.haarcascades) / f"haarcascade_{name}.xml"
    if not path.is_file():
        raise ImportError(f"OpenCV {cv2.__version__} came without {path.name}, expected at {path}: {advice}")
    return path


def _best(
    classifier: Any, picture: np.ndarray, scale_factor: float, min_neighbors: int, smallest: int
) -> tuple[int, int, int, int, int] | None:
    """x_min, y_min, x_max, y_max and votes of the box with most votes."""
    width, height = classifier.getOriginalWindowSize()
    least = (smallest, round(smallest * height / width))
    boxes, votes = classifier.detectMultiScale2(
        picture, scaleFactor=scale_factor, minNeighbors=min_neighbors, minSize=least
    )
    if not len(boxes):
        return None
    rows = np.column_stack([votes, boxes]).tolist()
    v, x, y, w, h = max(rows, key=lambda row: (row[0], row[3], -row[2], -row[1]))
    return x, y, x + w, y + h, v


def _part(
    part: str, classifier: Any, picture: np.ndarray, face: Sequence[int], scale_factor: float, min_neighbors: int
) -> tuple[float, ...]:
    """x_min, y_min, x_max, y_max and votes of a part of one face; the region that was searched and 0 if not found."""
    x, y, width, height = face[0], face[1], face[2] - face[0], face[3] - face[1]
    x0, y0, x1, y1 = (o + round(s * n) for s, o, n in zip(REGIONS[part], (x, y) * 2, (width, height) * 2, strict=True))
    region = (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))
    scale = _FACE / width
    size = [max(1, round(scale * (region[i + 2] - region[i]))) for i in (0, 1)]
    cut = _cut(torch.from_numpy(picture), region).numpy()
    cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    found = _best(classifier, cut, scale_factor, min_neighbors, round(SMALLEST[part] * _FACE))
    if found is None:
        return (*region, 0)
    return (*(v / scale + o for v, o in zip(found[:4], (x0, y0) * 2, strict=True)), found[4])


def _bytes(x: Tensor) -> np.ndarray:
    """Gray levels (N, H, W), uint8."""
    gray = to_gray(_check.precise(x.detach()))
    return (gray * 255).round().byte().reshape(-1, *x.shape[-2:]).cpu().numpy()


def _whole_pixels(box: Tensor, x: Tensor) -> list[list[int]]:
    """Rounded boxes, one for each picture."""
    _check.floating(box, "box")
    if box.shape != (*x.shape[:-3], 4):
        raise ValueError(f"box: expected shape {(*x.shape[:-3], 4)}, one box a picture, got {tuple(box.shape)}")
    whole = box.detach().cpu().reshape(-1, 4).round()
    if not bool(box.isfinite().all()) or not bool((whole[:, 2:] > whole[:, :2]).all()):
        raise ValueError("box: expected finite x_min, y_min, x_max, y_max, at least a pixel wide and high, got others")
    return whole.int().tolist()


def _cut(image: Tensor, box: Sequence[int]) -> Tensor:
    """The pixels of a box of (*, H, W); outside the picture the nearest ones."""
    height, width = image.shape[-2:]
    rows = torch.arange(box[1], box[3], device=image.device).clamp(0, height - 1)
    columns = torch.arange(box[0], box[2], device=image.device).clamp(0, width - 1)
    return image.index_select(-2, rows).index_select(-1, columns)


def _boxes(rows: Sequence[Sequence[float]], shape: Sequence[int]) -> Boxes:
    table = torch.tensor(rows, dtype=torch.float64).reshape(*shape, 5)
    return Boxes(table[..., :4].float(), table[..., 4].long())
