"""Networks that learn to name faces: what they are, what their training pictures go through, how they are trained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check, augment, illumination, models, train
from facelight.data.samples import LitFaces
from facelight_lab import stems

CHANGES = ("move", "flip", "relight", "erase")


@dataclass(frozen=True)
class Network:
    """A network that names faces, and how it is trained.

    Args:
        backbone: see `models.face_classifier`.
        variant: a key of `stems.VARIANTS`.
        weights: None, from scratch, or "imagenet".
        changes: what happens to a training picture before it is enhanced, in this order, rounded to gray levels after
            each: "move", rotation up to 5 degrees, shift up to 4 % of the side, size up to 5 %; "flip", mirrored every
            other time; "relight", a light that grows from a random side, see `augment.RandomRelight`; "erase", a patch
            becomes gray every other time.
        label_smoothing: of the cross-entropy.
        flip_test: at test time the mean of the scores of a picture and of its mirror image.
        recipe: how it is trained.
    """

    backbone: str = "resnet18"
    variant: str = "linear"
    weights: str | None = None
    changes: tuple[str, ...] = ("move", "flip")
    label_smoothing: float = 0.0
    flip_test: bool = False
    recipe: train.Recipe = field(default_factory=train.Recipe)

    def __post_init__(self) -> None:
        _check.one_of(self.variant, tuple(stems.VARIANTS), "variant")
        for change in self.changes:
            _check.one_of(change, CHANGES, "changes")
        _check.one_of(self.backbone, models.BACKBONES, "backbone")
        if self.weights not in (None, "imagenet"):
            raise ValueError(f"weights: expected None or 'imagenet', got {self.weights!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing: expected a share in [0, 1), got {self.label_smoothing}")


def recognize(
    network: Network,
    enhancer: Callable[[Tensor], Tensor],
    known: LitFaces,
    asked: LitFaces,
    *,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
) -> tuple[Tensor, train.Curve]:
    """Train a network on pictures and name others.

    Args:
        network: what is trained, and how.
        enhancer: every picture goes through it, on the batch, after all other changes.
        known: training pictures, all of one size.
        asked: pictures to name.
        seed: of the initial weights and of everything random in training.
        checkpoint, identity: see `train.fit`.

    Returns:
        Scores (N, people), float32, the people in the order of their identities in `known`, and the training curve.
    """
    people, target = known.identity.unique(return_inverse=True)
    device = train.best_device()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(network, len(people)).to(device).to(memory_format=torch.channels_last)
    change = changes(network.changes, enhancer)

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return change(_floats(known.image[index]).to(device), generator), target[index]

    loss = functools.partial(F.cross_entropy, label_smoothing=network.label_smoothing)
    recipe = network.recipe
    curve = train.fit(
        model,
        batch,
        len(known),
        loss,
        recipe,
        seed=seed,
        checkpoint=checkpoint,
        identity=identity,
        progress=checkpoint is not None,
    )
    return scores(model, enhancer, asked, flip=network.flip_test, bf16=recipe.bf16), curve


def build(network: Network, classes: int) -> nn.Module:
    """The network with random (or ImageNet) weights."""
    body = functools.partial(models.face_classifier, network.backbone, classes, weights=network.weights)
    return stems.build(network.variant, body)


def scores(
    model: nn.Module, enhancer: Callable[[Tensor], Tensor], faces: LitFaces, *, flip: bool, bf16: bool
) -> Tensor:
    """Probabilities (N, people) of each picture; with `flip` the mean over it and its mirror image."""
    device = next(model.parameters()).device

    def seen(mirrored: bool) -> Tensor:
        def batch(index: Tensor) -> Tensor:
            x = _floats(faces.image[index].to(device))
            return enhancer(x.flip(-1) if mirrored else x).contiguous(memory_format=torch.channels_last)

        return train.evaluate(model, batch, len(faces), bf16=bf16).softmax(1)

    return (seen(False) + seen(True)) / 2 if flip else seen(False)


def changes(
    names: tuple[str, ...], enhancer: Callable[[Tensor], Tensor]
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """A function of images (B, C, H, W) and a generator: the named changes, one after the other, then the enhancer."""
    import kornia.augmentation as K

    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "move": K.RandomAffine(5.0, (0.04, 0.04), (0.95, 1.05), padding_mode="border", p=1.0),
        "flip": K.RandomHorizontalFlip(p=0.5),
        "relight": augment.RandomRelight(slope=0.7, gain=0.35),
        "erase": K.RandomErasing((0.03, 0.15), (0.5, 2.0), value=0.5, p=0.5),
    }

    @torch.no_grad()
    def change(x: Tensor, generator: torch.Generator) -> Tensor:
        with torch.random.fork_rng():  # Kornia draws from the global state
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            for name in names:  # pictures have gray levels, also between others, as those of the test do
                x = illumination.quantize(kinds[name](x).clamp(0, 1))
        return enhancer(x).contiguous(memory_format=torch.channels_last)

    return change


def _floats(image: Tensor) -> Tensor:
    return image.float() / 255
