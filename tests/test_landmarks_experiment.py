"""Experiment "landmarks" on made-up faces: what variants share, what they are fed, what is watched, kept and run."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from torch import Tensor, nn

import facelight_render as synthetic
from facelight import augment, losses, models, train
from facelight.augment import Augmentation
from facelight.data import LandmarkFaces, crops, wflw
from facelight.data.crops import BoxRule
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import Annotations
from facelight.data.sources import DataError
from facelight.layers import LogConv2d, MeanLevel
from facelight_lab import experiments, results
from facelight_lab.landmarks import face_sets, landmarks, lights, regressor, training
from facelight_lab.landmarks.face_sets import Sets
from facelight_lab.landmarks.regressor import Network, Wing
from facelight_lab.landmarks.settings import Landmarks, Pretraining
from facelight_lab.landmarks.training_light import TrainingLight
from test_recognition import Stop, epochs_of
from test_wflw import SIZES, line, shape, write_set

POINTS = 98
RECIPE = train.Recipe(epochs=6, batch=7, learning_rate=0.01, bf16=False)
CONFIG = Landmarks(
    "wflw",
    size=32,
    network=Network(head_width=8, dropout=0.2),
    recipe=RECIPE,
    augmentation=Augmentation(),
    held_out=0.25,
)
FIRST = Pretraining(11, RECIPE)


class Body(nn.Module):
    """In place of a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(nn.functional.adaptive_avg_pool2d(self.bn1(self.conv1(x)).relu(), 4).flatten(1))


def made_up(count: int = 16, split: str = "train", points: int = POINTS) -> LandmarkFaces:
    """Pictures of 48 pixels with a bright square, whose place is that of all landmarks but the eyes."""
    generator = torch.Generator().manual_seed(len(split))
    image = torch.randint(30, 90, (count, 3, 48, 48), generator=generator, dtype=torch.uint8)
    place = 24 + 5 * torch.randn((count, 1, 2), generator=generator)
    for i, (x, y) in enumerate(place[:, 0].round().long().clamp(8, 40).tolist()):
        image[i, :, y - 4 : y + 5, x - 4 : x + 5] = 240
    landmarks = place.repeat(1, points, 1) + 0.1 * torch.randn((1, points, 2), generator=generator)
    left, right = (36, 45) if points == 68 else (60, 72)
    landmarks[:, left, 0] -= 8
    landmarks[:, right, 0] += 8
    return LandmarkFaces(
        image=image,
        landmarks=landmarks,
        visible=torch.ones(count, points, dtype=torch.bool),
        box=torch.tensor([6.0, 6.0, 40.0, 40.0]).repeat(count, 1),
        attributes=torch.arange(count)[:, None] % 5 == torch.arange(6),
        name=tuple(f"{split}/{i}" for i in range(count)),
        source=split,
        sha256=split * 9,
    )


