"""Experiment "recognition": who is it? Enhancers, classical methods and networks under the same protocols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelight import train
from facelight.data.samples import LitFaces
from facelight_lab._code import code
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.pictures import in_parts, read
from facelight_lab.recognition import competitors, networks, protocols, scoring
from facelight_lab.recognition.networks import Network
from facelight_lab.recognition.settings import Recognition
from facelight_lab.runs import RECORDING, Experiment, continued
from facelight_lab.stems import BOTH, LOCAL, NORMALIZED, OURS, ZERO_PADDED

NAME = "recognition"
PEOPLE = 38  # rendered, as many as in Extended Yale B
FEW_PEOPLE = 12
SEEDS = (0, 1, 2)
YALE_PROTOCOLS = ("random", "subset 1", "held-out lights", "one image")
PIE_PROTOCOLS = ("random", "one flash", "room light")
AR_PROTOCOL, AR_SIZE = "even light", (60, 43)
DRAWN = ("random", "held-out lights", "one flash")  # protocols that depend on the seed
FEW = ("Input", "CLAHE 40, OpenCV", "M-CLAHE 0.01, MATLAB", "Tan-Triggs", "local contrast")
COMPARED = (
    "Input", "HE", "BBHE", "GBIE, corrected", "CLAHE 2, OpenCV", "CLAHE 40, OpenCV", "M-CLAHE 0.01, MATLAB",
    "Retinex", "Tan-Triggs", "Weberface", "local contrast", "ln minus local mean",
)  # fmt: skip
FIRST_LAYERS = ("linear", "ln(1 + x)", "ln(1 + 255x)", ZERO_PADDED)
BEYOND = (OURS, NORMALIZED, BOTH, LOCAL)  # those of the chapter of that name
BY_LIGHT = ("shifted nearest", "kernel ridge")  # whose mistakes are recorded light by light
SMALL = (64, 56)  # of the pictures that networks are trained on
RECIPE = train.Recipe(epochs=40, batch=50, learning_rate=2e-3, weight_decay=0.05, warmup=0.05)
MANY_EPOCHS = replace(RECIPE, epochs=400)
STATED = train.Recipe(epochs=100, batch=50, optimizer="sgd", learning_rate=1e-3, schedule="constant")  # by the paper
SIDES = {"vgg16": 224, "resnet50": 224, "inception_v3": 299}  # of the paper's networks
FROM_SCRATCH = {  # size and recipe in `laptop`; nothing normalizes VGG16's last layers: a lower rate
    "vgg16_small": ((48, 42), replace(RECIPE, learning_rate=1e-3)),
    "resnet50": ((48, 42), RECIPE),
    "inception_v3": ((75, 75), RECIPE),
}


def measure(config: Recognition, faces: LitFaces, place: Path | None = None) -> dict[str, Any]:
    """What is recorded of a run.

    For each method (`network` for a network, `network + kernel ridge` for the sum) `right` and `count`: pictures
    recognized and tested in each group, see `protocols.groups`; and `confused`, the five
    most frequent mistakes. For a network also the training curve; for it and for the methods in `BY_LIGHT` `wrong`, how
    many pictures failed under each light.

    Args:
        config: what is run.
        faces: the whole data set, as `load` returns it.
        place: folder for the checkpoint of a network; None keeps nothing.
    """
    part = protocols.split(faces, config.protocol, config.seed)
    known, asked = faces.select(part.train), faces.select(part.test)
    if config.network is not None:
        scores, curve = _by_network(config, resized(known, config.size), resized(asked, config.size), place)
        found = {name: scoring.counted(asked, pred, by_light=True) for name, pred in scores.items()}
        return found | {"curve": curve, "trained_on": len(known)}
    gallery, probes = (
        in_parts(lambda x: config.enhancer(x).movedim(0, -1), f.image, config.size).movedim(-1, 0)
        for f in (known, asked)
    )
    named = {m: competitors.recognize(m, gallery, known.identity, probes) for m in config.methods}
    found = {m: scoring.counted(asked, pred, by_light=m in BY_LIGHT) for m, pred in named.items()}
    return found | {"trained_on": len(known)}


def _by_network(
    config: Recognition, known: LitFaces, asked: LitFaces, place: Path | None
) -> tuple[dict[str, Tensor], train.Curve]:
    """Identities of the pictures asked for, by the network and by what is added to it, and the training curve."""
    network = config.network
    assert network is not None
    checkpoint = None if place is None else place / "checkpoint.pt"
    where = f"{config.device}, {torch.get_num_threads()} threads"
    whose = f"{config} with the code {code()} and torch {torch.__version__} on {where}"

    def recognize() -> tuple[Tensor, train.Curve]:
        return networks.recognize(
            network, config.enhancer, known, asked, seed=config.seed, checkpoint=checkpoint, identity=whose
        )

    scores, curve = continued(recognize, checkpoint)
    summed = {"network": scores.cpu()}
    if config.methods:
        gallery, probes = (f.image.float() / 255 for f in (known, asked))
        values = competitors.kernel_ridge_values(gallery, known.identity, probes)
        summed["network + kernel ridge"] = summed["network"] + values
    return {name: known.identity.unique()[values.argmax(1)] for name, values in summed.items()}, curve


def configs(profile: str) -> list[Recognition]:
    """The runs of a profile."""
    if profile == "book":
        return list(_small())
    without = [*_classical(), *_windows(), *_offsets(), *_patterns()]
    return [*without, *_networks(), *_on_pie(), *_paper(profile), *_readings(profile), *_beyond(), *_on_ar()]


def _small() -> Iterable[Recognition]:
    """Every kind of run once, on a few rendered faces."""
    net = Network(recipe=train.Recipe(epochs=2, batch=16))
    for protocol in YALE_PROTOCOLS:
        yield Recognition(
            "synthetic", protocol, FAMILY["Tan-Triggs"], methods=_methods(protocol, patterns=True), size=(48, 42)
        )
    yield Recognition("synthetic", "random", FAMILY["M-CLAHE 0.01, MATLAB"], network=net, size=(48, 42))


def _classical() -> Iterable[Recognition]:
    """Methods without a deep network, on real and on rendered faces."""
    for dataset, labels, size in (
        ("yaleb", COMPARED, (96, 84)),
        ("pie", FEW, (32, 32)),
        ("synthetic", FEW, (96, 84)),
    ):
        for protocol in PIE_PROTOCOLS if dataset == "pie" else YALE_PROTOCOLS:
            for seed in SEEDS if protocol in DRAWN else SEEDS[:1]:
                for label in labels:
                    methods = _methods(protocol, patterns=label in FEW and dataset == "yaleb")
                    yield Recognition(dataset, protocol, FAMILY[label], seed, size, methods)


def _methods(protocol: str, *, patterns: bool) -> tuple[str, ...]:
    """The classical methods that a protocol allows: LDA needs two pictures of a person; LBP is slow."""
    left_out = {"ridge without offset", "kernel ridge"} | ({"lda"} if protocol in ("one image", "one flash") else set())
    left_out |= set() if patterns else {"lbp"}
    return tuple(m for m in competitors.METHODS if m not in left_out)


def _windows() -> Iterable[Recognition]:
    """Window and size of local contrast where nothing can be tuned: chosen on rendered faces, printed for both."""
    for dataset, side, window in product(("synthetic", "yaleb"), ((96, 84), (128, 112)), (5, 7, 9)):
        enhancer = FAMILY["local contrast"].but(window=window)
        yield Recognition(dataset, "subset 1", enhancer, size=side, methods=("nearest", "shifted nearest"))


def _offsets() -> Iterable[Recognition]:
    """How much of what ridge loses in P2 is the constant of each person."""
    for protocol, label in product(("random", "subset 1"), FEW):
        for seed in SEEDS if protocol in DRAWN else SEEDS[:1]:
            yield Recognition("yaleb", protocol, FAMILY[label], seed, methods=("ridge without offset",))


def _patterns() -> Iterable[Recognition]:
    """A kernel on local binary patterns, which need no enhancer."""
    for dataset, of_set, size in (("yaleb", YALE_PROTOCOLS, (96, 84)), ("pie", PIE_PROTOCOLS, (64, 64))):
        for protocol in of_set:
            for seed in SEEDS if protocol in DRAWN else SEEDS[:1]:
                yield Recognition(dataset, protocol, Enhancer(), seed, size, methods=("kernel ridge",))


def _networks() -> Iterable[Recognition]:
    """One network and one budget: behind enhancers, with other first layers, and with training pictures relit."""
    plain, invariant = _network("linear"), _network(ZERO_PADDED)
    kinds = [(FAMILY[label], plain) for label in ("Input", "M-CLAHE 0.01, MATLAB", "local contrast")]
    kinds.append((Enhancer(), invariant))
    for protocol, seed, (enhancer, network) in product(YALE_PROTOCOLS, SEEDS, kinds):
        if protocol == "one image":  # one step of 38 pictures an epoch
            network = replace(network, recipe=MANY_EPOCHS)
        yield Recognition("yaleb", protocol, enhancer, seed, SMALL, network=network)
    others = [(FAMILY[label], plain) for label in COMPARED if (FAMILY[label], plain) not in kinds]
    others += [(Enhancer(), _network(variant)) for variant in FIRST_LAYERS[1:3]]
    for (enhancer, network), seed in product(others, SEEDS):
        yield Recognition("yaleb", "random", enhancer, seed, SMALL, network=network)
    relit = [(enhancer, replace(network, changes=("move", "flip", "relight"))) for enhancer, network in kinds]
    for (enhancer, network), seed in product(relit, SEEDS):
        yield Recognition("yaleb", "subset 1", enhancer, seed, SMALL, network=network)


def _beyond() -> Iterable[Recognition]:
    """First layers that ignore the light, with the budget of the others; and a filter where lights are held out."""
    for seed, protocol, variant in product(SEEDS, YALE_PROTOCOLS[:3], BEYOND):
        yield Recognition("yaleb", protocol, Enhancer(), seed, SMALL, network=_network(variant))
    for seed in SEEDS:
        yield Recognition("yaleb", "held-out lights", FAMILY["Tan-Triggs"], seed, SMALL, network=_network("linear"))


def _on_pie() -> Iterable[Recognition]:
    """The small network on CMU PIE: behind an enhancer, and with kernel ridge; with a first layer instead; plain."""
    network = Network("resnet18_c4", label_smoothing=0.1, flip_test=True, recipe=RECIPE)
    for seed in SEEDS:
        yield Recognition("pie", "random", FAMILY["local contrast"], seed, (64, 64), ("kernel ridge",), network)
        for variant in (NORMALIZED, "linear"):
            yield Recognition("pie", "random", Enhancer(), seed, (64, 64), network=replace(network, variant=variant))


def _on_ar() -> Iterable[Recognition]:
    """AR, from even light to light from the sides: classical methods, and the network with the budget of the others."""
    for label in FEW:
        methods = _methods(AR_PROTOCOL, patterns=True)
        yield Recognition("ar", AR_PROTOCOL, FAMILY[label], 0, AR_SIZE, methods)
    yield Recognition("ar", AR_PROTOCOL, Enhancer(), 0, AR_SIZE, ("kernel ridge",))
    kinds = [(FAMILY[label], _network("linear")) for label in ("Input", "Tan-Triggs", "local contrast")]
    kinds += [(Enhancer(), _network(variant)) for variant in BEYOND[1:]]
    for seed, (enhancer, network) in product(SEEDS, kinds):
        yield Recognition("ar", AR_PROTOCOL, enhancer, seed, AR_SIZE, network=network)


def _network(variant: str) -> Network:
    return Network("resnet18_c4", variant, recipe=RECIPE)


def _readings(profile: str) -> Iterable[Recognition]:
    """What the M-CLAHE paper's "weight decay of 0.95" may mean, with the small network and the rest as it is stated.

    In `laptop` with one seed: the readings differ by more than seeds do.
    """
    readings = (
        replace(STATED, momentum=0.9, weight_decay=0.95),
        replace(STATED, momentum=0.95),
        replace(STATED, momentum=0.9, schedule="exponential", decay=0.95),
    )
    for seed, recipe in product(SEEDS if profile == "full" else SEEDS[:1], readings):
        yield Recognition("yaleb", "random", Enhancer(), seed, SMALL, network=Network("resnet18_c4", recipe=recipe))


def _paper(profile: str) -> Iterable[Recognition]:
    """Table 5 of the M-CLAHE paper, in `full` as stated from ImageNet's weights; in `laptop` small, from random."""
    if profile == "full":
        stated = replace(STATED, momentum=0.95)
        kinds = [(Network(b, weights="imagenet", changes=(), recipe=stated), (n, n)) for b, n in SIDES.items()]
    else:
        kinds = [(Network(b, recipe=recipe), size) for b, (size, recipe) in FROM_SCRATCH.items()]
    for seed, (network, size), label in product(SEEDS, kinds, ("Input", "M-CLAHE 0.01, MATLAB")):
        yield Recognition("yaleb", "random", FAMILY[label], seed, size, network=network)


def load(dataset: str) -> LitFaces:
    """The pictures of a data set."""
    if dataset == "synthetic":
        import facelight_render as synthetic

        return synthetic.lights(PEOPLE)
    return read(dataset)


def load_few(dataset: str) -> LitFaces:
    """A few rendered faces, for the profiles that only show that everything runs."""
    import facelight_render as synthetic

    return synthetic.lights(FEW_PEOPLE, size=(96, 84))


def resized(faces: LitFaces, size: tuple[int, int]) -> LitFaces:
    """The same pictures at another size (H, W), rounded to gray levels."""
    small = in_parts(lambda x: (x * 255).round().byte().movedim(0, -1), faces.image, size)
    return replace(faces, image=small.movedim(-1, 0))


def experiment(profile: str) -> Experiment[Recognition, LitFaces]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    return Experiment(NAME, profile, configs(profile), load if profile in RECORDING else load_few, _measured)


def _measured(config: Recognition, faces: LitFaces, place: Path | None) -> tuple[dict[str, Any], str, int]:
    return measure(config, faces, place), f"{config.protocol}, seed {config.seed}", len(faces)
