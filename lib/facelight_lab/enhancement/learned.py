"""Experiment "learned": settings of CLAHE found by gradient descent on a recognition loss, or by trying values."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facelight import _check, enhance
from facelight.data.samples import LitFaces
from facelight.enhance.modules import EnhancerModule, Positive
from facelight_lab.enhancement import nearest
from facelight_lab.enhancement.learnable import HIGHEST, LOWEST, ClipLimitOf, identity_loss
from facelight_lab.enhancement.parts import evaluate, split
from facelight_lab.enhancers import Enhancer
from facelight_lab.pictures import in_parts
from facelight_lab.runs import Experiment

NAME = "learned"
METHODS = ("fixed", "grid", "random", "descent", "per_image", "landscape")
PARTS = ("train", "validation", "test")
SEEDS, STARTS = range(5), (2.0, 10.0, 40.0)
RANGES = {"clip_limit": (LOWEST, HIGHEST), "flat": (0.5, 20.0), "gain": (0.5, 20.0)}  # of "random", log-uniform
BACKWARD = 2  # a backward pass counts as two forward passes

CLAHE = Enhancer("clahe", {"clip_limit": 40.0, "convention": "opencv", "exact": False})
MODIFIED = Enhancer("modified_clahe", {**CLAHE.settings, "prefilter": 0.5, "strength": 0.5, "flat": 3.0, "gain": 2.0})
FIXED = (  # the last is not a CLAHE at all
    Enhancer(), CLAHE.but(clip_limit=2.0), CLAHE, MODIFIED.but(prefilter=1.0, strength=1.0), Enhancer("log_contrast"),
)  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """One way to choose the settings of an enhancer on some people, read once on others.

    Pictures, similarity and recognition are those of `Nearest` with center "mean": subset 1 of the people of a part is
    the gallery, their subsets 2 to 5 are the probes, and a rate is the mean of the four subsets' rates. People are
    split at random, so that nobody is in two parts. Descent runs on the training people, and the validation people
    decide between its steps; where settings are only tried, both decide, with equal weight: by rate, then by loss. The
    test people are read once, with what was chosen.

    Args:
        method: "fixed", the enhancer as it is; "grid", 16 clip limits; "random", random settings of M-CLAHE, as many
            as cost what "descent" does; "descent", gradient descent from the enhancer's settings; "per_image",
            descent on the weights of `ClipLimitOf`; "landscape", rate and loss over the clip limit, on validation.
        seed: of the split, of the batches and of the random settings.
        enhancer: what is enhanced with, or where descent starts.
        temperature: t of `identity_loss`.
        learn_temperature: let descent change it.
        steps: of Adam.
        learning_rate: of Adam at first, in units of the parameters, such as ln(clip_limit); it falls linearly to 0.
        every: steps between two looks at the validation people.
        gallery: pictures of each person in a batch.
        probes: pictures of each subset in a batch.
        people: number of people for training, validation and test.
        dataset: "yaleb" or "synthetic", ten rendered faces.
    """

    method: str = "descent"
    seed: int = 0
    enhancer: Enhancer = field(default_factory=lambda: CLAHE)
    temperature: float = 20.0
    learn_temperature: bool = False
    steps: int = 80
    learning_rate: float = 0.15
    every: int = 5
    gallery: int = 2
    probes: int = 16
    people: tuple[int, int, int] = (18, 8, 12)
    dataset: str = "yaleb"

    def __post_init__(self) -> None:
        _check.one_of(self.method, METHODS, "method")
        _check.one_of(self.dataset, nearest.DATASETS, "dataset")
        _check.positive(self.temperature, "temperature")
        if not isinstance(self.enhancer, Enhancer):
            raise TypeError(f"enhancer: expected an Enhancer, got {self.enhancer!r}: write Enhancer({self.enhancer!r})")


def measure(config: Learned, faces: LitFaces) -> dict[str, Any]:
    """What is recorded of a run.

    `rate`, `rate_by_subset`, `loss`, `loss_by_subset` for each part; `learned`, the settings that were chosen;
    `curve`, what was seen on the way; `images`, the pictures enhanced to get there, a backward pass counted as two.
    """
    who = split(int(faces.identity.max()) + 1, config.people, config.seed)
    parts = {k: faces.select(torch.isin(faces.identity, people)) for k, people in zip(PARTS, who, strict=True)}
    work = {"fixed": _fixed, "grid": _try, "random": _try, "landscape": _landscape}.get(config.method, _descend)
    chosen, found = work(config, parts["train"], parts["validation"])
    if chosen is not None:
        scores = {part: evaluate(chosen, some, config.temperature) for part, some in parts.items()}
        for name in scores["test"]:
            found[name] = {part: score[name] for part, score in scores.items()}
    return found


Found = tuple[Callable[[Tensor], Tensor] | None, dict[str, Any]]


def _fixed(config: Learned, train: LitFaces, validation: LitFaces) -> Found:
    return config.enhancer, {"learned": {}, "curve": {}, "images": 0}


def _try(config: Learned, train: LitFaces, validation: LitFaces) -> Found:
    """The best of a list of settings; there is nothing to fit, so training and validation people decide together."""
    candidates = grid(config) if config.method == "grid" else random_settings(config, len(train), len(validation))
    tried = [(evaluate(e, train, config.temperature), evaluate(e, validation, config.temperature)) for e in candidates]
    best = max(range(len(tried)), key=lambda i: _merit(*tried[i]))
    curve = {
        f"{k}_{p}": [t[i][k] for t in tried] for i, p in ((0, "train"), (1, "validation")) for k in ("rate", "loss")
    }
    names = _learnable(config.enhancer)
    curve |= {name: [e.settings[name] for e in candidates] for name in names}
    chosen = candidates[best]
    learned = {name: chosen.settings[name] for name in names}
    return chosen, {"learned": learned, "curve": curve, "images": len(tried) * (len(train) + len(validation))}


def _landscape(config: Learned, train: LitFaces, validation: LitFaces) -> Found:
    """Rate and loss on validation over a fine row of clip limits, continuous and exact."""
    limits = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), config.steps + 1).tolist()
    curve: dict[str, list[float]] = {"clip_limit": limits}
    for exact in (False, True):
        seen = [
            evaluate(config.enhancer.but(clip_limit=c, exact=exact), validation, config.temperature) for c in limits
        ]
        curve |= {f"{k}_exact" if exact else k: [s[k] for s in seen] for k in ("rate", "loss")}
    return None, {"learned": {}, "curve": curve, "images": 2 * len(limits) * len(validation)}


def grid(config: Learned) -> list[Enhancer]:
    """The enhancer at 16 clip limits from 1 to 256, each 1.45 times the one before."""
    return [config.enhancer.but(clip_limit=LOWEST * (HIGHEST / LOWEST) ** (i / 15)) for i in range(16)]


def random_settings(config: Learned, train: int, validation: int) -> list[Enhancer]:
    """The enhancer, and random settings of it, as many as cost what descent from it costs."""
    generator = torch.Generator().manual_seed(config.seed)
    found = [config.enhancer]
    for _ in range(cost(config, validation) // (train + validation) - 1):
        drawn = dict(zip(_learnable(config.enhancer), torch.rand(5, generator=generator).tolist(), strict=True))
        for name, (low, high) in RANGES.items():
            drawn[name] = low * (high / low) ** drawn[name]
        found.append(config.enhancer.but(**drawn))
    return found


def cost(config: Learned, validation: int) -> int:
    """Pictures that descent enhances, a backward pass counted as two: batches, and looks at the validation people."""
    batch = config.people[0] * config.gallery + 4 * config.probes
    return config.steps * batch * (1 + BACKWARD) + (config.steps // config.every + 1) * validation


def _descend(config: Learned, train: LitFaces, validation: LitFaces) -> Found:
    """Adam on the loss of batches of training people; the best step on validation."""
    generator = torch.Generator().manual_seed(config.seed)
    model, temperature = trainable(config, train, generator), Positive(config.temperature)
    parameters = [*model.parameters(), *(temperature.parameters() if config.learn_temperature else ())]
    adam = torch.optim.Adam(parameters, config.learning_rate)
    slower = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, max(config.steps, 1))
    curve: dict[str, list[float]] = {}
    best, chosen, loss = (-math.inf, -math.inf), model, None
    for step in range(config.steps + 1):
        if step % config.every == 0:
            seen = evaluate(model, validation, config.temperature)
            now = {"step": step, "batch_loss": loss, "temperature": temperature().item()}
            now |= {"rate": seen["rate"], "loss": seen["loss"]} | values(model, validation)
            for key, value in now.items():
                curve.setdefault(key, []).append(value)
            if _merit(seen) > best:
                best, chosen = _merit(seen), copy.deepcopy(model)
                learned = values(model, validation) | {"step": step}
        if step < config.steps:
            adam.zero_grad()
            objective = batch_loss(model, train, config, generator, temperature())
            objective.backward()
            adam.step()
            slower.step()
            loss = objective.item()
    return chosen, {"learned": learned, "curve": curve, "images": cost(config, len(validation))}


def trainable(config: Learned, train: LitFaces, generator: torch.Generator) -> nn.Module:
    """The enhancer with the parameters that descent changes."""
    if config.method == "per_image":
        return ClipLimitOf(config.enhancer.settings["clip_limit"], train.image.float() / 255, generator)
    kind: Callable[..., nn.Module] = enhance.CLAHE if config.enhancer.name == "clahe" else enhance.ModifiedCLAHE
    return kind(**config.enhancer.settings, trainable=True)


def batch_loss(
    enhancer: Callable[[Tensor], Tensor], faces: LitFaces, config: Learned, generator: torch.Generator, t: Tensor
) -> Tensor:
    """`identity_loss` of a random batch: pictures of each person as the gallery, as many probes of each subset."""
    known = [
        _some((faces.subset == 1) & (faces.identity == i), config.gallery, generator) for i in faces.identity.unique()
    ]
    asked = [_some(faces.subset == s, config.probes, generator) for s in faces.subset.unique() if s != 1]
    gallery, probes = torch.cat(known), torch.cat(asked)
    y = enhancer(faces.image[torch.cat([gallery, probes])].float() / 255)
    target = faces.identity[probes]
    return identity_loss(y[: len(gallery)], faces.identity[gallery], y[len(gallery) :], target, t).mean()


def _some(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions of `count` of the true values, all different."""
    found = mask.nonzero()[:, 0]
    return found[torch.randperm(len(found), generator=generator)[:count]]


