"""Runs of the experiment "landmarks": what identifies one, `Landmarks`, and which ones a profile asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product

from torch import nn

from facelight import _check, models, train
from facelight.augment import Augmentation
from facelight.data.crops import BoxRule
from facelight_lab.landmarks import faces as landmark_faces
from facelight_lab.landmarks import networks as landmark_networks
from facelight_lab.landmarks.faces import DATASETS
from facelight_lab.landmarks.networks import Wing
from facelight_lab.stems import VARIANTS

STARTS = ("random", "imagenet", "synthetic")
PARTS = ("test", "validation")
SEEDS = (0, 1, 2, 3, 4, 5)
FEW_SEEDS = SEEDS[:3]
MAIN = ("linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "divided by mean")
AUGMENTATION = Augmentation(rotation=8.0, scale=0.05, shift=0.02)
RECIPE = train.Recipe(epochs=25, batch=32, learning_rate=1e-3, weight_decay=0.05, warmup=0.1)
STATED = train.Recipe(epochs=15, batch=64, optimizer="sgd", learning_rate=1e-4, schedule="constant")  # by the paper
ON_UNIT = Wing(unit="crop")  # the paper's coordinates
RENDERED_EPOCHS = 7  # there are more rendered faces, and they are easier
AS_MANY_STEPS = 55  # epochs of the 1,811 faces of 300-W: as many steps as 15 epochs of 6,750 faces of WFLW


@dataclass(frozen=True)
class Landmarks:
    """Train a network to locate landmarks, then test it under many lights.

    Variants of one seed start from the same weights, where they have them in common, and see the same batches with the
    same augmentation.

    Args:
        dataset: "w300", "synthetic" or "wflw", see `landmark_faces.load`.
        variant: a key of `stems.VARIANTS`.
        seed: of the faces held out, of weights, batches, augmentation and dropout.
        size: side of the crops in pixels.
        rule: which square is cut out.
        backbone: of `models.RESNETS`.
        start: "random" weights; "imagenet"; or "synthetic", after learning rendered faces. Before "imagenet" weights
            the linear layer's pictures are normalized as ImageNet's were, the logarithmic one's are not.
        rendered: number of rendered faces of start "synthetic", else 0.
        first: recipe for them; None: `recipe`.
        recipe: how to train.
        loss: what is minimized.
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
    backbone: str = "resnet18_c4"
    start: str = "random"
    rendered: int = 0
    first: train.Recipe | None = None
    recipe: train.Recipe = RECIPE
    loss: Wing = field(default_factory=Wing)
    augmentation: Augmentation | None = AUGMENTATION
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
        if self.seed < 0 or self.rendered < 0 or self.head_width < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                "expected seed >= 0, rendered >= 0, head_width >= 1 and dropout in [0, 1), got "
                f"{self.seed}, {self.rendered}, {self.head_width}, {self.dropout}"
            )
        if not 1 <= self.darkest < float("inf"):
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

    def light(self) -> landmark_networks.Relight | None:
        """What happens to the light of training pictures besides `darkest`: here nothing."""
        return None

    def first_stage(self) -> Landmarks:
        """With start "synthetic", how rendered faces are learned."""
        return replace(self, recipe=self.first or self.recipe, first=None)

    def second_stage(self, model: nn.Module) -> nn.Module:
        """The network with which learning goes on, from the one that knows rendered faces: here the same."""
        return model

    def scalars(self) -> float:
        """How many times faster than the recipe says single numbers such as gamma are trained."""
        return 1.0

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return train.best_device()


def configs(profile: str) -> list[Landmarks]:
    """The runs of a profile."""
    if profile in ("smoke", "book"):
        return list(_small())
    if profile == "full":
        return list(_paper())
    return [*_main(), *_candidates(), *_rendered_faces(), *_readings(), *_long()]


AS_STATED = Landmarks(loss=ON_UNIT, augmentation=None, mean_shape=False, dropout=0.5, recipe=STATED)


