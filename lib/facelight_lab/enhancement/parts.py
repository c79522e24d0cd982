"""People split at random into parts, and how well an enhancer does on the people of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facelight import metrics
from facelight.data.samples import LitFaces
from facelight_lab.enhancement.learnable import identity_loss
from facelight_lab.pictures import in_parts


def split(identities: int, people: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Disjoint identities for training, validation and test, in ascending order: a function of the seed alone.

    Raises:
        ValueError: there are not that many identities.
    """
    if sum(people) > identities or min(people) < 2:
        raise ValueError(f"people: expected at least 2 a part and {identities} in all, got {people}")
    order = torch.randperm(identities, generator=torch.Generator().manual_seed(seed))
    train, validation, test = (part.sort().values for part in order[: sum(people)].split(list(people)))
    return train, validation, test


def evaluate(enhancer: Callable[[Tensor], Tensor], faces: LitFaces, temperature: float) -> dict[str, Any]:
    """Rate and loss of `faces` among themselves, each a mean over the subsets of probes, and in each subset."""
    vectors = in_parts(lambda x: enhancer(x).flatten(1).T, faces.image, None).T
    known, subset = faces.subset == 1, faces.subset[faces.subset != 1]
    place, target = (vectors[known], faces.identity[known], vectors[~known]), faces.identity[~known]
    right = (metrics.nearest_neighbor(*place, center=True) == target).double()
    losses = identity_loss(*place, target, torch.tensor(temperature))
    found: dict[str, Any] = {}
    for name, values in (("rate", right), ("loss", losses.double())):
        parts = {int(s): values[subset == s].mean().item() for s in subset.unique()}
        found |= {name: sum(parts.values()) / len(parts), f"{name}_by_subset": parts}
    return found