def values(model: nn.Module, faces: LitFaces) -> dict[str, float]:
    """The learned settings; of `ClipLimitOf` the geometric mean of its limits, in all and in each subset."""
    if isinstance(model, EnhancerModule):
        return {name: model.settings()[name].item() for name in model.learned}
    assert isinstance(model, ClipLimitOf)
    with torch.no_grad():
        logs = model.clip_limit(faces.image.float() / 255).log()
    parts = {f"clip_limit_{int(s)}": logs[faces.subset == s].mean().exp().item() for s in faces.subset.unique()}
    return {"clip_limit": logs.mean().exp().item(), **parts}


def _learnable(enhancer: Enhancer) -> list[str]:
    return [name for name in ("clip_limit", "prefilter", "strength", "flat", "gain") if name in enhancer.settings]


def _merit(*seen: Mapping[str, Any]) -> tuple[float, float]:
    """What is chosen by: the mean rate of the parts, then the mean loss."""
    return sum(s["rate"] for s in seen) / len(seen), -sum(s["loss"] for s in seen) / len(seen)


def configs(profile: str) -> list[Learned]:
    """The runs of a profile."""
    if profile == "book":
        small = Learned("descent", people=(4, 3, 3), steps=4, every=2, probes=4, dataset="synthetic")
        return [replace(small, method="fixed"), small, replace(small, method="per_image")]
    runs = [run for seed in SEEDS for run in for_seed(seed)]
    return [*runs, Learned("landscape", steps=64)]


