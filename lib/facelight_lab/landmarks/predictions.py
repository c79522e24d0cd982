"""Experiment "predictions": where networks put the points of a few rendered faces, as the light goes.

Networks that learned rendered faces are asked about rendered faces, whose points, unlike real ones', may be shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facelight import metrics
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight_lab.landmarks import landmarks, lights
from facelight_lab.landmarks.face_sets import Sets
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import RENDERED_RECIPE, Landmarks
from facelight_lab.runs import RECORDING, Experiment
from facelight_lab.stems import NORMALIZED

NAME = "predictions"
COMPARED = ("linear", "ln(1 + x)", NORMALIZED)  # the plain network, the log paper's, and `layers.light_stem`
FACES = 4
STRENGTHS = (1, 2, 3, 6, 12, 25)  # what gray levels are divided by
KINDS: dict[str, Callable[..., Tensor]] = {
    "even": lights.divided,
    "half": partial(lights.shadowed, side="left"),
    "noise": lights.noisy,
}
"""Name -> what becomes of a picture: even darkness, a half in shadow, or darkness seen with a camera's noise."""
PARTS = 1000  # points are whole numbers of thousandths of the side of the crop


def shown(faces: LandmarkFaces, count: int = FACES) -> Tensor:
    """Positions of the faces that are shown: the first ones that have none of WFLW's six attributes.

    Raises:
        ValueError: there are not as many.
    """
    plain = (~faces.attributes.any(1)).nonzero().flatten()[:count]
    if len(plain) < count:
        raise ValueError(f"faces: expected {count} without attributes, got {len(plain)}: render more")
    return plain


def asked(model: nn.Module, faces: LandmarkFaces, rows: Tensor) -> dict[str, Any]:
    """What a network says of crops of faces in every light.

    Args:
        model: from images in [0, 1] to landmarks in [0, 1].
        faces: crops.
        rows: positions of the faces whose points are told, see `shown`.

    Returns:
        For each of `KINDS` one entry for each of `STRENGTHS`, in three dictionaries: "points", for each face the
        coordinates x, y, x, y, ... in thousandths of the side of the crop; "errors", for each face its inter-ocular
        NME; "mean", that of all faces.
    """
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1])
    found: dict[str, Any] = {name: {kind: [] for kind in KINDS} for name in ("points", "errors", "mean")}
    for kind, light in KINDS.items():
        for strength in STRENGTHS:
            pred = lights.predicted(model, faces.image, partial(light, factor=strength))
            error = metrics.nme(pred, target, normalizer="inter-ocular")
            found["points"][kind].append((PARTS * pred[rows]).round().int().flatten(1).tolist())
            found["errors"][kind].append([round(value, 5) for value in error[rows].tolist()])
            found["mean"][kind].append(round(error.mean().item(), 5))
    return found


def measure(config: Landmarks, sets: Sets, place: Path | None = None, *, count: int = FACES) -> dict[str, Any]:
    """What is recorded of a run: what `asked` says of `count` faces, their `names`, and `strengths`.

    Args:
        config: what is run.
        sets: rendered faces.
        place: folder for checkpoints; None keeps none.
        count: number of faces whose points are told.
    """
    model, faces, _, trained_on = landmarks.learned(config, sets, place)
    rows = shown(faces, count)
    names = [faces.name[row] for row in rows.tolist()]
    return asked(model, faces, rows) | {"names": names, "strengths": list(STRENGTHS), "trained_on": trained_on}


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile: those of "landmarks" and "beyond" on rendered faces, of one seed."""
    if profile == "book":
        recipe = replace(RENDERED_RECIPE, epochs=2, batch=16, bf16=False)
        small = Landmarks("synthetic", size=32, network=Network(head_width=64), recipe=recipe)
        return [small]
    return [Landmarks("synthetic", variant, recipe=RENDERED_RECIPE) for variant in COMPARED]


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    few = profile not in RECORDING
    measured = partial(_measured, count=1 if few else FACES)
    return Experiment(NAME, profile, configs(profile), landmarks.load_few if few else landmarks.load, measured)


def _measured(config: Landmarks, sets: Sets, place: Path | None, count: int) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place, count=count), f"{config.part}, seed {config.seed}", len(sets)
