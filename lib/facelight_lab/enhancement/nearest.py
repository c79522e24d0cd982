"""Experiment "nearest": recognition without any training, so that only the enhancer can make the difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from facelight import _check, metrics
from facelight._extras import extra
from facelight.data.samples import LitFaces
from facelight_lab.enhancers import FAMILY, SIGNED, Enhancer, is_signed
from facelight_lab.pictures import in_parts, read
from facelight_lab.runs import Experiment

NAME = "nearest"
DATASETS = ("yaleb", "synthetic")
CENTERS = ("mean", "none", "neutral")
PEOPLE = 10


@dataclass(frozen=True)
class Nearest:
    """The most similar picture of the gallery names the face: subset 1 is the gallery, subsets 2 to 5 are probes.

    A picture is resized, bilinearly with antialiasing, rounded to gray levels, and only then enhanced, so that every
    enhancer sees the same picture and its tiles and windows are those of the small one. The enhanced picture is not
    rounded. Similarity is the cosine of the angle between two pictures taken as vectors, each less its `center`.

    Args:
        dataset: "yaleb" or "synthetic", ten rendered faces.
        enhancer: with its settings.
        size: (H, W) of the pictures that are enhanced and compared.
        center: what is taken away from a picture first: "mean", its own mean, which makes the cosine the correlation;
            "none"; or "neutral", 0.5 for enhancers whose neutral value that is (`is_signed`) and nothing for others.
    """

    dataset: str = "yaleb"
    enhancer: Enhancer = field(default_factory=Enhancer)
    size: tuple[int, int] = (96, 84)
    center: str = "mean"

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.center, CENTERS, "center")
        if not isinstance(self.enhancer, Enhancer):
            raise TypeError(f"enhancer: expected an Enhancer, got {self.enhancer!r}: write Enhancer({self.enhancer!r})")


def recognized(config: Nearest, faces: LitFaces) -> Tensor:
    """Whether each picture outside subset 1 is given its right identity, (N,), bool, in the order of the pictures."""
    neutral = 0.5 if config.center == "neutral" and is_signed(config.enhancer) else 0.0
    vectors = in_parts(lambda x: (config.enhancer(x) - neutral).flatten(1).T, faces.image, config.size).T
    known = faces.subset == 1
    labels = metrics.nearest_neighbor(
        vectors[known], faces.identity[known], vectors[~known], center=config.center == "mean"
    )
    return labels == faces.identity[~known]


def measure(config: Nearest, faces: LitFaces) -> dict[str, Any]:
    """What is recorded of a run: the rate in each subset and over all, as fractions, with 95 % intervals.

    `rate` counts every picture once, `rate_of_subsets` is the unweighted mean of the four subsets. The intervals are
    Wilson's for independent pictures; pictures of one face are not, so they are rather too narrow.
    """
    right = recognized(config, faces)
    subset = faces.subset[faces.subset != 1]
    by_subset = {int(s): share(right[subset == s]) for s in subset.unique()}
    whole = share(right)
    rates = [part["rate"] for part in by_subset.values()]
    found: dict[str, Any] = whole | {"rate_of_subsets": sum(rates) / len(rates)}
    return found | {f"{key}_by_subset": {s: part[key] for s, part in by_subset.items()} for key in whole}


def configs(profile: str) -> list[Nearest]:
    """The runs of a profile: the family; on real faces also with the other ways to center, where they differ."""
    if profile == "book":
        return list(family("synthetic"))
    neutral = [run for run in family("yaleb", "neutral") if run.enhancer.name in SIGNED]
    return [*family("yaleb"), *family("yaleb", "none"), *neutral]


def family(dataset: str, center: str = "mean") -> Iterable[Nearest]:
    """Every enhancer of `FAMILY`."""
    yield from (Nearest(dataset, enhancer, center=center) for enhancer in FAMILY.values())


def load(dataset: str) -> LitFaces:
    """The pictures of a data set; the synthetic one is small and rendered at the size that is compared."""
    if dataset == "synthetic":
        import facelight_render as synthetic

        return synthetic.lights(PEOPLE, size=(96, 84))
    return read(dataset)


def experiment(profile: str) -> Experiment[Nearest, LitFaces]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _measured(config: Nearest, faces: LitFaces, _: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, faces), "gallery: subset 1, probes: subsets 2 to 5", len(faces)


def share(right: Tensor) -> dict[str, float]:
    """Share of true values, its Wilson interval, and their number."""
    with extra("book"):
        from scipy.stats import binomtest

    count, total = int(right.sum()), len(right)
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return {"rate": count / total, "low": float(interval.low), "high": float(interval.high), "n": total}
