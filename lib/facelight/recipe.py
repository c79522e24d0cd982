"""How a network is trained: `Recipe`, its learning rate at every step, its optimizer. The loop is `train.fit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from facelight import _check

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine", "exponential")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: passes over the training set.
        batch: pictures in a batch, at most; batches of one epoch differ in size by one at the most.
        optimizer: "sgd" or "adamw".
        learning_rate: at its highest.
        momentum: of "sgd"; "adamw" keeps PyTorch's betas.
        weight_decay: L2 for "sgd", decoupled for "adamw".
        schedule: "constant"; "cosine", to zero at the end; or "exponential", times `decay` after each epoch.
        decay: see `schedule`.
        warmup: share of all steps during which the rate also rises linearly.
        clip: largest norm of the gradient; None: no limit.
        bf16: forward pass in bfloat16 where PyTorch's autocast does so, if the device computes in it
            (`computes_in_bfloat16`); weights and loss stay in float32.
    """

    epochs: int = 30
    batch: int = 50
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "cosine"
    decay: float = 1.0
    warmup: float = 0.0
    clip: float | None = None
    bf16: bool = True

    def __post_init__(self) -> None:
        _check.one_of(self.optimizer, OPTIMIZERS, "optimizer")
        _check.one_of(self.schedule, SCHEDULES, "schedule")
        for name in ("epochs", "batch"):
            _check.whole(getattr(self, name), name, 1)
        _check.positive(self.learning_rate, "learning_rate")
        _check.positive(self.decay, "decay")
        if self.clip is not None:
            _check.positive(self.clip, "clip")
        for name, top in (("momentum", 1.0), ("warmup", 1.0), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, name) < top:
                raise ValueError(f"{name}: expected a number >= 0 and < {top:g}, got {getattr(self, name)}")


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate at a step, counted from 0 over the whole training.

    >>> [learning_rate(Recipe(epochs=2, learning_rate=1.0), step, 2) for step in (0, 2)]
    [1.0, 0.5]
    """
    steps = recipe.epochs * steps_per_epoch
    warm = recipe.warmup * steps
    rate = recipe.learning_rate * min(1.0, (step + 1) / (warm + 1))
    if recipe.schedule == "exponential":
        return rate * recipe.decay ** (step // steps_per_epoch)
    if recipe.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * max(0.0, step - warm) / (steps - warm)))
    return rate


def optimizer_for(
    model: nn.Module,
    recipe: Recipe,
    weight_decay_filter: Callable[[nn.Parameter], bool] | None,
    lr_scale: Callable[[nn.Parameter], float] | None,
) -> torch.optim.Optimizer:
    """One group of parameters for each combination of weight decay and factor on the learning rate, "lr_scale"."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        decay = recipe.weight_decay if weight_decay_filter is None or weight_decay_filter(parameter) else 0.0
        groups.setdefault((decay, 1.0 if lr_scale is None else lr_scale(parameter)), []).append(parameter)
    listed = [{"params": found, "weight_decay": decay, "lr_scale": scale} for (decay, scale), found in groups.items()]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(listed, lr=recipe.learning_rate, fused=True)
