"""Experiment "tone": how dark is this skin, and how bright the exposure? What invariance to light takes away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check, augment, illumination, train
from facelight.data.crops import BoxRule
from facelight.data.samples import LandmarkFaces
from facelight_lab._code import code
from facelight_lab.landmarks import face_sets, regressor
from facelight_lab.landmarks.face_sets import FEW_RENDERED, RENDERED, Sets
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import AUGMENTATION, FEW_SEEDS, RENDERED_RECIPE
from facelight_lab.runs import RECORDING, Experiment, continued
from facelight_lab.stems import LOCAL, NORMALIZED, OURS, VARIANTS

NAME = "tone"
TARGETS = ("pigment", "exposure")
COMPARED = ("linear", "ln(1 + x)", "divided by mean", LOCAL, OURS, NORMALIZED)


@dataclass(frozen=True)
class Tone:
    """Train a network to estimate two numbers of rendered faces, which are known because they were rendered with them.

    "pigment" of the skin, 0 light to 1 dark; "exposure", in stops above the normal one. Both show as brightness.

    Args:
        variant: a key of `stems.VARIANTS`.
        seed: of weights, batches and augmentation.
        dataset: "synthetic".
        size: side of the crops in pixels.
        recipe: how to train.
    """

    variant: str = "linear"
    seed: int = 0
    dataset: str = "synthetic"
    size: int = 64
    recipe: train.Recipe = RENDERED_RECIPE

    def __post_init__(self) -> None:
        _check.one_of(self.variant, tuple(VARIANTS), "variant")
        _check.one_of(self.dataset, ("synthetic",), "dataset")

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return train.best_device()


def truth(faces: LandmarkFaces) -> Tensor:
    """Pigment and exposure of rendered faces (N, 2), by the names that `synthetic.landmarks` gives them.

    Raises:
        ValueError: the faces were not rendered.
    """
    from facelight_render.photo import identity_of
    from facelight_render.scene import sample_scene

    found = []
    for name in faces.name:
        kind, *place = name.split("/")
        if kind != "synthetic" or len(place) != 3:
            raise ValueError(f"faces: expected those of synthetic.landmarks, got one called {name!r}")
        scene = sample_scene(int(place[1]), place[0], int(place[2]))
        found.append((identity_of(scene).look.pigment, scene.exposure))
    return torch.tensor(found)


def measure(config: Tone, sets: Sets, place: Path | None = None) -> dict[str, Any]:
    """What is recorded of a run: for each of `TARGETS` the explained share of its variance, `r2`, on the test faces.

    1 - sum (y - y')^2 / sum (y - mean)^2; 0 is what the mean of the test faces achieves. And the `curve`.

    Args:
        config: what is run.
        sets: rendered faces.
        place: folder for the checkpoint; None keeps none.
    """
    known, asked = (face_sets.crop(faces, config.size, BoxRule()) for faces in (sets.train, sets.test))
    assert isinstance(sets.train, LandmarkFaces)
    assert isinstance(sets.test, LandmarkFaces)
    target, expected = truth(sets.train), truth(sets.test)
    middle, spread = target.mean(0), target.std(0)
    model, curve = trained(config, known.image, (target - middle) / spread, place)

    def asked_batch(index: Tensor) -> Tensor:
        return (asked.image[index].float() / 255).contiguous(memory_format=torch.channels_last)

    pred = train.evaluate(model, asked_batch, len(asked))[:, 0] * spread + middle
    share = 1 - (pred - expected).square().mean(0) / expected.var(0, correction=0)
    return {
        "r2": {name: round(value, 4) for name, value in zip(TARGETS, share.tolist(), strict=True)},
        "curve": {name: [float(f"{value:.5g}") for value in values] for name, values in curve.items()},
        "trained_on": len(known),
    }


def trained(config: Tone, image: Tensor, target: Tensor, place: Path | None = None) -> tuple[nn.Module, train.Curve]:
    """The network, trained on crops (N, 3, H, W), uint8, and their two numbers (N, 2), and the curve."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model: nn.Module = regressor.build(config.variant, Network(), 1)
    model = model.to(config.device).to(memory_format=torch.channels_last)
    initial = {name: value.clone() for name, value in model.state_dict().items()}

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = image[index].to(config.device).float() / 255
        x, _ = augment.augment_faces(x, torch.zeros(len(x), 98, 2), AUGMENTATION, generator)
        return illumination.quantize(x).contiguous(memory_format=torch.channels_last), target[index][:, None]

    checkpoint = None if place is None else place / "checkpoint.pt"

    def attempt() -> train.Curve:
        model.load_state_dict(initial)
        return train.fit(
            model,
            batch,
            len(image),
            F.mse_loss,
            config.recipe,
            seed=config.seed,
            checkpoint=checkpoint,
            identity=f"{config} with the code {code()}, {torch.get_num_threads()} threads",
            weight_decay_filter=lambda parameter: parameter.ndim > 1,
            progress=checkpoint is not None,
        )

    return model, continued(attempt, checkpoint)


def configs(profile: str) -> list[Tone]:
    """The runs of a profile."""
    if profile == "book":
        small = train.Recipe(epochs=1, batch=16, bf16=False)
        return [Tone(variant, size=32, recipe=small) for variant in ("linear", OURS)]
    return list(_all())


def _all() -> Iterable[Tone]:
    for seed, variant in product(FEW_SEEDS, COMPARED):
        yield Tone(variant, seed)


def load(dataset: str) -> Sets:
    """The rendered faces."""
    return face_sets.load(dataset, RENDERED)


def load_few(dataset: str) -> Sets:
    """A few of them."""
    return face_sets.load(dataset, FEW_RENDERED)


def experiment(profile: str) -> Experiment[Tone, Sets]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load if profile in RECORDING else load_few, _measured)


def _measured(config: Tone, sets: Sets, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, sets, place), f"seed {config.seed}", len(sets)
