"""Networks that locate landmarks: their first layers, what they are fed, what they minimize, what is watched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facelight import _check, illumination, losses, metrics, models, train
from facelight.augment import Augmentation, augment
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight.layers import LogConv2d
from facelight_lab import stems
from facelight_lab.stems import VARIANTS

Relight = Callable[[Tensor, torch.Generator], Tensor]
UNITS = ("pixels", "crop")
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Wing:
    """The Wing loss that is minimized, see `losses.wing_loss`.

    Args:
        width, curvature: in the unit.
        unit: "pixels" of the crop, or "crop", its side: coordinates in [0, 1], as the paper has them.
        reduction: "mean" over the coordinates of a face or their "sum"; over the faces of a batch always the mean.
    """

    width: float = 10.0
    curvature: float = 2.0
    unit: str = "pixels"
    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check.positive(self.width, "width")
        _check.positive(self.curvature, "curvature")
        _check.one_of(self.unit, UNITS, "unit")
        _check.one_of(self.reduction, REDUCTIONS, "reduction")

    def of(self, pred: Tensor, target: Tensor, size: int) -> Tensor:
        """The loss of landmarks (B, K, 2) in [0, 1] of crops of `size` pixels."""
        scale = size if self.unit == "pixels" else 1
        value = losses.wing_loss(scale * pred, scale * target, self.width, self.curvature, self.reduction)
        return value / len(pred) if self.reduction == "sum" else value


def build(
    variant: str, backbone: str, points: int, head_width: int, dropout: float, weights: str | None
) -> models.FaceNet:
    """The network of a variant; with one seed all variants have the same weights where they have them in common.

    Args:
        variant: a key of `stems.VARIANTS`.
        backbone, points, head_width, dropout, weights: see `models.landmark_regressor`.
    """
    chosen = VARIANTS[variant]
    stem = None if chosen.linear else chosen.stem
    model = models.landmark_regressor(
        backbone, points, stem=stem, head_width=head_width, dropout=dropout, weights=weights
    )
    return stems.finished(model, chosen)


def start_at(model: nn.Module, target: Tensor) -> None:
    """Let the last layer's bias be the mean of landmarks (N, K, 2), and its weights a tenth: it predicts that shape."""
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(target.mean(0).flatten())


def feeder(
    faces: LandmarkFaces,
    rows: Tensor,
    augmentation: Augmentation | None,
    device: str,
    darkest: float = 1.0,
    light: Relight | None = None,
) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]:
    """A function for `train.fit` from positions in `rows` to images in [0, 1] and landmarks in [0, 1].

    The crops stay 8-bit where they are, in memory or mapped; what is moved is rounded to gray levels again, as the
    pictures of the test are.

    Args:
        faces: crops.
        rows: (N,), which of them.
        augmentation: None feeds the crops as they are.
        device: where the batch is made.
        darkest: each picture is divided by a factor of its own, 1 to this number, uniform in its logarithm.
        light: a further change of the light of images in [0, 1], with a generator.
    """
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1]).to(device)
    rows_there = rows.to(device)

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = faces.image[rows[index]].to(device).float() / 255
        y = target[rows_there[index.to(device)]]
        if augmentation is not None:
            x, y = augment(x, y, augmentation, generator)
        if darkest > 1:
            factor = darkest ** torch.rand((len(x), 1, 1, 1), generator=generator)
            x = x / factor.to(x)
        if light is not None:
            x = light(x, generator)
        if augmentation is not None or darkest > 1 or light is not None:
            x = illumination.quantize(x)
        return x.contiguous(memory_format=torch.channels_last), y

    return batch


def watcher(faces: LandmarkFaces, rows: Tensor, loss: Wing) -> Callable[[nn.Module], dict[str, float]]:
    """What is watched while training, as a function of the network.

    `validation_loss`, the loss as the mean over coordinates, and `validation`, the image-size NME, on the crops `rows`,
    when there are any. Where gamma is trained, its mean, `gamma`, and the norms of the gradients of the last step of
    the epoch, after clipping: `gamma_gradient` and, of the kernels behind it, `weight_gradient`.
    """
    size = faces.image.shape[-1]
    target = crops.pixels_to_unit(faces.landmarks[rows], size)
    mean = Wing(loss.width, loss.curvature, loss.unit)

    def batch(index: Tensor) -> Tensor:
        return (faces.image[rows[index]].float() / 255).contiguous(memory_format=torch.channels_last)

    def watch(model: nn.Module) -> dict[str, float]:
        found = {}
        if len(rows):
            pred = train.evaluate(model, batch, len(rows))
            found["validation_loss"] = mean.of(pred, target, size).item()
            found["validation"] = metrics.nme(pred, target, normalizer="image-size", image_size=1).mean().item()
        for layer in model.modules():
            if isinstance(layer, LogConv2d) and isinstance(layer.gamma, nn.Parameter):
                found["gamma"] = layer.gamma.mean().item()
                for name, value in (("gamma_gradient", layer.gamma), ("weight_gradient", layer.weight)):
                    found[name] = 0.0 if value.grad is None else value.grad.norm().item()
        return found

    return watch


def trained(
    model: nn.Module,
    faces: LandmarkFaces,
    rows: Tensor,
    held: Tensor,
    *,
    loss: Wing,
    augmentation: Augmentation | None,
    darkest: float,
    recipe: train.Recipe,
    seed: int,
    light: Relight | None = None,
    faster: float = 1.0,
    **options: Any,
) -> train.Curve:
    """Train a network in place on crops `rows`, watched on crops `held`, and return the curve, see `train.fit`.

    The training loss in the curve is the mean over coordinates, whichever is minimized; it is that of batches as they
    were fed, with dropout. Weight decay applies to kernels and matrices, not to gamma, biases and batch normalization.
    What has at most three numbers, such as gamma and epsilon, is trained `faster` times as fast as all else.
    """
    device = next(model.parameters()).device
    curve = train.fit(
        model,
        feeder(faces, rows, augmentation, str(device), darkest, light),
        len(rows),
        functools.partial(loss.of, size=faces.image.shape[-1]),
        recipe,
        seed=seed,
        on_epoch_end=watcher(faces, held, loss),
        weight_decay_filter=lambda parameter: parameter.ndim > 1,
        lr_scale=lambda parameter: faster if parameter.numel() <= 3 else 1.0,
        **options,
    )
    coordinates = 2 * faces.landmarks.shape[1] if loss.reduction == "sum" else 1
    return curve | {"loss": [value / coordinates for value in curve["loss"]]}
