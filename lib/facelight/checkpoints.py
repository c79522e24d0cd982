"""Checkpoints of a training: written as a whole or not at all, continued only by the run that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from facelight import _files

Curve = dict[str, list[float]]
"""What was noted after each epoch."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued from."""


def save(
    path: Path, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, curve: Curve
) -> None:
    """Write a checkpoint beside its place and move it there, so that the file is always a whole one.

    Raises:
        OSError: it cannot be written; names the file and what the disk said.
    """
    state: dict[str, Any] = {"identity": identity, "epoch": epoch, "curve": curve}
    state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    path = _files.expanded(path, "checkpoint")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _files.whole(path, alone=True) as stream:
            torch.save(state, stream)
    except (OSError, RuntimeError) as error:  # torch.save hides what the disk said behind its own RuntimeError
        raise OSError(f"cannot write {path} ({error}): free some space, or choose a folder for it") from error


def resume(path: Path | None, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Curve]:
    """The epoch to go on with and the curve so far; model and optimizer as they were then."""
    if path is None or not (path := _files.expanded(path, "checkpoint")).exists():
        return 0, {}
    advice = f"delete {path} to start this run again"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        whose = state["identity"]
        if whose == identity:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return state["epoch"], state["curve"]
    except Exception as error:  # whatever a damaged file makes of itself
        raise CheckpointError(
            f"{path} is not a whole checkpoint of this run ({type(error).__name__}: {error}): {advice}"
        ) from error
    raise CheckpointError(f"{path} belongs to another run,\n  {whose}\nnot to\n  {identity}\n{advice}")
