"""From a scene to an 8-bit picture: head, background, occluder, exposure, blur, sensor. No threads, no cache."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight.illumination import linear_to_srgb
from facelight.illumination.sensor import photograph_light
from facelight_render.backdrop import background, occluder
from facelight_render.head import HeadParameters, heads, reference, sample_expression, sample_parameters
from facelight_render.render import Camera, Floats, Shot, Stage, direction, rotation
from facelight_render.scene import Scene

PIVOT = np.array([0.0, -0.05, -0.09])  # meters from the eyes: where the head turns
GRAY_CARD = 0.18
MEDIUM_SKIN = 0.24  # albedo that a normal exposure brings to the gray of a gray card, times 1.3
# The set like Extended Yale B: where the pupils lie in shares of width and height (measured on the mean of the 38
# real crops under the frontal light), meters from the camera, light and camera.
PUPILS = ((0.208, 0.784), 0.24)
YALE_DISTANCE = 1.2
YALE_LIGHT, YALE_AMBIENT = 1.85, 0.04
YALE_PHOTONS, YALE_READ = 12000.0, 45.0
PARTS = 4096  # of linear light in the table of gray levels
SILICON = np.array([0.45, 0.35, 0.20], np.float32)  # weights of R, G, B in a monochrome camera, more red than the eye's


@dataclass(frozen=True)
class Photo:
    """One picture of the in-the-wild set.

    Args:
        image: (3, S, S), uint8, sRGB.
        landmarks: (98, 2), float32, pixels.
        visible: (98,), bool: inside the picture, not behind the head, not behind the occluder.
    """

    image: npt.NDArray[np.uint8]
    landmarks: Floats
    visible: npt.NDArray[np.bool_]


def photograph(scene: Scene, stage: Stage, size: int) -> Photo:
    """Render a scene as a square 8-bit sRGB picture.

    Args:
        scene: what is seen.
        stage: made by `new_stage`, not used by another thread.
        size: side in pixels.

    Returns:
        Picture, landmarks and visibility.
    """
    shot = shoot(scene, stage, size)
    key, shade = np.array([light.color for light in scene.lights]), np.array(scene.ambient)
    light = shade + 0.6 * key.sum(0)
    normal = 1.3 * GRAY_CARD / (MEDIUM_SKIN * float(light.mean()))
    behind = background(scene.background, scene.background_seed, size)
    uncovered = 1 - shot.coverage
    picture = shot.rgb[0] + behind * cv2.merge(
        [uncovered * x for x in (light * scene.background_level).astype(np.float32)]
    )
    visible = shot.visible
    if scene.occluder:
        alpha, reflectance = occluder(scene.occluder, scene.occluder_seed, shot.landmarks, size)
        picture += cv2.merge([alpha] * 3) * (reflectance * light.astype(np.float32) - picture)
        x, y = np.clip(np.round(shot.landmarks).astype(int), 0, size - 1).T
        visible = visible & (alpha[y, x] < 0.5)
    picture = cv2.GaussianBlur(picture, (0, 0), scene.blur * size, borderType=cv2.BORDER_REFLECT)
    exposed = np.stack(cv2.split(picture)) * np.float32(normal * 2.0**scene.exposure)
    image = develop(torch.from_numpy(exposed), scene.photons, scene.read, scene.noise_seed)
    return Photo(image, shot.landmarks, visible)


def shoot(scene: Scene, stage: Stage, size: int) -> Shot:
    """The head alone, in linear light, seen and lit as in the scene."""
    head = heads([identity_of(scene)], sample_expression(scene.expression, scene.expression_strength)[None])
    turn = rotation(scene.yaw, scene.pitch, scene.roll)
    vertices, landmarks = (pose(points[0].numpy(), turn) for points in (head.vertices, head.landmarks))
    camera = frame(landmarks, scene, size)
    directions = np.stack([direction(light.azimuth, light.elevation) for light in scene.lights])[None]
    colors = np.array([[light.color for light in scene.lights]])
    ambient = np.array([scene.ambient])
    return stage.render(vertices, head.texture[0].numpy(), landmarks, camera, directions, colors, ambient)


def identity_of(scene: Scene) -> HeadParameters:
    """Parameters of the head in a scene, made up as the scene says."""
    return dataclasses.replace(sample_parameters(scene.identity), make_up=scene.make_up)


def pose(points: npt.NDArray[Any], turn: npt.NDArray[np.float64]) -> Floats:
    """Points (N, 3) turned about `PIVOT`; written out, as a matrix product's last bit depends on the machine."""
    x, y, z = points.T.astype(np.float64, order="C") - PIVOT[:, None]
    turned = np.empty(points.shape, np.float32)
    for i, row in enumerate(turn):
        turned[:, i] = row[0] * x + row[1] * y + row[2] * z + PIVOT[i]
    return turned


