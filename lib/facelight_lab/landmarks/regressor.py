"""A network that locates landmarks: what it is, what it is fed, what it minimizes, what is watched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from facelight import _check, augment, illumination, losses, metrics, models, train
from facelight.augment import Augmentation
from facelight.data import crops
from facelight.data.samples import LandmarkFaces
from facelight.layers import LogConv2d
from facelight_lab import stems
from facelight_lab.landmarks.training_light import Jitter, TrainingLight
from facelight_lab.results import LATER

UNITS = ("pixels", "crop")
REDUCTIONS = ("mean", "sum")
NORMS = ("batch", "group", "none")
GROUPS = 32  # of channels, as in the paper of group normalization


@dataclass(frozen=True)
class Network:
    """What stands behind the first layer.

    Args:
        backbone: of `models.RESNETS`.
        weights: None, random; or "imagenet". Before the latter the linear layer's pictures are normalized as
            ImageNet's were, the logarithmic one's are not.
        head_width, dropout: see `models.landmark_regressor`.
        mean_shape: start at the mean of the training landmarks, see `start_at`.
        norm: of `NORMS`, what stands where the body has batch normalization, see `normalized_by`.
        grid: see `models.landmark_regressor`.
    """

    backbone: str = "resnet18_c4"
    weights: str | None = None
    head_width: int = 512
    dropout: float = 0.0
    mean_shape: bool = True
    norm: str = field(default="batch", metadata=LATER)
    grid: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        _check.one_of(self.backbone, models.RESNETS, "backbone")
        _check.whole(self.head_width, "head_width", 1)
        _check.whole(self.grid, "grid", 1)
        _check.one_of(self.norm, NORMS, "norm")
        if self.weights not in (None, "imagenet"):
            raise ValueError(f"weights: expected None or 'imagenet', got {self.weights!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {self.dropout}")


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


def build(variant: str, network: Network, points: int) -> models.FaceNet:
    """The network of a variant; with one seed all variants have the same weights where they have them in common.

    Args:
        variant: a key of `stems.VARIANTS`.
        network: what stands behind the first layer.
        points: number of landmarks.
    """
    options: dict[str, Any] = {name: getattr(network, name) for name in ("head_width", "grid", "dropout", "weights")}
    model = stems.build(variant, functools.partial(models.landmark_regressor, network.backbone, points, **options))
    normalized_by(model.body, network.norm)
    return model


class ScaleShift2d(nn.Module):
    """A factor and an offset for each channel: what is left of batch normalization without its statistics.

    Args:
        channels: how many.
        start: of the factors.
    """

    def __init__(self, channels: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1), start))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W)."""
        return x * self.weight + self.bias


def normalized_by(body: nn.Module, norm: str) -> None:
    """Put something else in the place of each batch normalization of a ResNet, in place.

    "batch": nothing else; "group": `nn.GroupNorm` of `GROUPS` groups, Wu and He (2018), arXiv:1803.08494; "none":
    `ScaleShift2d`, which starts at 0 where a block is added to what it gets, or the sums would grow from block to
    block: De and Smith (2020), arXiv:2002.10444.
    """
    for name, layer in [*body.named_modules()] if norm != "batch" else ():
        if isinstance(layer, nn.BatchNorm2d):
            channels, last = layer.num_features, name.endswith(".bn2")
            other = nn.GroupNorm(GROUPS, channels) if norm == "group" else ScaleShift2d(channels, 0.0 if last else 1.0)
            body.set_submodule(name, other)


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
    light: TrainingLight | Jitter | None = None,
) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]:
    """A function for `train.fit` from positions in `rows` to images in [0, 1] and landmarks in [0, 1].

    The crops stay 8-bit where they are, in memory or mapped; what is moved is rounded to gray levels again, as the
    pictures of the test are.

    Args:
        faces: crops.
        rows: (N,), which of them.
        augmentation: None feeds the crops as they are.
        device: where the batch is made.
        light: what happens to the light or color of the crops; None: nothing.
    """
    target = crops.pixels_to_unit(faces.landmarks, faces.image.shape[-1]).to(device)
    rows_there = rows.to(device)

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = faces.image[rows[index]].to(device).float() / 255
        y = target[rows_there[index.to(device)]]
        if augmentation is not None:
            x, y = augment.augment_faces(x, y, augmentation, generator)
        if light is not None:
            x = light.of(x, generator)
        if augmentation is not None or light is not None:
            x = illumination.quantize(x)
        return x.contiguous(memory_format=torch.channels_last), y

    return batch


def monitor(faces: LandmarkFaces, rows: Tensor, loss: Wing) -> Callable[[nn.Module], dict[str, float]]:
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

    def on_epoch_end(model: nn.Module) -> dict[str, float]:
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

    return on_epoch_end


def fit(
    model: nn.Module,
    faces: LandmarkFaces,
    rows: Tensor,
    held: Tensor,
    *,
    loss: Wing,
    augmentation: Augmentation | None,
    light: TrainingLight | Jitter | None,
    recipe: train.Recipe,
    seed: int,
    scalar_lr_scale: float = 1.0,
    **options: Any,
) -> train.Curve:
    """Train a network in place on crops `rows`, watched on crops `held`, and return the curve, see `train.fit`.

    The training loss in the curve is the mean over coordinates, whichever is minimized; it is that of batches as they
    were fed, with dropout. Weight decay applies to kernels and matrices, not to gamma, biases and batch normalization.
    The learning rate of what has at most three numbers, such as gamma and epsilon, is `scalar_lr_scale` times the
    recipe's.
    """
    device = next(model.parameters()).device
    curve = train.fit(
        model,
        feeder(faces, rows, augmentation, str(device), light),
        len(rows),
        functools.partial(loss.of, size=faces.image.shape[-1]),
        recipe,
        seed=seed,
        on_epoch_end=monitor(faces, held, loss),
        weight_decay_filter=lambda parameter: parameter.ndim > 1,
        lr_scale=lambda parameter: scalar_lr_scale if parameter.numel() <= 3 else 1.0,
        **options,
    )
    coordinates = 2 * faces.landmarks.shape[1] if loss.reduction == "sum" else 1
    return curve | {"loss": [value / coordinates for value in curve["loss"]]}
