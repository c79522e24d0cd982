"""Experiment "preprocessing": what each enhancer does to PSNR and mean brightness, over whole data sets."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from facelight import _check, enhance, metrics, results
from facelight._tiles import tile_size
from facelight.data import pie, yaleb
from facelight.data.samples import LitFaces
from facelight.results import Record

NAME = "preprocessing"
DATASETS = ("yaleb", "pie", "synthetic")
ENHANCERS = ("identity", "equalize", "ahe", "clahe", "modified_clahe", "bbhe", "gbie")
CLIP_LIMITS = tuple(i / 1000 for i in range(1, 11))
BLOCKS = (2, 4, 8, 16, 32, 64, 128)
SIZES = {"yaleb": yaleb.SIZE, "pie": pie.SIZE, "synthetic": (192, 168)}
_PIXELS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Preprocessing:
    """One enhancer with its settings on one data set.

    Args:
        dataset: "yaleb", "pie" or "synthetic".
        enhancer: "identity" or a function of `facelight.enhance`.
        clip_limit, grid_size, convention: of CLAHE and M-CLAHE; grid_size also of AHE.
        stages: of M-CLAHE.
        sigma, levels, stretch: of GBIE.
        size: (H, W) to which the pictures are resized first; default: as they are.
        every: take every n-th picture.
    """

    dataset: str = "yaleb"
    enhancer: str = "clahe"
    clip_limit: float = 0.01
    grid_size: tuple[int, int] = (8, 8)
    convention: str = "matlab"
    stages: int = 2
    sigma: float = 1.0
    levels: float = 255.0
    stretch: bool = True
    size: tuple[int, int] | None = None
    every: int = 1

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.enhancer, ENHANCERS, "enhancer")
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {self.every}")


def apply(config: Preprocessing, x: Tensor) -> Tensor:
    """The images (N, 1, H, W), float in [0, 1], enhanced as configured."""
    limits = (config.clip_limit, config.grid_size, config.convention)
    match config.enhancer:
        case "identity":
            return x
        case "ahe":
            return enhance.ahe(x, config.grid_size)
        case "clahe":
            return enhance.clahe(x, *limits)
        case "modified_clahe":
            return enhance.modified_clahe(x, *limits, stages=config.stages)
        case "gbie":
            return enhance.gbie(x, config.sigma, levels=config.levels, stretch=config.stretch)
        case _:
            function = {"equalize": enhance.equalize, "bbhe": enhance.bbhe}[config.enhancer]
            return function(x)


def per_image(config: Preprocessing, images: Tensor) -> tuple[Tensor, Tensor]:
    """PSNR in decibels and AMBE in grey levels of each of the images (N, 1, H, W), uint8, against itself."""
    height, width = config.size or images.shape[-2:]
    parts = images.split(max(1, _PIXELS_AT_ONCE // (height * width)))
    threads = torch.get_num_threads()

    def measure(part: Tensor) -> Tensor:
        x = _resized(part, config.size)
        y = apply(config, x)
        return torch.stack([metrics.psnr(x, y), metrics.ambe(x, y)]).double()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # torch's own threads would only compete
        torch.set_num_threads(1)
        try:
            psnr, ambe = torch.cat(list(pool.map(measure, parts)), dim=1)
        finally:
            torch.set_num_threads(threads)
    return psnr, ambe


def measure(config: Preprocessing, faces: LitFaces) -> dict[str, Any]:
    """What is recorded of a run: means, sample standard deviations, the bound, and the means of each subset.

    `psnr` is the mean over the images that changed (an unchanged one scores infinity; `unchanged` counts them);
    `bound` is the mean of 20 log10(255 / AMBE) over the same images, `bound_of_means` that of the mean AMBE;
    `exceeded` counts images whose PSNR is above their own bound.
    """
    psnr, ambe = per_image(config, faces.image)
    changed = psnr.isfinite()
    bound = metrics.psnr_bound(ambe)
    shifted = changed & bound.isfinite()
    subset = {int(s): faces.subset == s for s in faces.subset.unique()}
    return {
        "psnr": _mean(psnr[changed]),
        "psnr_sd": _sd(psnr[changed]),
        "ambe": _mean(ambe),
        "ambe_sd": _sd(ambe),
        "bound": _mean(bound[shifted]),
        "bound_of_means": _mean(metrics.psnr_bound(ambe.mean())) if shifted.any() else None,
        "exceeded": int((psnr > bound + 1e-3)[shifted].sum()),
        "unchanged": int((~changed).sum()),
        "psnr_by_subset": {s: _mean(psnr[of & changed]) for s, of in subset.items()},
        "ambe_by_subset": {s: _mean(ambe[of]) for s, of in subset.items()},
    }


def configs(profile: str) -> list[Preprocessing]:
    """The runs of a profile."""
    if profile in ("smoke", "book"):
        return list(tables_1_and_2("synthetic"))
    runs: dict[Preprocessing, None] = {}  # an ordered set
    for dataset in ("yaleb", "pie"):
        for part in (tables_1_and_2, figure_9, table_3, near_identity):
            runs |= dict.fromkeys(part(dataset))
    return list(runs)


def tables_1_and_2(dataset: str) -> Iterable[Preprocessing]:
    """Every enhancer at its default, CLAHE in both conventions, GBIE in three readings, the stages of M-CLAHE."""
    base = Preprocessing(dataset)
    for enhancer in ENHANCERS:
        yield replace(base, enhancer=enhancer)
    for enhancer in ("clahe", "modified_clahe"):
        yield replace(base, enhancer=enhancer, convention="opencv")
        yield replace(base, enhancer=enhancer, convention="opencv", clip_limit=2.0)
    for stages in (1, 3):
        yield replace(base, enhancer="modified_clahe", stages=stages)
    yield replace(base, enhancer="gbie", stretch=False)
    yield replace(base, enhancer="gbie", levels=1.0)


def figure_9(dataset: str) -> Iterable[Preprocessing]:
    """Clip limits 0.001 to 0.010 in MATLAB's convention, and OpenCV's limits 1 + 255 times as large."""
    for limit in CLIP_LIMITS:
        for enhancer in ("clahe", "modified_clahe"):
            base = Preprocessing(dataset, enhancer, limit)
            yield base
            yield replace(base, convention="opencv", clip_limit=round(1 + 255 * limit, 3))


def table_3(dataset: str) -> Iterable[Preprocessing]:
    """Block sizes 2 to 128, read as a number of tiles and as pixels of a tile, where the picture allows it."""
    height, width = SIZES[dataset]
    for grid in dict.fromkeys(grids(height, width).values()):
        small = grid[0] * grid[1] * 8 > height * width  # tiles of 2x2 pixels: slow
        for enhancer in ("clahe", "modified_clahe"):
            yield Preprocessing(dataset, enhancer, grid_size=grid, every=16 if small else 1)


def grids(height: int, width: int) -> dict[tuple[str, int], tuple[int, int]]:
    """Grid for each reading ("tiles" or "pixels") of each block size of Table 3 that an image allows."""
    found = {("tiles", n): (n, n) for n in BLOCKS if n <= min(height, width)}
    return found | {("pixels", n): (-(-height // n), -(-width // n)) for n in BLOCKS if n <= max(height, width)}


def near_identity(dataset: str) -> Iterable[Preprocessing]:
    """Clip limit 0, the least that MATLAB's convention can do; larger pictures change less."""
    sizes: list[tuple[tuple[int, int] | None, int]] = [(None, 1)]
    if dataset == "yaleb":  # 32x32 pictures hold nothing that a larger size could show
        sizes += [((299, 299), 4), ((480, 640), 8)]
    for size, every in sizes:
        for enhancer in ("clahe", "modified_clahe"):
            yield Preprocessing(dataset, enhancer, clip_limit=0.0, size=size, every=every)


