"""Experiments: one module and one frozen dataclass each; `run` measures those of a profile and returns the records."""

from __future__ import annotations

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
    "run",
]

EXPERIMENTS = ("preprocessing", "nearest", "learned", "detection", "recognition", "embedding", "landmarks", "beyond")
PROFILES = ("smoke", "book", "laptop", "full")


def run(experiment: str, profile: str = "book") -> list[Record]:
    """Measure what a profile asks for, in order, and return one record a run.

    "laptop" and "full" save each record as soon as it is measured and skip what is recorded, so that an interrupted
    call continues where it stopped; "smoke" and "book" measure a few synthetic pictures and save nothing.

    Args:
        experiment: "preprocessing" (what enhancers do to pictures), "nearest" (recognition without training), "learned"
            (settings of CLAHE by gradient descent and by search), "detection" (whether the face is found),
            "recognition" (methods and networks under the same protocols), "embedding" (networks that learned from
            rendered people), "landmarks" (networks that locate landmarks, in less and less light) or "beyond" (other
            first layers and remedies for them, in uneven light too).
        profile: "smoke", "book", "laptop" or "full".

    Raises:
        ValueError: an unknown experiment or profile.
        DataError: a data set that the profile needs is missing.
    """
    from facelight import _check
    from facelight.experiments import (
        beyond,
        detection,
        embedding,
        landmarks,
        learned,
        nearest,
        preprocessing,
        recognition,
    )

    _check.one_of(experiment, EXPERIMENTS, "experiment")
    _check.one_of(profile, PROFILES, "profile")
    modules = (preprocessing, nearest, learned, detection, recognition, embedding, landmarks, beyond)
    return dict(zip(EXPERIMENTS, modules, strict=True))[experiment].run(profile)
