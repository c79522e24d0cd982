"""Experiment "preprocessing": what each enhancer does to the pictures themselves, over whole data sets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelight import _check, enhance, metrics
from facelight.data import pie, yaleb
from facelight.data.samples import LitFaces
from facelight_lab.enhancers import FAMILY, Enhancer, clahe, modified_clahe
from facelight_lab.pictures import in_parts, read
from facelight_lab.runs import Experiment

NAME = "preprocessing"
DATASETS = ("yaleb", "pie", "synthetic")
SCORES = ("psnr", "ambe", "ssim", "contrast", "entropy", "noise_amplification")
CLIP_LIMITS = tuple(i / 1000 for i in range(1, 11))
BLOCKS = (2, 4, 8, 16, 32, 64, 128)
SIZES = {"yaleb": yaleb.SIZE, "pie": pie.SIZE, "synthetic": (192, 168)}


@dataclass(frozen=True)
class Preprocessing:
    """One enhancer on one data set.

    Args:
        dataset: "yaleb", "pie" or "synthetic".
        enhancer: with its settings.
        size: (H, W) to which the pictures are resized first; default: as they are.
        every: take every n-th picture.
    """

    dataset: str = "yaleb"
    enhancer: Enhancer = field(default_factory=Enhancer)
    size: tuple[int, int] | None = None
    every: int = 1

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        if not isinstance(self.enhancer, Enhancer):
            raise TypeError(f"enhancer: expected an Enhancer, got {self.enhancer!r}: write Enhancer({self.enhancer!r})")
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {self.every}")


def scores(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Each of `SCORES` of enhanced images y that were x, both (*, C, H, W) in [0, 1], shape (*,).

    PSNR in decibels, AMBE and contrast in gray levels, entropy in bits per pixel. PSNR, AMBE, SSIM and noise
    amplification compare with the image itself. Enhanced images are rounded to gray levels for their entropy only.
    """
    compared = (metrics.psnr(x, y), metrics.ambe(x, y), metrics.ssim(x, y))
    own = (metrics.rms_contrast(y), metrics.entropy(y))
    return dict(zip(SCORES, (*compared, *own, metrics.noise_amplification(x, y)), strict=True))


def per_image(config: Preprocessing, images: Tensor) -> dict[str, Tensor]:
    """Each of the `scores` of the images (N, 1, H, W), uint8, after the enhancer, shape (N,), float64."""

    def stacked(x: Tensor) -> Tensor:
        return torch.stack(list(scores(x, config.enhancer(x)).values())).double()

    return dict(zip(SCORES, in_parts(stacked, images, config.size), strict=True))


def measure(config: Preprocessing, faces: LitFaces) -> dict[str, Any]:
    """What is recorded of a run: for each score its mean, its sample standard deviation, and its mean in each subset.

    `psnr` is the mean over the images that changed (an unchanged one scores infinity; `unchanged` counts them), and
    `noise_amplification` over those with a flat region (`busy` counts the others). `bound` is the mean of
    20 log10(255 / AMBE) over the images that changed and whose mean did, `bound_of_means` that of the mean AMBE;
    `exceeded` counts images whose PSNR is above their own bound.
    """
    each = per_image(config, faces.image)
    psnr, ambe = each["psnr"], each["ambe"]
    bound = metrics.psnr_bound(ambe)
    shifted = psnr.isfinite() & bound.isfinite()
    subset = {int(s): faces.subset == s for s in faces.subset.unique()}
    found: dict[str, Any] = {
        "bound": _mean(bound[shifted]),
        "bound_of_means": _mean(metrics.psnr_bound(ambe.mean())) if shifted.any() else None,
        "exceeded": int((psnr > bound + 1e-3)[shifted].sum()),
        "unchanged": int((~psnr.isfinite()).sum()),
        "busy": int(each["noise_amplification"].isnan().sum()),
    }
    for name, values in each.items():
        known = values.isfinite()
        found |= {
            name: _mean(values[known]),
            f"{name}_sd": _sd(values[known]),
            f"{name}_by_subset": {s: _mean(values[of & known]) for s, of in subset.items()},
        }
    return found


def configs(profile: str) -> list[Preprocessing]:
    """The runs of a profile."""
    if profile == "book":
        return list(family("synthetic"))
    runs: dict[Preprocessing, None] = {}  # an ordered set
    for dataset in ("yaleb", "pie"):
        for part in (family, variants, figure_9, table_3, near_identity):
            runs |= dict.fromkeys(part(dataset))
    return list(runs)


