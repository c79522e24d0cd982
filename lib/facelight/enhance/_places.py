"""Which table of gray levels a pixel goes through: one, or a blend of the four around it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where the lines of pixels find their tables: the sum of `line` and `column` counts tables, not levels.

    Args:
        line: (L, 1), int32, for each line of pixels.
        column: (W,), int32, for each column.
    """

    line: Tensor
    column: Tensor


class Blend(NamedTuple):
    """Weights of the four tables between which a pixel lies; the table below is `stride` tables further.

    Args:
        down: (L, 1), weight of the lower two of them, for each line of pixels.
        across: (W,), weight of the right two of them, for each column.
        stride: tables in a row of tables.
    """

    down: Tensor
    across: Tensor
    stride: int

    def to(self, dtype: torch.dtype) -> Blend:
        """The same, with weights of another type."""
        return Blend(self.down.to(dtype), self.across.to(dtype), self.stride)
