"""Fixed maps over the texture: where lips, lids, beard and hair lie, and noise. No identity here."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight_render.anchors import anchor_uv
from facelight_render.hair import CAP_LINE, HAIRLINE, above_line, in_front
from facelight_render.mesh import roll_up

Array = npt.NDArray[np.float64]

SUPERSAMPLING = 4
NECKLINE = 6.05  # height of the clothes' edge, decimeters
STACK = (
    "even", "blush", "lips", "parting", "socket", "lashes", "shadow", "nostrils", "beard", "moustache", "wrinkles",
    "freckles", "blotch", "pores",
)  # fmt: skip


@functools.cache
def grid(size: int) -> tuple[Array, Array]:
    """Texture coordinates u, v, each (size, size), of the texels' centers."""
    steps = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(steps, 1 - steps)
    return u, v


def _blur(x: Array, *sigma: float) -> Array:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(x, sigma if len(sigma) > 1 else sigma[0], mode="wrap"))


def _polygon(points: Array, size: int, softness: float) -> Array:
    """Soft mask of a closed polygon given in texture coordinates; softness in texels of a 256 texture."""
    import cv2

    big = size * SUPERSAMPLING
    mask = np.zeros((big, big), np.uint8)
    corners = np.stack([points[:, 0], 1 - points[:, 1]], 1) * big - 0.5
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, shift=4)
    small = mask.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING).mean((1, 3)) / 255
    return _blur(small, softness * size / 256)


def _line(points: Array, size: int, width: float, softness: float) -> Array:
    """Soft mask of an open line; width and softness in texels of a 256 texture."""
    import cv2

    big = size * SUPERSAMPLING
    mask = np.zeros((big, big), np.uint8)
    corners = np.stack([points[:, 0], 1 - points[:, 1]], 1) * big - 0.5
    thick = max(1, round(width * big / 256))
    cv2.polylines(mask, [np.round(corners * 16).astype(np.int32)], False, 255, thick, shift=4)
    small = mask.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING).mean((1, 3)) / 255
    return _blur(small, softness * size / 256)


def _spot(size: int, at: Array, radius_u: float, radius_v: float) -> Array:
    u, v = grid(size)
    return np.exp(-(((u - at[0]) / radius_u) ** 2) - ((v - at[1]) / radius_v) ** 2)


def _noise(size: int, seed: int, *sigma: float) -> Array:
    raw = np.random.default_rng([22, seed]).normal(size=(256, 256))
    soft = _blur(raw, *sigma)
    soft /= soft.std()
    index = (np.arange(size) * 256) // size
    return soft[index][:, index]


def smooth_curve(points: Array, closed: bool, count: int = 8) -> Array:
    """A Catmull-Rom spline through points (N, 2), `count` points per piece."""
    padded = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    )
    t = (np.arange(count) / count)[:, None, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i][None] for i in range(4))
    piece = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    path = piece.transpose(1, 0, 2).reshape(-1, 2)
    return path if closed else np.concatenate([path, points[-1:]])


def _eyes(uv: Array, size: int) -> dict[str, Array]:
    lashes, shadow, socket = (np.zeros((size, size)) for _ in range(3))
    for first, brow in ((60, slice(38, 42)), (68, slice(47, 51))):
        ring = uv[first : first + 8]
        upper, lower = smooth_curve(ring[:5], False), smooth_curve(ring[[4, 5, 6, 7, 0]], False)
        lift = np.array([0.0, 0.006])
        lashes += 1.0 * _line(upper + lift / 3, size, 1.6, 0.5) + 0.4 * _line(lower, size, 1.0, 0.6)
        lashes += 0.9 * _polygon(smooth_curve(ring, True), size, 0.3)
        crease = upper + lift * 3
        lashes += 0.15 * _line(crease[4:-4], size, 1.0, 0.8)
        middle, top = ring.mean(0), uv[brow].mean(0)
        reach = abs(ring[0, 0] - ring[4, 0])
        shadow += _spot(size, (middle + (top - middle) * 0.4), 0.65 * reach, 0.4 * (top - middle)[1])
        socket += _spot(size, middle - [0, 0.028], 0.6 * reach, 0.022)
        socket += 0.7 * _spot(size, ring[4 if first == 60 else 0] + [0, 0.012], 0.02, 0.03)
    return {"lashes": lashes.clip(0, 1.2), "shadow": shadow, "socket": socket}


def _mouth(uv: Array, size: int) -> dict[str, Array]:
    outer = np.concatenate([smooth_curve(uv[76:83], False), smooth_curve(uv[[82, 83, 84, 85, 86, 87, 76]], False)])
    inner = (uv[[88, 89, 90, 91, 92]] + uv[[88, 95, 94, 93, 92]]) / 2
    parting = smooth_curve(np.concatenate([uv[76:77], inner[1:4], uv[82:83]]), False)
    below = uv[85] - [0, 0.012]
    return {
        "lips": _polygon(outer, size, 0.6),
        "parting": _line(parting, size, 1.0, 0.6) + 0.18 * _spot(size, below, 0.03, 0.008),
    }


