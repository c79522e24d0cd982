"""What colors a head: sampling of a `Look`, and painting it into a texture. Shape: `head`; fixed maps: `layers`.

Skin is painted as optical density: the logarithm of the albedo is linear in the maps of `layers`, so that blood,
pigment and make-up multiply as filters do. Hair, cloth, brows and eyes cover what lies below.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight_render.anchors import anchor_uv
from facelight_render.hair import RECESSION
from facelight_render.layers import STACK, grid, layers
from facelight_render.mesh import EYE_PATCH, HAIR_PATCH, INNER_PATCH, TEETH_PATCH

Rgb = tuple[float, float, float]
HAIR_STYLES = ("bald", "crop", "short", "tied", "bob", "long", "cap")
LOWEST_HAIR, HIGHEST_CLOTH = 0.33, 0.22  # v above and below which there is no hair or cloth
BEARDS = ("none", "stubble", "moustache", "full")

# Linear-light albedo of skin from the lightest to the darkest, at these amounts of pigment.
_PIGMENT = (0.0, 0.25, 0.5, 0.75, 1.0)
_SKIN = ((0.66, 0.45, 0.36), (0.53, 0.335, 0.25), (0.36, 0.205, 0.14), (0.19, 0.10, 0.066), (0.085, 0.047, 0.034))
_DARK_IRIS: tuple[Rgb, ...] = ((0.04, 0.02, 0.012), (0.07, 0.035, 0.018), (0.12, 0.065, 0.03))
_LIGHT_IRIS: tuple[Rgb, ...] = ((0.075, 0.085, 0.035), (0.065, 0.105, 0.16), (0.10, 0.12, 0.135))
_DARK_HAIR: tuple[Rgb, ...] = ((0.012, 0.010, 0.009), (0.022, 0.014, 0.010), (0.035, 0.021, 0.014))
_LIGHT_HAIR: tuple[Rgb, ...] = ((0.08, 0.047, 0.026), (0.16, 0.10, 0.055), (0.36, 0.25, 0.13), (0.20, 0.07, 0.03))
_GRAY: Rgb = (0.42, 0.41, 0.39)


@dataclass(frozen=True)
class Look:
    """Appearance of one identity; colors are linear-light albedos.

    Args:
        pigment: of the skin, 0 light to 1 dark.
        blush, lips, freckles, wrinkles, socket: strengths, about 0 to 1.
        brow: (darkness 0 to 1, lift, thickness as a factor of the mean, arch); lift and arch in texture units.
        iris, hair, cloth: colors.
        style: one of `HAIR_STYLES`.
        recession: of the hairline, decimeters. volume: of the hair on top and at the sides, centimeters.
        beard: one of `BEARDS`.
    """

    pigment: float
    blush: float
    lips: float
    freckles: float
    wrinkles: float
    socket: float
    brow: tuple[float, float, float, float]
    iris: Rgb
    hair: Rgb
    cloth: Rgb
    style: str
    recession: float
    volume: tuple[float, float]
    beard: str


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    return tuple(float((1 - share) * x + share * y) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _pick(rng: np.random.Generator, choices: Sequence[Rgb]) -> Rgb:
    """A color between two neighbors of a list."""
    i = int(rng.integers(len(choices)))
    return _mix(choices[i], choices[max(i - 1, 0)], float(rng.random()) * 0.6)


def sample_look(rng: np.random.Generator, gender: float, age: float, ancestry: Sequence[float]) -> Look:
    """A look that goes with gender (0 male, 1 female), age (0 young, 1 old) and shares of ancestry."""
    female = gender > 0.5
    pigment = float(np.clip(np.dot(ancestry, (0.80, 0.34, 0.16)) + rng.normal(0, 0.10), 0, 1))
    fair = ancestry[2] > 0.45 and pigment < 0.42
    color = _pick(rng, _LIGHT_HAIR if fair and rng.random() < 0.7 else _DARK_HAIR)
    gray = float(np.clip((age - 0.55) * 2.5 + rng.normal(0, 0.2), 0, 1)) if age > 0.35 else 0.0
    styles = (0.01, 0.08, 0.16, 0.2, 0.27, 0.23, 0.05) if female else (0.14, 0.26, 0.46, 0.02, 0.02, 0.03, 0.07)
    beards = (1.0, 0.0, 0.0, 0.0) if female else (0.48, 0.28, 0.08, 0.16)
    return Look(
        pigment=pigment,
        blush=float(rng.uniform(0.2, 1.0)),
        lips=float(rng.uniform(0.3, 0.9)),
        freckles=float(rng.random()) if fair and rng.random() < 0.4 else 0.0,
        wrinkles=float(np.clip(age * 1.1 + rng.normal(0, 0.1), 0.05, 1)),
        socket=float(rng.uniform(0.2, 0.8)),
        brow=(
            float(rng.uniform(0.62, 0.95)),
            float(rng.normal(0, 0.0045)),
            float(np.clip(rng.normal(0.72 if female else 1.1, 0.18), 0.45, 1.6)),
            float(rng.normal(0.002 if female else 0.0, 0.003)),
        ),
        iris=_pick(rng, _LIGHT_IRIS if fair and rng.random() < 0.65 else _DARK_IRIS),
        hair=_mix(color, _GRAY, gray),
        cloth=tuple(float(x) for x in rng.uniform(0.02, 0.5) * rng.uniform(0.65, 1.0, 3)),  # type: ignore[arg-type]
        style=str(rng.choice(HAIR_STYLES, p=styles)),
        recession=float(np.clip(abs(rng.normal(0, 0.05)) + (0 if female else 0.4 * age * rng.random()), 0, 0.5)),
        volume=(float(rng.uniform(0.9, 2.8)), float(rng.uniform(0.5, 1.5))),
        beard=str(rng.choice(BEARDS, p=beards)),
    )


def hair_coefficients(look: Look) -> dict[str, float]:
    """Coefficients of the shape basis's rows `hair:...` for a look."""
    top, sides = look.volume
    if look.style == "bald":
        return {}
    if look.style == "cap":
        return {"hair:cap": 0.8}
    if look.style in ("crop", "tied"):
        return {"hair:top": 0.35 * top, "hair:sides": 0.3 * sides}
    bare = float(np.clip(look.recession / RECESSION, 0, 1)) * top
    shape = {"hair:top": top, "hair:sides": sides, "hair:recede": bare}
    if look.style in ("bob", "long"):
        shape |= {"hair:sides": 1.2, f"hair:{look.style}": 1.0}
    return shape


