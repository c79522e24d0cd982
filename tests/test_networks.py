"""Networks that name faces: what training pictures go through, the first layer, the weights, what is learned."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facelight import train
from facelight.data import LitFaces
from facelight.layers import LogConv2d
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.first_layers import Precise
from facelight_lab.recognition import networks, recognition
from facelight_lab.recognition.networks import Network
from facelight_lab.stems import BOTH, LOCAL, NORMALIZED, OURS, ZERO_PADDED

SIDE = 24
PEOPLE = (4, 7, 19)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(names: tuple[str, ...], x: Tensor, seed: int = 0) -> Tensor:
    return networks.changes(names, Enhancer())(x, generator(seed))


def faces(count: int, seed: int) -> LitFaces:
    """Noisy pictures of three people: a disc, a hole, and the upper half."""
    across = torch.linspace(-1, 1, SIDE)
    radius = (across[:, None] ** 2 + across**2).sqrt()
    pattern = torch.stack([radius < 0.6, radius > 0.6, (across[:, None] < 0).expand(SIDE, SIDE)]).float()
    noise = torch.randn((3, count, 1, SIDE, SIDE), generator=generator(seed))
    image = (0.1 + 0.8 * pattern[:, None, None] + 0.05 * noise).clamp(0, 1)
    total = 3 * count
    return LitFaces(
        image=(255 * image).round().byte().flatten(0, 1),
        identity=torch.tensor(PEOPLE).repeat_interleave(count),
        azimuth=torch.zeros(total),
        elevation=torch.zeros(total),
        subset=torch.ones(total, dtype=torch.int64),
        name=tuple(map(str, range(total))),
        source="made up",
        sha256="0" * 64,
    )


# --- changes


@pytest.mark.parametrize("names", [*((name,) for name in networks.CHANGES), networks.CHANGES, ()])
def test_changes_are_a_function_of_the_generator_alone(names: tuple[str, ...]) -> None:
    x = torch.rand((6, 1, 20, 16), generator=generator())
    before, change = x.clone(), networks.changes(names, FAMILY["local contrast"])
    first, source = [], generator(3)
    for _ in range(3):
        first.append(change(x, source))
        torch.rand(7)
        change(torch.zeros(2, 3, 30, 30), generator())  # of another shape, as the last batch of an epoch may be
    torch.manual_seed(11)
    state = torch.get_rng_state()
    source, again = generator(3), networks.changes(names, FAMILY["local contrast"])
    assert all(torch.equal(again(x, source), one) for one in first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert torch.equal(first[0], first[1]) == (names == ())


@pytest.mark.parametrize("names", [*((name,) for name in networks.CHANGES), networks.CHANGES])
@pytest.mark.parametrize("channels", [1, 3])
def test_changes_keep_size_and_range_and_differ_within_a_batch(names: tuple[str, ...], channels: int) -> None:
    x = torch.rand((1, channels, 20, 16), generator=generator()).round().expand(12, -1, -1, -1)
    y = changed(names, x)
    assert (y.shape, y.dtype) == (x.shape, torch.float32)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert y.min() >= 0
    assert y.max() <= 1
    assert len({one.numpy().tobytes() for one in y}) > (1 if names in (("flip",), ("erase",)) else 10)


def test_move_turns_by_five_degrees_shifts_by_four_hundredths_and_sizes_by_five() -> None:
    """Each pixel of the picture is its own place, so that the changed picture tells where its pixels came from."""
    height, width, count = 50, 60, 300
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = torch.stack([x / (width - 1), y / (height - 1)]).float().expand(count, 2, height, width)
    moved = changed(("move",), picture) * torch.tensor([width - 1.0, height - 1.0]).view(2, 1, 1)
    center = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    inner = ((x - center[0]).abs() < 12) & ((y - center[1]).abs() < 12)  # never filled from beyond the border
    place = torch.stack([x[inner] - center[0], y[inner] - center[1], torch.ones(int(inner.sum()))], 1)
    came = moved[:, :, inner].movedim(1, 2) - center
    fit = torch.linalg.lstsq(place.expand(count, -1, -1), came).solution  # (N, 3, 2): came = place @ fit
    torch.testing.assert_close(place @ fit, came, atol=0.16, rtol=0)  # half a gray level is 0.12 pixels of 60
    turn = fit[:, :2].mT
    size = 1 / turn.det().sqrt()
    rigid = turn * size[:, None, None]
    torch.testing.assert_close(rigid @ rigid.mT, torch.eye(2).expand(count, 2, 2), atol=8e-3, rtol=0)
    angle = torch.atan2(turn[:, 1, 0], turn[:, 0, 0]).rad2deg()
    shift = -torch.linalg.solve(turn, fit[:, 2]) / torch.tensor([width, height])
    limits = ((angle, 0.0, 5.0), (size, 1.0, 0.05), (shift[:, 0], 0.0, 0.04), (shift[:, 1], 0.0, 0.04))
    for found, middle, reach in limits:
        assert 0.93 * reach < (found - middle).abs().max() <= 1.02 * reach
        assert abs(found.mean().item() - middle) < 0.15 * reach  # three standard errors are 0.1 of the reach


def test_move_repeats_the_border() -> None:
    x = torch.full((20, 1, 24, 20), 153 / 255)
    torch.testing.assert_close(changed(("move",), x), x)


def test_flip_mirrors_every_other_picture() -> None:
    x = torch.randint(256, (400, 1, 6, 7), generator=generator()) / 255
    y = changed(("flip",), x)
    mirrored, kept = ((y == other).flatten(1).all(1) for other in (x.flip(-1), x))
    assert bool((mirrored ^ kept).all())
    assert 160 < int(mirrored.sum()) < 240  # four standard deviations


def test_relight_gives_gray_levels_under_light_from_any_side() -> None:
    gray = torch.full((400, 1, 9, 9), 64 / 255)
    y = changed(("relight",), gray)
    torch.testing.assert_close(255 * y, (255 * y).round(), atol=1e-4, rtol=0)
    for one, other in ((y[..., 0], y[..., -1]), (y[..., 0, :], y[..., -1, :])):
        assert 160 < int((one.mean((1, 2)) > other.mean((1, 2))).sum()) < 240
    gain = (y[:, 0, 4, 4] * 255 / 64).log()
    assert gain.mean().abs() < 0.07  # four standard errors
    assert gain.std().item() == pytest.approx(0.35, rel=0.15)
    slope = (y[:, 0, 4, 5] / y[:, 0, 4, 3]).log() / 0.5  # of the logarithm, per half width
    assert slope.std().item() == pytest.approx(0.7, rel=0.15)
    assert changed(("relight",), torch.zeros(8, 1, 9, 9)).max() == 0
    assert changed(("relight",), torch.ones(400, 1, 9, 9)).max() == 1


def test_erase_puts_a_gray_patch_into_every_other_picture() -> None:
    x = torch.randint(128, (400, 1, 40, 40), generator=generator()) / 255
    y = changed(("erase",), x)
    erased = (y - x).abs() > 1e-6
    with_patch = erased.flatten(1).any(1)
    assert 160 < int(with_patch.sum()) < 240
    torch.testing.assert_close(y[erased], torch.full_like(y[erased], 128 / 255))
    for mask in erased[with_patch, 0]:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = (int(side[-1] - side[0]) + 1 for side in (rows, columns))
        assert int(mask.sum()) == height * width  # a rectangle
        assert 0.02 < height * width / 1600 < 0.16
        assert 0.4 < height / width < 2.5


def test_changes_come_in_their_order_and_the_enhancer_last() -> None:
    seen: list[Tensor] = []

    def halve(x: Tensor) -> Tensor:
        seen.append(x)
        return x / 2

    x = torch.full((60, 1, 20, 20), 0.25)
    for names in (("relight", "erase"), ("erase", "relight")):
        y = networks.changes(names, halve)(x, generator())  # type: ignore[arg-type]
        assert torch.equal(seen[-1], changed(names, x))
        assert torch.equal(y, seen[-1] / 2)
    patched = [int(((255 * one - 128).abs() < 0.1).flatten(1).sum(1).gt(11).sum()) for one in seen]  # the patch's gray
    assert patched[0] > 15
    assert patched[1] < 5  # light changed it, but for a few in light of strength one


def test_light_after_a_move_of_a_white_picture() -> None:
    """Bilinear weights may sum to more than one in the last bit, which `relight` would refuse."""
    y = changed(("move", "relight"), torch.ones(16, 1, 299, 299))
    assert y.max() == 1


# --- the network


RECORDED = (*recognition.FIRST_LAYERS, *recognition.BEYOND)


@pytest.mark.parametrize("backbone", ["resnet18", "vgg16"])
@pytest.mark.parametrize("variant", RECORDED)
def test_the_first_layer(variant: str, backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backbone == "vgg16":  # half a gigabyte of weights that nobody looks at
        monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: None)
        monkeypatch.setattr(nn.init, "normal_", lambda weight, *_: weight)
        monkeypatch.setattr(nn.init, "constant_", lambda weight, *_: weight)
    body = networks.build(Network(backbone, variant), 5).body
    first = body.conv1 if backbone == "resnet18" else body.features[0]
    assert isinstance(first, Precise)
    first = first.layer
    logarithm = {
        "linear": None, "ln(1 + x)": (1.0, False), "ln(1 + 255x)": (1 / 255, False), ZERO_PADDED: (1 / 255, True),
        OURS: (1 / 255, True), NORMALIZED: (1 / 255, True), BOTH: (0.45, True), LOCAL: None,
    }[variant]  # fmt: skip
    if variant.endswith("contrast normalized"):
        first, division = first
        assert (division.window, division.floor) == (7, 0.03)
    assert first.padding_mode == ("replicate" if variant in (OURS, NORMALIZED, BOTH) else "zeros")
    if logarithm is None:
        assert type(first) is nn.Conv2d
    else:
        assert type(first) is LogConv2d
        assert (first.epsilon.item(), first.zero_mean) == (pytest.approx(logarithm[0]), logarithm[1])
    others = [m for m in body.modules() if isinstance(m, nn.Conv2d) and m is not first]
    assert others
    assert not any(isinstance(m, LogConv2d) for m in others)


@pytest.mark.parametrize("variant", RECORDED)
def test_every_first_layer_computes_in_float32(variant: str) -> None:
    """Under autocast its output is that without it; behind it the network computes in bfloat16."""
    torch.manual_seed(0)
    model = networks.build(Network("resnet18_c4", variant), 5).eval()
    seen: dict[str, Tensor] = {}
    for name in ("conv1", "layer1"):
        model.body.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
    x = torch.rand((2, 3, 32, 32), generator=generator())
    model(x)
    plain = seen["conv1"]
    with torch.autocast("cpu", torch.bfloat16):
        model(x)
    assert torch.equal(seen["conv1"], plain)
    assert seen["layer1"].dtype == torch.bfloat16


def test_every_first_layer_gives_scores_for_gray_and_black_pictures() -> None:
    x = torch.rand((2, 1, SIDE, SIDE), generator=generator())
    x[1] = 0
    for variant in RECORDED:
        y = networks.build(Network(variant=variant), 5).eval()(x)
        assert y.shape == (2, 5)
        assert y.isfinite().all()


def global_state() -> list[object]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # noqa: NPY002


def started(network: Network, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The weights that `recognize` begins to train."""
    models: list[nn.Module] = []
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", lambda model, *_, **__: models.append(model) or {"loss": []})
        patch.setattr(networks, "scores", lambda *_, **__: torch.zeros(0))
        networks.recognize(network, Enhancer(), faces(1, 0), faces(1, 0), seed=seed)
    return models[0].state_dict()


