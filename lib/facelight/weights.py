"""Trained networks in files: `save_model`, `load_model`, and `ModelCard`, which says what a network expects and gives.

A file is what `torch.save` writes of plain tensors, numbers and text, so that reading it runs no code
(`weights_only=True`). Weights of two and more axes are kept as float16, the others as float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelight import _check, _files
from facelight.data.landmarks import point_names
from facelight.layers.stem import light_stem
from facelight.models import RESNETS, FaceNet, landmark_regressor

__all__ = ["ModelCard", "ModelFileError", "load_model", "save_model", "shipped_model"]

FORMAT, VERSION = "facelight landmark model", 1
STEMS = ("linear", "light")
SHIPPED = Path(__file__).with_name("shipped")
ADVICE = "train one with: facelight train landmarks --data rendered -o model.pt"


class ModelFileError(ValueError):
    """A file that holds no network of this library, or a damaged one; the message says which and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What a landmark network expects, what it gives, and where it comes from.

    Pictures are RGB, float in [0, 1], square; landmarks are fractions of their width and height.

    Args:
        scheme: of the landmarks, "wflw98" or "w300_68".
        stem: first layer, "linear", that of the body, or "light", see `layers.light_stem`.
        size: side of the crops that it learned, in pixels.
        margin: side of the crop over the longer side of the tight box of the landmarks, see `data.crops.BoxRule`.
        backbone, head_width, grid: see `models.landmark_regressor`.
        data: what it was trained on.
        license: of the weights.
        command: that made it.
        errors: name -> what was measured, for whoever chooses between networks.
        facelight: version that wrote the file.
    """

    scheme: str = "wflw98"
    stem: str = "light"
    size: int = 96
    margin: float = 1.2
    backbone: str = "resnet18_small"
    head_width: int = 256
    grid: int = 3
    data: str = "unknown"
    license: str = "unknown"
    command: str = "unknown"
    errors: dict[str, float] = field(default_factory=dict)
    facelight: str = field(default_factory=lambda: version("facelight"))

    def __post_init__(self) -> None:
        _check.one_of(self.stem, STEMS, "stem")
        _check.one_of(self.backbone, RESNETS, "backbone")
        _check.whole(self.size, "size", 8)
        _check.positive(self.margin, "margin")
        point_names(self.scheme)  # refuses another one

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the landmarks in their order."""
        return point_names(self.scheme)

    def network(self) -> FaceNet:
        """The network with random weights."""
        options: dict[str, Any] = {"head_width": self.head_width, "grid": self.grid, "dropout": 0.0}
        model = landmark_regressor(self.backbone, len(self.points), **options)
        if self.stem == "light":
            model.body.set_submodule("conv1", light_stem(model.body.get_submodule("conv1")))
        return model


def save_model(path: str | os.PathLike[str], model: FaceNet, card: ModelCard) -> str:
    """Write a network, as a whole or not at all, and return the sha256 of its weights and card.

    Raises:
        ValueError: it is not the network of this card.
        OSError: the file cannot be written.
    """
    wanted, found = card.network().state_dict(), model.state_dict()
    if {n: v.shape for n, v in wanted.items()} != {n: v.shape for n, v in found.items()}:
        raise ValueError(f"model: it does not have the weights of {card}: start from card.network()")
    weights = {name: (v.half() if v.ndim > 1 else v).detach().cpu().contiguous() for name, v in found.items()}
    about = dataclasses.asdict(card)
    digest = _digest(weights, about)
    whole = {"format": FORMAT, "version": VERSION, "card": about, "sha256": digest, "weights": weights}
    path = _files.expanded(path, "path")
    with _files.whole(path) as stream:
        torch.save(whole, stream)
    return digest


def load_model(path: str | os.PathLike[str]) -> tuple[FaceNet, ModelCard]:
    """Read a network that `save_model` wrote, in evaluation mode, float32, on the CPU; and its card.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFileError: it is cut short or damaged, holds something else, or was written by a later version.
    """
    path = _files.expanded(path, "path")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file; {ADVICE}")
    state = _read(path)
    if state["version"] != VERSION:
        raise ModelFileError(
            f"{path}: version {state['version']} of the format, this facelight reads {VERSION}: "
            "pip install --upgrade facelight, or train the network again"
        )
    try:
        weights, about = state["weights"], state["card"]
        if _digest(weights, about) != state["sha256"]:
            raise ModelFileError(f"{path}: damaged, its weights are not those of its sha256: obtain it again")
        card = ModelCard(**about)
        model = card.network()
        model.load_state_dict(weights)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelFileError(f"{path}: not a whole model ({error}): obtain it again, or {ADVICE}") from error
    return model.eval(), card


def shipped_model(stem: str = "light") -> Path:
    """The file of a network that comes with this library, trained on rendered faces: "light", or "linear" to compare.

    Raises:
        FileNotFoundError: this installation has none.
    """
    _check.one_of(stem, STEMS, "stem")
    path = SHIPPED / f"landmarks_{stem}.pt"
    if not path.is_file():
        raise FileNotFoundError(f"no trained network with the first layer {stem!r} comes with this facelight: {ADVICE}")
    return path


def _read(path: Path) -> dict[str, Any]:
    """The content of a file of any version."""
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if not zipped:
        raise ModelFileError(f"{path}: not a model file of facelight: {ADVICE}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # objects of other programs
        raise ModelFileError(f"{path}: a file of another program, not a model of facelight: {ADVICE}") from error
    except Exception as error:  # whatever a damaged file makes of itself
        raise ModelFileError(f"{path}: cut short or damaged ({type(error).__name__}): obtain it again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT or not isinstance(state.get("version"), int):
        raise ModelFileError(f"{path}: weights of another network, without the card of facelight: {ADVICE}")
    return state


def _digest(weights: dict[str, Tensor], about: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {tuple(weights[name].shape)}".encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