def load(dataset: str) -> LitFaces:
    """The pictures of a data set; the synthetic one is small."""
    if dataset == "synthetic":
        from facelight.data import synthetic

        return synthetic.lights(2)
    return yaleb.load() if dataset == "yaleb" else pie.load()


def same_as(config: Preprocessing, height: int, width: int) -> Preprocessing:
    """The configuration with the clip limit that stands for all limits which leave the same count in a bin.

    Clip limits act through a whole number (`facelight.enhance.clip_limits`), so several of Figure 9 are the same experiment.

    >>> same_as(Preprocessing(clip_limit=0.009), 192, 168) == same_as(Preprocessing(clip_limit=0.010), 192, 168)
    True
    """
    if config.enhancer not in ("clahe", "modified_clahe"):
        return config
    shape, pads = config.size or (height, width), config.convention == "matlab"
    if pads:
        tile = [tile_size(n, k) for n, k in zip(shape, config.grid_size, strict=True)]
    else:  # OpenCV extends both axes as soon as one of them does not divide
        even = all(n % k == 0 for n, k in zip(shape, config.grid_size, strict=True))
        tile = [n // k + (not even) for n, k in zip(shape, config.grid_size, strict=True)]
    count = enhance.clip_count(config.clip_limit, tile[0] * tile[1], config.convention)
    return replace(config, clip_limit=enhance.clip_limit_of(count, tile[0] * tile[1], config.convention))


def run(profile: str) -> list[Record]:
    """Measure the runs of a profile; see `facelight.experiments.run`."""
    keep = profile in ("laptop", "full")
    loaded: dict[str, LitFaces] = {}
    measured: dict[Preprocessing, Record] = {}
    records = []
    with tqdm(configs(profile), desc=f"{NAME}, {profile}", unit="run", disable=not keep) as bar:
        for config in bar:
            item = results.find(NAME, config) if keep else None
            if config.dataset not in loaded and item is None:
                loaded[config.dataset] = load(config.dataset)
            same = same_as(config, *SIZES[config.dataset])
            if item is None:
                bar.set_postfix_str(f"{config.dataset} {config.enhancer}")
                item = _record(config, loaded[config.dataset], profile, measured.get(same))
                if keep:
                    results.save(item)
            measured[same] = item
            records.append(item)
    return records


def _record(config: Preprocessing, faces: LitFaces, profile: str, same: Record | None) -> Record:
    faces = faces.select(range(0, len(faces), config.every)) if config.every > 1 else faces
    start = time.perf_counter()
    measured = same.metrics if same else measure(config, faces)
    return results.record(
        NAME,
        config,
        measured,
        data={"name": faces.source, "sha256": faces.sha256, "split": f"every {config.every}", "count": len(faces)},
        seconds=time.perf_counter() - start,
        command=f"facelight run {NAME} --profile {profile}",
    )


def _resized(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Images in [0, 1], float32, resized bilinearly and rounded to grey levels."""
    x = images.float() / 255
    if size is None:
        return x
    x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return (x * 255).round().clamp(0, 255) / 255


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if values.numel() else None


def _sd(values: Tensor) -> float | None:
    return values.std().item() if values.numel() > 1 else None
