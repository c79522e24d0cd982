"""Which table of gray levels a pixel goes through: one, or a blend of the four around it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where the lines of pixels find their tables: the sum of `line` and `column` counts tables, not levels.

    Args:
        line: (L, 1), int32, for each line of pixels; it does not fall from one line to the next.
        column: (W,), int32, for each column.
    """

    line: Tensor
    column: Tensor


class Blend(NamedTuple):
    """The other three tables between which a pixel lies, seen from that of its `Place`, and their weights.

    Args:
        below: (L, 1), int32, how many tables further the lower two are, for each line of pixels.
        right: (W,), int32, how many tables further the right two are, for each column.
        down: (L, 1), weight of the lower two, for each line.
        across: (W,), weight of the right two, for each column.
    """

    below: Tensor
    right: Tensor
    down: Tensor
    across: Tensor

    def to(self, dtype: torch.dtype) -> Blend:
        """The same, with weights of another type."""
        return self._replace(down=self.down.to(dtype), across=self.across.to(dtype))
