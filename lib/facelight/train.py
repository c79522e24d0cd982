"""Training: `seed_everything`, `fit`, `evaluate`. One plain loop; what it is fed is the caller's business.

Everything random in an epoch is a function of the seed and the number of the epoch. An interrupted run therefore
continues from its last checkpoint to the same weights as an uninterrupted one, and two models that are trained with
one seed see the very same batches.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from facelight import _check, checkpoints, distributed
from facelight.checkpoints import CheckpointError, Curve
from facelight.precision import computes_in_bfloat16

__all__ = [
    "CheckpointError",
    "Curve",
    "Recipe",
    "best_device",
    "computes_in_bfloat16",
    "evaluate",
    "fit",
    "learning_rate",
    "no_better",
    "seed_everything",
]

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine", "exponential")

Batch = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


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
            _whole(getattr(self, name), name, 1)
        _check.positive(self.learning_rate, "learning_rate")
        _check.positive(self.decay, "decay")
        if self.clip is not None:
            _check.positive(self.clip, "clip")
        for name, top in (("momentum", 1.0), ("warmup", 1.0), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, name) < top:
                raise ValueError(f"{name}: expected a number >= 0 and < {top:g}, got {getattr(self, name)}")


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch on every device, and return a generator of the same seed.

    >>> (torch.rand(1, generator=seed_everything(3)) == torch.rand(1)).item()
    True
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that still draw from the global state
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def best_device() -> str:
    """Name of the device to train on: "cuda" where there is one, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fit(
    model: nn.Module,
    batch: Batch,
    count: int,
    loss: Loss,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    identity: str = "",
    watch: Callable[[nn.Module], dict[str, float]] | None = None,
    decays: Callable[[nn.Parameter], bool] | None = None,
    rates: Callable[[nn.Parameter], float] | None = None,
    stop: Callable[[Curve], bool] | None = None,
    seconds_between_saves: float = 20.0,
    progress: bool = False,
) -> Curve:
    """Train a network in place, leave it in evaluation mode, and return what happened in each epoch.

    Within `distributed.processes`, under `torchrun`, every process makes the same batches and trains on its own rows of
    each, and the first one keeps the checkpoint. The gradient is that of one process, so is the loss; what drops out
    differs, and so does batch normalization on CPUs, see `distributed.parallel`.

    Args:
        model: on the device that it is to be trained on.
        batch: makes inputs and targets from positions (B,), int64, and a generator, for augmentation; both on the
            device of the model, or moved there.
        count: number of training samples; positions run from 0 to count - 1, each once an epoch, in random order.
        loss: of outputs and targets, a scalar; the mean over samples, where several processes share them.
        recipe: how to train.
        seed: of order, augmentation and dropout, >= 0. The initial weights are the caller's, see `seed_everything`.
        checkpoint: file from which an interrupted run continues, and where it is kept, written as a whole or not at
            all; None: no file.
        identity: what the run is; a checkpoint of another one is refused.
        watch: called after each epoch with the model in evaluation mode; its numbers are added to the curve.
        decays: which parameters weight decay applies to; None: all.
        rates: how many times faster than the recipe says a parameter is trained; None: 1 for all.
        stop: asked before each epoch but the first, with the curve so far, whether to leave it at that; see
            `no_better`. None: all epochs of the recipe. Its schedule is not shortened.
        seconds_between_saves: of the checkpoint; what is lost by an interruption is computed again.
        progress: show a bar with the time that is left.

    Returns:
        For each epoch `loss`, the mean over its samples, and what `watch` returned.

    Raises:
        FloatingPointError: the loss is no longer finite.
        CheckpointError: the checkpoint is damaged, or belongs to another run.
        OSError: the checkpoint cannot be written.

    >>> data, line = torch.linspace(0, 1, 8)[:, None], torch.nn.Linear(1, 1)
    >>> curve = fit(line, lambda i, _: (data[i], 2 * data[i]), 8, torch.nn.functional.mse_loss, Recipe(epochs=3))
    >>> len(curve["loss"])
    3
    """
    _whole(count, "count", 1)
    _whole(seed, "seed", 0)
    device = next(model.parameters()).device
    optimizer = _optimizer(model, recipe, decays, rates)
    rank, size = distributed.place()
    whose = f"{identity} {dataclasses.asdict(recipe)} {count} {seed}" + f" in {size} processes" * (size > 1)
    start, curve = checkpoints.resume(checkpoint, whose, model, optimizer)
    saved = time.monotonic()
    left, hidden = range(start, recipe.epochs), rank > 0 or not progress
    bar = tqdm(left, "training", recipe.epochs, initial=start, unit="epoch", leave=False, disable=hidden)
    network = distributed.parallel(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for epoch in bar:
            if stop is not None and epoch > 0 and distributed.told(stop(curve)):
                break
            now = {"loss": _epoch(network, batch, count, loss, recipe, optimizer, epoch, seed)}
            if watch is not None:
                now |= watch(model.eval())
            for name, value in now.items():
                curve.setdefault(name, []).append(float(value))  # NumPy's numbers would spoil the checkpoint
            bar.set_postfix({name: f"{value:.4g}" for name, value in now.items()})
            if checkpoint is not None and rank == 0 and time.monotonic() - saved >= seconds_between_saves:
                checkpoints.save(checkpoint, whose, model, optimizer, epoch + 1, curve)
                saved = time.monotonic()
    distributed.told(None)  # nobody goes on before the last checkpoint is there
    model.eval()
    return curve


@torch.no_grad()
def evaluate(
    model: nn.Module, batch: Callable[[Tensor], Tensor], count: int, *, size: int = 256, bf16: bool = False
) -> Tensor:
    """Outputs of a network in evaluation mode for samples 0 to count - 1, (count, ...), float32, on the CPU.

    Args:
        model: left in the mode in which it came.
        batch: makes inputs from positions (B,), int64.
        count: number of samples.
        size: samples at once.
        bf16: as in `Recipe`.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    outputs = []
    try:
        for index in torch.arange(count).split(size):
            inputs = batch(index).to(device)
            with _precision(device, bf16):
                outputs.append(model(inputs).float().cpu())
    finally:
        model.train(training)
    return torch.cat(outputs)


def no_better(name: str, patience: int) -> Callable[[Curve], bool]:
    """Rule for `fit`: stop when a watched number has not fallen below its lowest for so many epochs.

    Args:
        name: of the number in the curve; lower is better.
        patience: epochs, at least 1.

    >>> no_better("validation", 2)({"validation": [0.5, 0.4, 0.4, 0.6]})
    True
    """
    _whole(patience, "patience", 1)

    def stop(curve: Curve) -> bool:
        if name not in curve:
            raise ValueError(f"name: expected what is watched, one of {', '.join(curve)}; got {name!r}")
        return len(curve[name]) - 1 - curve[name].index(min(curve[name])) >= patience

    return stop


def _precision(device: torch.device, bf16: bool) -> torch.autocast:
    """Autocast to bfloat16, unless the device had to emulate it, which is many times slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16 and computes_in_bfloat16(device))


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