def brow_edges(look: Look) -> npt.NDArray[np.float64]:
    """Texture coordinates (18, 2) of landmarks 33 to 50: the edges of the painted brows.

    The mean brow's middle line is lifted and bent, and its thickness scaled, as `look.brow` says.
    """
    _, lift, thickness, arch = look.brow
    uv = anchor_uv()[33:51].copy()
    for side in (slice(0, 9), slice(9, 18)):
        brow = uv[side]
        tip = brow[0] if side.start == 0 else brow[4]
        upper = brow[1:5] if side.start == 0 else brow[0:4][::-1]
        lower = brow[5:9][::-1] if side.start == 0 else brow[5:9]
        middle, half = (upper + lower) / 2, (upper - lower) / 2
        bend = lift + arch * np.array([1.0, 0.7, 0.0, -0.7])[:, None] * np.array([0.0, 1.0])
        bend[:, 0] = 0
        new_upper, new_lower = middle + bend + half * thickness, middle + bend - half * thickness
        tip[1] += lift - 0.5 * arch
        if side.start == 0:
            brow[1:5], brow[5:9] = new_upper, new_lower[::-1]
        else:
            brow[0:4], brow[5:9] = new_upper[::-1], new_lower
    return uv


def _skin_density(look: Look, make_up: float) -> npt.NDArray[np.float32]:
    """Coefficients (3, len(STACK)) of log albedo."""
    skin = np.array([np.interp(look.pigment, _PIGMENT, [s[c] for s in _SKIN]) for c in range(3)])
    light = 1 - 0.75 * look.pigment
    dark = np.log(np.array(look.hair) / skin).clip(max=-0.3)
    table = dict.fromkeys(STACK, np.zeros(3))
    table["even"] = np.log(skin)
    table["blush"] = -0.28 * look.blush * light * np.array([0.1, 0.75, 0.7]) - 0.3 * make_up * np.array([0, 0.5, 0.4])
    tint = look.lips * np.array([0.18, 0.75, 0.60]) * (0.55 + 0.45 * light)
    table["lips"] = -tint - 0.3 * look.pigment - make_up * np.array([0.15, 0.75, 0.6])
    table["parting"] = -np.array([0.9, 1.1, 1.1])
    table["socket"] = -look.socket * np.array([0.22, 0.28, 0.26])
    table["lashes"] = -np.array([1.5, 1.6, 1.6]) * (0.75 + 0.5 * make_up)
    table["shadow"] = -make_up * np.array([0.55, 0.65, 0.5]) - 0.12
    table["nostrils"] = -np.array([1.5, 1.8, 1.8])
    amount = {"none": 0.04, "stubble": 0.32, "moustache": 0.06, "full": 0.9}[look.beard]
    table["beard"] = amount * dark
    table["moustache"] = (0.85 * dark) if look.beard == "moustache" else np.zeros(3)
    table["wrinkles"] = -look.wrinkles * np.array([0.22, 0.30, 0.30])
    table["freckles"] = -look.freckles * np.array([0.5, 0.8, 0.95])
    table["blotch"] = np.array([0.02, 0.045, 0.045]) * (0.6 + look.wrinkles)
    table["pores"] = np.full(3, 0.018)
    return np.stack([table[name] for name in STACK], 1).astype(np.float32)


