"""Painted parts of an in-the-wild picture: what is behind the face, and what is in front of it. No ray casting here."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

GRID = 48  # side of the picture that a background is painted at before it is enlarged
SHARPNESS = 16  # sub-pixel steps of OpenCV's polygon coordinates, 2 ** 4


def background(kind: str, seed: int, size: int) -> Floats:
    """Background in linear light with mean about 0.18 (a gray card), the same at every size.

    Args:
        kind: "gradient", "blobs", "stripes" or "noise".
        seed: what it looks like.
        size: side in pixels.

    Returns:
        (size, size, 3), float32, >= 0.

    >>> background("blobs", 1, 64).shape
    (64, 64, 3)
    """
    rng = np.random.default_rng([31, seed])
    x, y = _grid()
    turn = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    colors = 0.18 * np.exp(rng.normal(0, 0.5, (3, 1)) + rng.normal(0, 0.25, (3, 3)))[..., None, None]
    share = 0.5 + 0.35 * along
    if kind == "stripes":
        share = 0.5 + 0.5 * np.sin(along * rng.uniform(4, 14) + rng.uniform(0, 6))
    picture = colors[0] * share + colors[1] * (1 - share)  # (3, GRID, GRID)
    if kind == "blobs":
        for _ in range(rng.integers(4, 10)):
            place, radius = rng.uniform(-1, 1, 2), rng.uniform(0.1, 0.5)
            blob = 1 / (1 + np.exp((np.hypot(x - place[0], y - place[1]) - radius) * 20))
            tint = 0.18 * np.exp(rng.normal(0, 0.7) + rng.normal(0, 0.35, 3))
            picture = picture * (1 - blob) + tint[:, None, None] * blob
    if kind == "noise":
        for octave in (3, 6, 12, 24):
            field = rng.normal(0, 1, (octave, octave, 3)).mean(2) * (1.6 / np.sqrt(octave))
            picture = picture * np.exp(cv2.resize(field, (GRID, GRID), interpolation=cv2.INTER_CUBIC))
    small = cv2.merge(list(picture.astype(np.float32)))
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.maximum(large, 0, out=large)


@functools.cache
def _grid() -> tuple[npt.NDArray[np.float64], ...]:
    """Places x and y, each (GRID, GRID), in [-1, 1]."""
    return tuple(np.meshgrid(np.linspace(-1, 1, GRID), np.linspace(-1, 1, GRID)))


def occluder(kind: str, seed: int, landmarks: Floats, size: int) -> tuple[Floats, Floats]:
    """Something in front of the face, placed by its landmarks.

    Args:
        kind: "glasses", "sunglasses", "mask" (over mouth and nose), "hand" (fingers) or "box" (an edge of something).
        seed: its place and color.
        landmarks: (98, 2), pixels, WFLW order.
        size: side of the picture in pixels.

    Returns:
        Opacity (size, size) in [0, 1] and reflectance (size, size, 3) in [0, 1], linear light.

    >>> points = np.random.default_rng(0).uniform(10, 50, (98, 2)).astype(np.float32)
    >>> occluder("box", 1, points, 64)[0].shape
    (64, 64)
    """
    rng = np.random.default_rng([32, seed])
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max())
    color = np.clip(0.3 * np.exp(rng.normal(0, 0.8) + rng.normal(0, 0.4, 3)), 0.01, 0.95)
    alpha, tone = np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    if kind in ("glasses", "sunglasses"):
        _glasses(alpha, landmarks, dark=kind == "sunglasses")
        color = 0.08 * color
    if kind == "mask":
        _mask(alpha, tone, landmarks)
        color = np.clip(np.array([0.55, 0.7, 0.75]) * np.exp(rng.normal(0, 0.3, 3)), 0.02, 0.95)
    if kind == "box":
        center = low + (high - low) * rng.choice([0.0, 1.0], 2) + rng.normal(0, 0.08, 2) * side
        turn, half = rng.uniform(0, np.pi), side * rng.uniform(0.2, 0.4)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half * np.array([1.0, rng.uniform(0.5, 1.2)])
        _polygon(alpha, center + corners @ _turn(turn), 1.0)
    if kind == "hand":
        _fingers(alpha, tone, landmarks, side, rng)
        color = np.array([0.62, 0.38, 0.28]) * np.exp(rng.uniform(np.log(0.15), np.log(1.0)))
    # Nothing is lit evenly: half a stop from one side of the picture to the other.
    slope = np.linspace(-0.35, 0.35, size, dtype=np.float32) * rng.choice([-1, 1])
    tone *= np.exp(slope[None, :] + np.linspace(0.2, -0.2, size, dtype=np.float32)[:, None])
    return alpha, (tone[..., None] * color.astype(np.float32)).clip(0, 1)


def _turn(angle: float) -> npt.NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _fixed(points: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    return np.round(np.asarray(points) * SHARPNESS).astype(np.int32)


def _polygon(alpha: Floats, points: npt.NDArray[Any], value: float) -> None:
    cv2.fillPoly(alpha, [_fixed(points)], value, lineType=cv2.LINE_8, shift=4)


def _glasses(alpha: Floats, landmarks: Floats, *, dark: bool) -> None:
    """A frame around both eyes, a bridge and two temples; lenses dark or nearly clear."""
    eyes = (landmarks[60:68].mean(0), landmarks[68:76].mean(0))
    across = eyes[1] - eyes[0]
    apart = max(float(np.hypot(*across)), 1e-3)
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    thick = max(1, round(0.045 * apart))
    axes = _fixed(np.array([0.36, 0.30]) * apart)
    lens = 0.93 if dark else 0.12
    for eye in eyes:
        where = tuple(_fixed(eye).tolist())
        cv2.ellipse(alpha, where, tuple(axes.tolist()), angle, 0, 360, lens, -1, cv2.LINE_8, 4)
        cv2.ellipse(alpha, where, tuple(axes.tolist()), angle, 0, 360, 1.0, thick, cv2.LINE_8, 4)
    step = across / apart * 0.36 * apart
    for a, b in ((eyes[0] + step, eyes[1] - step), (eyes[0] - step, landmarks[0]), (eyes[1] + step, landmarks[32])):
        cv2.line(alpha, tuple(_fixed(a).tolist()), tuple(_fixed(b).tolist()), 1.0, thick, cv2.LINE_8, 4)


def _mask(alpha: Floats, tone: Floats, landmarks: Floats) -> None:
    """A medical mask from the bridge of the nose to below the chin, with three pleats."""
    chin, bridge = landmarks[16], 0.6 * landmarks[51] + 0.4 * landmarks[53]
    outline = landmarks[4:29] + 0.06 * (landmarks[4:29] - bridge)
    _polygon(alpha, np.concatenate([outline, bridge[None]]), 1.0)
    for share in (0.35, 0.55, 0.75):
        middle = bridge + share * (chin - bridge)
        edges = [landmarks[k] + share * (landmarks[m] - landmarks[k]) for k, m in ((4, 12), (28, 20))]
        pleat = _fixed(np.stack([edges[0], middle, edges[1]]))
        thick = max(1, round(0.02 * float(np.hypot(*(chin - bridge)))))
        cv2.polylines(tone, [pleat], False, 0.7, thick, cv2.LINE_8, 4)


def _fingers(alpha: Floats, tone: Floats, landmarks: Floats, side: float, rng: np.random.Generator) -> None:
    """Two to four fingers side by side that come from outside and end somewhere on the face."""
    tip = landmarks[int(rng.choice([4, 10, 16, 22, 28, 57, 79, 85, 33, 46]))]
    heading = tip - landmarks.mean(0)
    heading = heading / max(float(np.hypot(*heading)), 1e-3) @ _turn(rng.normal(0, 0.5))
    beside = heading @ _turn(np.pi / 2)
    width = side * rng.uniform(0.07, 0.11)
    for k in range(int(rng.integers(2, 5))):
        start = tip + beside * width * 1.05 * (k - 1.5) - heading * side * rng.uniform(0.05, 0.25)
        a, b = (tuple(_fixed(point).tolist()) for point in (start, start + heading * side * 2))
        cv2.line(alpha, a, b, 1.0, max(1, round(width)), cv2.LINE_8, 4)
        for share, shade in ((1.0, 0.55), (0.8, 0.8), (0.5, 1.0)):  # round: darker towards the edges
            cv2.line(tone, a, b, shade, max(1, round(share * width)), cv2.LINE_8, 4)
