"""What identifies a landmark run, `Landmarks`, and the settings that the experiments share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from facelight import _check, train
from facelight.augment import Augmentation
from facelight.data.crops import BoxRule
from facelight_lab.landmarks.face_sets import DATASETS, POINTS, RENDERED
from facelight_lab.landmarks.regressor import Network, Wing
from facelight_lab.landmarks.training_light import Jitter, TrainingLight
from facelight_lab.results import LATER
from facelight_lab.stems import VARIANTS

PARTS = ("test", "validation")
SEEDS = (0, 1, 2, 3, 4, 5)
FEW_SEEDS = SEEDS[:3]
MAIN = ("linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "divided by mean")
AUGMENTATION = Augmentation(rotation=8.0, scale=0.05, shift=0.02)
RECIPE = train.Recipe(epochs=25, batch=32, learning_rate=1e-3, weight_decay=0.05, warmup=0.1)
RENDERED_RECIPE = replace(RECIPE, epochs=7)  # of rendered faces there are more, and they are easier
STATED = train.Recipe(epochs=15, batch=64, optimizer="sgd", learning_rate=1e-4, schedule="constant")  # by the paper
ON_UNIT = Wing(unit="crop")  # the paper's coordinates
AS_MANY_STEPS = 55  # epochs of the 1,811 faces of 300-W: as many steps as 15 epochs of 6,750 faces of WFLW


@dataclass(frozen=True)
class Pretraining:
    """Rendered faces that a network learns first.

    Args:
        count: how many.
        recipe: how it learns them.
        teacher: the variant that learns them and hands on its weights; None: the variant of the run.
        adapt: scale the kernels of a linear teacher to logarithmic light, see `LogConv2d.from_conv`.
    """

    count: int = RENDERED[0]
    recipe: train.Recipe = RENDERED_RECIPE
    teacher: str | None = None
    adapt: bool = False

    def __post_init__(self) -> None:
        _check.whole(self.count, "count", 1)
        if self.teacher is not None:
            _check.one_of(self.teacher, tuple(VARIANTS), "teacher")
        elif self.adapt:
            raise ValueError("adapt: without a teacher there are no kernels to adapt: name a teacher, such as 'linear'")


@dataclass(frozen=True)
class Landmarks:
    """Train a network to locate landmarks, then test it under many lights.

    Variants of one seed start from the same weights, where they have them in common, and see the same batches with the
    same augmentation.

    Args:
        dataset: of `face_sets.DATASETS`.
        variant: a key of `stems.VARIANTS`.
        seed: of the faces held out, of weights, batches, augmentation and dropout.
        size: side of the crops in pixels.
        rule: which square is cut out.
        network: what stands behind the first layer.
        pretraining: rendered faces that it learns before those of the data set; None: none.
        recipe: how to train.
        scalar_lr_scale: factor on the learning rate of what has at most three numbers, such as gamma and epsilon.
        loss: what is minimized.
        augmentation: of training faces, rendered and real; None: none.
        light: what happens to the light or color of training faces, rendered and real; None: nothing.
        held_out: share of the training faces that is not trained on but watched, the same for all variants.
        part: "test"; or "validation", the faces held out, to choose by.
        duplicates: whether training faces that are among the test faces, too, are trained on, `face_sets.DUPLICATES`.
    """

    dataset: str = "w300"
    variant: str = "linear"
    seed: int = 0
    size: int = 64
    rule: BoxRule = field(default_factory=BoxRule)
    network: Network = field(default_factory=Network)
    pretraining: Pretraining | None = None
    recipe: train.Recipe = RECIPE
    scalar_lr_scale: float = 1.0
    loss: Wing = field(default_factory=Wing)
    augmentation: Augmentation | None = AUGMENTATION
    light: TrainingLight | Jitter | None = None
    held_out: float = 0.1
    part: str = "test"
    duplicates: bool = field(default=True, metadata=LATER)

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.variant, tuple(VARIANTS), "variant")
        _check.one_of(self.part, PARTS, "part")
        _check.whole(self.seed, "seed", 0)
        _check.whole(self.size, "size", 32)
        _check.positive(self.scalar_lr_scale, "scalar_lr_scale")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out: expected a share in [0, 1), got {self.held_out}")
        if self.part == "validation" and self.held_out == 0:
            raise ValueError("part 'validation': no face is held out: choose held_out > 0, such as 0.1")
        if self.pretraining is not None and POINTS[self.dataset] == 5:
            raise ValueError("pretraining: rendered faces do not have the five points: choose pretraining=None")
        if self.pretraining is not None and self.dataset.startswith("synthetic"):
            raise ValueError("pretraining: the data set is that of rendered faces already: choose pretraining=None")
        if self.pretraining is not None and self.network.weights is not None:
            raise ValueError(
                "pretraining: it starts from random weights: choose network.weights=None, or no pretraining"
            )

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return train.best_device()
