"""Facial expressions: names of the facial actions, and random mixtures of gestures. No geometry here."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from facelight_render.mesh import basis

# Chance of a gesture, and the facial actions it is made of ("mouthSmile" stands for both sides).
GESTURES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.45, {"mouthSmile": 0.9, "cheekSquint": 0.5, "eyeSquint": 0.3}),
    (0.35, {"jawOpen": 0.55}),
    (0.12, {"jawOpen": 0.45, "mouthFunnel": 0.6, "browInnerUp": 0.5}),
    (0.15, {"mouthFrown": 0.8, "browInnerUp": 0.4, "mouthShrugLower": 0.4}),
    (0.15, {"mouthPucker": 0.8}),
    (0.15, {"mouthStretch": 0.7, "mouthLowerDown": 0.5}),
    (0.12, {"mouthUpperUp": 0.7, "noseSneer": 0.7}),
    (0.10, {"cheekPuff": 0.8}),
    (0.10, {"mouthLeft": 0.6, "jawLeft": 0.3}),
    (0.10, {"mouthRight": 0.6, "jawRight": 0.3}),
    (0.25, {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.5}),
    (0.25, {"browDown": 0.8, "eyeSquint": 0.4}),
    (0.12, {"eyeBlink": 1.0}),
    (0.15, {"eyeLookUp": 0.6}),
    (0.20, {"eyeLookDown": 0.6, "eyeBlink": 0.15}),
    (0.15, {"eyeLookInLeft": 0.6, "eyeLookOutRight": 0.6}),
    (0.15, {"eyeLookOutLeft": 0.6, "eyeLookInRight": 0.6}),
)


@functools.cache
def expression_names() -> tuple[str, ...]:
    """Names of the 52 facial actions, in the order of the columns of an expression."""
    return tuple(name.removeprefix("action:") for name in basis().names if name.startswith("action:"))


def sample_expression(seed: int, strength: float) -> Tensor:
    """Coefficients of the facial actions, a pure function of its arguments.

    A few gestures (smile, open mouth, frown, blink, glance, ...) are drawn and mixed, left and right nearly alike.

    Args:
        seed: of the draw.
        strength: 0 neutral to 1 lively.

    Returns:
        (52,), float32, in [0, 1], in the order of `expression_names`.

    Raises:
        ValueError: strength outside [0, 1].

    >>> sample_expression(3, 0.0).abs().max().item()
    0.0
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected a number in [0, 1], got {strength}")
    rng = np.random.default_rng([21, seed])
    names = expression_names()
    values = np.zeros(len(names), np.float32)
    for chance, actions in GESTURES:
        drawn, amount = rng.random() < chance, rng.beta(1.4, 1.4)
        tilt = 1 + 0.15 * rng.uniform(-1, 1) * np.array([1, -1])
        if not drawn:
            continue
        for action, scale in actions.items():
            for label, factor in ((action, 1.0), (f"{action}Left", tilt[0]), (f"{action}Right", tilt[1])):
                if label in names:
                    values[names.index(label)] += strength * scale * amount * factor
    return torch.from_numpy(values.clip(0, 1))
