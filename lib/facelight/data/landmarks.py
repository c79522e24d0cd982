"""Landmark schemes: WFLW's 98 points, 300-W's 68, how they map to each other, their mirror images and mean shapes.

And the five of `net7876`: eyes, tip of the nose, corners of the mouth, left of the picture first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


def _permutation(count: int, pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    order = list(range(count))
    for a, b in pairs:
        order[a], order[b] = b, a
    return tuple(order)


REGIONS_98 = {
    "contour": tuple(range(33)),
    "brows": tuple(range(33, 51)),
    "nose": tuple(range(51, 60)),
    "eyes": tuple(range(60, 76)),
    "lips": tuple(range(76, 96)),
    "pupils": (96, 97),
}
"""Regions of the 98-point scheme: landmark numbers by name."""

REGIONS_68 = {
    "contour": tuple(range(17)),
    "brows": tuple(range(17, 27)),
    "nose": tuple(range(27, 36)),
    "eyes": tuple(range(36, 48)),
    "lips": tuple(range(48, 68)),
}
"""The same of the 68 points of 300-W."""
SCHEMES = {"wflw98": REGIONS_98, "w300_68": REGIONS_68}

FLIP_98 = _permutation(
    98,
    (
        *((i, 32 - i) for i in range(16)),
        *((33 + i, 46 - i) for i in range(5)),
        *((38 + i, 50 - i) for i in range(4)),
        *((55 + i, 59 - i) for i in range(2)),
        *((60 + i, 72 - i) for i in range(5)),
        *((65 + i, 75 - i) for i in range(3)),
        *((76 + i, 82 - i) for i in range(3)),
        *((83 + i, 87 - i) for i in range(2)),
        *((88 + i, 92 - i) for i in range(2)),
        (93, 95),
        (96, 97),
    ),
)
"""`mirrored[i] = flipped[FLIP_98[i]]`: order of the 98 points after the picture is mirrored left to right."""

FLIP_68 = _permutation(
    68,
    (
        *((i, 16 - i) for i in range(8)),
        *((17 + i, 26 - i) for i in range(5)),
        *((31 + i, 35 - i) for i in range(2)),
        *((36 + i, 45 - i) for i in range(4)),
        *((40 + i, 47 - i) for i in range(2)),
        *((48 + i, 54 - i) for i in range(3)),
        *((55 + i, 59 - i) for i in range(2)),
        *((60 + i, 64 - i) for i in range(2)),
        (65, 67),
    ),
)
"""The same for the 68 points of 300-W."""

FLIP_5 = _permutation(5, ((0, 1), (3, 4)))
"""The same for five points."""

LANDMARKS_68 = (
    *range(0, 33, 2),
    *range(33, 38),
    *range(42, 47),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),
)
"""Numbers of the 98 points that stand for the 68 points of 300-W, in its order.

Exact in meaning for `SHARED_68`. Approximate for the contour (every second of WFLW's points; 300-W's 17 are spaced a
little differently near the ears), the brows (WFLW marks both edges; its upper row is taken, 300-W's annotators followed
the brow's middle to upper edge), the lids (WFLW has three points on each, 300-W two: the outer two are taken, which lie
nearer to the corners than 300-W's) and the lips between corners and middle, where WFLW's points lie further outside.
"""

SHARED_68 = (*range(27, 36), 36, 39, 42, 45, 48, *range(50, 53), 54, 57, 60, 62, 64, 66)
"""Numbers of the 23 of 300-W's points that WFLW has, too: nose; corners of the eyes; corners, bow and middle of lips.

In WFLW they are `LANDMARKS_68[i]`. What defines them is the face. The others divide a line between them, and the sets
divide it differently: from side to side the mean shapes differ by up to 0.07 of the distance of the eyes there, and by
less than 0.02 in the shared ones. The authors of WFLW know of no exact correspondence of all 68
(github.com/wywu/LAB/issues/17); Jin, Liao, Shao (2021), arXiv:2003.03771, take the same numbers, but for the brows.
"""


def point_names(scheme: str) -> tuple[str, ...]:
    """Names of the landmarks of a scheme, "wflw98" or "w300_68": region, and number within it from 0.

    >>> point_names("w300_68")[36]
    'eyes 0'
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: expected 'wflw98' or 'w300_68', got {scheme!r}")
    return tuple(f"{region} {i}" for region, numbers in SCHEMES[scheme].items() for i in range(len(numbers)))


def mean_shape(scheme: str = "wflw98") -> npt.NDArray[np.float64]:
    """Mean shape of real near-frontal faces, y down.

    The unit is the distance of the outer eye corners, the origin their midpoint.

    Args:
        scheme: "wflw98" (98 points) or "w300_68" (68 points).

    Returns:
        (98, 2) or (68, 2).

    Raises:
        ValueError: for another scheme.

    >>> mean_shape()[[60, 72], 0].round(2).tolist()
    [-0.5, 0.5]
    """
    point_names(scheme)  # refuses another one
    return np.loadtxt(Path(__file__).with_name(f"mean_shape_{scheme}.csv"), delimiter=",", comments="#")