SETS = Sets(made_up(), made_up(9, "test"), "made up")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny body, few lights, a cache of its own, a checkpoint after each epoch, faces that need no rendering."""
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "torchvision_body", lambda backbone, weights: Body())
    monkeypatch.setattr(train, "fit", functools.partial(train.fit, seconds_between_saves=0.0))
    few = {name: lights.LIGHTS[name] for name in lights.MAIN}
    monkeypatch.setattr(landmarks, "measure", functools.partial(landmarks.measure, under=few))
    monkeypatch.setattr(synthetic, "landmarks", lambda split, n, *, size: made_up(n, split))


# --- variants; the others are in test_stems.py

VARIANTS = (
    "linear",
    "ln(1 + x)",
    "ln(1 + x), gamma fixed",
    "divided by mean",
    "ln(1 + 255x)",
    "zero-mean ln(1 + 255x)",
)


def built(variant: str, seed: int = 0) -> models.FaceNet:
    torch.manual_seed(seed)
    return regressor.build(variant, Network("resnet18", head_width=32, dropout=0.5), 68).eval()


def test_variants_of_one_seed_start_from_the_same_weights() -> None:
    base = dict(built("linear").named_parameters())
    for variant in VARIANTS:
        model = built(variant)
        found = {name: value for name, value in model.named_parameters() if not name.endswith(("gamma", "log_epsilon"))}
        assert found.keys() == base.keys()
        assert all(torch.equal(found[name], value) for name, value in base.items()), variant
        own = {name for name, _ in model.named_parameters()} - base.keys()
        assert own == ({"body.conv1.layer.gamma"} if "ln" in variant and "fixed" not in variant else set())
    other = dict(built("linear", 1).named_parameters())
    assert not torch.equal(other["body.conv1.layer.weight"], base["body.conv1.layer.weight"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_first_layers_by_hand(variant: str) -> None:
    model = built(variant)
    weight = model.body.conv1.layer.weight.double()
    x = 0.01 + 0.99 * torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    y = x.double()
    if "255" in variant:
        y = torch.log(1 + 255 * y)
    elif "ln" in variant:
        y = torch.log(1 + y)
    elif variant == "divided by mean":
        y = 0.45 * y / y.mean((1, 2, 3), keepdim=True)
    if "zero-mean" in variant:
        weight = weight - weight.mean((2, 3), keepdim=True)
        y = nn.functional.pad(y, (3, 3, 3, 3), mode="replicate")
        expected = nn.functional.conv2d(y, weight, stride=2)
    else:
        expected = nn.functional.conv2d(y, weight, stride=2, padding=3)
    found = model.body.conv1(model.normalize(x)).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    if "fixed" in variant:
        assert isinstance(model.body.conv1.layer, LogConv2d)
        assert not model.body.conv1.layer.gamma.requires_grad


def test_what_division_of_the_light_changes() -> None:
    """Nothing, behind the mean; almost nothing, behind zero-mean kernels on ln(1 + 255x); much, in the paper's."""
    x = 0.3 + 0.7 * torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))

    def change(variant: str) -> float:
        model = built(variant)
        one, other = (model.body.conv1(model.normalize(light)) for light in (x, x / 6))
        return ((one - other).norm() / one.norm()).item()

    assert change("divided by mean") < 1e-6
    assert change("zero-mean ln(1 + 255x)") < 0.1
    assert change("ln(1 + 255x)") > 0.3
    assert change("ln(1 + x)") > 0.7
    assert change("linear") == pytest.approx(5 / 6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_first_layers_have_the_same_precision(variant: str) -> None:
    """Under autocast their outputs are those without it; behind them the network computes in bfloat16."""
    model = built(variant)
    x = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    seen = {}
    for name in ("conv1", "layer1"):
        getattr(model.body, name).register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
    model(x)
    plain = seen["conv1"]
    with torch.autocast("cpu", torch.bfloat16):
        model(x)
    assert torch.equal(seen["conv1"], plain)
    assert seen["conv1"].dtype == torch.float32
    assert seen["layer1"].dtype == torch.bfloat16


def test_a_black_picture_stays_black_and_imagenet_gets_its_own_scale() -> None:
    x = torch.zeros(2, 3, 4, 4)
    x[1] = torch.rand((3, 4, 4))
    y = MeanLevel()(x)
    assert bool((y[0] == 0).all())
    assert y[1].mean().item() == pytest.approx(0.45)


def test_all_variants_are_fed_the_same(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very pictures and landmarks, after augmentation, batch by batch."""
    fed: dict[str, list[Tensor]] = {}
    feeder = regressor.feeder

    def recorded(*arguments):
        batch = feeder(*arguments)

        def noted(index, generator):
            x, y = batch(index, generator)
            fed.setdefault(variant, []).extend([index, x, y])
            return x, y

        return noted

    monkeypatch.setattr(regressor, "feeder", recorded)
    for variant in VARIANTS:
        landmarks.measure(replace(CONFIG, variant=variant, recipe=replace(RECIPE, epochs=2)), SETS)
    assert len(fed["linear"]) == 2 * 2 * 3
    for variant in VARIANTS:
        assert all(torch.equal(a, b) for a, b in zip(fed[variant], fed["linear"], strict=True))


# --- feeding


def test_batches_against_a_plain_loop() -> None:
    faces = face_sets.crop(made_up(), 32, BoxRule())
    rows, index = torch.tensor([2, 3, 5, 7, 11]), torch.tensor([4, 0, 2])
    plain = regressor.feeder(faces, rows, None, "cpu")
    x, y = plain(index, torch.Generator().manual_seed(8))
    assert x.is_contiguous(memory_format=torch.channels_last)
    for i, row in enumerate((11, 2, 5)):
        assert torch.equal(x[i], faces.image[row] / 255)
        torch.testing.assert_close(y[i], (faces.landmarks[row] + 0.5) / 32)
    how = Augmentation()
    moved, places = regressor.feeder(faces, rows, how, "cpu")(index, torch.Generator().manual_seed(8))
    expected, there = augment.augment_faces(x, y, how, torch.Generator().manual_seed(8))
    assert torch.equal(places, there)
    assert (255 * moved - 255 * expected).abs().max() <= 0.501
    assert (255 * moved - (255 * moved).round()).abs().max() < 1e-3  # gray levels
    assert (moved - x).abs().max() > 0.1


def test_pictures_are_darkened_by_factors_of_their_own() -> None:
    faces = face_sets.crop(made_up(), 32, BoxRule())
    rows = torch.arange(len(faces))
    plain, dark = (regressor.feeder(faces, rows, None, "cpu", light) for light in (None, TrainingLight(6.0)))
    x, y = plain(rows, torch.Generator().manual_seed(8))
    found, there = dark(rows, torch.Generator().manual_seed(8))
    assert torch.equal(there, y)
    factor = (x.flatten(1).sum(1) / found.flatten(1).sum(1)).double()
    chosen, _, strength = torch.rand((len(rows), 3), generator=torch.Generator().manual_seed(8)).double().T
    torch.testing.assert_close(factor, torch.where(chosen < 0.5, 1.0, 6.0**strength), rtol=0.02, atol=0)
    assert factor.min() < 1.01 < 4 < factor.max()
    assert (255 * found - (255 * found).round()).abs().max() < 1e-3  # gray levels


@pytest.mark.parametrize("size", [32, 64])
def test_rendered_faces_are_cut_as_photographs_are(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    faces = made_up(4)
    faces.box[1] = torch.tensor([-9.0, 3.0, 30.0, 44.0])  # beyond the picture
    paths = tuple(tmp_path / f"{i}.png" for i in range(4))
    for path, image in zip(paths, faces.image, strict=True):
        cv2.imwrite(str(path), cv2.cvtColor(image.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2BGR))
    columns = {name: getattr(faces, name) for name in ("landmarks", "box", "attributes", "name", "source", "sha256")}
    photographs = face_sets.crop(Annotations(path=paths, **columns), size, BoxRule(margin=1.3))
    found = face_sets.crop(faces, size, BoxRule(margin=1.3))
    assert torch.equal(found.image, photographs.image)
    torch.testing.assert_close(found.landmarks, photographs.landmarks)
    torch.testing.assert_close(found.box, photographs.box)
    assert torch.equal(found.visible, photographs.visible)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.landmarks[3, 5].fill_(float("nan")), "train/3: expected finite landmarks, got NaN or infinity"),
        (lambda f: f.box[2].copy_(torch.tensor([5.0, 5, 5, 9])), "train/2: expected a box of positive width and"),
        (lambda f: f.box[2].fill_(float("nan")), "train/2: expected a box of positive width and height"),
    ],
)
def test_a_face_that_cannot_be_cut_is_named(spoil, message: str) -> None:
    faces = made_up()
    spoil(faces)
    with pytest.raises(DataError, match=message):
        landmarks.measure(CONFIG, replace(SETS, train=faces))


# --- which faces


def test_held_out_faces_depend_on_the_seed_only() -> None:
    kept, held = face_sets.held_out(2012, 0.1, 3)
    assert (len(kept), len(held)) == (1811, 201)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(2012))
    assert torch.equal(kept, kept.sort().values)
    again = face_sets.held_out(2012, 0.1, 3)
    assert torch.equal(held, again[1])
    assert not torch.equal(held, face_sets.held_out(2012, 0.1, 4)[1])
    assert [len(part) for part in face_sets.held_out(5, 0.0, 0)] == [5, 0]


def test_validation_looks_at_no_test_face_and_trains_the_same_network(small: None) -> None:
    config = replace(CONFIG, part="validation")
    spoilt = replace(SETS, test=replace(SETS.test, image=255 - SETS.test.image))
    found = landmarks.measure(config, SETS)
    assert found == landmarks.measure(config, spoilt)
    tested = landmarks.measure(CONFIG, SETS)
    assert tested["curve"] == found["curve"]
    assert tested["lights"] != found["lights"]
    assert found["trained_on"] == tested["trained_on"] == 12
    assert found["lights"]["x1"][0] == pytest.approx(found["curve"]["validation"][-1], abs=2e-5)


def test_groups_of_faces_by_hand() -> None:
    faces = made_up(6)
    image = torch.full((6, 3, 20, 20), 200, dtype=torch.uint8)
    image[1, :, :, :10] = 100  # lit from the right
    image[2, :, :, 10:] = 140  # not enough
    image[3] = 85
    image[4, :, :4] = 0  # what is near the edge does not count
    image[5] = 0
    faces = replace(faces, image=image, name=("helen/a", "lfpw/testset/b", "afw/c", "helen/d", "x", "y"))
    found = {name: mask.nonzero().flatten().tolist() for name, mask in face_sets.groups(faces).items()}
    flags = {n: [i for i in range(6) if i % 5 == k] for k, n in enumerate(("pose", "expression", "illumination"))}
    flags |= {"make-up": [3], "occlusion": [4]}  # nobody is blurred
    assert found == {"HELEN": [0, 3], "LFPW": [1], **flags, "side-lit": [1], "dark": [3, 5]}


def test_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rendered(split: str, n: int, *, size: int) -> LandmarkFaces:
        asked.append((split, n, size))
        return made_up(3, split)

    monkeypatch.setattr(synthetic, "landmarks", rendered)
    found = face_sets.load("synthetic", (7, 5))
    assert asked == [("train", 7, 128), ("test", 5, 128)]
    assert (found.train.source, found.test.source) == ("train", "test")
    assert len(found) == 6
    assert found.sha256 != replace(found, test=found.train).sha256


@pytest.mark.realdata
def test_300w_as_it_is_measured(w300_root: Path) -> None:
    found = face_sets.load("w300")
    assert (len(found.train), len(found.test), found.source) == (2012, 554, "300-W")
    assert found.sha256 == "6378992f27b770d7cf6d374808eeb5f30cd6552eaf382d57819d12eebd8d038c"
    groups = face_sets.groups(face_sets.crop(found.test, 64, BoxRule()))
    sizes = {name: int(mask.sum()) for name, mask in groups.items()}
    assert sizes.keys() == {"HELEN", "LFPW", "side-lit", "dark"}
    assert (sizes["HELEN"], sizes["LFPW"]) == (330, 224)
    assert all(30 < sizes[name] < 70 for name in ("side-lit", "dark"))


# --- what is minimized and watched


def test_wing_in_its_units() -> None:
    generator = torch.Generator().manual_seed(2)
    pred, target = torch.rand((2, 3, 5, 2), generator=generator)
    on_unit = losses.wing_loss(pred, target, 10.0, 2.0)
    in_pixels = losses.wing_loss(64 * pred, 64 * target, 10.0, 2.0)
    assert torch.equal(Wing(unit="crop").of(pred, target, 64), on_unit)
    assert torch.equal(Wing().of(pred, target, 64), in_pixels)
    torch.testing.assert_close(Wing(unit="crop", reduction="sum").of(pred, target, 64), 10 * on_unit)
    torch.testing.assert_close(Wing(reduction="sum").of(pred, target, 64), 10 * in_pixels)


def test_a_network_that_starts_at_the_mean_shape() -> None:
    torch.manual_seed(0)
    model = regressor.build("linear", Network("resnet18", head_width=32), 68).eval()
    target = torch.rand((9, 68, 2), generator=torch.Generator().manual_seed(1))
    x = torch.rand((4, 3, 32, 32))
    before = model(x)
    bias = model.body.fc[-1].bias.detach().clone()
    regressor.start_at(model, target)
    torch.testing.assert_close(
        model(x) - target.mean(0), 0.1 * (before - bias.unflatten(0, (68, 2))), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("variant", ["linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "divided by mean"])
def test_what_is_watched(variant: str, small: None) -> None:
    curve = landmarks.measure(replace(CONFIG, variant=variant, recipe=replace(RECIPE, epochs=25)), SETS)["curve"]
    gamma = {"gamma", "gamma_gradient", "weight_gradient"} if variant == "ln(1 + x)" else set()
    assert curve.keys() == {"loss", "validation", "validation_loss", *gamma}
    assert all(len(values) == 25 for values in curve.values())
    assert curve["validation"][-1] < curve["validation"][0]
    if gamma:
        assert all(value > 0 for name in gamma for value in curve[name])
        assert curve["gamma"][-1] != 1


def test_the_gradients_are_those_of_the_last_step() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(LogConv2d(3, 4, 3, gamma=1.5), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 196),
                          nn.Unflatten(1, (98, 2)))  # fmt: skip
    faces = face_sets.crop(made_up(4), 32, BoxRule())
    watch = regressor.monitor(faces, torch.tensor([1, 3]), Wing(unit="crop", reduction="sum"))
    x, y = faces.image / 255, (faces.landmarks + 0.5) / 32
    (model(x) - y).square().sum().backward()
    seen = watch(model)
    off = (model(x[[1, 3]]) - y[[1, 3]]).detach()
    assert seen["validation"] == pytest.approx(off.norm(dim=-1).mean().item(), rel=1e-4)
    assert seen["validation_loss"] == pytest.approx((10 * torch.log1p(off.abs() / 2)).mean().item(), rel=1e-4)
    conv = model[0]
    assert seen["gamma"] == 1.5
    assert seen["weight_gradient"] == pytest.approx(conv.weight.grad.norm().item())
    # The kernels and gamma only occur as their product: gamma dL/dgamma = <W, dL/dW>.
    assert 1.5 * seen["gamma_gradient"] == pytest.approx(abs((conv.weight * conv.weight.grad).sum().item()), rel=1e-3)
    assert watch(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 196), nn.Unflatten(1, (98, 2)))
                 ).keys() == {"validation", "validation_loss"}  # fmt: skip


def test_nothing_is_validated_where_nothing_is_held_out(small: None) -> None:
    found = landmarks.measure(replace(CONFIG, held_out=0.0), SETS)
    assert found["curve"].keys() == {"loss"}
    assert found["trained_on"] == 16


def test_the_curve_of_a_sum_is_that_of_the_mean_of_coordinates(small: None) -> None:
    """With the same weights throughout, since the rate is next to nothing."""
    frozen = replace(RECIPE, epochs=1, learning_rate=1e-12, optimizer="sgd")
    first, other = (
        landmarks.measure(replace(CONFIG, recipe=frozen, loss=Wing(reduction=reduction)), SETS)["curve"]
        for reduction in ("mean", "sum")
    )
    assert other["loss"] == pytest.approx(first["loss"], rel=1e-3)
    assert other["validation_loss"] == pytest.approx(first["validation_loss"], rel=1e-3)


def test_landmarks_are_learned(small: None) -> None:
    recipe = replace(RECIPE, epochs=100, learning_rate=0.02)
    long = replace(CONFIG, recipe=recipe, augmentation=None, held_out=0.0, network=Network(head_width=64))
    found = landmarks.measure(long, replace(SETS, test=SETS.train))
    untrained = landmarks.measure(replace(long, recipe=replace(RECIPE, learning_rate=1e-9)), SETS)
    assert found["lights"]["x1"][0] < 0.5 * untrained["lights"]["x1"][0]
    assert found["lights"]["x1"][0] < found["lights"]["/12"][0]
    assert found["groups"].keys() >= {"pose", "expression", "dark"}


# --- start


@pytest.mark.parametrize("points", [98, 68])
def test_rendered_faces_are_learned_once_and_kept(small: None, points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = "wflw" if points == 98 else "w300"
    first = replace(FIRST, recipe=replace(RECIPE, epochs=2))
    config = replace(CONFIG, dataset=dataset, pretraining=first)
    seen = []
    fit = train.fit

    def watched(model, batch, count, loss, recipe, **options):
        seen.append((count, recipe, batch(torch.arange(2), torch.Generator())[1].shape[1]))
        return fit(model, batch, count, loss, recipe, **options)

    monkeypatch.setattr(train, "fit", watched)
    learned = training.started(config).state_dict()
    assert seen == [(11, first.recipe, points)]
    monkeypatch.setattr(train, "fit", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)  # nor do threads, of which torchrun leaves but one
    for change in ({"part": "validation"}, {"held_out": 0.5}, {"recipe": replace(RECIPE, epochs=9)}):
        again = training.started(replace(config, **change)).state_dict()  # what comes after does not matter
        assert all(torch.equal(again[name], value) for name, value in learned.items())
    others = [{"pretraining": other} for other in (replace(first, count=12), replace(first, recipe=RECIPE))]
    for change in ({"seed": 1}, {"variant": "ln(1 + x)"}, {"augmentation": None}, *others):
        with pytest.raises(TypeError):  # would have to be learned
            training.started(replace(config, **change))


def test_the_68_points_of_rendered_faces() -> None:
    faces = made_up(3)
    config = Landmarks("w300", size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "landmarks", lambda split, n, *, size: faces)
        found = training.rendered(config, 3)
    expected = face_sets.crop(faces, 32, BoxRule())
    assert torch.equal(found.landmarks, expected.landmarks[:, list(LANDMARKS_68)])
    assert torch.equal(found.image, expected.image)


def test_training_goes_on_from_what_rendered_faces_taught(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, pretraining=FIRST, recipe=replace(RECIPE, learning_rate=1e-9))
    learned = training.started(config)
    after = {}
    trained = training.trained

    def noted(*arguments):
        model, curve = trained(*arguments)
        after.update({name: value.clone() for name, value in model.named_parameters()})
        return model, curve

    monkeypatch.setattr(training, "trained", noted)
    landmarks.measure(config, SETS)
    for name, value in learned.named_parameters():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)


def test_imagenet_is_asked_for(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        models, "torchvision_body", lambda backbone, weights: (seen.append((backbone, weights)), Body())[1]
    )
    for variant in ("linear", "divided by mean"):
        model = training.started(replace(CONFIG, variant=variant, network=Network("resnet34", "imagenet")))
        x = 0.1 + 0.2 * torch.rand((1, 3, 32, 32))
        kinds = [type(part) for part in model.normalize.modules()]
        assert models.Normalize in kinds
        same = torch.allclose(model.normalize(x), model.normalize(x / 2), atol=1e-5)
        assert same == (variant == "divided by mean")
    assert seen == [("resnet34", "imagenet")] * 2


# --- interruption


@pytest.mark.parametrize("when", ["rendered", "data set"])
def test_an_interruption_changes_nothing(
    when: str, small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    config = replace(CONFIG, variant="ln(1 + x)", pretraining=replace(FIRST, recipe=replace(RECIPE, epochs=5)))
    config = replace(config, recipe=replace(RECIPE, epochs=5))
    expected = landmarks.measure(config, SETS)
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "another"))
    if when == "data set":
        training.started(config)
    with monkeypatch.context() as patch:
        epochs_of(patch, stop=3)
        with pytest.raises(Stop):
            landmarks.measure(config, SETS, place)
    seen = epochs_of(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert landmarks.measure(config, SETS, place) == expected
    assert seen == ([3, 4, *range(5)] if when == "rendered" else [3, 4])


def test_the_checkpoint_of_another_configuration_is_not_continued(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is named, put aside, and the run starts again from its own weights."""
    other = replace(CONFIG, variant="divided by mean")
    expected = landmarks.measure(other, SETS)
    with monkeypatch.context() as patch:
        epochs_of(patch, stop=3)
        with pytest.raises(Stop):
            landmarks.measure(CONFIG, SETS, tmp_path)
    seen = epochs_of(monkeypatch)
    with pytest.warns(UserWarning, match=r"(?s)checkpoint\.pt belongs to another run.*'linear'.*starts again"):
        assert landmarks.measure(other, SETS, tmp_path) == expected
    assert seen == list(range(6))
    assert "'linear'" in torch.load(tmp_path / "checkpoint.pt.refused", weights_only=True)["identity"]


# --- configurations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "300w"}, "dataset: expected one of 'w300', 'synthetic', 'wflw', 'net7876', .*, got '300w'"),
        ({"variant": "log"}, r"variant: expected one of 'linear', 'ln\(1 \+ x\)', .*, got 'log'"),
        ({"part": "train"}, "part: expected one of 'test', 'validation', got 'train'"),
        ({"size": 16}, "size: expected a whole number of at least 32, got 16"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"scalar_lr_scale": 0.0}, "scalar_lr_scale: expected a positive"),
        ({"held_out": 1.0}, r"held_out: expected a share in \[0, 1\), got 1.0"),
        ({"held_out": 0.0, "part": "validation"}, "part 'validation': no face is held out"),
        ({"dataset": "synthetic", "pretraining": FIRST}, "pretraining: the data set is that of rendered faces already"),
        ({"network": Network(weights="imagenet"), "pretraining": FIRST}, "pretraining: it starts from random weights"),
    ],
)
def test_bad_configurations(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Landmarks(**options)


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (Wing, {"unit": "mm"}, "unit: expected one of 'pixels', 'crop', got 'mm'"),
        (Wing, {"reduction": "none"}, "reduction: expected one of 'mean', 'sum', got 'none'"),
        (Wing, {"width": 0.0}, "width: expected a positive finite number"),
        (Wing, {"curvature": -1.0}, "curvature: expected a positive finite number"),
        (
            Network,
            {"backbone": "vgg16"},
            "backbone: expected one of 'resnet18', 'resnet18_c4', 'resnet18_small', .*, got 'vgg16'",
        ),
        (Network, {"weights": "people"}, "weights: expected None or 'imagenet', got 'people'"),
        (Network, {"head_width": 0}, "head_width: expected a whole number of at least 1, got 0"),
        (Network, {"dropout": 1.0}, r"dropout: expected a probability in \[0, 1\), got 1.0"),
        (TrainingLight, {"darkest": float("nan")}, "darkest: expected a number to divide by, greater than 1, got nan"),
        (TrainingLight, {"darkest": 1.0}, "darkest: expected a number to divide by, greater than 1, got 1"),
        (Pretraining, {"count": 0}, "count: expected a whole number of at least 1, got 0"),
        (Pretraining, {"teacher": "quadratic"}, "teacher: expected one of 'linear', .*, got 'quadratic'"),
        (Pretraining, {"adapt": True}, "adapt: without a teacher there are no kernels to adapt: name a teacher"),
    ],
)
def test_bad_parts_of_a_configuration(part: type, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        part(**options)


def test_too_few_faces_to_hold_any_out(small: None) -> None:
    with pytest.raises(ValueError, match=r"held_out: 0\.9 of 2 faces leaves none on one side"):
        landmarks.measure(replace(CONFIG, held_out=0.9), replace(SETS, train=made_up(2)))


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_no_run_twice(profile: str) -> None:
    runs = landmarks.configs(profile)
    keys = {results.key("landmarks", dataclasses.asdict(run), run.seed) for run in runs}
    assert len(keys) == len(set(runs)) == len(runs)


def paired(runs: list[Landmarks]) -> dict[Landmarks, set[int]]:
    """The seeds of each configuration."""
    found: dict[Landmarks, set[int]] = {}
    for run in runs:
        found.setdefault(replace(run, seed=0), set()).add(run.seed)
    return found


def test_laptop_compares_four_variants_with_six_seeds_on_real_faces() -> None:
    seeds = paired(landmarks.configs("laptop"))
    real = [run for run in seeds if (run.dataset, run.pretraining, run.recipe.optimizer) == ("w300", None, "adamw")]
    main = [run for run in real if seeds[run] == set(range(6))]
    assert [run.variant for run in main] == ["linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "divided by mean"]
    assert len({replace(run, variant="linear") for run in main}) == 1  # nothing else differs
    assert (main[0].dataset, main[0].part, main[0].network.weights) == ("w300", "test", None)
    assert not any(run.network.weights == "imagenet" or run.dataset == "wflw" for run in seeds)


def test_laptop_has_pairs_on_rendered_faces_and_after_them() -> None:
    seeds = paired([run for run in landmarks.configs("laptop") if run.recipe.optimizer == "adamw"])
    rendered = {run.variant: found for run, found in seeds.items() if run.dataset == "synthetic"}
    assert rendered == {
        "linear": set(range(6)),
        "ln(1 + x)": set(range(6)),
        "ln(1 + x), gamma fixed": {0, 1, 2},
        "divided by mean": {0, 1, 2},
    }
    after = {run.variant: found for run, found in seeds.items() if run.pretraining}
    assert after == {"linear": {0, 1, 2}, "ln(1 + x)": {0, 1, 2}}


def starts_alone(run: Landmarks) -> bool:
    return run.pretraining is None and run.network.weights is None


def test_readings_of_the_stated_recipe() -> None:
    """SGD, 1e-4, batch 64, Wing 10/2 on [0, 1]; what is not stated varies."""
    for profile in ("laptop", "full"):
        runs = [run for run in landmarks.configs(profile) if run.recipe.optimizer == "sgd"]
        assert {(r.recipe.learning_rate, r.recipe.batch, r.recipe.schedule) for r in runs} == {(1e-4, 64, "constant")}
        assert {(r.loss.width, r.loss.curvature, r.loss.unit) for r in runs} == {(10, 2, "crop")}
        assert {(r.recipe.momentum, r.loss.reduction) for r in runs if starts_alone(r) and r.seed == 0} == {
            (momentum, reduction) for momentum in (0.0, 0.9) for reduction in ("mean", "sum")
        }
        assert not any(run.network.mean_shape or run.augmentation for run in runs)


def test_the_reading_with_the_papers_curves_has_twins() -> None:
    runs = paired([run for run in landmarks.configs("laptop") if run.recipe.optimizer == "sgd"])
    twins = {run for run, found in runs.items() if found == set(range(6))}
    assert {run.variant for run in twins} == {"linear", "ln(1 + x)"}
    assert len({replace(run, variant="linear") for run in twins}) == 1


def test_full_is_the_setting_of_the_paper() -> None:
    runs = landmarks.configs("full")
    assert {(r.dataset, r.size, r.network.backbone, r.recipe.epochs) for r in runs} == {("wflw", 224, "resnet34", 15)}
    complete = [run for run, found in paired(runs).items() if found == set(range(6))]
    assert {run.network.weights for run in complete} == {None, "imagenet"}
    assert len(complete) == 8


# --- running


def test_book_runs_and_keeps_nothing(small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(landmarks, "load", lambda dataset: pytest.fail("loaded again"))
    records = experiments.run("landmarks", "book")
    assert not (tmp_path / "results").exists()
    assert [record.config["variant"] for record in records] == ["linear", "ln(1 + x)"]
    for record in records:
        assert record.data["count"] == sum(face_sets.FEW_RENDERED)
        kept = {"scores", "lights", "batch_statistics", "groups", "ced", "curve", "trained_on"}
        assert record.metrics.keys() - {"numbers"} == kept


def test_laptop_records_and_skips(small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    monkeypatch.setattr(landmarks, "configs", lambda profile: [CONFIG])
    monkeypatch.setattr(landmarks, "load", lambda dataset: SETS)
    records = experiments.run("landmarks", "laptop")
    assert records[0].data == {"name": "made up", "sha256": SETS.sha256, "split": "test, seed 0", "count": 25}
    assert [results.find("landmarks", CONFIG, 0)] == records
    monkeypatch.setattr(landmarks, "load", lambda dataset: pytest.fail("loaded again"))
    assert experiments.run("landmarks", "laptop") == records
    assert not list((tmp_path / ".unfinished" / "landmarks").iterdir())


def test_a_record_is_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All lights, eight groups, sixty epochs: under 20 kB."""
    faces = face_sets.crop(made_up(20), 32, BoxRule())

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.full((98, 2), 0.51234))

        def forward(self, x: Tensor) -> Tensor:
            return self.bias + 0.1 * x.mean((1, 2, 3))[:, None, None]

    epochs = [0.12345] * 60
    curve = {"loss": epochs, "validation": epochs, "validation_loss": epochs, "gamma": [1.00012345] * 60}
    curve |= {"gamma_gradient": epochs, "weight_gradient": epochs}
    data = {"name": "WFLW", "sha256": "0" * 64, "split": "test, seed 0", "count": 10000}
    metrics = lights.measure(Mean(), faces) | {"curve": curve, "trained_on": 6750}
    item = results.record("landmarks", CONFIG, metrics, data=data, seconds=1.0, seed=0)
    assert results.save(item, tmp_path).stat().st_size < 20_000


@pytest.fixture
def wflw_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tiny set in WFLW's layout where the data sets are looked for."""
    write_set(tmp_path / "WFLW")
    for name, sizes in SIZES.items():
        monkeypatch.setattr(wflw, name, sizes)
    monkeypatch.setenv("FACELIGHT_DATA", str(tmp_path))
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "results"))
    return tmp_path


@pytest.mark.slow
def test_full_on_a_tiny_wflw(wflw_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the official layout, 224 pixels, ResNet-34, two steps, a record: only the data are small."""
    stated = landmarks.configs("full")
    run = next(r for r in stated if starts_alone(r) and (r.variant, r.seed) == ("ln(1 + x)", 0))
    run = replace(run, recipe=replace(run.recipe, epochs=1, batch=2), held_out=0.0)
    train_list = wflw._list(wflw_tree / "WFLW", "train")
    train_list.write_text(train_list.read_text() + line(shape(4), "0--Parade/two.jpg"))
    monkeypatch.setattr(wflw, "FACES", {"train": 4, "test": 2})
    monkeypatch.setattr(landmarks, "configs", lambda profile: [run])
    few = {name: lights.LIGHTS[name] for name in lights.MAIN}
    monkeypatch.setattr(landmarks, "measure", functools.partial(landmarks.measure, under=few))
    sizes = []
    feeder = regressor.feeder

    def noted(*arguments):
        batch = feeder(*arguments)
        return lambda i, g: (sizes.append(batch(i, g)[0].shape), batch(i, g))[1]

    monkeypatch.setattr(regressor, "feeder", noted)
    (record,) = experiments.run("landmarks", "full")
    assert sizes == [(2, 3, 224, 224)] * 2 + [(3, 3, 32, 32)] * 3  # and the three steps of the fingerprint
    assert record.data["name"] == "WFLW"
    assert record.data["count"] == 6
    assert record.metrics["trained_on"] == 4
    assert record.metrics["curve"]["gamma"][0] != 1
    assert record.metrics["groups"]["expression"]["count"] == 1
    assert all(0 < value < 3 for value in record.metrics["lights"]["/6"][:2])
    assert results.find("landmarks", run, 0) == record
    assert len(crops.crop_faces(wflw.load("train"), 224)) == 4


def eyes_in_one_place(text: str) -> str:
    """Text of a list, with the outer corner of one eye of its first face moved to the other."""
    tokens = text.split(" ")
    tokens[144:146] = tokens[120:122]
    return " ".join(tokens)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.replace("10 11 70 71", "10 11 10 71"), "test line 1: expected a box of positive width and height"),
        (lambda s: s.replace("three.jpg", "none.jpg"), r"none\.jpg is in the list of the split 'test' but not there"),
        (eyes_in_one_place, "test line 1: its outer eye corners coincide, so there is no inter-ocular error"),
    ],
)
def test_a_damaged_test_face_stops_before_anything_is_trained(
    wflw_tree: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str], str], message: str
) -> None:
    path = wflw._list(wflw_tree / "WFLW", "test")
    before = path.read_text()
    path.write_text(spoil(before))
    assert path.read_text() != before
    monkeypatch.setattr(landmarks, "configs", lambda profile: [replace(CONFIG, dataset="wflw")])
    monkeypatch.setattr(regressor, "fit", None)
    with pytest.raises(DataError, match=message):
        experiments.run("landmarks", "full")


def test_a_damaged_list_stops_before_anything_is_trained(wflw_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wflw._list(wflw_tree / "WFLW", "train")
    path.write_text(line(shape(), "0--Parade/one.jpg").replace("10 11 70 71", "10 11 10 71") * 3)
    monkeypatch.setattr(landmarks, "configs", lambda profile: [replace(CONFIG, variant="linear")])
    with pytest.raises(DataError, match=r"one\.jpg, train line 1: expected a box of positive width and height"):
        experiments.run("landmarks", "full")
    path.write_text(path.read_text().replace("10 11 10 71", "10 11 70 71").replace(" ", " nan ", 1))
    with pytest.raises(DataError, match=r"line 1: expected 207 values, got 208"):
        experiments.run("landmarks", "full")
    assert not list((wflw_tree / "results").glob("landmarks/*.json"))
