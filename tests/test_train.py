"""Training: what a step does, what is random, and that an interrupted run ends with the very bits of a straight one."""

from __future__ import annotations

import errno
import itertools
import math
import os
import random
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from facelight import checkpoints, train
from facelight.train import CheckpointError, Recipe, evaluate, fit, learning_rate, no_better
from patience import python

PLAIN = Recipe(epochs=3, batch=4, optimizer="sgd", learning_rate=0.1, schedule="constant", bf16=False)
X = torch.linspace(-1, 1, 10)[:, None]
Y = 3 * X - 1


def line(index: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
    return X[index], Y[index]


def linear() -> nn.Linear:
    torch.manual_seed(5)
    return nn.Linear(1, 1)


def conv_net() -> nn.Module:
    """A bit of everything that has a state or draws at random."""
    train.seed_everything(1)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    net(torch.zeros(2, 1, 9, 9))
    return net.to(memory_format=torch.channels_last)


IMAGES = torch.rand((20, 1, 9, 9), generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(20) % 3


def noisy(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x = IMAGES[index] + 0.1 * torch.randn(IMAGES[index].shape, generator=generator)
    return x.contiguous(memory_format=torch.channels_last), LABELS[index]


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- what is learned, and how


def test_a_known_function_is_learned_and_the_curve_says_so() -> None:
    model = linear()
    curve = fit(
        model, line, 10, F.mse_loss, replace(PLAIN, epochs=60), on_epoch_end=lambda m: {"slope": m.weight.item()}
    )
    assert model.weight.item() == pytest.approx(3, abs=1e-3)
    assert model.bias.item() == pytest.approx(-1, abs=1e-3)
    assert {name: len(values) for name, values in curve.items()} == {"loss": 60, "slope": 60}
    assert curve["loss"][0] > 0.1 > 1e-4 > curve["loss"][-1]
    assert curve["slope"][-1] == model.weight.item()
    assert not model.training


def test_loss_of_an_epoch_is_the_mean_over_its_samples() -> None:
    frozen = replace(PLAIN, learning_rate=1e-12)  # 10 samples in batches of 4, 3 and 3
    model = linear()
    expected = F.mse_loss(model(X), Y).item()
    assert fit(model, line, 10, F.mse_loss, frozen)["loss"] == pytest.approx([expected] * 3, rel=1e-5)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(
    "recipe",
    [
        replace(PLAIN, momentum=0.9, weight_decay=0.05, schedule="exponential", decay=0.5),
        replace(PLAIN, optimizer="adamw", learning_rate=0.01, weight_decay=0.3),
    ],
)
def test_bit_for_bit_a_plain_loop(recipe: Recipe, clip: float | None) -> None:
    model = nn.Sequential(linear(), nn.Tanh(), nn.Linear(1, 1))
    plain = nn.Sequential(linear(), nn.Tanh(), nn.Linear(1, 1))
    fit(model, line, 10, F.mse_loss, replace(recipe, clip=clip), seed=7)
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(plain.parameters(), momentum=recipe.momentum, **options)
    else:
        optimizer = torch.optim.AdamW(plain.parameters(), **options)
    for epoch in range(3):
        start = int(np.random.SeedSequence([7, epoch]).generate_state(2)[0])
        order = torch.randperm(10, generator=torch.Generator().manual_seed(start)).numpy()
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * recipe.decay**epoch
        for index in np.array_split(order, 3):
            optimizer.zero_grad()
            F.mse_loss(plain(X[index]), Y[index]).backward()
            if clip:
                nn.utils.clip_grad_norm_(plain.parameters(), clip)
            optimizer.step()
    assert same_bits(model, plain)


def test_the_first_two_steps_by_hand() -> None:
    """The gradient is 1 throughout. SGD: v = m v + g + L2 w, w -= rate v. AdamW: w -= rate (decay w + 1)."""

    def weight(recipe: Recipe) -> float:
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, 2.0)
        fit(model, lambda i, _: (torch.ones(1, 1), torch.zeros(1, 1)), 1, lambda a, b: (a - b).sum(), recipe)
        return model.weight.item()

    sgd = replace(PLAIN, epochs=2, momentum=0.5, weight_decay=0.25)
    v1 = 1 + 0.25 * 2
    w1 = 2 - 0.1 * v1
    assert weight(sgd) == pytest.approx(w1 - 0.1 * (0.5 * v1 + 1 + 0.25 * w1), rel=1e-6)
    w1 = 2 - 0.1 * (0.25 * 2 + 1)
    assert weight(replace(sgd, optimizer="adamw")) == pytest.approx(w1 - 0.1 * (0.25 * w1 + 1), rel=1e-6)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    def moved(clip: float | None) -> float:
        model = linear()
        before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
        fit(model, line, 10, F.mse_loss, replace(PLAIN, epochs=1, batch=10, learning_rate=1.0, clip=clip))
        return (torch.cat([p.detach().flatten() for p in model.parameters()]) - before).norm().item()

    assert moved(None) > 0.1
    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(100.0) == moved(None)


# --- the rate


@pytest.mark.parametrize(
    ("recipe", "per_epoch", "expected"),
    [
        (Recipe(epochs=2, schedule="constant", learning_rate=2.0), 2, [2, 2, 2, 2]),
        (Recipe(epochs=2, schedule="constant", learning_rate=1.0, warmup=0.5), 2, [1 / 3, 2 / 3, 1, 1]),
        (Recipe(epochs=3, schedule="exponential", learning_rate=1.0, decay=0.5), 2, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (
            Recipe(epochs=3, schedule="exponential", learning_rate=1.0, decay=0.5, warmup=0.5),
            2,
            [1 / 4, 2 / 4, 3 / 4 / 2, 1 / 2, 1 / 4, 1 / 4],
        ),
        (Recipe(epochs=1, schedule="cosine", learning_rate=1.0), 3, [1, 0.75, 0.25]),
        (Recipe(epochs=3, schedule="cosine", learning_rate=1.0, warmup=0.5), 2, [1 / 4, 2 / 4, 3 / 4, 1, 0.75, 0.25]),
    ],
)
def test_learning_rate_by_hand_and_in_training(recipe: Recipe, per_epoch: int, expected: list[float]) -> None:
    steps = recipe.epochs * per_epoch
    assert [learning_rate(recipe, step, per_epoch) for step in range(steps)] == pytest.approx(expected)
    model = nn.Linear(1, 1, bias=False)
    seen = [model.weight.item()]

    def batch(index: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
        seen.append(model.weight.item())
        return torch.ones(len(index), 1), torch.zeros(len(index), 1)

    taken = replace(recipe, optimizer="sgd", batch=3, bf16=False)
    fit(model, batch, 3 * per_epoch, lambda a, b: (a - b).mean(), taken)
    moved = [a - b for a, b in itertools.pairwise([*seen[1:], model.weight.item()])]
    assert moved == pytest.approx(expected, abs=1e-5)


def test_cosine_is_that_of_pytorch() -> None:
    recipe = Recipe(epochs=4, learning_rate=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for step in range(20):
        assert learning_rate(recipe, step, 5) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        theirs.step()


@given(
    schedule=st.sampled_from(("constant", "cosine")),
    epochs=st.integers(1, 8),
    per_epoch=st.integers(1, 30),
    warmup=st.floats(0, 0.9),
)
def test_the_rate_never_jumps_never_stops_and_never_exceeds(
    schedule: str, epochs: int, per_epoch: int, warmup: float
) -> None:
    recipe = Recipe(epochs=epochs, schedule=schedule, warmup=warmup, learning_rate=1.0)
    steps = epochs * per_epoch
    warm = warmup * steps
    rates = [learning_rate(recipe, step, per_epoch) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    steepest = 1 / (warm + 1) + (math.pi / 2 / (steps - warm) if schedule == "cosine" else 0)
    assert all(abs(a - b) <= steepest + 1e-9 for a, b in itertools.pairwise(rates))
    assert rates[: math.ceil(warm)] == sorted(rates[: math.ceil(warm)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam"}, "optimizer: expected one of 'sgd', 'adamw', got 'adam'"),
        ({"schedule": "step"}, "schedule: expected one of 'constant', 'cosine', 'exponential', got 'step'"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"epochs": 1.5}, "epochs: expected a whole number of at least 1, got 1.5"),
        ({"batch": 0}, "batch: expected a whole number of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive finite number, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate: expected a positive finite number, got nan"),
        ({"decay": 0.0}, "decay: expected a positive finite number, got 0.0"),
        ({"clip": -1.0}, "clip: expected a positive finite number, got -1.0"),
        ({"momentum": 1.0}, "momentum: expected a number >= 0 and < 1, got 1.0"),
        ({"warmup": -0.1}, "warmup: expected a number >= 0 and < 1, got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay: expected a number >= 0 and < inf, got nan"),
    ],
)
def test_a_bad_recipe_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - compared in full
        Recipe(**options)
    assert str(error.value) == message


def test_an_empty_set_and_a_negative_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="count: expected a whole number of at least 1, got 0"):
        fit(linear(), line, 0, F.mse_loss, PLAIN)
    with pytest.raises(ValueError, match="seed: expected a whole number of at least 0, got -1"):
        fit(linear(), line, 10, F.mse_loss, PLAIN, seed=-1)


# --- what is random


@given(count=st.integers(1, 60), size=st.integers(1, 20))
def test_batches_hold_every_position_once_and_are_of_one_size(count: int, size: int) -> None:
    seen: list[list[int]] = []

    def batch(index: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
        assert index.dtype == torch.int64
        seen.append(index.tolist())
        return torch.zeros(len(index), 1), torch.zeros(len(index), 1)

    fit(linear(), batch, count, F.mse_loss, replace(PLAIN, epochs=2, batch=size))
    per_epoch = len(seen) // 2
    for epoch in (seen[:per_epoch], seen[per_epoch:]):
        sizes = [len(part) for part in epoch]
        assert sorted(itertools.chain(*epoch)) == list(range(count))
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-count // size)
        assert min(sizes) > 1 or size <= 2 or count == 1  # only then a batch of one cannot be avoided


def test_models_of_one_seed_see_the_same_batches_whatever_they_draw_themselves() -> None:
    def seen(model: nn.Module, seed: int) -> list[Tensor]:
        drawn = []

        def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            drawn.append(torch.cat([index, torch.rand(3, generator=generator)]))
            assert generator.initial_seed() != torch.initial_seed()  # what drops out has nothing to do with the order
            return line(index, generator)

        fit(model, batch, 10, F.mse_loss, PLAIN, seed=seed)
        return drawn

    calm = seen(linear(), 3)
    restless = seen(nn.Sequential(nn.Linear(1, 9), nn.Dropout(0.5), nn.Linear(9, 1)), 3)
    assert all(torch.equal(a, b) for a, b in zip(calm, restless, strict=True))
    assert not torch.equal(calm[0], seen(linear(), 4)[0])
    assert not torch.equal(calm[0], calm[3])  # another epoch, another order


def test_dropout_follows_the_seed_and_changes_with_the_epoch() -> None:
    def kept(seed: int) -> list[list[bool]]:
        model = nn.Sequential(nn.Linear(1, 32), nn.Dropout(0.5), nn.Linear(32, 1))
        masks: list[list[bool]] = []
        model[1].register_forward_hook(lambda module, inputs, output: masks.append((output[0] != 0).tolist()))
        fit(model, line, 10, F.mse_loss, replace(PLAIN, batch=10), seed=seed)
        return masks

    assert kept(0) == kept(0)
    assert kept(0)[0] != kept(0)[1]
    assert kept(0)[0] != kept(1)[0]


def test_the_random_state_of_the_caller_is_left_alone() -> None:
    def state() -> tuple[bytes, str, object]:
        return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), random.getstate()  # noqa: NPY002

    def fail(model: nn.Module) -> dict[str, float]:
        raise KeyboardInterrupt

    model = conv_net()
    before = state()
    fit(model, noisy, 20, F.cross_entropy, Recipe(epochs=1))
    assert state() == before
    with pytest.raises(KeyboardInterrupt):
        fit(model, noisy, 20, F.cross_entropy, Recipe(epochs=1), on_epoch_end=fail)
    assert state() == before


def test_seed_everything_seeds_all_three() -> None:
    def draws(seed: int) -> tuple[float, ...]:
        generator = train.seed_everything(seed)
        one = torch.rand(1).item(), torch.rand(1, generator=generator).item()
        return *one, random.random(), np.random.rand()  # noqa: NPY002

    assert draws(3) == draws(3)
    assert not set(draws(3)) & set(draws(4))
    assert draws(2**32 + 3)[3] == draws(3)[3]  # NumPy takes 32 bits


@pytest.mark.parametrize(("there", "name"), [(True, "cuda"), (False, "cpu")])
def test_best_device(there: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert train.best_device() == name


# --- modes, precision, messages


def test_on_epoch_end_sees_evaluation_mode_and_training_goes_on_in_training_mode() -> None:
    model = conv_net()
    modes: list[tuple[str, bool]] = []

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        modes.append(("batch", all(part.training for part in model.modules())))
        return noisy(index, generator)

    def watch(model: nn.Module) -> dict[str, float]:
        modes.append(("watch", any(part.training for part in model.modules())))
        return {}

    fit(model.eval(), batch, 20, F.cross_entropy, Recipe(epochs=2, batch=20), on_epoch_end=watch)
    assert modes == [("batch", True), ("watch", False)] * 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_where_it_applies(optimizer: str) -> None:
    """Without a gradient, decay alone moves a parameter, by 1 - rate * decay a step."""
    recipe = Recipe(epochs=1, batch=10, optimizer=optimizer, learning_rate=0.1, weight_decay=0.5, schedule="constant")
    for rule, moved in ((None, {"weight", "bias"}), (lambda p: p.ndim > 1, {"weight"}), (lambda p: False, set())):
        model = linear()
        with torch.no_grad():
            model.bias.fill_(2.0)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        fit(model, line, 10, lambda y, _: 0.0 * y.sum(), recipe, weight_decay_filter=rule)
        for name, value in model.named_parameters():
            expected = before[name] * (0.95 if name in moved else 1.0)
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_lr_scale_multiplies_the_learning_rate(optimizer: str) -> None:
    """A constant gradient moves a parameter by the rate, in proportion."""
    recipe = Recipe(epochs=1, batch=10, optimizer=optimizer, learning_rate=0.1, weight_decay=0.5, schedule="constant")
    moved = {}
    for scale in (1.0, 3.0):
        model = linear()
        with torch.no_grad():
            model.bias.zero_()
        before = model.weight.detach().clone()
        fit(model, line, 10, lambda y, _: y.sum(), recipe, weight_decay_filter=lambda p: p.ndim > 1,
            lr_scale=lambda p, scale=scale: scale if p.ndim == 1 else 1.0)  # fmt: skip
        moved[scale] = model.bias.detach().clone(), model.weight.detach() - before
    torch.testing.assert_close(moved[3.0][0], 3 * moved[1.0][0])
    torch.testing.assert_close(moved[3.0][1], moved[1.0][1])


def test_only_the_network_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "computes_in_bfloat16", lambda device: True)  # PyTorch emulates it where it must
    seen: list[tuple[torch.dtype, bool]] = []

    def batch(index: Tensor, *_: torch.Generator) -> Tensor:
        seen.append((torch.float32, torch.is_autocast_enabled("cpu")))
        return X[index]

    def loss(a: Tensor, b: Tensor) -> Tensor:
        seen.append((a.dtype, torch.is_autocast_enabled("cpu")))
        return (a - b).square().mean()

    model = linear()
    model.register_forward_hook(lambda module, inputs, output: seen.append((output.dtype, False)))
    bf16 = replace(PLAIN, epochs=1, batch=10, bf16=True)
    fit(model, lambda i, g: (batch(i, g), Y[i]), 10, loss, bf16)
    assert seen == [(torch.float32, False), (torch.bfloat16, False), (torch.float32, False)]
    assert model.weight.dtype == torch.float32
    seen.clear()
    out = evaluate(model, batch, 10, bf16=True)
    assert seen == [(torch.float32, False), (torch.bfloat16, False)]
    assert out.dtype == torch.float32
    assert not torch.equal(out, evaluate(model, batch, 10))


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_is_a_forward_pass_in_evaluation_mode_and_restores_the_mode(training: bool) -> None:
    model = conv_net()
    fit(model, noisy, 20, F.cross_entropy, Recipe(epochs=1))
    with torch.no_grad():
        expected = model.eval()(IMAGES)
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for size in (1, 7, 20, 256):
        out = evaluate(model, lambda index: IMAGES[index], 20, size=size)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert not out.requires_grad
    with pytest.raises(IndexError):
        evaluate(model, lambda index: IMAGES[index + 20], 20)
    assert all(part.training == training for part in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("bad", "name"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_stops_with_advice(bad: float, name: str) -> None:
    calls = itertools.count()

    def batch(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = line(index, generator)
        return x, y + (bad if next(calls) == 4 else 0)

    advice = rf"the loss is {name} in epoch 2, step 2: lower learning_rate \(0\.1\), set clip, or look for NaN"
    with pytest.raises(FloatingPointError, match=advice):
        fit(linear(), batch, 10, F.mse_loss, PLAIN)


def test_the_bar_is_shown_on_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    fit(linear(), line, 10, F.mse_loss, PLAIN)
    assert capsys.readouterr() == ("", "")
    fit(linear(), line, 10, F.mse_loss, PLAIN, progress=True)
    assert "0/3" in capsys.readouterr().err


# --- interruption


class Interrupted(Exception):
    pass


def stop_after(calls: int):
    """A function that raises when it is called for the last time."""
    count = itertools.count(1)

    def call(*_: object) -> dict[str, float]:
        if next(count) == calls:
            raise Interrupted
        return {"calls": 0.0}

    return call


@pytest.mark.parametrize("where", ["watch", "batch"])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_resumed_is_uninterrupted_bit_for_bit(optimizer: str, bf16: bool, where: str, tmp_path: Path) -> None:
    momentum = 0.9 if optimizer == "sgd" else 0.0
    recipe = Recipe(5, 6, optimizer, 0.01, momentum, 1e-3, warmup=0.2, clip=1.0, bf16=bf16)  # 4 steps an epoch
    straight, resumed = conv_net(), conv_net()

    def watch(model: nn.Module) -> dict[str, float]:
        torch.rand(3)  # whoever watches may draw
        return {"mean": np.float64(evaluate(model, lambda i: IMAGES[i], 20).mean())}

    expected = fit(straight, noisy, 20, F.cross_entropy, recipe, seed=4, on_epoch_end=watch)
    options = {"seed": 4, "checkpoint": tmp_path / "new" / "run.pt", "seconds_between_saves": 0.0}
    for calls in (2, 1, 2):  # two epochs in all, the rest of each is lost
        stop = stop_after(calls if where == "watch" else 4 * calls)
        torch.rand(7)
        with pytest.raises(Interrupted):
            fit(
                resumed,
                lambda i, g, stop=stop: (where == "batch" and stop(), noisy(i, g))[1],
                20,
                F.cross_entropy,
                recipe,
                on_epoch_end=lambda model, stop=stop: watch(model) | (stop() and {} if where == "watch" else {}),
                **options,
            )
        resumed = conv_net()
    assert torch.load(options["checkpoint"], weights_only=True)["epoch"] == 2
    assert fit(resumed, noisy, 20, F.cross_entropy, recipe, on_epoch_end=watch, **options) == expected
    assert same_bits(resumed, straight)
    assert os.listdir(tmp_path / "new") == ["run.pt"]  # noqa: PTH208
    again = conv_net()
    assert fit(again, stop_after(1), 20, F.cross_entropy, recipe, **options) == expected  # nothing is left to do
    assert same_bits(again, straight)
    assert not again.training


def test_saves_keep_their_distance(tmp_path: Path) -> None:
    fit(linear(), line, 10, F.mse_loss, PLAIN, checkpoint=tmp_path / "run.pt", seconds_between_saves=3600)
    assert not list(tmp_path.iterdir())


KILLED = """
import multiprocessing, random, sys, time
from pathlib import Path
import torch
import torch.nn.functional as F
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from facelight.train import Recipe, fit
from patience import PATIENCE
from test_train import IMAGES, conv_net, line, linear, noisy

folder = Path(sys.argv[2])
recipe = Recipe(30, 5, learning_rate=0.01, weight_decay=0.1, warmup=0.1)
fork = multiprocessing.get_context("fork")


def work(name, moments, goal):
    def count(*_):
        moments.value += 1
        if moments.value == goal + 6:  # so far it comes and no further, however late it is killed
            time.sleep(2 * PATIENCE)
        return {"moment": 1.0}

    net = conv_net()
    torch.rand(random.SystemRandom().randrange(9))
    curve = fit(net, lambda i, g: (count(), noisy(i, g))[1], 20, F.cross_entropy, recipe, seed=6, on_epoch_end=count,
                checkpoint=folder / f"{name}.pt", seconds_between_saves=0)
    torch.save({"state": net.state_dict(), "curve": curve}, folder / f"{name}.end")


def start(name, goal):
    moments = fork.Value("i", 0)
    child = fork.Process(target=work, args=(name, moments, goal))
    child.start()
    return child, moments


fit(linear(), line, 10, F.mse_loss, Recipe(1))  # what PyTorch imports with its first optimizer, children need not
child, _ = start("straight", 10**9)
child.join()
kills, epochs = 0, []
draw = random.Random(0)
while True:
    # Five moments an epoch: four batches, and after the fifth, which is watch, the checkpoint is written.
    goal = draw.choice([1, 5, 10, 13, 15, 20]) if kills < 12 else 10**9
    child, moments = start("killed", goal)
    while child.is_alive() and moments.value < goal:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 0.004))
    child.kill()
    child.join()
    if child.exitcode == 0:
        break
    kills += 1
    if (folder / "killed.pt").exists():
        epochs.append(torch.load(folder / "killed.pt", weights_only=True)["epoch"])
assert epochs == sorted(epochs), epochs
print(kills, len(set(epochs)))
"""


def test_killed_at_any_moment_it_ends_with_the_same_bits(repository: Path, tmp_path: Path) -> None:
    done = python("-c", KILLED, str(repository / "tests"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    kills, resumed = map(int, done.stdout.split())
    assert kills >= 5
    assert resumed >= 3
    straight, killed = (torch.load(tmp_path / f"{name}.end") for name in ("straight", "killed"))
    assert killed["curve"] == straight["curve"]
    assert len(killed["curve"]["loss"]) == 30
    assert all(torch.equal(killed["state"][name], value) for name, value in straight["state"].items())
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{a}.{b}" for a in ("straight", "killed") for b in ("pt", "end")
    }


# --- checkpoints that are of no use


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run.pt"
    watch = lambda model: {"a": torch.tensor(1.0), "b": np.float32(2)}  # noqa: E731
    options = {"checkpoint": path, "identity": "toy", "seconds_between_saves": 0.0}
    fit(linear(), line, 10, F.mse_loss, replace(PLAIN, optimizer="adamw"), on_epoch_end=watch, **options)
    return path


def test_a_checkpoint_holds_nothing_but_plain_values(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    assert state.keys() == {"identity", "epoch", "curve", "model", "optimizer"}
    assert state["curve"]["a"] == [1.0] * 3
    assert {type(v) for values in state["curve"].values() for v in values} == {float}


def refusal(path: Path, **changes: object) -> str:
    options = {"count": 10, "recipe": replace(PLAIN, optimizer="adamw"), "identity": "toy", "model": linear()} | changes
    content = path.read_bytes()
    with pytest.raises(CheckpointError) as error:
        fit(batch=line, loss=F.mse_loss, checkpoint=path, **options)
    assert path.read_bytes() == content
    assert str(error.value).endswith(f"delete {path} to start this run again")
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": PLAIN}, "'optimizer': 'sgd'"),
        ({"seed": 1}, "10 1"),
        ({"count": 9}, "9 0"),
        ({"identity": "other"}, "other {"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(checkpoint: Path, changes: dict[str, object], told: str) -> None:
    said = refusal(checkpoint, **changes)
    assert f"{checkpoint} belongs to another run,\n  toy {{" in said
    assert told in said.split("not to")[1]


def test_the_checkpoint_of_another_network_is_refused(checkpoint: Path) -> None:
    assert "is not a whole checkpoint of this run (RuntimeError" in refusal(checkpoint, model=nn.Linear(1, 2))


@pytest.mark.parametrize("damage", ["half", "empty", "text", "foreign", "code", "folder"])
def test_a_damaged_checkpoint_is_named_and_left_where_it_is(checkpoint: Path, damage: str) -> None:
    whole = checkpoint.read_bytes()
    if damage == "folder":
        checkpoint.unlink()
        checkpoint.mkdir()
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            fit(linear(), line, 10, F.mse_loss, PLAIN, checkpoint=checkpoint)
        return
    if damage == "foreign":
        torch.save({"weights": torch.ones(3)}, checkpoint)
    elif damage == "code":  # unpickling it could do anything
        torch.save(torch.load(checkpoint) | {"curve": {"loss": Path("x")}}, checkpoint)
    else:
        checkpoint.write_bytes({"half": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    assert f"{checkpoint} is not a whole checkpoint" in refusal(checkpoint)


def test_a_checkpoint_is_flushed_and_then_replaced_in_one_step(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = checkpoint.read_bytes()
    moments = []

    def spy(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: object) -> object:
            moments.append((name, checkpoint.read_bytes() == old))
            return original(*arguments)

        monkeypatch.setattr(owner, name, call)

    spy(os, "fsync")
    spy(Path, "replace")
    model = linear()
    checkpoints.save(checkpoint, "new", model, torch.optim.SGD(model.parameters()), 1, {})
    assert moments == [("fsync", True), ("replace", True)]
    assert torch.load(checkpoint, weights_only=True)["identity"] == "new"


def test_stopping_early_is_off_by_default_and_an_interrupted_run_stops_at_the_same_epoch(tmp_path: Path) -> None:
    """The watched number falls twice and then no more: with a patience of 2 the fourth epoch is the last."""
    recipe, numbers = replace(PLAIN, epochs=6), [0.5, 0.4, 0.4, 0.6, 0.1, 0.2]

    def trained(seen: list[float], **options: object) -> tuple[nn.Module, dict[str, list[float]]]:
        model, left = linear(), iter(seen)
        curve = fit(model, line, 10, F.mse_loss, recipe, on_epoch_end=lambda _: {"error": next(left)}, **options)
        return model, curve

    _, whole = trained(numbers)
    assert whole["error"] == numbers
    options = {"stop": no_better("error", 2), "checkpoint": tmp_path / "run.pt", "seconds_between_saves": 0}
    model, short = trained(numbers[:4], **options)
    assert short == {name: values[:4] for name, values in whole.items()}
    again, continued = trained([], **options)  # from its checkpoint: no epoch more
    assert continued == short
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_patience_is_counted_from_the_first_of_equal_numbers() -> None:
    stop = no_better("error", 2)
    assert [stop({"error": [3.0, 2.0, 2.0, 2.5][:n]}) for n in (1, 2, 3, 4)] == [False, False, False, True]
    with pytest.raises(ValueError, match="name: expected what is watched, one of loss; got 'error'"):
        stop({"loss": [1.0]})
    with pytest.raises(ValueError, match="patience: expected a whole number of at least 1, got 0"):
        no_better("error", 0)


def test_where_no_folder_can_be_made_the_message_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "run.pt"
    with pytest.raises(OSError, match=rf"cannot write {path} \(.*File exists.*free some space, or choose a folder"):
        fit(linear(), line, 10, F.mse_loss, PLAIN, checkpoint=path, seconds_between_saves=0)


@pytest.mark.parametrize("moment", ["writing", "flushing"])
def test_a_full_disk_leaves_the_old_checkpoint_and_no_part(
    checkpoint: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = checkpoint.read_bytes()
    other = checkpoint.with_name("other.pt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "flushing":
        monkeypatch.setattr(os, "fsync", full)
    for path in (other, checkpoint):
        path.write_bytes(old) if path == checkpoint else None
        with pytest.raises(OSError, match=rf"cannot write {path} \(.*\): free some space"):  # noqa: PT012
            if moment == "writing":
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            try:
                state = nn.Linear(1, 1)
                checkpoints.save(path, "toy", state, torch.optim.SGD(state.parameters()), 1, {})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(checkpoint.parent.iterdir()) == [checkpoint]
    assert checkpoint.read_bytes() == old
