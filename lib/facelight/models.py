"""Networks: torchvision bodies with a stem and a head of our choice. Training them belongs to `train`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check
from facelight._graph import leaf, one_node
from facelight.bodies import torchvision_body
from facelight.precision import autocasts, no_autocast

__all__ = [
    "CosineLinear",
    "FaceNet",
    "Normalize",
    "PreciseLinear",
    "face_classifier",
    "landmark_regressor",
    "torchvision_body",
]

RESNETS = ("resnet18", "resnet18_c4", "resnet18_small", "resnet34", "resnet50")
BACKBONES = (*RESNETS, "vgg16", "vgg16_small", "inception_v3")
_SMALLEST_SIDE = {"vgg16": 32, "vgg16_small": 32, "inception_v3": 75}  # below it a pooling layer has nothing left
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and deviations that its weights expect
_CENTERED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # what torchvision's Inception-v3 weights were trained on

Stem = Callable[[nn.Conv2d], nn.Module]


class FaceNet(nn.Module):
    """A checked input, an optional normalization, a body: what both networks of this module share.

    Attributes:
        normalize: `Normalize` for ImageNet weights under a linear stem, `Identity` otherwise.
        body: the torchvision network, its last layer replaced by the head.
    """

    def __init__(
        self, body: nn.Module, normalize: nn.Module, smallest_side: int, num_landmarks: int | None = None
    ) -> None:
        super().__init__()
        self.normalize, self.body = normalize, body
        self.smallest_side, self.num_landmarks = smallest_side, num_landmarks

    def forward(self, x: Tensor) -> Tensor:
        """Return landmarks (B, K, 2) or scores (B, classes) for images x: (B, 3 or 1, H, W) in [0, 1]."""
        y = self.body(self.normalize(_colored(x, self.smallest_side)))
        return y if self.num_landmarks is None else y.unflatten(1, (self.num_landmarks, 2))


@one_node
def _colored(x: Tensor, smallest_side: int) -> Tensor:
    """Images (B, 3 or 1, H, W), checked, with three channels."""
    x = _check.images(x, channels=(3, 1))
    if x.ndim != 4:
        raise ValueError(f"x: expected a batch (B, 3, H, W), got {tuple(x.shape)}: add an axis with x[None]")
    if min(x.shape[-2:]) < smallest_side:
        side = smallest_side
        raise ValueError(f"x: this body needs at least {side}x{side} pixels, got {tuple(x.shape)}: resize first")
    return x.expand(-1, 3, -1, -1)


class Normalize(nn.Module):
    """Subtract a mean from each channel and divide by a standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x: (B, 3, H, W)."""
        return (x - self.mean) / self.std


class PreciseLinear(nn.Linear):
    """A `torch.nn.Linear` that keeps to the precision of its weights under autocast.

    Coordinates need it: between 1/2 and 1 bfloat16 has steps of 1/256.
    """

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias`."""
        if not autocasts(x):
            return super().forward(x)
        with no_autocast(x):
            return super().forward(x.to(self.weight.dtype))


class CosineLinear(nn.Module):
    """Cosines between a feature and the weights of each class: a last layer without offsets and without lengths.

        c_k = <w_k, x> / (||w_k|| ||x||)

    Computed in float32, also under autocast: bfloat16 cannot tell 0.999 from 1.

    Args:
        in_features: length of a feature.
        out_features: number of classes.

    Attributes:
        weight: (out_features, in_features); only its directions matter.

    >>> CosineLinear(2, 1)(torch.zeros(1, 2))  # the direction of nothing
    tensor([[0.]], grad_fn=<MmBackward0>)

    Source: Wang et al. (2018), doi:10.1109/CVPR.2018.00552.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Return the cosines (B, out_features) of features x (B, in_features)."""
        with no_autocast(x):
            return F.normalize(x.float()) @ F.normalize(self.weight).T

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def landmark_regressor(
    backbone: str = "resnet34",
    num_landmarks: int = 98,
    *,
    stem: Stem | None = None,
    head_width: int = 512,
    grid: int = 1,
    dropout: float = 0.5,
    weights: str | None = None,
) -> FaceNet:
    """Build the paper's landmark network: a ResNet body, then Linear, ReLU, Dropout, Linear.

    Args:
        backbone: "resnet18", "resnet34" or "resnet50"; or "resnet18_c4" or "resnet18_small", see `face_classifier`.
        num_landmarks: K.
        stem: makes the first layer from the body's first Conv2d, for instance
            `functools.partial(LogConv2d.from_conv, epsilon=1 / 255, zero_mean=True)`; None keeps the linear Conv2d.
        head_width: units of the hidden layer.
        grid: the last map is averaged over grid x grid cells, all of which the head sees; 1: over the whole map.
        dropout: probability in the head, in [0, 1).
        weights: None for random weights, or "imagenet": torchvision's IMAGENET1K_V1, downloaded on first use into
            the `torch.hub` directory (`TORCH_HOME`) and checked against their hash. Under a linear stem the network
            then normalizes its input by the ImageNet mean and standard deviation; a `stem` of yours gets the image
            as it is, because a logarithm needs light >= 0.

    Returns:
        A network from images (B, 3, H, W) in [0, 1] to landmarks (B, K, 2), fractions of width and height, without
        output activation. A gray image (B, 1, H, W) is repeated to three channels.

    Raises:
        ValueError: unknown backbone or weights, or a number out of range.
        RuntimeError: the weights could not be downloaded or read.

    >>> landmark_regressor("resnet18").eval()(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 98, 2])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), doi:10.31649/1681-7893-2026-51-1-108-116; He et al. (2016),
    doi:10.1109/CVPR.2016.90.
    Differs from the paper: head width and dropout rate are not stated there; 512 and 0.5 are ours.
    """
    _check.one_of(backbone, RESNETS, "backbone")
    _check_count(num_landmarks, "num_landmarks")
    _check_count(head_width, "head_width")
    _check_count(grid, "grid")
    _check_probability(dropout)
    body = torchvision_body(backbone, weights)
    body.avgpool = nn.AdaptiveAvgPool2d(grid)
    head = (
        nn.Linear(body.fc.in_features * grid**2, head_width),
        nn.ReLU(),
        nn.Dropout(dropout),
        PreciseLinear(head_width, 2 * num_landmarks),
    )
    body.fc = nn.Sequential(*head)
    return _face_net(backbone, body, stem, weights, num_landmarks)


