"""Whether two fingerprints of a run, see `facelight_lab.fingerprints`, are those of the same numerics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

CLOSE = 1e-6
"""Difference, relative or absolute, that two processors may have: they add up in another order, and three steps of a
network make 1e-16 larger, but float64 has digits to spare."""
LEVELS = 0.05
"""Difference of what enhancers do to a fixed picture, in gray levels; it is computed in float32."""

Numbers = Sequence[float | None]


def differences(
    recorded: Mapping[str, Numbers], today: Mapping[str, Numbers], doubt: Mapping[str, Numbers] | None = None
) -> list[str]:
    """Names of the parts in which two fingerprints differ.

    Args:
        recorded, today: the fingerprints.
        doubt: how uncertain numbers of some parts are, see `fingerprints.doubt`; a hundred times that is allowed.

    >>> differences({"steps": [1.0, 2.0]}, {"steps": [1.0, 2.1]})
    ['steps']
    >>> differences({"steps": [1.0, 2.0]}, {"steps": [1.0, 2.1]}, {"steps": [0.0, 0.01]})
    []
    """
    names = sorted({*recorded, *today})
    return [name for name in names if not _alike(name, recorded.get(name), today.get(name), (doubt or {}).get(name))]


def _alike(name: str, a: Numbers | None, b: Numbers | None, doubt: Numbers | None) -> bool:
    if a is None or b is None or len(a) != len(b):
        return False
    relative, absolute = (0.0, LEVELS) if name == "enhancer" else (CLOSE, CLOSE)
    triples = zip(a, b, doubt or [0.0] * len(a), strict=True)
    return all(
        x is y
        if x is None or y is None
        else math.isclose(x, y, rel_tol=relative, abs_tol=max(absolute, 100 * (unsure or 0.0)))
        for x, y, unsure in triples
    )
