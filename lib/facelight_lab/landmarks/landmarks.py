"""Experiment "landmarks": where are the points of a face, in the light of the training and in less of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facelight import distributed, train
from facelight.data import cache, crops
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import LandmarkFaces
from facelight_lab._code import code
from facelight_lab.landmarks import faces as landmark_faces
from facelight_lab.landmarks import lights as darkness
from facelight_lab.landmarks import networks as landmark_networks
from facelight_lab.landmarks.faces import FEW_RENDERED, POINTS, Sets
from facelight_lab.landmarks.runs import Landmarks, configs
from facelight_lab.runs import RECORDING, Experiment, continued

NAME = "landmarks"


def measure(
    config: Landmarks,
    sets: Sets,
    place: Path | None = None,
    *,
    lights: Mapping[str, darkness.Light] = darkness.LIGHTS,
    statistics: Sequence[str] = darkness.MAIN,
) -> dict[str, Any]:
    """What is recorded of a run: what `darkness.measure` says, the `curve` of the training, and `trained_on`.

    And, of a network that has them, `numbers`: what became of parameters of at most three numbers, such as gamma.

    Args:
        config: what is run.
        sets: the data set.
        place: folder for checkpoints; None keeps none.
        lights, statistics: see `darkness.measure`.
    """
    known = landmark_faces.crop(sets.train, config.size, config.rule)
    kept, held = landmark_faces.held_out(len(known), config.held_out, config.seed)
    if len(kept) == 0 or (config.part == "validation" and len(held) == 0):
        raise ValueError(f"held_out: {config.held_out} of {len(known)} faces leaves none on one side: choose another")
    validated = config.part == "validation"
    asked = known.select(held) if validated else landmark_faces.crop(sets.test, config.size, config.rule)
    landmark_faces.require_eyes(asked)
    model = started(config, None if place is None else place / "rendered.pt")
    if config.mean_shape and config.start != "synthetic":
        landmark_networks.start_at(model, crops.pixels_to_unit(known.landmarks[kept], config.size))
    checkpoint = None if place is None else place / "checkpoint.pt"
    model, curve = _trained(model, config, config.recipe, known, kept, held, checkpoint)
    digits = {"gamma": 9}  # as many as float32 has: it hardly moves
    rounded = {k: [float(f"{value:.{digits.get(k, 5)}g}") for value in values] for k, values in curve.items()}
    small = {n: [round(v, 6) for v in p.flatten().tolist()] for n, p in model.named_parameters() if p.numel() <= 3}
    found = darkness.measure(model, asked, lights, statistics) | {"curve": rounded, "trained_on": len(kept)}
    return found | ({"numbers": small} if small else {})


def started(config: Landmarks, checkpoint: Path | None = None) -> nn.Module:
    """The network before it sees the faces of the data set; what rendered ones taught it is kept in the cache.

    The rendered faces are those of `synthetic.landmarks("train", config.rendered)`; for a set of 68 points theirs are
    reduced to `LANDMARKS_68`.

    Args:
        config: the run.
        checkpoint: where learning from rendered faces continues from; None keeps nothing but its result.
    """
    weights = "imagenet" if config.start == "imagenet" else None
    points = POINTS[config.dataset]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = landmark_networks.build(
            config.first_stage().variant, config.backbone, points, config.head_width, config.dropout, weights
        )
    if config.start != "synthetic":
        return model
    same: dict[str, Any] = {
        "dataset": "w300" if points == 68 else "wflw",
        "held_out": 0.0,
        "part": "test",
    }  # do not matter here
    first = config.first_stage()
    alone = replace(first, **same)
    what = {"config": str(alone), "code": code(), "torch": torch.__version__, "device": config.device}

    def make() -> cache.Arrays:
        if distributed.world_size() > 1:  # the others wait for this one to finish, and this one for them
            raise ValueError(
                "start 'synthetic': rendered faces are learned by one process: run the same command without torchrun "
                "first, at least until the second progress bar"
            )
        faces = _rendered(config)
        every = torch.arange(len(faces))
        if config.mean_shape:
            landmark_networks.start_at(model, crops.pixels_to_unit(faces.landmarks, config.size))
        taught, _ = _trained(model, first, first.recipe, faces, every, every[:0], checkpoint)
        return {name: value.cpu().numpy() for name, value in taught.state_dict().items()}

    arrays = cache.cached(NAME, what, make).arrays
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    return config.second_stage(model)


def _rendered(config: Landmarks) -> LandmarkFaces:
    """Crops of rendered faces with as many landmarks as the data set has."""
    import facelight_render as synthetic

    faces = synthetic.landmarks("train", config.rendered, size=landmark_faces.PICTURE)
    if POINTS[config.dataset] == 68:
        index = list(LANDMARKS_68)
        faces = replace(faces, landmarks=faces.landmarks[:, index], visible=faces.visible[:, index])
    return landmark_faces.crop(faces, config.size, config.rule)


def _trained(
    start: nn.Module,
    config: Landmarks,
    recipe: train.Recipe,
    faces: LandmarkFaces,
    rows: Tensor,
    held: Tensor,
    checkpoint: Path | None,
) -> tuple[nn.Module, train.Curve]:
    """The network, trained on crops, and the curve; from a checkpoint where there is one of this very run."""
    whose = f"{config} with the code {code()} and torch {torch.__version__} on {_where(config)}"
    initial = {name: value.clone() for name, value in start.state_dict().items()}
    model = start.to(config.device).to(memory_format=torch.channels_last)

    def attempt() -> train.Curve:
        model.load_state_dict(initial)
        return landmark_networks.trained(
            model,
            faces,
            rows,
            held,
            loss=config.loss,
            augmentation=config.augmentation,
            darkest=config.darkest,
            light=config.light(),
            faster=config.scalars(),
            recipe=recipe,
            seed=config.seed,
            checkpoint=checkpoint,
            identity=whose,
            progress=checkpoint is not None,
        )

    return model, continued(attempt, checkpoint)


def _where(config: Landmarks) -> str:
    return f"{config.device}, {torch.get_num_threads()} threads"


def load(dataset: str) -> Sets:
    """The faces of a data set."""
    return landmark_faces.load(dataset)


def load_few(dataset: str) -> Sets:
    """A few rendered faces, for the profiles that only show that everything runs."""
    return landmark_faces.load(dataset, FEW_RENDERED)


def experiment(profile: str) -> Experiment[Landmarks, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load if profile in RECORDING else load_few, _measured)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
