"""Several processes that train one network, as `torchrun` starts them: who takes what. The loop itself is `train`'s.

Every process draws the same batches and takes its own rows of each, its shard; PyTorch's DistributedDataParallel
averages the gradients. All of this does nothing in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
TIMEOUT = timedelta(days=2)  # rank 0 may render the data first, or measure what takes one process; the others wait


@contextlib.contextmanager
def process_group() -> Iterator[int]:
    """Join the processes that `torchrun` started, each on its own GPU, and give the rank of this one; alone it is 0.

    >>> with process_group() as rank:
    ...     rank
    0
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield rank()
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" is that one from now on
    dist.init_process_group("nccl" if gpu else "gloo", timeout=TIMEOUT)
    try:
        yield rank()
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process in its group; 0 alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """How many processes the group has; 1 alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def data_parallel(model: nn.Module) -> nn.Module:
    """The network, wrapped so that gradients are averaged over the processes; itself when alone.

    On GPUs batch normalization takes its statistics from all rows of a batch (`SyncBatchNorm`, put into `model`). On
    CPUs, where PyTorch has no such layer, each process takes those of its own rows: another network, a little noisier.
    """
    if world_size() == 1:
        return model
    device = next(model.parameters()).device
    if device.type != "cuda":
        return DistributedDataParallel(model)
    return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model), device_ids=[device])


def shard(x: Tensor) -> Tensor:
    """The rows of a batch that this process takes; all of them when alone.

    Raises:
        ValueError: fewer rows than processes.
    """
    size = world_size()
    if size == 1:
        return x
    if len(x) < size:
        raise ValueError(f"a batch of {len(x)} cannot be shared by {size} processes: enlarge `batch`, or start fewer")
    return x.tensor_split(size)[rank()]


def weighted(loss: Tensor, rows: int, batch: int) -> Tensor:
    """The mean over a shard of `rows`, weighted so that its mean over the processes is that over the whole batch."""
    size = world_size()
    return loss if size == 1 else loss * (size * rows / batch)


def all_reduce_mean(value: Tensor) -> float:
    """Mean of a number over the processes."""
    size = world_size()
    if size > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= size
    return value.item()


def broadcast(value: T) -> T:
    """What rank 0 has, in all processes."""
    if world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]
