"""A landmark run as its settings say: the network it starts from, rendered faces first, then those of the data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from facelight import distributed, train
from facelight.data import cache, crops
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import LandmarkFaces
from facelight.layers import LogConv2d
from facelight.layers.level import LEVEL
from facelight_lab._code import code
from facelight_lab.landmarks import face_sets, regressor
from facelight_lab.landmarks.face_sets import POINTS
from facelight_lab.landmarks.settings import Landmarks, Pretraining
from facelight_lab.runs import continued


def started(config: Landmarks, checkpoint: Path | None = None) -> nn.Module:
    """The network before it sees the faces of the data set.

    Args:
        config: the run.
        checkpoint: where learning from rendered faces continues from; None keeps nothing but its result.
    """
    first = config.pretraining
    teacher = None if first is None else first.teacher
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = regressor.build(teacher or config.variant, config.network, POINTS[config.dataset])
    if first is None:
        return model
    model.load_state_dict(_pretrained(model, config, first, checkpoint))
    return model if teacher is None else handed_on(model, config, adapt=first.adapt)


def _pretrained(model: nn.Module, config: Landmarks, first: Pretraining, checkpoint: Path | None) -> dict[str, Tensor]:
    """Weights after learning rendered faces, from the cache or learned now.

    The faces are those of `facelight_render.landmarks("train", count)`; for a set of 68 points theirs are reduced to
    `LANDMARKS_68`.
    """
    alone = replace(
        config,
        variant=first.teacher or config.variant,
        recipe=first.recipe,
        pretraining=replace(first, teacher=None, adapt=False),
        dataset="w300" if POINTS[config.dataset] == 68 else "wflw",
        held_out=0.0,  # this and the next do not matter here
        part="test",
    )
    what = {"config": str(alone), "code": code(), "torch": torch.__version__, "device": config.device}

    def make() -> cache.Arrays:
        if distributed.world_size() > 1:  # the others wait for this one to finish, and this one for them
            raise ValueError(
                "pretraining: rendered faces are learned by one process: run the same command without torchrun first, "
                "at least until the second progress bar"
            )
        faces = rendered(config, first.count)
        every = torch.arange(len(faces))
        if config.network.mean_shape:
            regressor.start_at(model, crops.pixels_to_unit(faces.landmarks, config.size))
        learned, _ = trained(model, alone, faces, every, every[:0], checkpoint)
        return {name: value.cpu().numpy() for name, value in learned.state_dict().items()}

    arrays = cache.cached("landmarks", what, make).arrays
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}


def rendered(config: Landmarks, count: int) -> LandmarkFaces:
    """Crops of rendered faces with as many landmarks as the data set has."""
    import facelight_render

    faces = facelight_render.landmarks("train", count, size=face_sets.PICTURE)
    if POINTS[config.dataset] == 68:
        index = list(LANDMARKS_68)
        faces = replace(faces, landmarks=faces.landmarks[:, index], visible=faces.visible[:, index])
    return face_sets.crop(faces, config.size, config.rule)


def handed_on(teacher: nn.Module, config: Landmarks, *, adapt: bool) -> nn.Module:
    """The variant of a run with the weights of another one, of whose first layer it has the kernels.

    Raises:
        ValueError: the two have not the same weights.
    """
    with torch.random.fork_rng():
        student: Any = regressor.build(config.variant, config.network, POINTS[config.dataset])
    lost = student.load_state_dict(teacher.state_dict(), strict=False).unexpected_keys
    if lost:
        raise ValueError(f"teacher: {config.variant!r} has no place for its {', '.join(lost)}: choose another variant")
    if adapt:
        layer, conv = student.body.conv1.layer, cast(Any, teacher).body.conv1.layer
        mean_and_one = ((LEVEL,) * 3, (1.0,) * 3)
        fitted = LogConv2d.from_conv(conv, normalized=mean_and_one, epsilon=layer.epsilon.item())
        layer.load_state_dict({"weight": fitted.weight}, strict=False)
    return student


def trained(
    start: nn.Module,
    config: Landmarks,
    faces: LandmarkFaces,
    rows: Tensor,
    held: Tensor,
    checkpoint: Path | None,
    *,
    progress: bool = True,
) -> tuple[nn.Module, train.Curve]:
    """The network, trained as a run says on crops `rows` and watched on crops `held`, and the curve.

    It goes on from a checkpoint where there is one of this very run; without one there is no bar either.
    """
    where = f"{config.device}, {torch.get_num_threads()} threads"
    identity = f"{config} with the code {code()} and torch {torch.__version__} on {where}"
    initial = {name: value.clone() for name, value in start.state_dict().items()}
    model = start.to(config.device).to(memory_format=torch.channels_last)

    def attempt() -> train.Curve:
        model.load_state_dict(initial)
        return regressor.fit(
            model,
            faces,
            rows,
            held,
            loss=config.loss,
            augmentation=config.augmentation,
            light=config.light,
            scalar_lr_scale=config.scalar_lr_scale,
            recipe=config.recipe,
            seed=config.seed,
            checkpoint=checkpoint,
            identity=identity,
            progress=progress and checkpoint is not None,
        )

    return model, continued(attempt, checkpoint)
