"""Compiling what histogram methods need before somebody waits for it."""

from __future__ import annotations

import itertools
import warnings

import torch

from facelight.enhance.adaptive import clahe
from facelight.enhance.histogram import equalize
from facelight.enhance.paths import histogram_path

__all__ = ["prepare_histograms"]


def prepare_histograms() -> None:
    """Compile what numba has not compiled yet for this processor, without a word.

    The first histogram method of a process does it otherwise, and says so. It takes about half a minute, once: later
    processes find the result on the disk. Where `histogram_path` is "torch" nothing happens.

    >>> prepare_histograms()
    """
    if histogram_path() != "numba":
        return
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        for kind, whole in itertools.product((torch.float32, torch.float64), (True, False)):
            x = torch.linspace(0, 1, 256, dtype=kind).view(1, 16, 16)
            x = (x if whole else 0.99 * x).requires_grad_()
            for convention, exact in itertools.product(("opencv", "matlab"), (True, False)):
                clahe(x, 1.0, (2, 2), convention=convention, exact=exact).sum().backward()
            equalize(x, exact=False).sum().backward()
