"""Experiment "embedding": learn from rendered people what tells people apart, then name real ones."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check, losses, metrics, train
from facelight.data import cache
from facelight.data.samples import LitFaces
from facelight.models import CosineLinear
from facelight_lab._code import code
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.recognition import networks, protocols, recognition, scoring
from facelight_lab.recognition.networks import Network
from facelight_lab.recognition.settings import DATASETS
from facelight_lab.runs import RECORDING, Experiment, continued

NAME = "embedding"
STARTS = ("people", "lights", "random")
PARTS = ("test", "validation")
SEEDS = (0, 1, 2)
ENHANCER = FAMILY["local contrast"]
NETWORK = Network(
    "resnet18_c4", recipe=train.Recipe(epochs=12, batch=64, learning_rate=2e-3, weight_decay=0.05, warmup=0.05)
)
RENDERED = {"people": 100, "lights": 38}  # 2,400 and 2,432 pictures
UNSEEN = (
    ("yaleb", "subset 1", (64, 56)),
    ("yaleb", "one image", (64, 56)),
    ("pie", "one flash", (64, 64)),
)


@dataclass(frozen=True)
class Embedding:
    """Name faces by the angle between features of a network.

    The network starts from random weights or has learned to tell rendered people apart. It is then used as it is (no
    `recipe`): the name is that of the training picture whose features are most alike. Or it is trained further on the
    training pictures, with new weights for their people.

    Args:
        dataset: "yaleb", "pie" or "synthetic", what is named.
        protocol: see `protocols.split`.
        part: "test"; or "validation", a quarter of the training pictures, for which the others train, to choose by.
        enhancer: with its settings.
        seed: of the split, of all weights, and of everything random in both trainings.
        size: (H, W) of the pictures that are named.
        start: "people" or "lights", after learning the set of that name of `facelight_render`; or "random".
        people: how many rendered people. pictures: of each, in the set "people".
        network: body, first layer, changes of the training pictures; its recipe is that of learning rendered people.
        recipe: how to train further; None: not at all.
    """

    dataset: str = "yaleb"
    protocol: str = "subset 1"
    part: str = "test"
    enhancer: Enhancer = field(default_factory=Enhancer)
    seed: int = 0
    size: tuple[int, int] = (64, 56)
    start: str = "people"
    people: int = 100
    pictures: int = 24
    network: Network = field(default_factory=lambda: Network("resnet18_c4"))
    recipe: train.Recipe | None = None

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.protocol, protocols.PROTOCOLS, "protocol")
        _check.one_of(self.part, PARTS, "part")
        _check.one_of(self.start, STARTS, "start")

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return train.best_device()


def measure(config: Embedding, faces: LitFaces, place: Path | None = None) -> dict[str, Any]:
    """What is recorded of a run: `embedding` as `scoring.counted` counts it, the training curve, and `trained_on`.

    Args:
        config: what is run.
        faces: the whole data set.
        place: folder for checkpoints; None keeps none.
    """
    part = protocols.split(faces, config.protocol, config.seed)
    if config.part == "validation":
        part = protocols.validation(faces, part.train, config.protocol, config.seed)
    known, asked = (recognition.resized(faces.select(p), config.size) for p in (part.train, part.test))
    start = started(config, None if place is None else place / "rendered.pt")
    if config.recipe is None:
        gallery, probes = (features(start, config.enhancer, f.image) for f in (known, asked))
        pred, curve = metrics.nearest_neighbor(gallery, known.identity, probes, center=False), train.Curve()
    else:
        people, target = known.identity.unique(return_inverse=True)
        checkpoint = None if place is None else place / "checkpoint.pt"
        model, curve = trained(start, config, config.recipe, known.image, target, checkpoint)
        pred = people[_mirrored(model, config.enhancer, asked.image).argmax(1)]
    return {"embedding": scoring.counted(asked, pred, by_light=True), "curve": curve, "trained_on": len(known)}


def started(config: Embedding, checkpoint: Path | None = None) -> nn.Module:
    """The network before it sees real people; what was learned from rendered ones is kept in the cache.

    Args:
        config: the run.
        checkpoint: where learning from rendered people continues from; None keeps nothing but its result.
    """
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = networks.build(config.network, config.people)
    if config.start == "random":
        return model.eval()
    what = {
        "start": config.start,
        "people": config.people,
        "pictures": config.pictures,
        "seed": config.seed,
        "code": code(),
    }
    what |= {"enhancer": str(config.enhancer), "network": str(config.network), "where": _where(config)}

    def make() -> cache.Arrays:
        import facelight_render as synthetic

        if config.start == "lights":
            faces = synthetic.lights(config.people, seed=config.seed, size=(64, 56))
        else:
            faces = synthetic.people(config.people, config.pictures, seed=config.seed)
        learned, _ = trained(model, config, config.network.recipe, faces.image, faces.identity, checkpoint)
        return {name: value.cpu().numpy() for name, value in learned.state_dict().items() if ".fc." not in name}

    arrays = cache.cached("embedding", what, make).arrays
    body = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    model.load_state_dict(body, strict=False)
    return model.eval()


def features(model: nn.Module, enhancer: Enhancer, image: Tensor) -> Tensor:
    """Features (N, D) of length 1 of pictures (N, C, H, W), uint8: those of picture and mirror image, added."""
    body: Any = model.body  # torchvision's, whose last layer is `fc`
    head, body.fc = body.fc, nn.Identity()
    try:
        return F.normalize(_mirrored(model, enhancer, image, F.normalize))
    finally:
        body.fc = head


def _same(x: Tensor) -> Tensor:
    return x


def _mirrored(model: nn.Module, enhancer: Enhancer, image: Tensor, after: Callable[[Tensor], Tensor] = _same) -> Tensor:
    """Outputs for pictures and for their mirror images, added."""

    def batch(index: Tensor, mirror: bool) -> Tensor:
        x = image[index].float() / 255
        return enhancer(x.flip(-1) if mirror else x).contiguous(memory_format=torch.channels_last)

    both = (train.evaluate(model, functools.partial(batch, mirror=m), len(image), bf16=True) for m in (False, True))
    plain, mirrored = (after(outputs) for outputs in both)
    return plain + mirrored


def trained(
    start: nn.Module, config: Embedding, recipe: train.Recipe, image: Tensor, target: Tensor, checkpoint: Path | None
) -> tuple[nn.Module, train.Curve]:
    """A copy of the network with a new last layer, trained on pictures (N, C, H, W), uint8, and classes (N,)."""
    change = networks.changes(config.network.changes, config.enhancer)
    loss = functools.partial(losses.large_margin_cosine_loss, label_smoothing=config.network.label_smoothing)
    whose = f"{config} with the code {code()} and torch {torch.__version__} on {_where(config)}"

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return change((image[index].float() / 255).to(config.device), generator), target[index]

    def attempt() -> tuple[nn.Module, train.Curve]:
        model: Any = copy.deepcopy(start)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            model.body.fc = CosineLinear(model.body.fc.in_features, int(target.max()) + 1)
        model = model.to(config.device).to(memory_format=torch.channels_last)
        seen, bar = config.seed, checkpoint is not None
        curve = train.fit(
            model, batch, len(image), loss, recipe, seed=seen, checkpoint=checkpoint, identity=whose, progress=bar
        )
        return model, curve

    return continued(attempt, checkpoint)


def _where(config: Embedding) -> str:
    return f"{config.device}, {torch.get_num_threads()} threads"


def configs(profile: str) -> list[Embedding]:
    """The runs of a profile."""
    return list(_small() if profile == "book" else _unseen())


def _small() -> Iterable[Embedding]:
    """Every kind of run once, on a few rendered faces."""
    recipe = train.Recipe(epochs=2, batch=16)
    network = Network("resnet18_c4", recipe=recipe)
    small = Embedding("synthetic", "subset 1", size=(32, 28), people=8, pictures=6, network=network)
    return small, replace(small, protocol="random", recipe=recipe)


def _unseen() -> Iterable[Embedding]:
    """Real people whom the network has never seen."""
    for seed, (start, people), (dataset, protocol, size) in product(SEEDS, RENDERED.items(), UNSEEN):
        yield Embedding(
            dataset, protocol, enhancer=ENHANCER, seed=seed, size=size, start=start, people=people, network=NETWORK
        )


def experiment(profile: str) -> Experiment[Embedding, LitFaces]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    faces = recognition.load if profile in RECORDING else recognition.load_few
    return Experiment(NAME, profile, configs(profile), faces, _measured)


def _measured(config: Embedding, faces: LitFaces, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, faces, place), f"{config.protocol}, {config.part}, seed {config.seed}", len(faces)
