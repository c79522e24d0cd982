"""`facelight measure MODEL`: how far a network is off on sets that it has not learned, as the light falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from facelight import metrics
from facelight.data import crops, wflw_crops
from facelight.data.crops import BoxRule
from facelight.data.landmarks import LANDMARKS_68, SHARED_68
from facelight.data.samples import LandmarkFaces
from facelight.metrics.landmarks import eye_distance
from facelight.pipelines import LandmarkPipeline, pipeline
from facelight_lab.landmarks import face_sets, lights
from facelight_lab.landmarks.face_sets import EYES

SETS = ("rendered", "w300", "wflw_crops", "net7876")
UNDER = ("x1", "/3", "/6", "/12", "/6 noise", "/6 left", "/6 right", "/12 left", "/12 right", "/12 ramp left")
RENDERED = 500  # faces
WEB_MARGIN = 0.8  # of net7876, whose annotated box reaches from the forehead to below the chin
FIVE = (96, 97, 54, 76, 82)  # numbers of the 98 that five points have: pupils, tip of the nose, corners of the mouth
_THERE = tuple(LANDMARKS_68[i] for i in SHARED_68)
JUDGED: dict[tuple[int, int], tuple[Sequence[int], Sequence[int]]] = {
    (98, 98): (range(98), range(98)),
    (68, 68): (range(68), range(68)),
    (98, 68): (_THERE, SHARED_68),
    (68, 98): (SHARED_68, _THERE),
    (98, 5): (FIVE, range(5)),
}
"""Landmarks of a network and of a set -> the numbers of those that both have, in the one and in the other."""


def measure(
    model: Path | None, data: Sequence[str] = SETS, under: Sequence[str] = UNDER, *, every: int = 1
) -> dict[str, dict[str, float]]:
    """Set -> light -> mean error of the landmarks that network and set share, by the distance of the eyes.

    Faces are cut out by the book's rule around the annotated landmarks; of `net7876`, which has five, around what the
    network found in a first crop. Of crop and mirror image the mean counts, as in `facelight predict`.

    Args:
        model: a file; None: the network that comes with the library.
        data: of `SETS`.
        under: of `lights.LIGHTS`.
        every: take every n-th face.

    Raises:
        DataError: a data set is not there.
        ValueError: the network and a set share no landmarks.
    """
    pipe = pipeline("landmarks", model)
    return {name: _of_set(pipe, name, {light: lights.LIGHTS[light] for light in under}, every) for name in data}


def errors(pred: Tensor, target: Tensor) -> Tensor:
    """Mean distance (N,) of what pred (N, K, 2) and target (N, K', 2) share, see `JUDGED`, in distances of the eyes."""
    ours, theirs = JUDGED[pred.shape[1], target.shape[1]]
    distance = eye_distance(target, EYES[target.shape[1]])
    return metrics.nme(pred[:, list(ours)], target[:, list(theirs)], normalizer="image-size", image_size=distance)


def _of_set(pipe: LandmarkPipeline, name: str, under: Mapping[str, lights.Light], every: int) -> dict[str, float]:
    card = pipe.card
    web = name == "net7876"
    source = {"rendered": "synthetic", "wflw_crops": "w300 on wflw_crops"}.get(name, name)
    faces = face_sets.load(source, (1, RENDERED)).test if name != "wflw_crops" else wflw_crops.load()
    shape = (len(card.points), faces.landmarks.shape[1])
    if shape not in JUDGED:
        raise ValueError(f"{name} has {shape[1]} landmarks, of which the network's {shape[0]} have none: leave it out")
    rule = BoxRule(margin=card.margin * (WEB_MARGIN if web else 1))
    cut = face_sets.crop(faces[:: max(1, every)], card.size, rule)
    target = crops.pixels_to_unit(cut.landmarks, card.size)
    found = {light: errors(_found(pipe, cut, change, web), target).mean().item() for light, change in under.items()}
    return {light: round(value, 5) for light, value in found.items()}


@torch.inference_mode()
def _found(pipe: LandmarkPipeline, faces: LandmarkFaces, light: lights.Light, again: bool) -> Tensor:
    """Landmarks (N, K, 2) in [0, 1] of crops, in a light; with `again` found anew in crops around the first ones."""
    size, found = pipe.card.size, []
    for part in faces.image.split(128):
        x = light(part.float() / 255)
        unit = pipe.points(x)[0]
        if again:
            levels = (255 * x).round().byte().permute(0, 2, 3, 1).numpy()
            for row, picture in enumerate(levels):
                box = crops.unit_to_pixels(unit[row], size) + 0.5
                edges = torch.cat([box.amin(0), box.amax(0)])[None].numpy()
                face = pipe.locate(picture, edges, edges[:, 0])[0]
                unit[row] = crops.pixels_to_unit(face.landmarks.double(), size)
        found.append(unit.float())
    return torch.cat(found)