def _roll(look_seed: int, size: int) -> tuple[int, int]:
    rng = np.random.default_rng([23, look_seed])
    return int(rng.integers(size)), int(rng.integers(size))


def _flat(color: Sequence[float]) -> Tensor:
    """A color (3, 1, 1), float32 whatever PyTorch's default is."""
    return torch.tensor(color, dtype=torch.float32)[:, None, None]


def _cover(target: Tensor, color: Tensor, alpha: Tensor) -> None:
    """Blend a color over a region in place."""
    target.lerp_(color.expand_as(target), alpha.expand_as(target))


def _paint_brows(texture: Tensor, look: Look, strands: Tensor) -> None:
    size = texture.shape[-1]
    edges = brow_edges(look)
    low, high = edges.min(0) - 0.012, edges.max(0) + 0.012
    rows = slice(int((1 - high[1]) * size), int((1 - low[1]) * size) + 1)
    cols = slice(int(low[0] * size), int(high[0] * size) + 1)
    u, v = grid(size)[0][0, cols], grid(size)[1][rows, :1]
    alpha = np.zeros((len(v), len(u)))
    for brow in (edges[:9], np.concatenate([edges[9:14][::-1], edges[14:][::-1]])):
        upper, lower = brow[:5], np.concatenate([brow[5:9], brow[:1]])[::-1]
        order = 1 if upper[0, 0] < upper[-1, 0] else -1
        top = np.interp(u, upper[::order, 0], upper[::order, 1])
        bottom = np.interp(u, lower[::order, 0], lower[::order, 1])
        inside = np.minimum(top - v, v - bottom) / (0.9 / 256)
        ends = np.minimum(u - upper[:, 0].min(), upper[:, 0].max() - u) / (3.5 / 256)
        alpha += 1 / (1 + np.exp(-3.0 * np.minimum(inside, ends).clip(-8, 8)))
    hairy = 0.90 + 0.10 * strands[rows, cols].numpy().clip(-1.5, 1.0)
    cover = torch.from_numpy((alpha.clip(0, 1) * hairy * look.brow[0]).astype(np.float32))
    color = _flat(_mix(look.hair, (0.02, 0.014, 0.01), 0.6))
    _cover(texture[:3, rows, cols], color, cover)


def _paint_hair(texture: Tensor, look: Look, maps: dict[str, Tensor], strands: Tensor) -> None:
    texture = texture[:, : int(texture.shape[-1] * (1 - LOWEST_HAIR))]
    rows = texture.shape[1]
    if look.style == "cap":
        alpha = torch.sigmoid((maps["capline"][:rows] - 0.02) * 60)
        wool = _flat(look.cloth) * (1 + 0.25 * maps["knit"][:rows])
        _cover(texture[:3], wool, alpha)
        texture[3].mul_(1 - alpha)
        return
    density = {"bald": 0.12, "crop": 0.9}.get(look.style, 1.0)
    edge = maps["hairline"][:rows] - look.recession * maps["front"][:rows] + 0.03 * maps["tufts"][:rows]
    edge += 0.02 * strands[:rows]
    alpha = density * torch.sigmoid(edge * (14 if look.style in ("bald", "crop") else 30))
    _cover(texture[:3], _flat(look.hair) * (0.26 * strands[:rows]).exp(), alpha)
    texture[3].lerp_(torch.full((), 0.35, dtype=torch.float32), alpha)