def for_seed(seed: int) -> Iterable[Learned]:
    """Everything that is compared on one split."""
    yield from (Learned("fixed", seed, enhancer) for enhancer in FIXED)
    yield Learned("grid", seed, CLAHE)
    yield from (Learned("descent", seed, CLAHE.but(clip_limit=start)) for start in STARTS)
    yield Learned("per_image", seed, CLAHE)
    if seed < 2:  # does the temperature matter?
        yield from (replace(Learned("descent", seed, CLAHE), temperature=t) for t in (10.0, 40.0))
        yield Learned("descent", seed, CLAHE, learn_temperature=True)
    yield Learned("random", seed, MODIFIED, steps=120)
    yield Learned("descent", seed, MODIFIED, steps=120)


def load(dataset: str) -> LitFaces:
    """The pictures of a data set, resized as for `Nearest`."""
    faces = nearest.load(dataset)
    small = in_parts(lambda x: (x * 255).round().byte().movedim(0, -1), faces.image, nearest.Nearest().size)
    return replace(faces, image=small.movedim(-1, 0))


def experiment(profile: str) -> Experiment[Learned, LitFaces]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load, _measured)


def _measured(config: Learned, faces: LitFaces, _: Path | None) -> tuple[dict[str, Any], str, int]:
    train, validation, test = config.people
    text = f"{train} people for training, {validation} for validation, {test} for test, seed {config.seed}"
    return measure(config, faces), text, len(faces)
