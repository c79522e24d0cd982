"""What one in-the-wild picture shows: parameters drawn from (seed, split, index), and the WFLW flags they imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

SPLITS = ("train", "val", "test")
IDENTITIES_PER_SPLIT = 2**32

# Thresholds of the six flags, in the units of `Scene`.
POSE_YAW, POSE_PITCH, POSE_ROLL = 35.0, 25.0, 30.0
EXPRESSION_STRENGTH = 0.7
HARD_ANGLE, HARD_SHARE, EXPOSURE_STOPS, CAST = 55.0, 0.65, 1.3, 0.6
MAKE_UP_STRENGTH = 0.4
BLUR_SIGMA = 0.006

BACKGROUNDS = ("gradient", "blobs", "stripes", "noise")
OCCLUDERS = ("glasses", "sunglasses", "mask", "hand", "box")

T = TypeVar("T")


@dataclass(frozen=True)
class SceneLight:
    """A distant light.

    Args:
        azimuth: degrees, positive: from the left of the picture. elevation: degrees, positive above the horizon.
        color: R, G, B in linear light; 1 renders a white matt surface facing the light as 1.
    """

    azimuth: float
    elevation: float
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Everything that decides one picture but its size.

    Args:
        identity: seed of the head. expression: seed of the facial actions, in [0, 1] times `expression_strength`.
        yaw, pitch, roll: degrees; positive yaw turns the face to the right of the picture, pitch upwards, roll
            clockwise.
        distance: of the camera from the eyes, meters.
        fill: long side of the landmarks' box over the side of the picture.
        shift: of the box's center from the picture's center, x and y, in sides of the picture.
        lights: one or two distant lights. ambient: R, G, B in linear light, from everywhere.
        exposure: stops above a normal exposure of medium skin.
        warmth: color cast, -1 bluish to 1 reddish, of the key light.
        background: one of `BACKGROUNDS`. background_seed: what it looks like. background_level: its mean brightness
            over that of a medium gray card in the same light.
        occluder: one of `OCCLUDERS`, or "" for none. occluder_seed: its place and color.
        make_up: strength of lipstick and eye shadow, 0 to 1.
        blur: standard deviation of the Gaussian point spread, in sides of the picture.
        photons: electrons that a white pixel collects. read: standard deviation of the read noise, electrons.
        noise_seed: of the sensor noise.
    """

    identity: int
    expression: int
    expression_strength: float
    yaw: float
    pitch: float
    roll: float
    distance: float
    fill: float
    shift: tuple[float, float]
    lights: tuple[SceneLight, ...]
    ambient: tuple[float, float, float]
    exposure: float
    warmth: float
    background: str
    background_seed: int
    background_level: float
    occluder: str
    occluder_seed: int
    make_up: float
    blur: float
    photons: float
    read: float
    noise_seed: int

    def attributes(self) -> tuple[bool, bool, bool, bool, bool, bool]:
        """WFLW's flags in the order of `facelight.data.WFLW_ATTRIBUTES`, from the thresholds of this module.

        - pose: |yaw| >= 35, |pitch| >= 25 or |roll| >= 30 degrees;
        - expression: strength >= 0.7;
        - illumination: the key light comes from >= 55 degrees off the camera axis and gives >= 65 % of all light; or
          the exposure is off by >= 1.3 stops; or |warmth| >= 0.6;
        - make-up: strength >= 0.4; occlusion: there is an occluder; blur: >= 0.6 % of the picture's side.
        """
        pose = abs(self.yaw) >= POSE_YAW or abs(self.pitch) >= POSE_PITCH or abs(self.roll) >= POSE_ROLL
        key = self.lights[0]
        cosine = np.cos(np.radians(key.azimuth)) * np.cos(np.radians(key.elevation))
        total = sum(sum(light.color) for light in self.lights) + sum(self.ambient)
        hard = bool(cosine <= np.cos(np.radians(HARD_ANGLE))) and sum(key.color) >= HARD_SHARE * total
        return (
            pose,
            self.expression_strength >= EXPRESSION_STRENGTH,
            hard or abs(self.exposure) >= EXPOSURE_STOPS or abs(self.warmth) >= CAST,
            self.make_up >= MAKE_UP_STRENGTH,
            self.occluder != "",
            self.blur >= BLUR_SIGMA,
        )