def test_initial_weights_are_a_function_of_the_seed_and_equal_for_all_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = started(Network(), 5, monkeypatch)
    train.seed_everything(77)
    before = global_state()
    for variant in RECORDED:
        other = started(Network(variant=variant, changes=(), label_smoothing=0.1, flip_test=True), 5, monkeypatch)
        other = {name.replace("conv1.layer.0.", "conv1.layer."): value for name, value in other.items()}
        assert plain.keys() <= other.keys()
        assert {k.split(".")[-1] for k in other.keys() - plain.keys()} <= {"gamma", "log_epsilon"}
        assert all(torch.equal(other[k], plain[k]) for k in plain)
    assert global_state() == before  # the caller's random numbers are their own
    assert not torch.equal(
        started(Network(), 6, monkeypatch)["body.conv1.layer.weight"], plain["body.conv1.layer.weight"]
    )


def test_the_loss_smooths_labels_and_targets_count_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    known, given = faces(2, 0), {}

    def fit(model, batch, count, loss, recipe, **options):
        given.update(batch=batch, count=count, loss=loss, recipe=recipe, **options)
        return {"loss": [1.0]}

    monkeypatch.setattr(train, "fit", fit)
    monkeypatch.setattr(networks, "scores", lambda *_, **__: torch.zeros(0))
    recipe = train.Recipe(epochs=7)
    network = Network(changes=(), label_smoothing=0.2, recipe=recipe)
    _, curve = networks.recognize(network, Enhancer("equalize"), known, known, seed=9, identity="who")
    assert curve == {"loss": [1.0]}
    index = torch.tensor([5, 0, 2])
    x, target = given["batch"](index, generator())
    assert target.tolist() == [2, 0, 1]
    torch.testing.assert_close(x, Enhancer("equalize")(known.image[index].float() / 255))
    outputs = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 3.0]])
    logs = outputs.log_softmax(1)
    expected = -(0.8 * logs[range(3), target] + 0.2 * logs.mean(1)).mean()
    torch.testing.assert_close(given["loss"](outputs, target), expected)
    assert (given["count"], given["recipe"], given["seed"], given["identity"]) == (6, recipe, 9, "who")
    assert given["checkpoint"] is None
    assert not given["progress"]