def _beard(uv: Array, size: int, lips: Array) -> dict[str, Array]:
    """Stubble area below a line from the sideburn to the nose, and the moustache alone."""
    u, v = grid(size)
    x = abs(u - 0.5)
    side, mouth, nose = uv[29], uv[82], uv[57]
    xs = (0.0, abs(mouth[0] - 0.5) * 0.8, abs(mouth[0] - 0.5) * 1.35, side[0] - 0.535, side[0] - 0.505, side[0] - 0.49)
    top = np.interp(x, xs, (nose[1] - 0.012, nose[1] - 0.018, mouth[1] + 0.006, mouth[1] + 0.09, 0.66, 0.67))
    low = np.interp(x, (0, 0.25, 0.33), (uv[16, 1] - 0.02, uv[16, 1] + 0.02, uv[26, 1]))
    soft = 0.012
    area = 1 / (1 + np.exp(-(top - v) / soft * 2)) / (1 + np.exp(-(v - low) / soft * 2))
    area *= 1 / (1 + np.exp((x - (side[0] - 0.487)) / soft * 3))
    bare = np.maximum(lips, 0.8 * _spot(size, uv[85] - [0.028, 0.018], 0.016, 0.02))
    bare = np.maximum(bare, 0.8 * _spot(size, uv[85] - [-0.028, 0.018], 0.016, 0.02))
    area = area * (1 - bare.clip(0, 1))
    lip = area / (1 + np.exp(-(v - mouth[1] + 0.004) / 0.006)) / (1 + np.exp((x - abs(mouth[0] - 0.5) * 1.15) / 0.006))
    return {"beard": area, "moustache": lip}


def _wrinkles(uv: Array, size: int) -> Array:
    out = np.zeros((size, size))
    for nose, corner, sign in ((55, 76, -1), (59, 82, 1)):
        start, end = uv[nose], uv[corner]
        offsets = np.array([[0.014, 0.02], [0.034, -0.012], [0.026, 0.012], [0.03, -0.02]]) * [sign, 1]
        fold = np.stack([start, start, end, end]) + offsets
        out += 0.9 * _line(smooth_curve(fold, False), size, 1.0, 1.4)
    for level in (0.022, 0.042, 0.062):
        x = np.linspace(-0.12, 0.12, 25)
        y = uv[[35, 44]].mean(0)[1] + level - 0.5 * x**2 + 0.002 * np.sin(60 * x + 300 * level)
        out += 0.6 * _line(np.stack([0.5 + x, y], 1), size, 0.7, 1.0)
    for eye, sign in ((60, -1), (72, 1)):
        for tilt in (-0.012, 0.0, 0.012):
            ray = uv[eye] + np.array([[0.008 * sign, tilt * 0.4], [0.032 * sign, tilt * 1.6]])
            out += 0.5 * _line(ray, size, 0.6, 0.8)
    return out


@functools.cache
def layers(size: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The stack (len(STACK), size * size) of density maps, and further maps (size, size) by name."""
    uv = anchor_uv()
    maps = {"even": np.ones((size, size)), **_eyes(uv, size), **_mouth(uv, size)}
    maps |= _beard(uv, size, maps["lips"])
    maps["wrinkles"] = _wrinkles(uv, size)
    cheeks = [_spot(size, uv[[a, b]].mean(0), 0.06, 0.05) for a, b in ((66, 76), (74, 82))]
    maps["blush"] = cheeks[0] + cheeks[1] + 0.8 * _spot(size, uv[54], 0.03, 0.035)
    maps["blush"] += 0.4 * _spot(size, uv[16], 0.04, 0.03)
    nostrils = (uv[[a, b]].mean(0) for a, b in ((55, 56), (58, 59)))
    maps["nostrils"] = np.sum([_spot(size, at + np.array([0, 0.004]), 0.008, 0.006) for at in nostrils], axis=0)
    dots = 0.45 * (_noise(size, 1, 0.7) - 1.4).clip(0, 1.2)
    maps["freckles"] = dots * (cheeks[0] + cheeks[1] + _spot(size, uv[53], 0.1, 0.04)).clip(0, 1)
    maps["blotch"], maps["pores"] = _noise(size, 2, 11.0), _noise(size, 3, 0.8)
    points = roll_up(*grid(size))
    extra = {
        "hairline": above_line(points, HAIRLINE),
        "capline": above_line(points, CAP_LINE),
        "front": in_front(points),
        "clothed": (grid(size)[1] > 0.15) / (1 + np.exp(110 * (points[..., 1] - NECKLINE))),
        "strands": _noise(size, 4, 14.0, 0.7),
        "tufts": _noise(size, 5, 3.0, 3.0),
        "knit": np.sin(2 * np.pi * 48 * grid(size)[0]) * 0.5,
    }
    stack = np.stack([maps[name].ravel() for name in STACK])
    others = {name: torch.from_numpy(np.ascontiguousarray(x, np.float32)) for name, x in extra.items()}
    densities = torch.from_numpy(stack).float()
    lips, beard = (densities[STACK.index(name)].view(size, size) for name in ("lips", "beard"))
    others["sheen"] = 0.28 + 0.07 * lips - 0.06 * beard
    others["strands, tiled"] = others["strands"].repeat(2, 2)
    return densities, others