def _small() -> Iterable[Landmarks]:
    """Two variants on a few rendered faces."""
    small = Landmarks("synthetic", size=32, recipe=train.Recipe(epochs=2, batch=16, bf16=False), head_width=64)
    return small, replace(small, variant="ln(1 + x)")


def _main() -> Iterable[Landmarks]:
    """The comparison: the same recipe for all variants, on real faces."""
    for seed, variant in product(SEEDS, MAIN):
        yield Landmarks("w300", variant, seed)


def _candidates() -> Iterable[Landmarks]:
    """What body, augmentation, batch and rate were chosen from: one run each, the plain network, on faces held out."""
    tried = Landmarks("w300", recipe=replace(RECIPE, epochs=20, learning_rate=2e-3), part="validation")
    moved = replace(tried, augmentation=Augmentation())
    yield replace(moved, backbone="resnet18")
    yield moved
    yield replace(moved, recipe=replace(moved.recipe, batch=16))
    yield replace(moved, recipe=replace(moved.recipe, learning_rate=4e-3))
    yield tried
    yield replace(tried, augmentation=Augmentation(rotation=4.0, scale=0.02, shift=0.01))
    for rate in (1e-3, 5e-4):
        yield replace(tried, recipe=replace(tried.recipe, learning_rate=rate))


def _rendered_faces() -> Iterable[Landmarks]:
    """98 points of rendered faces; and 68 of real ones after learning from rendered ones."""
    count = landmark_faces.RENDERED[0]
    shorter = replace(RECIPE, epochs=RENDERED_EPOCHS)
    for seed, variant in product(SEEDS, MAIN):
        if seed in FEW_SEEDS or variant in MAIN[:2]:
            yield Landmarks("synthetic", variant, seed, recipe=shorter)
    for seed, variant in product(FEW_SEEDS, MAIN[:2]):
        yield Landmarks("w300", variant, seed, start="synthetic", rendered=count, first=shorter)


def _readings() -> Iterable[Landmarks]:
    """What the paper's recipe leaves open: momentum, reduction, and what the network knew before."""
    stated = replace(AS_STATED, recipe=replace(STATED, epochs=AS_MANY_STEPS))
    for momentum, reduction in product((0.0, 0.9), landmark_networks.REDUCTIONS):
        recipe = replace(stated.recipe, momentum=momentum)
        yield replace(stated, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))
    fast = replace(stated, recipe=replace(stated.recipe, momentum=0.9))
    nearest = replace(fast, loss=replace(ON_UNIT, reduction="sum"))  # to the paper's curves
    for seed, variant in product(SEEDS, MAIN[:2]):
        if (seed, variant) != (0, "linear"):
            yield replace(nearest, seed=seed, variant=variant)
    count, first = landmark_faces.RENDERED[0], replace(RECIPE, epochs=RENDERED_EPOCHS)
    yield replace(fast, start="synthetic", rendered=count, first=first)


def _long() -> Iterable[Landmarks]:
    """One longer run on all training faces, larger."""
    yield Landmarks("w300", size=96, recipe=replace(RECIPE, epochs=60), held_out=0.0)


def _paper() -> Iterable[Landmarks]:
    """The paper's setting on WFLW, from ImageNet's weights and from random ones, and its recipe's readings."""
    stated = replace(AS_STATED, dataset="wflw", size=224, backbone="resnet34")
    for seed, start, variant in product(SEEDS, ("imagenet", "random"), MAIN):
        yield replace(stated, variant=variant, seed=seed, start=start, recipe=replace(STATED, momentum=0.9))
    for start, momentum, reduction in product(("imagenet", "random"), (0.0, 0.9), landmark_networks.REDUCTIONS):
        if (momentum, reduction) != (0.9, "mean"):
            recipe = replace(STATED, momentum=momentum)
            yield replace(stated, start=start, recipe=recipe, loss=replace(ON_UNIT, reduction=reduction))
