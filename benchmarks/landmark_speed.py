"""What the logarithmic first layer and the feeding of crops cost: `python benchmarks/landmark_speed.py`.

The layer: a training step (forward, backward, optimizer) and inference of one body with a linear first layer, with
the paper's, with zero-mean kernels on ln(1 + 255x), edges repeated, and with the same and `ContrastNorm2d`; for
inference also folded (`LogConv2d.fold`), and, of a layer that nothing follows, with a table of 256 logarithms in
place of division by 255, logarithm and the checks of its range, before a plain convolution, in 32 bits throughout.
The loader: a training step that is fed as the experiment "landmarks" does it, from 8-bit crops, with augmentation and
without, and the same step on a batch that lies in memory. All of a body are run in turn, many rounds; the ratio of
each round to its reference is taken, and medians are printed. What a layer adds is less than such ratios scatter on a
shared machine; so the first layer is also timed alone, where its share of the noise is small, and "by layer" is 1 +
(the layer - its reference) / the reference's whole step. `--save` writes a record.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from facelight import _machine, layers
from facelight.data import LandmarkFaces
from facelight.precision import computes_in_bfloat16
from facelight_lab import speed
from facelight_lab.first_layers import Precise
from facelight_lab.landmarks import regressor, settings
from facelight_lab.stems import NORMALIZED, OURS

BODIES = {"resnet18_c4": 64, "resnet34": 224}  # body and side of the crops: laptop, paper
FACES = 512  # crops in memory that batches are taken from
POINTS = 98
VARIANTS = ("linear", "ln(1 + x)", OURS, NORMALIZED)
ALONE = 4  # as many rounds for the first layer alone


def made_up(size: int) -> LandmarkFaces:
    """Noise in place of crops."""
    generator = torch.Generator().manual_seed(0)
    return LandmarkFaces(
        image=torch.randint(256, (FACES, 3, size, size), generator=generator, dtype=torch.uint8),
        landmarks=size * torch.rand((FACES, POINTS, 2), generator=generator),
        visible=torch.ones(FACES, POINTS, dtype=torch.bool),
        box=torch.tensor([0.0, 0.0, size, size]).expand(FACES, 4),
        attributes=torch.zeros(FACES, 6, dtype=torch.bool),
        name=tuple(map(str, range(FACES))),
        source="noise",
        sha256="0" * 64,
    )


def network(body: str, variant: str) -> nn.Module:
    torch.manual_seed(0)
    model = regressor.build(variant, regressor.Network(body, dropout=0.5), POINTS)
    while isinstance(model.body.conv1, Precise):  # as the layer is used elsewhere, its output in bfloat16
        model.body.conv1 = model.body.conv1.layer
    return model.to(memory_format=torch.channels_last)


def stepper(model: nn.Module, bf16: bool) -> Callable[[Tensor, Tensor], None]:
    """One step of training, as `train.fit` takes it."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    loss = regressor.Wing()

    def step(x: Tensor, y: Tensor) -> None:
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            pred = model(x)
        value = loss.of(pred.float(), y, x.shape[-1])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        value.item()

    return step


def folded(body: str, variant: str) -> nn.Module:
    model = network(body, variant).eval()
    stem = model.body.conv1
    new = nn.Sequential(stem[0].fold(), stem[1]) if isinstance(stem, nn.Sequential) else stem.fold()
    model.body.conv1 = new.to(memory_format=torch.channels_last)
    return model


def by_table(model: nn.Module, alone: bool) -> Callable[[Tensor], Tensor]:
    """A folded network, or its first layer, as a function of 8-bit images: logarithms from a table, then a Conv2d."""
    log_conv = model.body.conv1
    table = layers.log_compress(torch.arange(256) / 255, 1.0, log_conv.epsilon)
    shape = (3, log_conv.out_channels, log_conv.kernel_size, log_conv.stride, log_conv.padding)
    plain = nn.Conv2d(*shape, bias=False, padding_mode=log_conv.padding_mode)
    plain.weight = nn.Parameter(log_conv.weight.detach().clone())
    body = model.body
    body.conv1 = Precise(plain).to(memory_format=torch.channels_last)
    rest = body.conv1 if alone else body

    def function(bytes_: Tensor) -> Tensor:
        as_stored = bytes_.permute(0, 2, 3, 1)  # channels last
        light = table.index_select(0, as_stored.flatten().int()).view(as_stored.shape)
        return cast(Tensor, rest(light.permute(0, 3, 1, 2)))

    return function


def learner(conv: nn.Module, bf16: bool, like: Tensor) -> Callable[[Tensor, Tensor], None]:
    """The first layer's part of a step: forward, and backward from a gradient like its output."""
    gradient = torch.randn_like(like)

    def step(x: Tensor, _y: Tensor) -> None:
        conv.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            z = conv(x)
        z.backward(gradient)

    return step