def frame(landmarks: Floats, scene: Scene, size: int) -> Camera:
    """Camera whose picture holds the landmarks' box as `scene.fill` and `scene.shift` say."""
    unit = Camera(size, size, 1.0, (0.0, 0.0), scene.distance).project(landmarks).astype(np.float64)
    low, high = unit.min(0), unit.max(0)
    focal = scene.fill * size / float((high - low).max())
    middle = (size - 1) / 2 + size * np.array(scene.shift) - focal * (low + high) / 2
    return Camera(size, size, focal, (float(middle[0]), float(middle[1])), scene.distance)


def develop(light: Tensor, photons: float, read: float, seed: int) -> npt.NDArray[np.uint8]:
    """Linear light (C, H, W), float32, as a camera stores it: sensor noise, sRGB encoding, 8 bits."""
    noisy = photograph_light(light.clamp(0, 1), photons, read, torch.Generator().manual_seed(seed)).numpy()
    level, edge = _gray_levels()
    part = (noisy * np.float32(PARTS)).astype(np.int32)
    return level.take(part) + (noisy >= edge.take(part))


@functools.cache
def _gray_levels() -> tuple[npt.NDArray[np.uint8], Floats]:
    """The 8-bit sRGB level at the start of each part [k, k + 1) / `PARTS` of linear light, and where the next begins.

    A part holds at most one edge between two levels, since levels are at least 1 / 3295 apart; 2 stands for none. The
    edges are the least float32 numbers that `linear_to_srgb` and rounding take to the next level.
    """
    bits = np.array([0.0, 1.0], np.float32).view(np.int32)  # positive floats are ordered as their bits are
    below, above = np.full(256, bits[0]), np.full(256, bits[1])
    while (above - below > 1).any():
        middle = below + (above - below) // 2
        light = torch.from_numpy(middle.view(np.float32)).repeat(3, 1)[..., None]
        reached = (linear_to_srgb(light)[0, :, 0] * 255).round().numpy() >= np.arange(1, 257)
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    found = above[:255].view(np.float32)  # the last one is not reached
    edge = np.full(PARTS + 1, 2, np.float32)
    edge[(found * np.float32(PARTS)).astype(np.int32)] = found
    starts = np.arange(PARTS + 1, dtype=np.float32) / np.float32(PARTS)
    return np.searchsorted(found, starts).astype(np.uint8), edge


def new_stage(device: str = "cpu") -> Stage:
    """A stage on which any head can be rendered."""
    any_head = heads([sample_parameters(0)])  # all share faces and texture coordinates
    return Stage(reference().numpy(), any_head.faces.numpy(), any_head.uv.numpy(), device)


def frontal_series(
    identity: int, directions: tuple[tuple[float, float], ...], stage: Stage, height: int, width: int
) -> npt.NDArray[np.uint8]:
    """One neutral frontal head under each of the lights in turn, as gray pictures like cropped Extended Yale B.

    The pupils lie at `PUPILS` as in the mean of the real crops. Every picture is taken with the same exposure, and gray
    levels are proportional to light, as photometric work on the real set takes them to be.

    Args:
        identity: seed of the head.
        directions: (azimuth, elevation) in degrees.
        stage: made by `new_stage`, not used by another thread.
        height: pixels. width: pixels.

    Returns:
        (G, height, width), uint8.
    """
    head = heads([sample_parameters(identity)])
    points = head.landmarks[0].numpy()
    left, right = points[96].astype(np.float64), points[97].astype(np.float64)
    (x0, x1), row = PUPILS
    focal = (x1 - x0) * width * (YALE_DISTANCE - (left[2] + right[2]) / 2) / float(right[0] - left[0])
    unit = Camera(width, height, focal, (0.0, 0.0), YALE_DISTANCE).project((left + right) / 2).astype(np.float64)
    center = (float((x0 + x1) / 2 * width - 0.5 - unit[0]), float(row * height - 0.5 - unit[1]))
    camera = Camera(width, height, focal, center, YALE_DISTANCE)
    count = len(directions)
    towards = np.stack([direction(a, e) for a, e in directions])[:, None]
    colors = np.full((count, 1, 3), YALE_LIGHT)
    ambient = np.full((count, 3), YALE_AMBIENT)
    vertices, texture = head.vertices[0].numpy(), head.texture[0].numpy()
    shot = stage.render(vertices, texture, points, camera, towards, colors, ambient)
    gray = torch.from_numpy(shot.rgb @ SILICON).clamp(0, 1)
    noisy = photograph_light(gray, YALE_PHOTONS, YALE_READ, torch.Generator().manual_seed(identity % 2**62))
    stored: npt.NDArray[np.uint8] = (noisy * 255).round().to(torch.uint8).numpy()
    return stored
