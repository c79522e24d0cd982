"""Experiments by name: one module and one frozen dataclass each; `run` measures the runs of a profile."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import cast

from facelight import _check
from facelight_lab.results import Record

SUBJECTS = {
    "enhancement": ("preprocessing", "nearest", "learned"),
    "recognition": ("detection", "recognition", "embedding"),
    "landmarks": ("landmarks", "beyond", "tone"),
}
EXPERIMENTS = tuple(name for names in SUBJECTS.values() for name in names)
PROFILES = ("smoke", "book", "laptop", "full")


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


def run(experiment: str, profile: str = "book") -> list[Record]:
    """Measure what a profile asks for, in order, and return one record a run.

    "laptop" and "full" save each record as soon as it is measured and skip what is recorded, so that an interrupted
    call continues where it stopped; "smoke" and "book" measure a few synthetic pictures and save nothing.

    Args:
        experiment: "preprocessing" (what enhancers do to pictures), "nearest" (recognition without training), "learned"
            (settings of CLAHE by gradient descent and by search), "detection" (whether the face is found),
            "recognition" (methods and networks under the same protocols), "embedding" (networks that learned from
            rendered people), "landmarks" (networks that locate landmarks, in less and less light), "beyond" (other
            first layers and remedies for them, in uneven light too) or "tone" (what such layers cannot tell).
        profile: "smoke", "book", "laptop" or "full".

    Raises:
        ValueError: an unknown experiment or profile.
        DataError: a data set that the profile needs is missing.
    """
    _check.one_of(profile, PROFILES, "profile")
    return cast(list[Record], module(experiment).run(profile))
