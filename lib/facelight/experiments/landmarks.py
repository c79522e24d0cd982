"""Experiment "landmarks": where are the points of a face, in the light of the training and in less of it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facelight import _check, distributed, models, train
from facelight.augment import Augmentation
from facelight.data import cache, crops
from facelight.data.crops import BoxRule
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import LandmarkFaces
from facelight.experiments import darkness, landmark_faces, landmark_networks
from facelight.experiments._runs import RECORDING, continued, measure_all
from facelight.experiments.landmark_faces import DATASETS, FEW_RENDERED, POINTS, Sets
from facelight.experiments.landmark_networks import VARIANTS, Wing
from facelight.experiments.recognition import code
from facelight.results import Record

NAME = "landmarks"
STARTS = ("random", "imagenet", "synthetic")
PARTS = ("test", "validation")
SEEDS = (0, 1, 2, 3, 4, 5)
FEW_SEEDS = SEEDS[:3]
MAIN = ("linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "divided by mean")
RECIPE = train.Recipe(epochs=40, batch=32, learning_rate=2e-3, weight_decay=0.05, warmup=0.1)
STATED = train.Recipe(epochs=15, batch=64, optimizer="sgd", learning_rate=1e-4, schedule="constant")  # by the paper
ON_UNIT = Wing(unit="crop")  # the paper's coordinates
AS_MANY_STEPS = 55  # epochs of the 1,811 faces of 300-W: as many steps as 15 epochs of 6,750 faces of WFLW


@dataclass(frozen=True)
class Landmarks:
    """Train a network to locate landmarks, then test it under many lights.

    Variants of one seed start from the same weights, where they have them in common, and see the same batches with the
    same augmentation.

    Args:
        dataset: "w300", "synthetic" or "wflw", see `landmark_faces.load`.
        variant: a key of `landmark_networks.VARIANTS`.
        seed: of the faces held out, of weights, batches, augmentation and dropout.
        size: side of the crops in pixels.
        rule: which square is cut out.
        backbone: of `models.RESNETS`.
        start: "random" weights; "imagenet"; or "synthetic", after learning rendered faces.
        rendered: number of rendered faces of start "synthetic", else 0.
        first: recipe for them; None: `recipe`.
        recipe: how to train.
        loss: what is minimised.
        augmentation: of training faces, rendered and real; None: none.
        darkest: training pictures are divided by up to this number, see `landmark_networks.feeder`; 1: not.
        head_width, dropout: see `models.landmark_regressor`.
        mean_shape: start at the mean of the training landmarks, see `landmark_networks.start_at`.
        held_out: share of the training faces that is not trained on but watched, the same for all variants.
        part: "test"; or "validation", the faces held out, to choose by.
    """

    dataset: str = "w300"
    variant: str = "linear"
    seed: int = 0
    size: int = 64
    rule: BoxRule = field(default_factory=BoxRule)
    backbone: str = "resnet18"
    start: str = "random"
    rendered: int = 0
    first: train.Recipe | None = None
    recipe: train.Recipe = RECIPE
    loss: Wing = field(default_factory=Wing)
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    darkest: float = 1.0
    head_width: int = 512
    dropout: float = 0.0
    mean_shape: bool = True
    held_out: float = 0.1
    part: str = "test"

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.variant, tuple(VARIANTS), "variant")
        _check.one_of(self.backbone, models.RESNETS, "backbone")
        _check.one_of(self.start, STARTS, "start")
        _check.one_of(self.part, PARTS, "part")
        if not isinstance(self.size, int) or self.size < 32:
            raise ValueError(f"size: expected a whole number of pixels >= 32, got {self.size!r}")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out: expected a share in [0, 1), got {self.held_out}")
        if self.darkest < 1:
            raise ValueError(f"darkest: expected a number to divide by, at least 1, got {self.darkest}")
        if self.part == "validation" and self.held_out == 0:
            raise ValueError("part 'validation': no face is held out: choose held_out > 0, such as 0.1")
        if (self.start == "synthetic") != (self.rendered > 0):
            raise ValueError(
                f"rendered: expected a number of faces with start 'synthetic' and 0 otherwise, got {self.rendered} "
                f"with start {self.start!r}"
            )
        if self.first is not None and self.start != "synthetic":
            raise ValueError("first: a recipe for rendered faces needs start 'synthetic'")
        if self.start == "synthetic" and self.dataset == "synthetic":
            raise ValueError("start 'synthetic': the data set is that already: choose start 'random'")

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return train.best_device()


def measure(config: Landmarks, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """What is recorded of a run: what `darkness.measure` says, the `curve` of the training, and `trained_on`.

    Args:
        config: what is run.
        sets: the data set.
        place: folder for checkpoints; None keeps none.
    """
    known = landmark_faces.crop(sets.train, config.size, config.rule)
    kept, held = landmark_faces.held_out(len(known), config.held_out, config.seed)
    if len(kept) == 0 or (config.part == "validation" and len(held) == 0):
        raise ValueError(f"held_out: {config.held_out} of {len(known)} faces leaves none on one side: choose another")
    validated = config.part == "validation"
    asked = known.select(held) if validated else landmark_faces.crop(sets.test, config.size, config.rule)
    model = started(config, None if place is None else place / "rendered.pt")
    if config.mean_shape and config.start != "synthetic":
        landmark_networks.start_at(model, crops.pixels_to_unit(known.landmarks[kept], config.size))
    checkpoint = None if place is None else place / "checkpoint.pt"
    model, curve = _trained(model, config, config.recipe, known, kept, held, checkpoint)
    digits = {"gamma": 9}  # as many as float32 has: it hardly moves
    rounded = {k: [float(f"{value:.{digits.get(k, 5)}g}") for value in values] for k, values in curve.items()}
    return darkness.measure(model, asked) | {"curve": rounded, "trained_on": len(kept)}


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
            config.variant, config.backbone, points, config.head_width, config.dropout, weights
        )
    if config.start != "synthetic":
        return model
    same: dict[str, Any] = {
        "dataset": "w300" if points == 68 else "wflw",
        "held_out": 0.0,
        "part": "test",
    }  # do not matter here
    alone = replace(config, recipe=_first(config), first=None, **same)
    what = {"config": str(alone), "code": code(), "where": _where(config)}

    def make() -> cache.Arrays:
        if distributed.place()[1] > 1:  # the others wait for this one to finish, and this one for them
            raise ValueError("start 'synthetic': is learned by one process: run this once without torchrun first")
        faces = _rendered(config)
        every = torch.arange(len(faces))
        if config.mean_shape:
            landmark_networks.start_at(model, crops.pixels_to_unit(faces.landmarks, config.size))
        taught, _ = _trained(model, config, _first(config), faces, every, every[:0], checkpoint)
        return {name: value.cpu().numpy() for name, value in taught.state_dict().items()}

    arrays = cache.cached(NAME, what, make).arrays
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    return model


def _first(config: Landmarks) -> train.Recipe:
    return config.recipe if config.first is None else config.first


def _rendered(config: Landmarks) -> LandmarkFaces:
    """Crops of rendered faces with as many landmarks as the data set has."""
    from facelight.data import synthetic

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
            recipe=recipe,
            seed=config.seed,
            checkpoint=checkpoint,
            identity=whose,
            progress=checkpoint is not None,
        )

    return model, continued(attempt, checkpoint)


def _where(config: Landmarks) -> str:
    return f"{config.device}, {torch.get_num_threads()} threads"


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile."""
    if profile in ("smoke", "book"):
        return list(_small())
    if profile == "full":
        return list(_paper())
    return [*_main(), *_rendered_faces(), *_readings(), *_long()]