# --- naming


def test_scores_with_flip_are_the_mean_of_both_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, with a network and an enhancer that are not symmetric; the enhancer gets the mirrored picture."""
    asked = faces(3, 2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 4))
    ramp = torch.linspace(0.1, 1, SIDE)
    x = asked.image.double() / 255

    def by_hand(picture: Tensor) -> Tensor:
        z = (picture * ramp).flatten(1) @ model[1].weight.double().T + model[1].bias.double()
        return z.exp() / z.exp().sum(1, keepdim=True)

    once, both = (networks.scores(model, lambda y: y * ramp, asked, flip=flip, bf16=False) for flip in (False, True))
    torch.testing.assert_close(once.double(), by_hand(x), atol=1e-6, rtol=0)
    torch.testing.assert_close(both.double(), (by_hand(x) + by_hand(x.flip(-1))) / 2, atol=1e-6, rtol=0)
    torch.testing.assert_close(both.sum(1), torch.ones(9))
    assert both.dtype == torch.float32
    assert (both - once).abs().max() > 1e-3
    monkeypatch.setattr(train, "computes_in_bfloat16", lambda device: True)  # PyTorch emulates it where it must
    rough = networks.scores(model, lambda y: y * ramp, asked, flip=False, bf16=True)
    assert 0 < (rough - once).abs().max() < 0.02


RECIPE = train.Recipe(10, 8, optimizer="sgd", learning_rate=0.003, momentum=0.9, warmup=0.1, bf16=False)


def test_three_people_are_told_apart_after_a_few_epochs() -> None:
    known, asked = faces(8, 1), faces(6, 2)
    scores, curve = networks.recognize(Network(changes=("move",), recipe=RECIPE), Enhancer(), known, asked, seed=0)
    assert scores.shape == (18, 3)
    torch.testing.assert_close(scores.sum(1), torch.ones(18))
    named = known.identity.unique()[scores.argmax(1)]
    assert (named == asked.identity).double().mean() > 0.8
    assert len(curve["loss"]) == 10
    assert curve["loss"][-1] < 0.3 * curve["loss"][0]
    assert curve["loss"][0] == pytest.approx(math.log(3), abs=0.6)


def test_training_is_reproducible_bit_for_bit() -> None:
    known, asked = faces(4, 1), faces(3, 2)
    network = Network(changes=networks.CHANGES, flip_test=True, recipe=replace(RECIPE, epochs=2, bf16=True))
    runs = []
    for seed in (0, 0, 1):
        runs.append(networks.recognize(network, FAMILY["CLAHE 2, OpenCV"], known, asked, seed=seed))
        torch.rand(3)
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])


# --- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "log"}, r"variant: expected one of 'linear', 'ln\(1 \+ x\)', .*, got 'log'"),
        ({"changes": ("move", "blur")}, "changes: expected one of 'move', 'flip', 'relight', 'erase', got 'blur'"),
        ({"backbone": "resnet19"}, "backbone: expected one of 'resnet18', .*, got 'resnet19'"),
        ({"weights": "vggface"}, "weights: expected None or 'imagenet', got 'vggface'"),
        ({"label_smoothing": 1.0}, r"label_smoothing: expected a share in \[0, 1\), got 1.0"),
        ({"label_smoothing": -0.1}, r"label_smoothing: expected a share in \[0, 1\), got -0.1"),
    ],
)
def test_errors(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(**options)
