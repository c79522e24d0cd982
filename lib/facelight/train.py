"""Training: `seed_everything`, `fit`, `evaluate`. One plain loop; what it is fed is the caller's business.

Everything random in an epoch is a function of the seed and the number of the epoch. An interrupted run therefore
continues from its last checkpoint to the same weights as an uninterrupted one, and two models that are trained with
one seed see the very same batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from facelight import _check, checkpoints, distributed
from facelight.checkpoints import CheckpointError, Curve
from facelight.precision import computes_in_bfloat16
from facelight.recipe import Recipe, learning_rate, optimizer_for

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
    "on_device",
    "seed_everything",
]

Batch = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch on every device, and return a generator of the same seed.

    >>> (torch.rand(1, generator=seed_everything(3)) == torch.rand(1)).item()
    True
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that still draw from the global state
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


_CHOSEN: ContextVar[str | None] = ContextVar("device", default=None)


def best_device() -> str:
    """Name of the device to train on: that of `on_device`, else "cuda" where there is one, else "cpu"."""
    return _CHOSEN.get() or ("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """Within it `best_device` is this one.

    >>> with on_device("cpu"):
    ...     best_device()
    'cpu'
    """
    token = _CHOSEN.set(device)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


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
    on_epoch_end: Callable[[nn.Module], dict[str, float]] | None = None,
    weight_decay_filter: Callable[[nn.Parameter], bool] | None = None,
    lr_scale: Callable[[nn.Parameter], float] | None = None,
    stop: Callable[[Curve], bool] | None = None,
    seconds_between_saves: float = 20.0,
    progress: bool = False,
) -> Curve:
    """Train a network in place, leave it in evaluation mode, and return what happened in each epoch.

    Within `distributed.process_group`, under `torchrun`, every process makes the same batches and trains on its own
    shard of each, and rank 0 keeps the checkpoint. The gradient is that of one process, so is the loss; what drops out
    differs, and so does batch normalization on CPUs, see `distributed.data_parallel`.

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
        on_epoch_end: called with the model in evaluation mode; the numbers that it returns are added to the curve.
        weight_decay_filter: whether weight decay applies to a parameter; None: to all.
        lr_scale: factor on the learning rate of a parameter; None: 1 for all.
        stop: asked before each epoch but the first, with the curve so far, whether to leave it at that; see
            `no_better`. None: all epochs of the recipe. Its schedule is not shortened.
        seconds_between_saves: of the checkpoint; what is lost by an interruption is computed again.
        progress: show a bar with the time that is left.

    Returns:
        For each epoch `loss`, the mean over its samples, and what `on_epoch_end` returned.

    Raises:
        FloatingPointError: the loss is no longer finite.
        CheckpointError: the checkpoint is damaged, or belongs to another run.
        OSError: the checkpoint cannot be written.

    >>> data, line = torch.linspace(0, 1, 8)[:, None], torch.nn.Linear(1, 1)
    >>> curve = fit(line, lambda i, _: (data[i], 2 * data[i]), 8, torch.nn.functional.mse_loss, Recipe(epochs=3))
    >>> len(curve["loss"])
    3
    """
    _check.whole(count, "count", 1)
    _check.whole(seed, "seed", 0)
    device = next(model.parameters()).device
    optimizer = optimizer_for(model, recipe, weight_decay_filter, lr_scale)
    rank, size = distributed.rank(), distributed.world_size()
    whose = f"{identity} {dataclasses.asdict(recipe)} {count} {seed}" + f" in {size} processes" * (size > 1)
    start, curve = checkpoints.resume(checkpoint, whose, model, optimizer)
    saved = time.monotonic()
    left, hidden = range(start, recipe.epochs), rank > 0 or not progress
    bar = tqdm(left, "training", recipe.epochs, initial=start, unit="epoch", leave=False, disable=hidden)
    network = distributed.data_parallel(model)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for epoch in bar:
            if stop is not None and epoch > 0 and distributed.broadcast(stop(curve)):
                break
            now = {"loss": _epoch(network, batch, count, loss, recipe, optimizer, epoch, seed)}
            if on_epoch_end is not None:
                now |= on_epoch_end(model.eval())
            for name, value in now.items():
                curve.setdefault(name, []).append(float(value))  # NumPy's numbers would spoil the checkpoint
            bar.set_postfix({name: f"{value:.4g}" for name, value in now.items()})
            if checkpoint is not None and rank == 0 and time.monotonic() - saved >= seconds_between_saves:
                checkpoints.save(checkpoint, whose, model, optimizer, epoch + 1, curve)
                saved = time.monotonic()
    distributed.broadcast(None)  # nobody goes on before the last checkpoint is there
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
    _check.whole(patience, "patience", 1)

    def stop(curve: Curve) -> bool:
        if name not in curve:
            raise ValueError(f"name: expected what is watched, one of {', '.join(curve)}; got {name!r}")
        return len(curve[name]) - 1 - curve[name].index(min(curve[name])) >= patience

    return stop


def _precision(device: torch.device, bf16: bool) -> torch.autocast:
    """Autocast to bfloat16, unless the device had to emulate it, which is many times slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16 and computes_in_bfloat16(device))


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
    torch.manual_seed(second + distributed.rank())  # dropout
    parts = torch.randperm(count, generator=generator).tensor_split(math.ceil(count / recipe.batch))
    total = 0.0
    model.train()
    for place, index in enumerate(parts):
        for group in optimizer.param_groups:
            group["lr"] = group["lr_scale"] * learning_rate(recipe, epoch * len(parts) + place, len(parts))
        inputs, targets = (distributed.shard(x) for x in batch(index, generator))
        with _precision(device, recipe.bf16):
            outputs = model(inputs.to(device))
        value = distributed.weighted(loss(outputs.float(), targets.to(device)), len(inputs), len(index))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        mean = distributed.all_reduce_mean(value)
        total += mean * len(index)
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the loss is {mean} in epoch {epoch + 1}, step {place + 1}: lower learning_rate "
                f"({recipe.learning_rate:g}), set clip, or look for NaN in the inputs"
            )
    return total / count
