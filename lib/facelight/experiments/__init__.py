"""Experiments: one module and one frozen dataclass each; `run` measures those of a profile and returns the records."""

from __future__ import annotations

import importlib
from typing import cast

from facelight.experiments.beyond import Beyond
from facelight.experiments.detection import Detection
from facelight.experiments.embedding import Embedding
from facelight.experiments.enhancers import FAMILY, Enhancer
from facelight.experiments.landmark_runs import Landmarks
from facelight.experiments.learned import Learned
from facelight.experiments.nearest import Nearest
from facelight.experiments.networks import Network
from facelight.experiments.preprocessing import Preprocessing
from facelight.experiments.recognition import Recognition
from facelight.experiments.tone import Tone
from facelight.results import Record

__all__ = [
    "EXPERIMENTS",
    "FAMILY",
    "PROFILES",
    "Beyond",
    "Detection",
    "Embedding",
    "Enhancer",
    "Landmarks",
    "Learned",
    "Nearest",
    "Network",
    "Preprocessing",
    "Recognition",
    "Tone",
    "run",
]

EXPERIMENTS = (
    "preprocessing",
    "nearest",
    "learned",
    "detection",
    "recognition",
    "embedding",
    "landmarks",
    "beyond",
    "tone",
)
PROFILES = ("smoke", "book", "laptop", "full")


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
    from facelight import _check

    _check.one_of(experiment, EXPERIMENTS, "experiment")
    _check.one_of(profile, PROFILES, "profile")
    module = importlib.import_module(f"{__name__}.{experiment}")
    return cast(list[Record], module.run(profile))
