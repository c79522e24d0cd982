"""Experiments by name: one module and one frozen dataclass each; `run` measures the runs of a profile."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any, cast

from facelight import _check
from facelight_lab.results import Record
from facelight_lab.runs import RECORDING, Experiment, measure_all

SUBJECTS = {
    "enhancement": ("preprocessing", "nearest", "learned"),
    "recognition": ("detection", "recognition", "embedding"),
    "landmarks": ("landmarks", "beyond", "tone", "predictions", "map", "elsewhere"),
}
EXPERIMENTS = tuple(name for names in SUBJECTS.values() for name in names)
PROFILES = ("book", "laptop", "full")


def module(experiment: str) -> ModuleType:
    """The module of an experiment, `facelight_lab.<subject>.<experiment>`.

    Raises:
        ValueError: an unknown experiment.

    >>> module("nearest").__name__
    'facelight_lab.enhancement.nearest'
    """
    _check.one_of(experiment, EXPERIMENTS, "experiment")
    (subject,) = [subject for subject, names in SUBJECTS.items() if experiment in names]
    return importlib.import_module(f"{__package__}.{subject}.{experiment}")


def named(experiment: str, profile: str) -> Experiment[Any, Any]:
    """What an experiment measures in a profile.

    Raises:
        ValueError: an unknown experiment or profile.

    >>> len(named("nearest", "book").configs)
    22
    """
    _check.one_of(profile, PROFILES, "profile")
    what = cast(Experiment[Any, Any], module(experiment).experiment(profile))
    return replace(what, fingerprint=partial(_fingerprint, experiment))


def _fingerprint(experiment: str, config: Any) -> Mapping[str, Any]:
    from facelight_lab import fingerprints  # imports the experiments, each with its libraries

    return fingerprints.of(experiment, config)


def run(
    experiment: str, profile: str = "book", *, only: Collection[str] = (), save: bool | None = None
) -> list[Record]:
    """Measure what a profile asks for, in order, and return one record a run.

    "laptop" and "full" save each record as soon as it is measured and skip what is recorded, so that an interrupted
    call continues where it stopped; "book" measures a few synthetic pictures and saves nothing.

    Args:
        experiment: "preprocessing" (what enhancers do to pictures), "nearest" (recognition without training), "learned"
            (settings of CLAHE by gradient descent and by search), "detection" (whether the face is found),
            "recognition" (methods and networks under the same protocols), "embedding" (networks that learned from
            rendered people), "landmarks" (networks that locate landmarks, in less and less light), "beyond" (other
            first layers and remedies for them, in uneven light too), "tone" (what such layers cannot tell),
            "predictions" (the points of a few rendered faces, to be shown), "map" (networks under a grid of lights,
            behind cameras, with their controls) or "elsewhere" (networks on other faces than those of 300-W).
        profile: "book", "laptop" or "full".
        only: keys of the runs that are wanted, as `facelight_lab.plan` lists them; default: all.
        save: whether records are saved; default: in "laptop" and "full". Those of the other profiles do not belong in
            the book: set FACELIGHT_RESULTS.

    Raises:
        ValueError: an unknown experiment, profile or key, or records that do not belong in the book.
        DataError: a data set that the profile needs is missing.
        OSError: records cannot be saved, or another process is measuring a run.
    """
    what = named(experiment, profile)
    if save and profile not in RECORDING and not os.environ.get("FACELIGHT_RESULTS"):
        raise ValueError(
            f"save: records of profile {profile} do not belong in the book: set FACELIGHT_RESULTS to a folder for them"
        )
    return measure_all(what, only, save)