def layer(body: str, size: int, batch: int, bf16: bool, alone: bool) -> dict[str, tuple[Callable[[], object], str]]:
    """What the first layer costs, in the network or alone: name -> what is timed, and the name of its reference."""
    images = made_up(size).image[:batch].contiguous(memory_format=torch.channels_last)
    x, y = images.float() / 255, torch.rand((batch, POINTS, 2))
    nets = {v: network(body, v) for v in VARIANTS}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        like = nets["linear"].body.conv1(x)
    steps = {v: learner(n.body.conv1, bf16, like) if alone else stepper(n, bf16) for v, n in nets.items()}

    @torch.no_grad()
    def infer(function: Callable[[Tensor], Tensor], inputs: Tensor, scaled: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            function(inputs.float() / 255 if scaled else inputs)

    found: dict[str, tuple[Callable[[], object], str]] = {}
    for variant in VARIANTS:
        made = {"": network(body, variant).eval()}
        if variant != "linear":
            made[", folded"] = folded(body, variant)
        functions = {kind: net.body.conv1 if alone else net for kind, net in made.items()}
        found[f"step, {variant}"] = partial(steps[variant], x, y), "step, linear"
        for kind, function in functions.items():
            found[f"inference, {variant}{kind}"] = partial(infer, function, images, True), "inference, linear"
        if isinstance(nets[variant].body.conv1, layers.LogConv2d):
            fused = by_table(folded(body, variant), alone)
            found[f"inference, {variant}, folded, table"] = partial(infer, fused, images, False), "inference, linear"
    return found


def loader(body: str, size: int, batch: int, bf16: bool) -> dict[str, tuple[Callable[[], object], str]]:
    """What feeding costs: the same network on a batch in memory and fed by the experiment."""
    faces, generator = made_up(size), torch.Generator().manual_seed(0)
    step = stepper(network(body, "linear"), bf16)
    fed = regressor.feeder(faces, torch.arange(FACES), settings.AUGMENTATION, "cpu")
    plain = regressor.feeder(faces, torch.arange(FACES), None, "cpu")
    ready = plain(torch.arange(batch), generator)

    def index() -> Tensor:
        return torch.randperm(FACES, generator=generator)[:batch]

    return {
        "in memory": (lambda: step(*ready), "in memory"),
        "fed": (lambda: step(*plain(index(), generator)), "in memory"),
        "fed, augmented": (lambda: step(*fed(index(), generator)), "in memory"),
    }


def measured(todo: dict[str, tuple[Callable[[], object], str]], rounds: int) -> dict[str, dict[str, float]]:
    """Median time in milliseconds, and median of the ratios to the reference of the same round."""
    found: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds + 1):
        for name, (function, _reference) in todo.items():
            start = time.perf_counter()
            function()
            found[name].append(1000 * (time.perf_counter() - start))
    result = {}
    for name, (_function, reference) in todo.items():
        pairs = list(zip(found[name], found[reference], strict=True))[1:]  # the first round warms up
        ratios = [mine / other for mine, other in pairs]
        result[name] = {"milliseconds": statistics.median(found[name][1:]), "ratio": statistics.median(ratios)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", nargs="+", default=list(BODIES), choices=list(BODIES), help="which to time")
    parser.add_argument("--batch", type=int, default=settings.RECIPE.batch, help="pictures in a batch")
    parser.add_argument("--threads", type=int, default=_machine.processors(), help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each")
    parser.add_argument("--bf16", action="store_true", help="forward pass in bfloat16, as in `train.Recipe`")
    speed.add_saving(parser)
    given = parser.parse_args()
    speed.check_saving(given.save)
    if given.bf16 and not computes_in_bfloat16("cpu"):
        return print("nothing is timed: this processor does not compute in bfloat16, and nobody would train so on it")
    torch.set_num_threads(given.threads)
    start = time.perf_counter()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for body in given.bodies:
        size = BODIES[body]
        print(f"{body}, {size}x{size} pixels, {given.batch} pictures, {'bfloat16' if given.bf16 else 'float32'}")
        shape = (body, size, given.batch, given.bf16)
        whole, feeding = measured(layer(*shape, alone=False), given.rounds), measured(loader(*shape), given.rounds)
        alone = layer(*shape, alone=True)
        for name, value in measured(alone, ALONE * given.rounds).items():
            whole[name]["layer_milliseconds"] = value["milliseconds"]
        for name, (_function, reference) in alone.items():
            more = whole[name]["layer_milliseconds"] - whole[reference]["layer_milliseconds"]
            whole[name]["by_layer"] = 1 + more / whole[reference]["milliseconds"]
        found[body] = whole | feeding
        for name, value in found[body].items():
            by = f"   by layer {value['by_layer']:.3f}" if "by_layer" in value else ""
            print(f"  {name:64} {value['milliseconds']:9.1f} ms   ratio {value['ratio']:.3f}{by}")
    if given.save:
        config = {"batch": given.batch, "bf16": given.bf16, "rounds": given.rounds}
        config |= {"bodies": {body: BODIES[body] for body in given.bodies}, "threads": given.threads}
        data = {"name": "noise", "sha256": "none", "split": "none", "count": FACES}
        seconds = time.perf_counter() - start
        print(speed.save(Path(__file__).stem, config, {"times": found}, data=data, seconds=seconds))


if __name__ == "__main__":
    main()
