"""Pictures of seeded noise on which fingerprints are computed: people under falling light, and faces with landmarks."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from facelight.data.samples import LandmarkFaces, LitFaces

PICTURES, PEOPLE, SIDE = 3, 6, 32


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Gray levels, uint8."""
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@functools.cache
def people_of(size: tuple[int, int], subsets: int = 1, of_each: int = 2, people: int = PEOPLE) -> LitFaces:
    """Pictures of people: the noise of the person, a fifth, and noise of its own; ever darker."""
    count = people * subsets * of_each
    place = torch.arange(count)
    identity, subset = place // (subsets * of_each), 1 + place // of_each % subsets
    mixed = noise(people, 1, *size)[identity].int() + 4 * noise(count, 1, *size, seed=1).int()
    dark = (1 + subset + place % 2).view(-1, 1, 1, 1)
    angle = 10.0 * subset
    name = tuple(f"noise {i}" for i in range(count))
    return LitFaces((2 * mixed // (5 * dark)).byte(), identity, angle, -angle, subset, name, "noise", "-")


@functools.cache
def faces_of(points: int, size: int) -> LandmarkFaces:
    """Pictures of noise with landmarks anywhere in the middle."""
    dark = torch.arange(1, PICTURES + 1).view(-1, 1, 1, 1)
    where = noise(PICTURES, points, 2, seed=1).double() / 255
    return LandmarkFaces(
        image=(noise(PICTURES, 3, size, size).int() // dark).byte(),
        landmarks=(0.2 + 0.6 * where) * size,
        visible=torch.ones(PICTURES, points, dtype=torch.bool),
        box=torch.tensor([0.0, 0.0, size, size]).repeat(PICTURES, 1),
        attributes=torch.zeros(PICTURES, 6, dtype=torch.bool),
        name=tuple(f"noise {i}" for i in range(PICTURES)),
        source="noise",
        sha256="-",
    )