AS_STATED = Landmarks(loss=ON_UNIT, augmentation=None, mean_shape=False, dropout=0.5, recipe=STATED)


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces."""
    small = Landmarks("synthetic", size=32, recipe=train.Recipe(epochs=2, batch=16, bf16=False), head_width=64)
    return small, replace(small, variant="ln(1 + x)")


def _main() -> Iterable[Landmarks]:
    """The comparison: the same recipe for all variants, on real faces."""
    for seed, variant in product(SEEDS, MAIN):
        yield Landmarks("w300", variant, seed)


def _rendered_faces() -> Iterable[Landmarks]:
    """98 points of rendered faces; and 68 of real ones after learning from rendered ones."""
    count = landmark_faces.RENDERED[0]
    shorter = replace(RECIPE, epochs=15)  # the faces are about twice as many
    for seed, variant in product(FEW_SEEDS, MAIN):
        yield Landmarks("synthetic", variant, seed, recipe=shorter)
    for seed, variant in product(FEW_SEEDS, MAIN[:2]):
        yield Landmarks("w300", variant, seed, start="synthetic", rendered=count, first=shorter)


def _readings() -> Iterable[Landmarks]:
    """What the paper's recipe leaves open: momentum, reduction, and what the network knew before."""
    stated = replace(AS_STATED, recipe=replace(STATED, epochs=AS_MANY_STEPS))
    for variant, momentum, reduction in product(MAIN[:2], (0.0, 0.9), landmark_networks.REDUCTIONS):
        recipe = replace(stated.recipe, momentum=momentum)
        yield replace(stated, variant=variant, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))
    learned = replace(stated, start="synthetic", rendered=landmark_faces.RENDERED[0], first=replace(RECIPE, epochs=15))
    for variant, momentum in product(MAIN[:2], (0.0, 0.9)):
        yield replace(learned, variant=variant, recipe=replace(stated.recipe, momentum=momentum))


def _long() -> Iterable[Landmarks]:
    """One longer run on all training faces, larger."""
    yield Landmarks("w300", size=96, recipe=replace(RECIPE, epochs=120), held_out=0.0)


def _paper() -> Iterable[Landmarks]:
    """The paper's setting on WFLW, from ImageNet's weights and from random ones, and its recipe's readings."""
    stated = replace(AS_STATED, dataset="wflw", size=224, backbone="resnet34")
    for seed, start, variant in product(SEEDS, ("imagenet", "random"), MAIN):
        yield replace(stated, variant=variant, seed=seed, start=start, recipe=replace(STATED, momentum=0.9))
    for start, momentum, reduction in product(("imagenet", "random"), (0.0, 0.9), landmark_networks.REDUCTIONS):
        if (momentum, reduction) != (0.9, "mean"):
            recipe = replace(STATED, momentum=momentum)
            yield replace(stated, start=start, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))


def load(dataset: str) -> Sets:
    """The faces of a data set."""
    return landmark_faces.load(dataset)


def load_few(dataset: str) -> Sets:
    """A few rendered faces, for the profiles that only show that everything runs."""
    return landmark_faces.load(dataset, FEW_RENDERED)


def run(profile: str) -> list[Record]:
    """Measure the runs of a profile; see `facelight.experiments.run`. Under `torchrun` one run takes all GPUs."""
    with distributed.processes():
        return measure_all(NAME, profile, configs(profile), load if profile in RECORDING else load_few, _measured)


def _measured(config: Landmarks, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"{config.part}, seed {config.seed}", len(sets)