def _patch(texture: Tensor, patch: Sequence[float]) -> Tensor:
    size = texture.shape[-1]
    u, v, width = patch[0], patch[1], patch[2]
    height = patch[3] if len(patch) > 3 else width
    margin = 1
    rows = slice(max(int((1 - v - height) * size) - margin, 0), min(int((1 - v) * size) + 1 + margin, size))
    cols = slice(max(int(u * size) - margin, 0), min(int((u + width) * size) + 1 + margin, size))
    return texture[:, rows, cols]


@functools.cache
def _eye_maps(size: int) -> dict[str, npt.NDArray[np.float64]]:
    """Fixed parts of the eyeball's frontal picture: sclera, rays and shading of the iris, and the discs' masks."""
    u, v = (_patch(torch.from_numpy(x)[None], EYE_PATCH)[0].numpy() for x in grid(size))
    half = EYE_PATCH[2] / 2
    x, y = (u - EYE_PATCH[0]) / half - 1, (v - EYE_PATCH[1]) / half - 1
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    red = 1 - np.array([0.05, 0.22, 0.2])[:, None, None] * (abs(x) - 0.5).clip(0, 1)
    rays = 1 + 0.18 * np.sin(23 * angle) * np.sin(9 * angle + 1)
    glow = 0.75 + 0.9 * (1 - abs(r - 0.26) / 0.2).clip(0, 1)
    return {
        "sclera": np.array([0.58, 0.54, 0.51])[:, None, None] * red * (1 - 0.35 * (r.clip(0.45, 1) - 0.45)),
        "iris": rays * glow * (1 - 0.7 * np.exp(-(((r - 0.42) / 0.05) ** 2))),
        "inside": 1 / (1 + np.exp((r - 0.43) * 28)),
        "pupil": 1 / (1 + np.exp((r - 0.17) * 28)),
    }


def _paint_eye(texture: Tensor, look: Look) -> None:
    view, maps = _patch(texture, EYE_PATCH), _eye_maps(texture.shape[-1])
    color = maps["sclera"] + (np.array(look.iris)[:, None, None] * maps["iris"] - maps["sclera"]) * maps["inside"]
    color = color + (0.008 - color) * maps["pupil"]
    view[:3] = torch.from_numpy(color.astype(np.float32))
    view[3] = 0.9


def paint(looks: Sequence[Look], make_up: Sequence[float], seeds: Sequence[int], size: int = 256) -> Tensor:
    """Textures of a batch of looks.

    Args:
        looks: B looks.
        make_up: B strengths of lipstick, blusher, eye shadow and mascara, 0 to 1.
        seeds: B seeds, which shift the noise of skin and hair.
        size: side of the square texture in texels.

    Returns:
        (B, 4, size, size), float32: linear-light albedo R, G, B and gloss, all in [0, 1].
    """
    stack, maps = layers(size)
    texture = torch.empty(len(looks), 4, size, size, dtype=torch.float32)
    for one, look, strength in zip(texture, looks, make_up, strict=True):  # one by one: same bits in every batch
        skin = one[:3].view(3, size * size)
        torch.mm(torch.from_numpy(_skin_density(look, strength)), stack, out=skin).exp_()
    texture[:, 3] = maps["sheen"]
    clothed = maps["clothed"]
    bottom = slice(int(size * (1 - HIGHEST_CLOTH)), size)
    for one, look, seed in zip(texture, looks, seeds, strict=True):
        down, right = _roll(seed, size)
        strands = maps["strands, tiled"][size - down : 2 * size - down, size - right : 2 * size - right]
        _paint_brows(one, look, maps["strands"])
        _cover(one[:3, bottom], _flat(look.cloth), clothed[bottom])
        one[3, bottom] *= 1 - clothed[bottom]
        _paint_hair(one, look, maps, strands)
        loose = _patch(one, HAIR_PATCH)
        loose[:3] = _flat(look.hair) * (0.28 * _patch(strands[None], HAIR_PATCH)).exp()
        loose[3] = 0.35
        for patch, color, gloss in ((INNER_PATCH, (0.05, 0.012, 0.012), 0.3), (TEETH_PATCH, (0.5, 0.46, 0.38), 0.6)):
            area = _patch(one, patch)
            area[:3], area[3] = _flat(color), gloss
        _paint_eye(one, look)
    return texture.clamp_(0, 1)
