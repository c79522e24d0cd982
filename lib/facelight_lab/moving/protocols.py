"""A figure that moves: which lights of a person are trained on and which are tested, protocol by protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import facelight_render
from facelight._extras import extra
from facelight.data.samples import LitFaces
from facelight.data.yale_lights import YALE_LIGHTS, subset_of
from facelight_lab.moving.frame import Moving, encoded, still
from facelight_lab.plot import COLORS
from facelight_lab.recognition import protocols

with extra("book"):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

PROTOCOLS = ("random", "subset 1", "held-out lights", "one image")  # P1 to P4
SIZE = (64, 56)  # of the faces
SEEDS = (0, 1, 2)
PEOPLE = 38  # as many as Extended Yale B has
COLUMNS = 8  # of the faces on their picture
KEPT = 85  # quality of the pictures
TRAINED, OTHERS, UNSEEN = 2, 1, 0  # a light is trained on with this person, with others only, with nobody


def everybody() -> LitFaces:
    """As many people as Extended Yale B has, one picture of each under each of its lights; pixels do not matter."""
    azimuth, elevation = (torch.tensor(values).float().repeat(PEOPLE) for values in zip(*YALE_LIGHTS, strict=True))
    identity = torch.arange(PEOPLE).repeat_interleave(len(YALE_LIGHTS))
    subset = torch.tensor([subset_of(*light) for light in YALE_LIGHTS]).repeat(PEOPLE)
    name = tuple(f"person {i}" for i in identity.tolist())
    image = torch.zeros((len(identity), 1, 1, 1), dtype=torch.uint8)
    return LitFaces(image, identity, azimuth, elevation, subset, name, "lights of Extended Yale B", "-")


def roles(faces: LitFaces, protocol: str, seed: int, person: int = 0) -> list[int]:
    """For each light `TRAINED`, `OTHERS` or `UNSEEN`, of one person."""
    train = torch.zeros(len(faces), dtype=torch.bool)
    train[protocols.split(faces, protocol, seed).train] = True
    by_person = train.view(PEOPLE, -1)
    return torch.where(by_person[person], TRAINED, torch.where(by_person.any(0), OTHERS, UNSEEN)).tolist()


def angles(role: list[int]) -> list[float]:
    """For each light the angle to the nearest one that is trained on with the same person, degrees."""
    a, e = torch.deg2rad(torch.tensor(YALE_LIGHTS, dtype=torch.float64)).T
    vector = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], 1)
    known = vector[torch.tensor(role) == TRAINED]
    angle = torch.rad2deg(torch.arccos((vector @ known.T).clamp(-1, 1)).amin(1))
    return [round(value, 1) for value in angle.tolist()]


def data(pictures: np.ndarray) -> dict[str, Any]:
    """What the script draws.

    Args:
        pictures: gray levels (64, H, W) of one person under each light.

    Returns:
        "protocols", "seeds", their names; "lights", azimuth and elevation of each, degrees; for each protocol and seed
        "roles", see `roles`, and "angles", of each light; "columns" and "size" of "faces", the picture of all faces.
    """
    faces = everybody()
    found = [[roles(faces, protocol, seed) for seed in SEEDS] for protocol in PROTOCOLS]
    height, width = SIZE
    tiled = pictures.reshape(-1, COLUMNS, height, width).transpose(0, 2, 1, 3).reshape(-1, COLUMNS * width)
    return {
        "protocols": [f"P{i + 1}, {name}" for i, name in enumerate(PROTOCOLS)],
        "seeds": list(SEEDS),
        "lights": [list(light) for light in YALE_LIGHTS],
        "roles": found,
        "angles": [[angles(role) for role in some] for some in found],
        "columns": COLUMNS,
        "size": list(SIZE),
        "faces": encoded(tiled, KEPT),
    }


def moving() -> Moving:
    """The figure."""
    content = data(facelight_render.lights(1, size=SIZE).image[:, 0].numpy())
    picture, size = still(_still(content))
    alt = (
        "The lights of one person for four protocols. In P1 and P3 thirteen of 64 lights are trained on, scattered; in "
        "P2 seven near the camera; in P4 the one from the front."
    )
    return Moving("protocols", "05_recognition", "Which lights train, which test", alt, content, picture, size)


def _still(content: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.3), layout="constrained", sharey=True)
    across, up = zip(*content["lights"], strict=True)
    look = {TRAINED: (COLORS["red"], 24), OTHERS: ("white", 24), UNSEEN: ("0.75", 24)}
    for place, title, some in zip(axes, content["protocols"], content["roles"], strict=True):
        colors, sizes = zip(*(look[role] for role in some[0]), strict=True)
        place.scatter(across, up, s=sizes, c=colors, edgecolors="black", linewidths=0.7)
        place.set_title(title, fontsize=8)
        place.set_xlabel("azimuth (degrees)")
    axes[0].set_ylabel("elevation (degrees)")
    return figure
