"""From a photograph to landmarks in three lines: `pipeline`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight import _check
from facelight.augment.geometry import mirror
from facelight.data import crops
from facelight.data.photos import as_array
from facelight.finders import Finder, viola_jones
from facelight.metrics.landmarks import eye_distance
from facelight.models import FaceNet
from facelight.weights import ModelCard, load_model, shipped_model

__all__ = ["Face", "LandmarkPipeline", "pipeline"]

TASKS = ("landmarks",)


@dataclass(frozen=True)
class Face:
    """One face of a photograph.

    Args:
        landmarks: (K, 2), x and y in pixels; the center of the top left pixel is (0, 0).
        box: (4,), their tight box, x_min, y_min, x_max, y_max.
        score: how sure the finder is, see `finders.Found`.
        spread: mean distance between the landmarks of the face and those of its mirror image, in distances of the outer
            corners of the eyes. Above 0.1 the network has hardly understood the face, or there is none.
    """

    landmarks: Tensor
    box: Tensor
    score: float
    spread: float


class LandmarkPipeline:
    """A finder of faces, the crop that the network learned, the network, and its landmarks in pixels of the photograph.

    Args:
        model: from crops in [0, 1] to landmarks in [0, 1].
        card: what it expects.
        finder: of faces, see `finders`.
        passes: the first crop follows the finder's box, the next ones the landmarks of the one before.
    """

    def __init__(self, model: FaceNet, card: ModelCard, finder: Finder = viola_jones, *, passes: int = 2) -> None:
        _check.whole(passes, "passes", 1)
        self.model, self.card, self.finder, self.passes = model.eval(), card, finder, passes

    def __call__(self, picture: Any) -> list[Face]:
        """Faces of a photograph, the surest first; an empty list where none is found.

        Args:
            picture: a file; a PIL image; an array (H, W) or (H, W, 3 or 4), uint8 or uint16, RGB; or a tensor
                (C, H, W), float in [0, 1].

        Raises:
            DataError: the file cannot be read.
            TypeError: something else.
        """
        array = as_array(picture)
        found = self.finder(_eight_bits(array))
        return self.locate(array, found.box, found.score)

    @torch.inference_mode()
    def locate(
        self, picture: npt.NDArray[Any], box: npt.NDArray[np.float64], score: npt.NDArray[np.float64]
    ) -> list[Face]:
        """Faces in given boxes (N, 4) of a picture (H, W, 3); see `finders.Found`."""
        boxes = torch.as_tensor(box, dtype=torch.float64).reshape(-1, 4) - 0.5  # from edges to centers of pixels
        for _ in range(self.passes if len(boxes) else 0):
            places = crops.squares(_sensible(boxes, picture.shape), self.card.margin)
            unit, spread = self.points(_cut(picture, places, self.card.size))
            landmarks = places.to_image(unit)
            boxes = torch.cat([landmarks.amin(1), landmarks.amax(1)], 1)
        return [
            Face(landmarks[i].float(), boxes[i].float(), float(score[i]), float(spread[i])) for i in range(len(boxes))
        ]

    def points(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks (N, K, 2) in [0, 1] of crops (N, 3, S, S) in [0, 1] and `spread` (N,).

        They are the mean of those of the crop and of its mirror image.
        """
        here, there = self.model(torch.cat([x, x.flip(-1)])).double().chunk(2)
        there = mirror(there)
        distance = eye_distance((here + there) / 2, "inter-ocular").clamp_min(1e-6)
        return (here + there) / 2, (here - there).norm(dim=-1).mean(1) / distance


def pipeline(
    task: str = "landmarks", model: str | os.PathLike[str] | None = None, *, finder: Finder = viola_jones
) -> LandmarkPipeline:
    """A function from photographs to faces with landmarks.

    Args:
        task: "landmarks".
        model: a file that `facelight train landmarks` wrote; None: the network that comes with the library.
        finder: of faces; see `finders`.

    Raises:
        FileNotFoundError: no such file, or no network comes with this installation; says how to get one.
        ModelFileError: the file is not such a model.

    >>> pipeline("faces")
    Traceback (most recent call last):
    ValueError: task: expected one of 'landmarks', got 'faces'
    """
    _check.one_of(task, TASKS, "task")
    return LandmarkPipeline(*load_model(shipped_model() if model is None else model), finder)


def _eight_bits(picture: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return picture if picture.dtype == np.uint8 else (picture / 257.0).round().astype(np.uint8)


def _cut(picture: npt.NDArray[Any], places: crops.Squares, size: int) -> Tensor:
    """Crops (N, 3, size, size), float32 in [0, 1]."""
    rows = [
        crops.cut(picture, left, top, side, size)
        for (left, top), side in zip(places.corner.tolist(), places.side.tolist(), strict=True)
    ]
    x = np.stack(rows).transpose(0, 3, 1, 2).astype(np.float32) / np.iinfo(picture.dtype).max
    return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)


def _sensible(boxes: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Boxes with their center in the picture and a side from 8 pixels to twice the picture's."""
    height, width = shape[:2]
    last = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float64)
    center = ((boxes[:, :2] + boxes[:, 2:]) / 2).clamp(min=torch.zeros(2, dtype=torch.float64), max=last)
    half = (boxes[:, 2:] - boxes[:, :2]).clamp(8, 2 * max(height, width)) / 2
    return torch.cat([center - half, center + half], 1)
