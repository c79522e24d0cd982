"""What is counted of pictures that were named: right and wrong in each group, and under which light."""

from __future__ import annotations

import collections
from typing import Any

from torch import Tensor

from facelight.data import ar
from facelight.data.pie import PieFaces
from facelight.data.samples import LitFaces
from facelight_lab.recognition import protocols


def rate(found: dict[str, Any]) -> float:
    """Share of all pictures that were recognized, from what `measure` counted for a method."""
    return sum(found["right"].values()) / sum(found["count"].values())


def rate_of_groups(found: dict[str, Any]) -> float:
    """Unweighted mean of the rates of the groups."""
    return sum(found["right"][g] / found["count"][g] for g in found["count"]) / len(found["count"])


def counted(asked: LitFaces, pred: Tensor, *, by_light: bool) -> dict[str, Any]:
    """Pictures right and tested in each group, the most frequent mistakes and, `by_light`, where they were made."""
    right, group = pred == asked.identity, protocols.groups(asked)
    wrong = collections.Counter(light for light, ok in zip(lights(asked), right.tolist(), strict=True) if not ok)
    pairs = zip(asked.identity[~right].tolist(), pred[~right].tolist(), strict=True)
    found: dict[str, Any] = {
        "right": {str(int(g)): int(right[group == g].sum()) for g in group.unique()},
        "count": {str(int(g)): int((group == g).sum()) for g in group.unique()},
        "confused": {f"{a} for {b}": n for (b, a), n in collections.Counter(pairs).most_common(5)},
    }
    return found | {"wrong": dict(sorted(wrong.items()))} if by_light else found


def lights(faces: LitFaces) -> list[str]:
    """The light of each picture: "+035-20", azimuth and elevation in degrees; of CMU PIE session and flash.

    Of AR session and side, "2 left".
    """
    if isinstance(faces, PieFaces):
        return [f"{session} {flash:02d}" for session, flash in zip(faces.session, faces.flash.tolist(), strict=True)]
    if isinstance(faces, ar.ArFaces):
        pairs = zip(faces.session.tolist(), faces.subset.tolist(), strict=True)
        return [f"{session} {ar.LIGHTS[subset - 1]}" for session, subset in pairs]
    return [f"{a:+04.0f}{e:+03.0f}" for a, e in zip(faces.azimuth.tolist(), faces.elevation.tolist(), strict=True)]
