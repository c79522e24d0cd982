"""Finders of all faces in a picture, behind one interface: `viola_jones`, `yunet`, or a function of yours.

A finder takes a picture (H, W, 3), uint8, RGB, and returns `Found`: boxes as tight as those of landmarks, from brows to
chin, which landmark networks are trained on. What a detector calls the box of a face is another one; `BOXES` says where
the landmarks lie in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from facelight import _files, detect

__all__ = ["Finder", "Found", "viola_jones", "yunet"]

SIDE = 640  # a larger picture is searched at this longer side, in pixels
BOXES = {"viola_jones": (0.0, 0.18, 0.95), "yunet": (0.0, 0.1, 0.8)}
"""Finder -> the tight box of the landmarks in its box: shift right and down of the center, and the longer side, in
shares of the longer side of its box. Of `viola_jones` medians over rendered faces; of `yunet` not measured, but what
the annotation that it learned lets expect, from forehead to chin."""


@dataclass(frozen=True)
class Found:
    """Faces in one picture, the surest first.

    Args:
        box: (N, 4), float64, x_min, y_min, x_max, y_max in pixels, edges 0, 0, W, H for a whole picture.
        score: (N,), float64, how sure the finder is: votes of `viola_jones`, 0 to 1 of `yunet`.
    """

    box: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]


Finder = Callable[[npt.NDArray[np.uint8]], Found]


def viola_jones(
    picture: npt.NDArray[np.uint8], *, cascade: str = "frontalface_alt2", min_neighbors: int = 4, min_size: float = 0.08
) -> Found:
    """Find faces with OpenCV's cascade behind histogram equalization, as the book recommends.

    A border that repeats the edge, a tenth of the shorter side, lets it find faces that the picture cuts off.

    Args:
        picture: (H, W, 3), uint8, RGB.
        cascade: see `detect.FACE_CASCADES`.
        min_neighbors: votes that a box needs.
        min_size: smallest face, as a share of the shorter side.

    Raises:
        ImportError: this OpenCV has no cascades.
    """
    gray = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    small, scale = _small(gray)
    margin = round(0.1 * min(small.shape))
    least = max(24, round(min_size * min(small.shape)))
    boxes, votes = detect._classifier(cascade).detectMultiScale2(
        cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REPLICATE),
        scaleFactor=1.08,
        minNeighbors=min_neighbors,
        minSize=(least, least),
    )
    table = np.asarray(boxes, np.float64).reshape(-1, 4)
    return _tight((table - (margin, margin, 0, 0)) / scale, np.asarray(votes, np.float64).ravel(), "viola_jones")


def yunet(model: str | os.PathLike[str], *, threshold: float = 0.6) -> Finder:
    """A finder on OpenCV's `FaceDetectorYN`, for a file `face_detection_yunet_*.onnx` of yours.

    Args:
        model: the file, of OpenCV's model zoo.
        threshold: least score, in [0, 1].

    Raises:
        ValueError: there is no such file, or OpenCV cannot read it.

    Source: Wu, Peng, Yu (2023), doi:10.1007/s11633-023-1423-y.
    """
    path = _files.expanded(model, "model")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file: get face_detection_yunet_2023mar.onnx of OpenCV Zoo")
    try:
        network = cv2.FaceDetectorYN.create(str(path), "", (SIDE, SIDE), threshold)
    except cv2.error as error:
        raise ValueError(f"{path}: OpenCV cannot read it as a YuNet network ({error.err})") from error
    return partial(_with_yunet, network)


def _with_yunet(network: cv2.FaceDetectorYN, picture: npt.NDArray[np.uint8]) -> Found:
    small, scale = _small(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    network.setInputSize(small.shape[1::-1])
    rows = network.detect(small)[1]
    table = np.zeros((0, 15)) if rows is None else np.asarray(rows, np.float64)
    return _tight(table[:, :4] / scale, table[:, 14], "yunet")


def _small(picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], float]:
    """The picture with its longer side at most `SIDE`, and the factor on it."""
    scale = min(1.0, SIDE / max(picture.shape[:2]))
    size = [max(1, round(scale * n)) for n in picture.shape[1::-1]]
    return (picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), scale


def _tight(table: npt.NDArray[np.float64], score: npt.NDArray[np.float64], finder: str) -> Found:
    """Boxes of landmarks from rows x, y, width, height; of two that share more than half of one, the surer is kept."""
    across, down, share = BOXES[finder]
    side = table[:, 2:].max(1, keepdims=True) if len(table) else table[:, :1]
    center = table[:, :2] + table[:, 2:] / 2 + side * (across, down)
    boxes = np.hstack([center - share * side / 2, center + share * side / 2])
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        corner = np.minimum(boxes[i, 2:], boxes[kept, 2:]) - np.maximum(boxes[i, :2], boxes[kept, :2])
        least = np.minimum(side[i, 0], side[kept, 0]) * share
        if not (corner.clip(0).prod(1) > 0.5 * least**2).any():
            kept.append(int(i))
    return Found(boxes[kept], score[kept])