def sample_scene(seed: int, split: str, index: int) -> Scene:
    """The scene of one picture, a pure function of its arguments; splits share no identity.

    The shares of the six flags are close to those of WFLW's test set (pose 13 %, expression 13 %, illumination 28 %,
    make-up 8 %, occlusion 29 %, blur 31 %).

    Args:
        seed: of the whole set, >= 0.
        split: "train", "val" or "test".
        index: of the picture, >= 0 and < 2**32.

    Returns:
        The scene.

    Raises:
        ValueError: unknown split, negative seed or index.

    >>> sample_scene(0, "train", 5) == sample_scene(0, "train", 5)
    True
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(map(repr, SPLITS))}, got {split!r}")
    if seed < 0 or not 0 <= index < IDENTITIES_PER_SPLIT:
        raise ValueError(f"seed, index: expected whole numbers >= 0 (index < 2**32), got {seed}, {index}")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    yaw, pitch, roll = _pose(rng)
    lights, ambient, warmth = _light(rng)
    odd_exposure = rng.random() < 0.07
    exposure = rng.choice([-1.0, 1.0], p=[0.75, 0.25]) * rng.uniform(1.3, 2.3) if odd_exposure else rng.normal(0, 0.35)
    lively = rng.random() < 0.31
    blurred = rng.random() < 0.30
    painted = rng.random() < 0.08
    return Scene(
        identity=identity_seed(seed, split, index),
        expression=int(rng.integers(2**31)),
        expression_strength=float(rng.uniform(0.3, 0.98) if lively else rng.uniform(0, 0.3)),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        distance=float(np.exp(rng.uniform(np.log(0.6), np.log(3.0)))),
        fill=float(rng.uniform(0.58, 0.82)),
        shift=(float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.04, 0.04))),
        lights=lights,
        ambient=ambient,
        exposure=float(exposure),
        warmth=warmth,
        background=_one(rng, BACKGROUNDS),
        background_seed=int(rng.integers(2**31)),
        background_level=float(np.exp(rng.normal(-0.3, 0.6))),
        occluder=_one(rng, OCCLUDERS) if rng.random() < 0.30 else "",
        occluder_seed=int(rng.integers(2**31)),
        make_up=float(rng.uniform(0.45, 1) if painted else 0.0),
        blur=float(rng.uniform(0.006, 0.016) if blurred else rng.uniform(0.002, 0.0045)),
        photons=float(np.exp(rng.uniform(np.log(300), np.log(10000)))),
        read=float(rng.uniform(1, 6)),
        noise_seed=int(rng.integers(2**31)),
    )


def sample_portrait(seed: int, person: int, number: int) -> Scene:
    """The scene of one of many tightly framed pictures of a person, a pure function of its arguments.

    About what CMU PIE varies: a flash from any side in front, with room lights or nearly without, or these alone;
    underexposed more often than not; a neutral face every other time, else any expression; turned by up to 28 degrees
    to the side and 18 up or down. A quarter of the people have glasses, which they wear every other time.

    Args:
        seed: of the whole set, >= 0. person, number: of the picture, >= 0 and < 2**31.
    """
    for value, name in ((seed, "seed"), (person, "person"), (number, "number")):
        if not 0 <= value < 2**31:
            raise ValueError(f"{name}: expected a whole number >= 0 and < 2**31, got {value}")
    rng = np.random.default_rng([seed, len(SPLITS), person, number])
    flash = 0.02 if rng.random() < 0.2 else 1.3
    room = float(rng.choice([0.03, 0.1, 0.4, 1.0]) * rng.uniform(0.7, 1.3))
    azimuth, elevation = float(rng.normal(0, 45)), float(np.clip(rng.normal(10, 30), -40, 80))
    wearing = person % 4 == 0 and rng.random() < 0.5
    return Scene(
        identity=identity_seed(seed, "lights", 2**31 + person),  # nobody of the set `lights`
        expression=int(rng.integers(2**31)),
        expression_strength=float(rng.uniform(0.2, 1)) if rng.random() < 0.5 else 0.0,
        yaw=float(np.clip(rng.normal(0, 12), -28, 28)),
        pitch=float(np.clip(rng.normal(0, 8), -18, 18)),
        roll=float(rng.normal(0, 2)),
        distance=float(rng.uniform(1, 3)),
        fill=float(rng.uniform(0.95, 1.12)),
        shift=(float(rng.normal(0, 0.015)), float(rng.normal(-0.02, 0.015))),
        lights=(SceneLight(azimuth, elevation, (flash, flash, flash)),),
        ambient=(room, room, room),
        exposure=float(rng.normal(-0.5, 0.6)),
        warmth=0.0,
        background=_one(rng, BACKGROUNDS),
        background_seed=int(rng.integers(2**31)),
        background_level=float(np.exp(rng.normal(-0.3, 0.6))),
        occluder="glasses" if wearing else "",
        occluder_seed=person,  # always the same ones
        make_up=0.0,
        blur=float(rng.uniform(0.006, 0.014)),
        photons=float(np.exp(rng.uniform(np.log(2000), np.log(20000)))),
        read=float(rng.uniform(1, 6)),
        noise_seed=int(rng.integers(2**31)),
    )


def identity_seed(seed: int, split: str, number: int) -> int:
    """Seed of a head, different for every set ("lights" is one more), seed and number.

    >>> identity_seed(0, "val", 0) - identity_seed(0, "train", 0) == IDENTITIES_PER_SPLIT
    True
    """
    block = ((*SPLITS, "lights").index(split)) + 4 * seed
    return block * IDENTITIES_PER_SPLIT + number


def _one(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _pose(rng: np.random.Generator) -> tuple[float, float, float]:
    if rng.random() < 0.15:  # turned away
        yaw = rng.choice([-1, 1]) * rng.uniform(25, 70)
        return float(yaw), float(rng.uniform(-22, 22)), float(rng.normal(0, 14))
    yaw, pitch, roll = rng.normal(0, 13), rng.normal(0, 8), rng.normal(0, 8)
    return float(yaw), float(pitch), float(roll)


def _light(rng: np.random.Generator) -> tuple[tuple[SceneLight, ...], tuple[float, float, float], float]:
    """Key light, perhaps a second one, ambient light, and the warmth of the key."""
    hard = rng.random() < 0.16
    warmth = float(np.clip(rng.normal(0, 0.28), -1, 1))
    if hard:
        azimuth = rng.choice([-1, 1]) * rng.uniform(50, 105)
        level, shade = 1.3, rng.uniform(0.03, 0.15)
    else:
        azimuth = rng.normal(0, 35)
        level, shade = 1.0, rng.uniform(0.25, 0.8)
    elevation = float(np.clip(rng.normal(25, 18), -20, 75))
    lights = [SceneLight(float(azimuth), elevation, _tint(level, warmth))]
    if rng.random() < 0.5:
        second = float(level * (rng.uniform(0.05, 0.2) if hard else rng.uniform(0.1, 0.6)))
        side = -np.sign(azimuth) * rng.uniform(20, 100)
        tint = float(np.clip(rng.normal(-0.5 * warmth, 0.2), -1, 1))
        lights.append(SceneLight(float(side), float(rng.uniform(-10, 50)), _tint(second, tint)))
    around = float(np.clip(rng.normal(0.3 * warmth, 0.15), -1, 1))
    return tuple(lights), _tint(float(shade), around), warmth


def _tint(level: float, warmth: float) -> tuple[float, float, float]:
    """Color of a light of mean `level`; warmth 1 is about a candle, -1 about open shade."""
    color = np.array([1 + 0.35 * warmth, 1.0, 1 - 0.45 * warmth])
    red, green, blue = (level * color / color.mean()).tolist()
    return red, green, blue
