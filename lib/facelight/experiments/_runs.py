"""What all experiments share: measure a list of runs and record them; take pictures in parts over all processors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from facelight import results
from facelight.data import pie, yaleb
from facelight.data.samples import LitFaces
from facelight.experiments.enhancers import Enhancer, fingerprint
from facelight.results import Record

PIXELS_AT_ONCE = 2**20


class Config(Protocol):
    """The configuration of a run on a data set."""

    @property
    def dataset(self) -> str: ...
    @property
    def enhancer(self) -> Enhancer: ...


C = TypeVar("C", bound=Config)
Measure: TypeAlias = Callable[[C, LitFaces], tuple[Mapping[str, Any], str, int]]


def measure_all(
    experiment: str,
    profile: str,
    configs: Sequence[C],
    load: Callable[[str], LitFaces],
    measure: Measure[C],
    same_as: Callable[[C], Hashable] | None = None,
) -> list[Record]:
    """Measure the runs in order and return their records; see `facelight.experiments.run`.

    Args:
        experiment, profile: as named on the command line.
        configs: one a run.
        load: the pictures of a data set; called once for each set that is needed.
        measure: metrics of a run on them, the split that it used, and the number of pictures in it.
        same_as: what equal experiments have in common, of which only the first is measured; default: the configuration.
    """
    keep = profile in ("laptop", "full")
    loaded: dict[str, LitFaces] = {}
    measured: dict[Hashable, Record] = {}
    records = []
    for config in tqdm(configs, desc=f"{experiment}, {profile}", unit="run", disable=not keep):
        item = results.find(experiment, config, getattr(config, "seed", None)) if keep else None
        same = same_as(config) if same_as else config
        if item is None:
            if config.dataset not in loaded:
                loaded[config.dataset] = load(config.dataset)
            item = _record(experiment, profile, config, loaded[config.dataset], measure, measured.get(same))
            if keep:
                results.save(item)
        measured[same] = item
        records.append(item)
    return records


def _record(
    experiment: str,
    profile: str,
    config: C,
    faces: LitFaces,
    measure: Measure[C],
    same: Record | None,
) -> Record:
    start = time.perf_counter()
    metrics, split, count = (same.metrics, same.data["split"], same.data["count"]) if same else measure(config, faces)
    return results.record(
        experiment,
        config,
        {**metrics, "fingerprint": fingerprint(config.enhancer)},
        data={"name": faces.source, "sha256": faces.sha256, "split": split, "count": count},
        seconds=time.perf_counter() - start,
        seed=getattr(config, "seed", None),
        command=f"facelight run {experiment} --profile {profile}",
    )


def in_parts(work: Callable[[Tensor], Tensor], images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """`work` on images (N, C, H, W), uint8, a part at a time on every processor, and its results side by side.

    Each part is resized to (H, W), bilinearly with antialiasing, rounded to grey levels and given to `work` as float32
    in [0, 1]; what comes back has the images along the last axis.
    """
    height, width = size or images.shape[-2:]
    parts = images.split(max(1, PIXELS_AT_ONCE // (height * width)))
    threads = torch.get_num_threads()

    @torch.no_grad()
    def one(part: Tensor) -> Tensor:
        return work(_resized(part, size))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # torch's own threads would only compete
        torch.set_num_threads(1)
        try:
            return torch.cat(list(pool.map(one, parts)), dim=-1)
        finally:
            torch.set_num_threads(threads)


def _resized(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    x = images.float() / 255
    if size is None:
        return x
    x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return (x * 255).round().clamp(0, 255) / 255


def read(dataset: str) -> LitFaces:
    """Extended Yale B ("yaleb") or CMU PIE ("pie")."""
    return {"yaleb": yaleb, "pie": pie}[dataset].load()