def family(dataset: str) -> Iterable[Preprocessing]:
    """Every enhancer of `FAMILY`: Tables 1 and 2, and what the paper did not try."""
    yield from (Preprocessing(dataset, enhancer) for enhancer in FAMILY.values())


def variants(dataset: str) -> Iterable[Preprocessing]:
    """OpenCV's CLAHE at MATLAB's number 0.01, M-CLAHE at OpenCV's limit 2 and stage by stage, GBIE without stretch."""
    chosen = [
        clahe(0.01, convention="opencv"),
        modified_clahe(0.01, convention="opencv"),
        modified_clahe(2.0, convention="opencv"),
        modified_clahe(stages=1),
        modified_clahe(stages=3),
        Enhancer("gbie", {"levels": 255.0, "stretch": False}),
    ]
    yield from (Preprocessing(dataset, enhancer) for enhancer in chosen)


def figure_9(dataset: str) -> Iterable[Preprocessing]:
    """Clip limits 0.001 to 0.010 in MATLAB's convention, and OpenCV's limits 1 + 255 times as large."""
    for limit in CLIP_LIMITS:
        for enhancer in (clahe, modified_clahe):
            yield Preprocessing(dataset, enhancer(limit))
            yield Preprocessing(dataset, enhancer(round(1 + 255 * limit, 3), convention="opencv"))


def table_3(dataset: str) -> Iterable[Preprocessing]:
    """Block sizes 2 to 128, read as a number of tiles and as pixels of a tile, where the picture allows it."""
    height, width = SIZES[dataset]
    for grid in dict.fromkeys(grids(height, width).values()):
        small = grid[0] * grid[1] * 8 > height * width  # tiles of 2x2 pixels: slow
        for enhancer in (clahe, modified_clahe):
            yield Preprocessing(dataset, enhancer(grid_size=grid), every=16 if small else 1)


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
        for enhancer in (clahe, modified_clahe):
            yield Preprocessing(dataset, enhancer(0.0), size, every)


def load(dataset: str) -> LitFaces:
    """The pictures of a data set; the synthetic one is small."""
    if dataset == "synthetic":
        import facelight_render as synthetic

        return synthetic.lights(2)
    return read(dataset)


def same_as(config: Preprocessing) -> Preprocessing:
    """The configuration with the clip limit that stands for all limits which leave the same count in a bin.

    Clip limits act through a whole number (`facelight.enhance.clip_limits`), so several of Figure 9 are the same
    experiment.

    >>> same_as(Preprocessing("yaleb", clahe(0.009))) == same_as(Preprocessing("yaleb", clahe(0.010)))
    True
    """
    settings = config.enhancer.settings
    if config.enhancer.name not in ("clahe", "modified_clahe") or settings["clip_limit"] == 0:
        return config
    shape, grid, convention = config.size or SIZES[config.dataset], settings["grid_size"], settings["convention"]
    pixels = math.prod(_tile(shape, grid, convention))
    count = enhance.clip_count(settings["clip_limit"], pixels, convention)
    limit = enhance.clip_limit_of(count, pixels, convention)
    return replace(config, enhancer=config.enhancer.but(clip_limit=limit))


def _tile(shape: tuple[int, int], grid: tuple[int, int], convention: str) -> list[int]:
    """Height and width of a tile after padding: MATLAB's are even; OpenCV pads both axes if one does not divide."""
    if convention == "matlab":
        return [2 * -(-length // (2 * tiles)) for length, tiles in zip(shape, grid, strict=True)]
    even = all(length % tiles == 0 for length, tiles in zip(shape, grid, strict=True))
    return [length // tiles + (not even) for length, tiles in zip(shape, grid, strict=True)]


def experiment(profile: str) -> Experiment[Preprocessing, LitFaces]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load, _measured, same_as)


def _measured(config: Preprocessing, faces: LitFaces, _: Path | None) -> tuple[dict[str, Any], str, int]:
    some = faces.select(range(0, len(faces), config.every)) if config.every > 1 else faces
    return measure(config, some), f"every {config.every}", len(some)


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if values.numel() else None


def _sd(values: Tensor) -> float | None:
    return values.std().item() if values.numel() > 1 else None
