"""Pictures of a data set: reading them, and working on them in parts over all processors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from facelight import _machine
from facelight.data import ar, pie, yaleb
from facelight.data.samples import LitFaces

PIXELS_AT_ONCE = 2**20


def in_parts(work: Callable[[Tensor], Tensor], images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """`work` on images (N, C, H, W), uint8, a part at a time on every processor, and its results side by side.

    Each part is resized to (H, W), bilinearly with antialiasing, rounded to gray levels and given to `work` as float32
    in [0, 1]; what comes back has the images along the last axis.
    """
    height, width = size or images.shape[-2:]
    parts = images.split(max(1, PIXELS_AT_ONCE // (height * width)))
    threads = torch.get_num_threads()

    @torch.no_grad()
    def one(part: Tensor) -> Tensor:
        return work(_resized(part, size))

    with ThreadPoolExecutor(_machine.processors()) as pool:  # torch's own threads would only compete
        torch.set_num_threads(1)
        try:
            return torch.cat(list(pool.map(one, parts)), dim=-1)
        finally:
            torch.set_num_threads(threads)


def _resized(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    x = images.to(torch.get_default_dtype()) / 255
    if size is None:
        return x
    x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return (x * 255).round().clamp(0, 255) / 255


def read(dataset: str) -> LitFaces:
    """Extended Yale B ("yaleb"), CMU PIE ("pie") or AR ("ar")."""
    loaders: dict[str, Callable[[], LitFaces]] = {"yaleb": yaleb.load, "pie": pie.load, "ar": ar.load}
    return loaders[dataset]()
