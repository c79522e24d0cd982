"""Several processes that train one network, as `torchrun` starts them: who takes what. The loop itself is `train`'s.

Every process draws the same batches and takes its own rows of each; PyTorch's DistributedDataParallel averages the
gradients. All of this does nothing in a process of its own.
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
PATIENCE = timedelta(days=2)  # the first process may wait for a run that others have in hand, the rest wait for it


@contextlib.contextmanager
def processes() -> Iterator[int]:
    """Join the processes that `torchrun` started, each on its own GPU, and give the rank of this one; alone it is 0.

    >>> with processes() as rank:
    ...     rank
    0
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield place()[0]
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" is that one from now on
    dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Rank of this process and number of processes, (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def parallel(model: nn.Module) -> nn.Module:
    """The network, wrapped so that gradients are averaged over the processes; itself when alone.

    On GPUs batch normalization takes its statistics from all rows of a batch (`SyncBatchNorm`, put into `model`). On
    CPUs, where PyTorch has no such layer, each process takes those of its own rows: another network, a little noisier.
    """
    if place()[1] == 1:
        return model
    device = next(model.parameters()).device
    if device.type != "cuda":
        return DistributedDataParallel(model)
    return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(model), device_ids=[device])


def share(x: Tensor) -> Tensor:
    """The rows of a batch that this process takes; all of them when alone.

    Raises:
        ValueError: fewer rows than processes.
    """
    rank, size = place()
    if size == 1:
        return x
    if len(x) < size:
        raise ValueError(f"a batch of {len(x)} cannot be shared by {size} processes: enlarge `batch`, or start fewer")
    return x.tensor_split(size)[rank]


def weighted(loss: Tensor, mine: int, whole: int) -> Tensor:
    """A mean over `mine` rows, weighted so that its mean over the processes is that over the `whole` batch."""
    size = place()[1]
    return loss if size == 1 else loss * (size * mine / whole)


def average(value: Tensor) -> float:
    """Mean of a number over the processes."""
    size = place()[1]
    if size > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= size
    return value.item()


def told(value: T) -> T:
    """What the first process says, in all of them."""
    if place()[1] == 1:
        return value
    said = [value]
    dist.broadcast_object_list(said)
    return said[0]