def face_classifier(
    backbone: str,
    num_classes: int,
    *,
    stem: Stem | None = None,
    dropout: float | None = None,
    weights: str | None = None,
) -> FaceNet:
    """Build a network that tells identities apart: a torchvision body with a new last layer.

    Args:
        backbone: "resnet18", "resnet34", "resnet50", "vgg16" or "inception_v3"; or, for small pictures and few
            of them, with a quarter of the weights, "resnet18_c4", ResNet-18 up to its stage conv4, "resnet18_small",
            the same with one block in that stage, or "vgg16_small", VGG16 with batch normalization after each
            convolution and the mean of the last map instead of its 7x7 cells.
            The ResNets take any size; VGG16 at least 32x32 and Inception-v3 at least 75x75 pixels (made for 224 and
            299).
        num_classes: number of identities.
        stem: as in `landmark_regressor`.
        dropout: probability before the last layer, in [0, 1) (in VGG16: of both its dropout layers); None keeps the
            body's own, 0.5 in VGG16 and Inception-v3, 0 in the ResNets.
        weights: None or "imagenet", as in `landmark_regressor`. Inception-v3 normalizes by 0.5 and 0.5, as its
            weights expect.

    Returns:
        A network from images (B, 3, H, W) in [0, 1] to scores (B, num_classes), for `cross_entropy`. A gray image
        (B, 1, H, W) is repeated to three channels. Inception-v3 has no auxiliary classifier, so that it returns one
        tensor in training, too.

    Raises:
        ValueError: unknown backbone or weights, or a number out of range.
        RuntimeError: the weights could not be downloaded or read.

    >>> face_classifier("resnet18", 38).eval()(torch.rand(2, 1, 48, 42)).shape
    torch.Size([2, 38])

    Source: Bendjillali et al. (2020), Table 5, doi:10.11591/ijeecs.v18.i2.pp1015-1027, for the choice of bodies.
    Differs from the paper: PyTorch's bodies instead of MATLAB's; no auxiliary classifier.
    """
    _check.one_of(backbone, BACKBONES, "backbone")
    _check_count(num_classes, "num_classes")
    if dropout is not None:
        _check_probability(dropout)
    body = torchvision_body(backbone, weights)
    if backbone in ("vgg16", "vgg16_small"):
        body.classifier[-1] = nn.Linear(body.classifier[-1].in_features, num_classes)
        if backbone == "vgg16_small":
            body.avgpool, body.classifier[0] = nn.AdaptiveAvgPool2d(1), nn.Linear(512, body.classifier[0].out_features)
        for layer in body.classifier:
            if isinstance(layer, nn.Dropout) and dropout is not None:
                layer.p = dropout
    elif backbone == "inception_v3":
        body.fc = nn.Linear(body.fc.in_features, num_classes)
        body.dropout.p = body.dropout.p if dropout is None else dropout
    else:
        last = nn.Linear(body.fc.in_features, num_classes)
        body.fc = nn.Sequential(nn.Dropout(dropout), last) if dropout else last
    return _face_net(backbone, body, stem, weights)


def _face_net(
    backbone: str, body: nn.Module, stem: Stem | None, weights: str | None, num_landmarks: int | None = None
) -> FaceNet:
    normalize: nn.Module = nn.Identity()
    if stem is not None:
        name, conv = next((n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d))
        body.set_submodule(name, stem(conv))
    elif weights is not None:
        normalize = Normalize(*(_CENTERED if backbone == "inception_v3" else IMAGENET))
    return FaceNet(body, normalize, _SMALLEST_SIDE.get(backbone, 1), num_landmarks)


def _check_count(value: int, name: str) -> None:
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")


def _check_probability(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}: 0 switches it off")
