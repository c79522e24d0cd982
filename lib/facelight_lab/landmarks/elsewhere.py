"""Experiment "elsewhere": does what networks do on 300-W hold on other faces? Nothing is tuned on any of them.

- "net7876": networks that learn and are asked about another set of real faces, with five points.
- "w300 on wflw_crops": networks that learn 300-W, asked about 200 test faces of WFLW.
- "synthetic on wflw_crops": networks that learn rendered faces only, asked about the same.

First layers, lights of training and of the test, and recipes are those of the experiments "map" and "beyond".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from facelight import metrics
from facelight._extras import extra
from facelight.data import crops
from facelight.data.landmarks import LANDMARKS_68, SHARED_68
from facelight.data.samples import LandmarkFaces
from facelight.metrics.landmarks import eye_distance
from facelight_lab.landmarks import grid, landmarks, lights
from facelight_lab.landmarks.face_sets import EYES, Sets
from facelight_lab.landmarks.map import HEADLINE, LIGHTS, SEEN, UNDER
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import FEW_SEEDS, RECIPE, RENDERED_RECIPE, Landmarks
from facelight_lab.runs import RECORDING, Experiment
from facelight_lab.stems import NORMALIZED

with extra("book"):
    import pandas as pd

NAME = "elsewhere"
WEB, REAL, RENDERED = "net7876", "w300 on wflw_crops", "synthetic on wflw_crops"
ONE_IN = 4  # of the test faces of net7876 is asked under all lights of the map: 507, about as many as 300-W has
JUDGED = {5: tuple(range(5)), 68: SHARED_68, 98: tuple(LANDMARKS_68[i] for i in SHARED_68)}
"""Number of landmarks -> those by which networks of several sets are compared: of 68 and 98 what both have."""


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile; "full" has those of "laptop"."""
    if profile == "book":
        return list(_small())
    return [*_web(), *_wild(REAL), *_wild(RENDERED)]


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces."""
    recipe = replace(RECIPE, epochs=2, batch=16, bf16=False)
    small = Landmarks("synthetic", size=32, network=Network(head_width=64), recipe=recipe)
    return small, replace(small, variant=NORMALIZED)


def _web() -> Iterable[Landmarks]:
    """The headline of the map on the second set."""
    for seed, variant, light in product(FEW_SEEDS, HEADLINE, LIGHTS):
        yield Landmarks(WEB, variant, seed, light=light, duplicates=False)


def _wild(dataset: str) -> Iterable[Landmarks]:
    """The headline without and with light and noise of training, on faces of a set that it has not learned."""
    start = Landmarks(RENDERED, recipe=RENDERED_RECIPE) if dataset == RENDERED else Landmarks(REAL, duplicates=False)
    for seed, variant, light in product(FEW_SEEDS, HEADLINE, (None, SEEN)):
        yield replace(start, variant=variant, seed=seed, light=light)


def errors(pred: Tensor, target: Tensor) -> Tensor:
    """The error of each face, (N,), by the distance of its eyes, over the landmarks `JUDGED`.

    Args:
        pred, target: all landmarks (N, K, 2), K a key of `JUDGED`.
    """
    which = list(JUDGED[target.shape[1]])
    distance = eye_distance(target, EYES[target.shape[1]])
    return metrics.nme(pred[:, which], target[:, which], normalizer="image-size", image_size=distance)


def asked(model: nn.Module, faces: LandmarkFaces) -> tuple[dict[str, list[float]], dict[str, npt.NDArray[np.float64]]]:
    """What a network says of crops of N faces under each light: `lights.scores`, and `errors` (N,)."""
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1])
    scores, found = {}, {}
    for name, light in UNDER.items():
        pred = lights.predicted(model, faces.image, light)
        scores[name], found[name] = lights.scores(pred, target), errors(pred, target).double().numpy()
    return scores, found


def measure(config: Landmarks, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """What is recorded of a run.

    "lights", for each of `UNDER` the `scores` over all landmarks; "errors", `errors` by groups of faces, see
    `grid.by_group`, a row for each light in the order of their names, as `grid.packed` writes them; "held_out", the
    last image-size NME of the faces held out; "trained_on". Of net7876 also "map", `grid.measure` of one face in
    `ONE_IN`.

    Args:
        config: what is run.
        sets: the data set.
        place: folder for checkpoints; None keeps none.
    """
    model, faces, curve, count = landmarks.learned(config, sets, place)
    scores, found = asked(model, faces)
    table = np.stack([grid.by_group(found[name]) for name in sorted(found)])
    told: dict[str, Any] = {
        "scores": lights.score_names(faces.landmarks.shape[1]),
        "lights": scores,
        "errors": grid.packed(table),
        "held_out": round(curve["validation"][-1], 5),
        "trained_on": count,
    }
    if config.dataset == WEB:
        told["map"] = grid.measure(model, faces[::ONE_IN])
    return told


def by_light(metrics: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Light -> the errors (groups,) that `measure` has written into the metrics of a record."""
    return dict(zip(sorted(metrics["lights"]), grid.unpacked(metrics["errors"], grid.GROUPS), strict=True))


def by_seed(runs: pd.DataFrame, lights: Sequence[str]) -> pd.DataFrame:
    """The mean of `errors` over lights, a row a seed and a column a group of faces: what `versus_faces` takes.

    Args:
        runs: of one kind, rows of `frames.recorded`.
        lights: of `UNDER`.

    Raises:
        ValueError: two runs of one seed.
    """
    if runs["seed"].duplicated().any():
        raise ValueError("runs: several of one seed: choose one kind of run")
    found = [by_light(metrics) for metrics in runs["metrics"]]
    return pd.DataFrame([np.mean([one[name] for name in lights], 0) for one in found], index=list(runs["seed"]))


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    load = landmarks.load if profile in RECORDING else _load_few
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _load_few(dataset: str) -> Sets:
    """As few rendered faces as there are groups of them."""
    return landmarks.load_few(dataset, grid.GROUPS)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
