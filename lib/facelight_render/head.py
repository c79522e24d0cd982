"""Identities: sampling of their parameters, and the batch of heads they make, ready to render. No rendering here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facelight_render.anchors import anchors, surface_points
from facelight_render.appearance import Look, brow_edges, hair_coefficients, paint, sample_look
from facelight_render.expression import expression_names as expression_names
from facelight_render.expression import sample_expression as sample_expression
from facelight_render.mesh import ANCESTRIES, PHENOTYPE_AXES, basis, mesh

# Standard deviation of a local change in units of MakeHuman's full target; the full target is a caricature.
DEFAULT_SPREAD = 0.3
SPREAD = {
    "head-age-decr-incr": 0.0,
    "head-angle-in-out": 0.0,
    "head-trans-in-out": 0.0,
    "head-trans-down-up": 0.0,
    "head-trans-backward-forward": 0.0,
    "nose-compression-compress-uncompress": 0.0,
    "head-scale-vert-decr-incr": 0.18,
    "forehead-scale-vert-decr-incr": 0.15,
    "eye-scale-decr-incr": 0.2,
    "nose-trans-in-out": 0.02,
    "mouth-trans-in-out": 0.02,
    "mouth-dimples-in-out": 0.1,
    "ear-shape-pointed-triangle": 0.0,
    "head-fat-decr-incr": 0.2,
    "eye-trans-in-out": 0.15,
}
# Center of the population, fitted so that the mean landmarks are those of real near-frontal faces.
CENTER = {
    "cheek-volume-decr-incr": 0.08,
    "chin-bones-decr-incr": 0.1,
    "chin-height-decr-incr": 0.23,
    "eye-corner2-down-up": 0.19,
    "eye-scale-decr-incr": 0.74,
    "eye-trans-down-up": 0.39,
    "eye-trans-in-out": 0.4,
    "head-scale-horiz-decr-incr": -0.21,
    "head-scale-vert-decr-incr": 0.09,
    "mouth-angles-down-up": 0.35,
    "mouth-lowerlip-height-decr-incr": 0.13,
    "mouth-lowerlip-middle-down-up": 0.07,
    "mouth-lowerlip-width-decr-incr": 0.14,
    "mouth-scale-horiz-decr-incr": 0.86,
    "mouth-scale-vert-decr-incr": 0.06,
    "mouth-trans-down-up": 0.17,
    "mouth-upperlip-height-decr-incr": 0.05,
    "mouth-upperlip-width-decr-incr": 0.36,
    "nose-base-down-up": 0.08,
    "nose-scale-vert-decr-incr": -0.12,
    "nose-trans-down-up": 0.08,
}
ASYMMETRY = 0.05  # of left against right, same unit


@dataclass(frozen=True)
class Heads:
    """A batch of heads ready to render.

    Args:
        vertices: (B, V, 3), float32, meters; x to the right of the picture (the subject's left), y up, z towards the
            camera; the origin is the midpoint of that head's outer eye corners.
        faces: (F, 3), int32, shared, outward winding.
        uv: (F, 3, 2), float32, in [0, 1], texture coordinates per face corner, shared; u to the right of the picture,
            v up: texel (row, col) of a T by T texture covers u in [col / T, (col + 1) / T] and v in
            [1 - (row + 1) / T, 1 - row / T].
        texture: (B, 4, T, T), float32: linear-light albedo R, G, B in [0, 1], and gloss in [0, 1] (0 matt, about 0.3
            skin, 1 wet eyeball: both strength and sharpness of the highlight).
        landmarks: (B, 98, 3), float32, meters, same frame, in WFLW's order.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor
    texture: Tensor
    landmarks: Tensor

    def __len__(self) -> int:
        return len(self.vertices)


@dataclass(frozen=True)
class HeadParameters:
    """What makes one identity.

    Args:
        seed: where the noise of skin and hair comes from.
        gender: 0 male to 1 female.
        age: 0 young adult to 1 old.
        weight: -1 thin to 1 heavy.
        ancestry: shares of MakeHuman's three ancestry targets, sum 1.
        shape: one coefficient per local change, in the order of `controls`.
        look: colors, brows, hair, beard.
        make_up: strength, 0 none to 1 strong.
    """

    seed: int
    gender: float
    age: float
    weight: float
    ancestry: tuple[float, float, float]
    shape: tuple[float, ...]
    look: Look
    make_up: float


@functools.cache
def controls() -> tuple[tuple[str, str], ...]:
    """Local changes of the face as (category, side), side being left, right or unsided."""
    found = (name.split(":")[1:] for name in basis().names if name.startswith("local:"))
    return tuple((category, side) for category, side in found)


@functools.cache
def _population() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Per local change: number of its category, center, spread, and spread of its difference between the sides."""
    names = [name for name, _ in controls()]
    category = np.unique(names, return_inverse=True)[1]
    center = np.array([CENTER.get(name, 0.0) for name in names])
    spread = np.array([SPREAD.get(name, DEFAULT_SPREAD) for name in names])
    sided = np.array([side != "unsided" for _, side in controls()])
    return category, center, spread, ASYMMETRY * (sided & (spread > 0))


def sample_parameters(seed: int) -> HeadParameters:
    """One adult identity, a pure function of `seed`.

    Args:
        seed: not negative.

    Returns:
        Parameters for `heads`.

    Raises:
        ValueError: negative seed.

    >>> sample_parameters(7) == sample_parameters(7)
    True
    """
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    rng = np.random.default_rng([20, seed])
    category, center, spread, uneven = _population()
    common = rng.normal(size=category.max() + 1).clip(-2.2, 2.2)
    shape = center + spread * common[category] + uneven * rng.normal(size=len(category)).clip(-2, 2)
    gender = float(np.clip(rng.normal(rng.integers(2), 0.15), 0, 1))
    shares = rng.dirichlet([0.6] * 3)
    ancestry = (float(shares[0]), float(shares[1]), float(shares[2]))
    age = float(rng.beta(1.2, 2.0))
    return HeadParameters(
        seed=seed,
        gender=gender,
        age=age,
        weight=float(np.clip(rng.normal(0, 0.45), -1, 1)),
        ancestry=ancestry,
        shape=tuple(shape.tolist()),
        look=sample_look(np.random.default_rng([24, seed]), gender, age, ancestry),
        make_up=float(rng.random()) if gender > 0.5 and rng.random() < 0.5 else 0.0,
    )


def _weights(identity: HeadParameters) -> npt.NDArray[np.float32]:
    """Coefficients (K,) of the basis rows."""
    table = basis()
    out = np.zeros(len(table.names), np.float32)
    genders, ages, weights = PHENOTYPE_AXES
    by_gender = dict(zip(genders, (1 - identity.gender, identity.gender), strict=True))
    by_age = dict(zip(ages, (1 - identity.age, identity.age), strict=True))
    w = identity.weight
    by_weight = dict(zip(weights, (max(-w, 0.0), 1 - abs(w), max(w, 0.0)), strict=True))
    for g, a in ((g, a) for g in genders for a in ages):
        for name in weights:
            out[table.index(f"phenotype:{g}-{a}-{name}")] = by_gender[g] * by_age[a] * by_weight[name]
        for name, share in zip(ANCESTRIES, identity.ancestry, strict=True):
            out[table.index(f"ancestry:{name}-{g}-{a}")] = by_gender[g] * by_age[a] * share
    first = table.index("local:" + ":".join(controls()[0]))
    out[first : first + len(identity.shape)] = identity.shape
    for name, value in hair_coefficients(identity.look).items():
        out[table.index(name)] = value
    return out


@functools.cache
def _constants() -> tuple[Any, Tensor, Tensor, Tensor]:
    """Basis (V * 3, K), an eighth of it not zero, base positions (V, 3), faces and texture coordinates."""
    from scipy.sparse import csr_array

    shape, rows = mesh(), basis().rows
    return (
        csr_array(rows.reshape(len(rows), -1).T),
        torch.from_numpy(shape.rest.astype(np.float32)),
        torch.from_numpy(shape.faces.astype(np.int32)),
        torch.from_numpy(shape.uv.astype(np.float32)),
    )


def _anchors(identities: Sequence[HeadParameters]) -> tuple[Tensor, Tensor]:
    """Vertices and weights, each (B, 98, 3), of the landmarks; those of the brows follow the painted brows."""
    corners, share = (np.repeat(x[None], len(identities), 0) for x in anchors())
    for i, one in enumerate(identities):
        corners[i, 33:51], share[i, 33:51] = surface_points(brow_edges(one.look))
    return torch.from_numpy(corners), torch.from_numpy(share)


def heads(identities: Sequence[HeadParameters], expressions: Tensor | None = None, *, texture_size: int = 256) -> Heads:
    """Heads of the given identities.

    Args:
        identities: B identities, from `sample_parameters`.
        expressions: (B, 52), float32, coefficients of the facial actions in the order of `expression_names`, in
            [0, 1]; none: neutral faces.
        texture_size: side of the textures in texels, at least 64.

    Returns:
        A `Heads` of B heads.

    Raises:
        ValueError: no identity, expressions of another shape or not finite, or a texture that is too small.

    >>> heads([sample_parameters(0)]).landmarks.shape
    torch.Size([1, 98, 3])
    """
    if texture_size < 64:
        raise ValueError(f"texture_size: expected at least 64 texels, got {texture_size}")
    vertices, landmarks = shapes(identities, expressions)
    looks, make_up = [one.look for one in identities], [one.make_up for one in identities]
    texture = paint(looks, make_up, [one.seed for one in identities], texture_size)
    return Heads(vertices, *_constants()[2:], texture, landmarks)


def shapes(identities: Sequence[HeadParameters], expressions: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Vertices (B, V, 3) and landmarks (B, 98, 3) as in `Heads`, without painting textures.

    Args:
        identities: B identities.
        expressions: (B, 52) or none, as for `heads`.

    Raises:
        ValueError: as for `heads`.
    """
    _check(identities, expressions)
    rows, rest, _, _ = _constants()
    weights = np.stack([_weights(one) for one in identities])
    if expressions is not None:
        first = basis().index("action:" + expression_names()[0])
        weights[:, first : first + expressions.shape[1]] = expressions.float().numpy()
    moved = np.stack([rows @ one for one in weights])  # one by one: the same bits in every batch
    vertices = torch.from_numpy(moved).view(len(identities), -1, 3) + rest
    corners, share = _anchors(identities)
    batch = torch.arange(len(identities))[:, None, None]
    landmarks = (vertices[batch, corners] * share[..., None]).sum(2)
    middle = landmarks[:, [60, 72]].mean(1, keepdim=True)
    return vertices - middle, landmarks - middle


def reference() -> Tensor:
    """Vertices (V, 3) of an average head with short hair and parted lips, for what is computed once for all heads.

    The lips are parted so that ambient occlusion found on it leaves the teeth visible.
    """
    middle = sample_parameters(0)
    shape = tuple(CENTER.get(name, 0.0) for name, _ in controls())
    look = dataclasses.replace(middle.look, style="short", recession=0.0, volume=(1.5, 0.8))
    share = 1 / 3
    average = dataclasses.replace(
        middle, gender=0.5, age=0.3, weight=0.0, ancestry=(share, share, share), shape=shape, look=look
    )
    parted = torch.zeros(1, len(expression_names()), dtype=torch.float32)
    parted[0, expression_names().index("jawOpen")] = 0.5
    return shapes([average], parted)[0][0]


def _check(identities: Sequence[HeadParameters], expressions: Tensor | None) -> None:
    if len(identities) == 0:
        raise ValueError("identities: expected at least one, got none: pass [sample_parameters(seed)]")
    wanted = (len(identities), len(expression_names()))
    if expressions is not None and tuple(expressions.shape) != wanted:
        raise ValueError(
            f"expressions: expected shape {wanted}, one row of 52 actions per identity, got "
            f"{tuple(expressions.shape)}: stack sample_expression(seed, strength) for each identity"
        )
    if expressions is not None and not bool(expressions.isfinite().all()):
        raise ValueError("expressions: contain NaN or infinity; expected coefficients in [0, 1]")
