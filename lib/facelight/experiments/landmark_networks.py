"""Networks that locate landmarks: their first layers, what they are fed, what they minimise, what is watched."""

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

# Name of a variant -> options of `LogConv2d` in place of the first convolution; None keeps it.
VARIANTS: dict[str, dict[str, Any] | None] = {
    "linear": None,
    "ln(1 + x)": {},
    "ln(1 + x), gamma fixed": {"train_gamma": False},
    "divided by mean": None,
    "ln(1 + 255x)": {"epsilon": 1 / 255},
    "zero-mean ln(1 + 255x)": {"epsilon": 1 / 255, "zero_mean": True},
}
UNITS = ("pixels", "crop")
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Wing:
    """The Wing loss that is minimised, see `losses.wing_loss`.

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


class MeanLevel(nn.Module):
    """Divide each image by its mean over pixels and channels, and multiply it by a level.

    A factor on all of its values changes nothing, as long as nothing is rounded or saturates.

    Args:
        level: mean of the result; 0.45 is that of ImageNet's pictures.
    """

    def __init__(self, level: float = 0.45) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0; a black one stays black."""
        smallest = torch.finfo(x.dtype).tiny
        return self.level * (x / x.mean((1, 2, 3), keepdim=True).clamp_min(smallest))


class Precise(nn.Module):
    """A layer that computes in float32 under autocast and leaves its output so.

    All variants have their first layer in it, so that they do not differ in precision; and gamma's gradient, a
    difference of large numbers in front of batch normalisation, is not lost in the rounding of bfloat16.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


def build(
    variant: str, backbone: str, points: int, head_width: int, dropout: float, weights: str | None
) -> models.FaceNet:
    """The network of a variant; with one seed all variants have the same weights where they have them in common.

    The first layer is in `Precise`. Zero-mean kernels see the border repeated instead of zeros, which would not cancel.
    """
    options = VARIANTS[variant]

    def stem(conv: nn.Conv2d) -> nn.Module:
        if (options or {}).get("zero_mean"):
            conv.padding_mode = "replicate"
        return LogConv2d.from_conv(conv, **options or {})

    model = models.landmark_regressor(
        backbone,
        points,
        stem=None if options is None else stem,
        head_width=head_width,
        dropout=dropout,
        weights=weights,
    )
    body: Any = model.body
    body.conv1 = Precise(body.conv1)
    if variant == "divided by mean":
        model.normalize = nn.Sequential(MeanLevel(), model.normalize)
    return model


def start_at(model: nn.Module, target: Tensor) -> None:
    """Let the last layer's bias be the mean of landmarks (N, K, 2), and its weights a tenth: it predicts that shape."""
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(target.mean(0).flatten())


def feeder(
    faces: LandmarkFaces, rows: Tensor, augmentation: Augmentation | None, device: str, darkest: float = 1.0
) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]:
    """A function for `train.fit` from positions in `rows` to images in [0, 1] and landmarks in [0, 1].

    The crops stay 8-bit where they are, in memory or mapped; what is moved is rounded to grey levels again, as the
    pictures of the test are.

    Args:
        faces: crops.
        rows: (N,), which of them.
        augmentation: None feeds the crops as they are.
        device: where the batch is made.
        darkest: each picture is divided by a factor of its own, 1 to this number, uniform in its logarithm.
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
        if augmentation is not None or darkest > 1:
            x = illumination.quantize(x)
        return x.contiguous(memory_format=torch.channels_last), y

    return batch


def watcher(faces: LandmarkFaces, rows: Tensor, loss: Wing) -> Callable[[nn.Module], dict[str, float]]:
    """What is watched while training, as a function of the network.

    `validation_loss`, the loss as the mean over coordinates, and `validation`, the image-size NME, on the crops `rows`,
    when there are any. Where gamma is trained, its value, `gamma`, and the norms of the gradients of the last step of
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
                found["gamma"] = layer.gamma.item()
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
    **options: Any,
) -> train.Curve:
    """Train a network in place on crops `rows`, watched on crops `held`, and return the curve, see `train.fit`.

    The training loss in the curve is the mean over coordinates, whichever is minimised; it is that of batches as they
    were fed, with dropout. Weight decay applies to kernels and matrices, not to gamma, biases and batch normalisation.
    """
    device = next(model.parameters()).device
    curve = train.fit(
        model,
        feeder(faces, rows, augmentation, str(device), darkest),
        len(rows),
        functools.partial(loss.of, size=faces.image.shape[-1]),
        recipe,
        seed=seed,
        watch=watcher(faces, held, loss),
        decays=lambda parameter: parameter.ndim > 1,
        **options,
    )
    coordinates = 2 * faces.landmarks.shape[1] if loss.reduction == "sum" else 1
    return curve | {"loss": [value / coordinates for value in curve["loss"]]}
