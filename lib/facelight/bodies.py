"""The torchvision networks that `models` puts a first layer and a head on, and their weights."""

from __future__ import annotations

import pickle
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["torchvision_body"]


def torchvision_body(backbone: str, weights: str | None = None) -> Any:
    """A torchvision network with its 1000-class layer, which the heads of this module replace.

    Args:
        backbone: see `face_classifier`.
        weights: as in `landmark_regressor`.

    >>> torchvision_body("resnet18_c4").fc.in_features
    256
    """
    import torchvision.models  # takes more than a second to import

    if weights not in (None, "imagenet"):
        raise ValueError(f"weights: expected None or 'imagenet', got {weights!r}")
    options: dict[str, Any] = {}
    if backbone == "inception_v3":
        options = {"aux_logits": False, "transform_input": False, "init_weights": weights is None}
    name = backbone.removesuffix("_c4").replace("_small", "_bn")
    body = torchvision.models.get_model(name, weights=None, **options)
    if weights is not None:
        state = _imagenet_state(torchvision.models.get_model_weights(name)["IMAGENET1K_V1"])
        body.load_state_dict({k: v for k, v in state.items() if not k.startswith("AuxLogits.")})
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