def _epoch(
    model: nn.Module,
    batch: Batch,
    count: int,
    loss: Loss,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    seed: int,
) -> float:
    """One pass over the training set; the mean loss of its samples."""
    device = next(model.parameters()).device
    first, second = np.random.SeedSequence([seed, epoch]).generate_state(2).tolist()
    generator = torch.Generator().manual_seed(first)  # order and augmentation, whatever the network draws
    torch.manual_seed(second + distributed.place()[0])  # dropout
    parts = torch.randperm(count, generator=generator).tensor_split(math.ceil(count / recipe.batch))
    total = 0.0
    model.train()
    for place, index in enumerate(parts):
        for group in optimizer.param_groups:
            group["lr"] = group["faster"] * learning_rate(recipe, epoch * len(parts) + place, len(parts))
        inputs, targets = (distributed.share(x) for x in batch(index, generator))
        with _precision(device, recipe.bf16):
            outputs = model(inputs.to(device))
        value = distributed.weighted(loss(outputs.float(), targets.to(device)), len(inputs), len(index))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        mean = distributed.average(value)
        total += mean * len(index)
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the loss is {mean} in epoch {epoch + 1}, step {place + 1}: lower learning_rate "
                f"({recipe.learning_rate:g}), set clip, or look for NaN in the inputs"
            )
    return total / count


def _optimizer(
    model: nn.Module,
    recipe: Recipe,
    decays: Callable[[nn.Parameter], bool] | None,
    rates: Callable[[nn.Parameter], float] | None,
) -> torch.optim.Optimizer:
    """One group of parameters for each combination of decay and rate; "faster" is what multiplies the rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        decay = recipe.weight_decay if decays is None or decays(parameter) else 0.0
        groups.setdefault((decay, 1.0 if rates is None else rates(parameter)), []).append(parameter)
    listed = [{"params": found, "weight_decay": decay, "faster": rate} for (decay, rate), found in groups.items()]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(listed, lr=recipe.learning_rate, fused=True)


def _whole(value: int, name: str, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
