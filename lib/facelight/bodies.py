"""The networks that `models` puts a first layer and a head on: torchvision's, with their weights, and `SmallBody`."""

from __future__ import annotations

import pickle
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["torchvision_body"]


class Block(nn.Module):
    """ResNet's block of two 3x3 convolutions and what is added to them; its parts are named as torchvision's."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) to (B, C', H', W')."""
        beside = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + beside)


class SmallBody(nn.Sequential):
    """ResNet-18 up to the first block of its stage conv4, without torchvision, whose import takes a second.

    Its weights are named and start as torchvision's.

    Source: He et al. (2016), doi:10.1109/CVPR.2016.90.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(256, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def torchvision_body(backbone: str, weights: str | None = None) -> Any:
    """A torchvision network with its 1000-class layer, which the heads of this module replace.

    Args:
        backbone: see `face_classifier`.
        weights: as in `landmark_regressor`.

    >>> torchvision_body("resnet18_c4").fc.in_features
    256
    """
    if backbone == "resnet18_small" and weights is None:
        return SmallBody()
    import torchvision.models  # takes more than a second to import

    if weights not in (None, "imagenet"):
        raise ValueError(f"weights: expected None or 'imagenet', got {weights!r}")
    options: dict[str, Any] = {}
    if backbone == "inception_v3":
        options = {"aux_logits": False, "transform_input": False, "init_weights": weights is None}
    name = {"resnet18_c4": "resnet18", "resnet18_small": "resnet18", "vgg16_small": "vgg16_bn"}.get(backbone, backbone)
    small = backbone == "resnet18_small"
    body: Any = SmallBody() if small else torchvision.models.get_model(name, weights=None, **options)
    if weights is not None:
        state = _imagenet_state(torchvision.models.get_model_weights(name)["IMAGENET1K_V1"])
        left_out = ("AuxLogits.", "layer3.1.", "layer4.", "fc.") if small else ("AuxLogits.",)
        state = {k: v for k, v in state.items() if not k.startswith(left_out)}
        body.load_state_dict(state, strict=not small)
    if backbone == "resnet18_c4":
        body.layer4, body.fc.in_features = nn.Identity(), body.layer3[-1].bn2.num_features
    return body


def _imagenet_state(entry: Any) -> dict[str, Tensor]:
    """Download (once) and read the file of a torchvision weights entry."""
    try:
        return cast(dict[str, Tensor], entry.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise RuntimeError(
            f"could not get the ImageNet weights {entry.url}: {error}\n"
            f"Check the connection; or put that file into {folder} yourself; or delete a damaged copy there; "
            "or pass weights=None to start from random weights."
        ) from error
