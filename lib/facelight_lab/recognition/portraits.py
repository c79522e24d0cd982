"""Rendered people for a system that finds, enhances and names faces. No measuring here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from facelight.illumination import to_gray
from facelight_render import photo, scene

ELEVATION = 15.0  # of the lamp, degrees
LAMP = (1.5, 1.5, 1.5)  # its linear R, G, B
STILL: dict[str, Any] = {
    "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "expression_strength": 0.0, "occluder": "", "warmth": 0.0,
    "ambient": (0.08, 0.08, 0.08), "fill": 0.42, "blur": 0.003,
}  # fmt: skip


def portraits(
    people: int, exposures: Mapping[float, float], *, seed: int, size: int = 192
) -> tuple[Tensor, Tensor, Tensor]:
    """Photograph people from the front, each before another background, under one lamp after the other.

    Args:
        people: how many.
        exposures: azimuth of the lamp, degrees to the left -> exposure, stops.
        seed: of the people and their backgrounds.
        size: side of a picture, pixels.

    Returns:
        Gray pictures (N, 1, size, size), float32 in [0, 1], N = people x lamps, all people under the first lamp first;
        the squares around their landmarks (N, 4), x_min, y_min, x_max, y_max in pixels, edges as in
        `facelight.detect.Boxes`; who is on them (N,), int64.
    """
    stage = photo.new_stage()
    pictures, squares = [], []
    for azimuth, exposure in exposures.items():
        lights = (scene.SceneLight(azimuth, ELEVATION, LAMP),)
        for person in range(people):
            posed = replace(scene.sample_scene(seed, "test", person), lights=lights, exposure=exposure, **STILL)
            shot = photo.photograph(posed, stage, size)
            low, high = shot.landmarks.min(0), shot.landmarks.max(0)
            corners = [(low + high + side * (high - low)[1]) / 2 + 0.5 for side in (-1, 1)]
            pictures.append(to_gray(torch.from_numpy(shot.image).float() / 255))
            squares.append(torch.tensor([*corners[0], *corners[1]]))
    return torch.stack(pictures), torch.stack(squares), torch.arange(people).repeat(len(exposures))


def strayed(found: Tensor, truth: Tensor) -> dict[str, float]:
    """How much square boxes vary beside the true ones: standard deviations over pictures, no unit.

    Args:
        found, truth: boxes (N, 4), x_min, y_min, x_max, y_max.

    Returns:
        "size": of the ratio of widths, beside its mean; "across", "down": of the place of the center, in found widths.
    """
    (center, width), (true_center, true_width) = (
        ((box[:, :2] + box[:, 2:]) / 2, box[:, 2:3] - box[:, :1]) for box in (found, truth)
    )
    ratio = width / true_width
    across, down = ((center - true_center) / width).std(0).tolist()
    return {"size": (ratio.std() / ratio.mean()).item(), "across": across, "down": down}
