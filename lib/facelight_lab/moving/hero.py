"""The figure of the cover: a rendered face in less and less light, and where three networks see its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight._extras import extra
from facelight.data import crops
from facelight.data.crops import BoxRule
from facelight_lab import results, style
from facelight_lab.landmarks import face_sets, lights, predictions
from facelight_lab.landmarks.face_sets import PICTURE
from facelight_lab.moving.frame import Moving, encoded, still
from facelight_lab.results import Record
from facelight_render.photo import new_stage, photograph
from facelight_render.render import Stage
from facelight_render.scene import sample_scene

with extra("book"):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

LARGER = 3  # the faces are also rendered with as many times the pixels of those that the networks see
SHOWN = 216  # side of the larger crops
KEPT = 85  # quality of the pictures
KINDS = {"even": "even darkness", "half": "half of the face in shadow", "noise": "darkness and a camera's noise"}
PARTS = predictions.PARTS


@dataclass(frozen=True)
class Face:
    """A rendered face as networks see it, and larger.

    Args:
        crop: (3, size, size), uint8, what networks see.
        large: (SHOWN, SHOWN, 3), uint8, the same square.
        landmarks: (98, 2) in the square, 0 to 1.
    """

    crop: Tensor
    large: npt.NDArray[np.uint8]
    landmarks: Tensor


def face(name: str, stage: Stage, size: int) -> Face:
    """A face of `facelight_render.landmarks` by its name, cropped as for a network of that size."""
    _, split, seed, index = name.split("/")
    scene = sample_scene(int(seed), split, int(index))
    small, large = (photograph(scene, stage, scale * PICTURE) for scale in (1, LARGER))
    landmarks = torch.from_numpy(small.landmarks)[None]
    places = crops.squares(torch.cat([landmarks.amin(1), landmarks.amax(1)], 1), BoxRule().margin)
    left, top, side = *places.corner[0].tolist(), int(places.side[0])
    pictures = [
        crops.cut(photo.image.transpose(1, 2, 0), scale * left, scale * top, scale * side, pixels)
        for photo, scale, pixels in ((small, 1, size), (large, LARGER, SHOWN))
    ]
    return Face(torch.from_numpy(pictures[0].transpose(2, 0, 1).copy()), pictures[1], places.to_crop(landmarks)[0])


def recorded() -> list[Record]:
    """The records of the experiment "predictions", in the order of `predictions.COMPARED`."""
    configs = {config.variant: config for config in predictions.configs("laptop")}
    return list(results.named("predictions", configs, seed=0).values())


def seen(crop: Tensor, kind: str) -> npt.NDArray[np.uint8]:
    """What networks see of a crop (3, size, size) in every strength of a kind of light, side by side, (size, W, 3)."""
    x = crop[None].float() / 255
    lit = [predictions.KINDS[kind](x, factor=strength)[0] for strength in predictions.STRENGTHS]
    levels: npt.NDArray[np.uint8] = (255 * torch.cat(lit, 2)).round().byte().permute(1, 2, 0).numpy()
    return levels


def factors(kind: str) -> list[list[float]]:
    """For each strength what gray levels in each column of a large crop are multiplied by; "even" or "half" light."""
    across = (torch.arange(SHOWN) + 0.5) / SHOWN - 0.5
    depth = {"even": torch.ones(SHOWN), "half": torch.sigmoid(-across / lights.EDGE)}[kind]
    return [[round(value, 4) for value in (strength**-depth).tolist()] for strength in predictions.STRENGTHS]


def data(records: list[Record], faces: list[Face]) -> dict[str, Any]:
    """What the script draws.

    Returns:
        "networks", the "name" and "color" of each; "kinds", the lights; "strengths"; "faces", their number; "truth",
        for each face its landmarks x, y, x, y, ... in thousandths of the side; for each network, kind, strength and
        face "off", how far its points are from those, and "errors"; "mean", for each network, kind and strength the
        error of all test faces; "factors", see there, of the kinds without noise; pictures: "faces_large", below each
        other, and "faces_noise", what networks see, a row for each face and a column for each strength.
    """
    truth = [(PARTS * face.landmarks).round().int().flatten().tolist() for face in faces]

    def off(item: Record) -> list[list[list[list[int]]]]:
        return [
            [
                [[p - t for p, t in zip(points, true, strict=True)] for points, true in zip(some, truth, strict=True)]
                for some in item.metrics["points"][kind]
            ]
            for kind in KINDS
        ]

    looks = [style.layer(item.config["variant"]) for item in records]
    return {
        "networks": [{"name": look.label, "color": look.color} for look in looks],
        "kinds": list(KINDS.values()),
        "strengths": list(predictions.STRENGTHS),
        "truth": truth,
        "off": [off(item) for item in records],
        "errors": [[item.metrics["errors"][kind] for kind in KINDS] for item in records],
        "mean": [[item.metrics["mean"][kind] for kind in KINDS] for item in records],
        "asked": face_sets.RENDERED[1],
        "factors": [factors(kind) for kind in ("even", "half")],
        "large": encoded(np.concatenate([face.large for face in faces]), KEPT),
        "noise": encoded(np.concatenate([seen(face.crop, "noise") for face in faces]), KEPT),
    }


def moving() -> Moving:
    """The figure."""
    records, stage = recorded(), new_stage()
    faces = [face(name, stage, records[0].config["size"]) for name in records[0].metrics["names"]]
    picture, size = still(_still(records, faces[0]))
    alt = (
        "A rendered face with one half in deep shadow, three times, with 98 landmarks each: those of the plain network "
        "and of the log layer lie beside eyes, mouth and jaw, those of the contrast-normalized log layer lie on them."
    )
    return Moving("hero", "index", "Landmarks in less light", alt, data(records, faces), picture, size)


def _still(records: list[Record], face: Face) -> Figure:
    figure, axes = plt.subplots(1, len(records), figsize=(7.2, 2.8), layout="constrained")
    kind, strength = "half", predictions.STRENGTHS.index(12)
    lit = predictions.KINDS[kind](torch.from_numpy(face.large.transpose(2, 0, 1).copy())[None] / 255, factor=12)
    for place, item in zip(axes, records, strict=True):
        points = np.array(item.metrics["points"][kind][strength][0]).reshape(-1, 2) / PARTS
        place.imshow(lit[0].permute(1, 2, 0).numpy())
        place.plot(*(points.T * SHOWN - 0.5), ".", color="#F0E442", ms=3)
        error = 100 * item.metrics["errors"][kind][strength][0]
        place.set_title(f"{style.layer(item.config['variant']).label}: {error:.1f} %", fontsize=8)
        place.axis("off")
    return figure
