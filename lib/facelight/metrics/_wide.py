"""Numbers of enough digits to measure with."""

from __future__ import annotations

from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Half precision as float32: it has too few digits for sums, shares and squares; float32 and float64 as they are.

    >>> import torch
    >>> at_least_single(torch.zeros(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x.float() if x.dtype.itemsize < 4 else x
