"""The enhancers as modules: equal to their functions, in containers of PyTorch and Kornia, learned, stored, copied."""

from __future__ import annotations

import copy
import inspect
import io
import math
import pickle
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from skimage import data
from torch import Tensor, nn

from every_enhancer import MODULES, NAMES, SPECIAL, module
from facelight.enhance import CLAHE, GBIE, Gamma, LogStretch, ModifiedCLAHE
from facelight.enhance.modules import EnhancerModule, Fraction, Positive

TRAINABLE = [
    lambda **k: CLAHE(4.0, (4, 4), **k),
    lambda **k: CLAHE(0.02, (4, 4), convention="matlab", **k),
    lambda **k: ModifiedCLAHE(4.0, (4, 4), prefilter=0.5, strength=0.5, **k),
    lambda **k: Gamma(0.5, **k),
    lambda **k: LogStretch(0.1, **k),
]


def faces(channels: int = 1, kind: torch.dtype = torch.float32) -> Tensor:
    """Four crops of the astronaut, (4, channels, 48, 40), darker from one to the next."""
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[:channels, :192:2, 150:310:2].to(kind) / 255
    rows = picture.unflatten(1, (2, 48)).unflatten(3, (2, 40)).permute(1, 3, 0, 2, 4).reshape(4, channels, 48, 40)
    return rows / torch.tensor([1.0, 2.0, 4.0, 6.0], dtype=kind).view(4, 1, 1, 1)


def test_there_is_one_for_each_function() -> None:
    assert sorted(kind.function.__name__ for kind in MODULES.values()) == sorted(NAMES)
    for name, kind in MODULES.items():
        assert issubclass(kind, EnhancerModule)
        assert kind.function.__name__.replace("_", "") == name.lower()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_same_arguments_and_same_result_as_the_function(name: str) -> None:
    kind = MODULES[name]
    theirs = list(inspect.signature(kind.function).parameters.values())[1:]
    ours = [p for p in inspect.signature(kind).parameters.values() if p.name != "trainable"]
    assert ours == theirs
    x = faces(3)
    required = {p.name: SPECIAL[kind.function.__name__][p.name] for p in theirs if p.default is p.empty}
    assert torch.equal(module(name)(x), kind.function(x, **required))
    settings = required | {"luminance_only": True}
    different = {"clip_limit": 3.0, "sigma": 1.5, "window": 5, "epsilon": 0.1, "exact": False, "grid_size": (3, 5)}
    settings |= {k: v for k, v in different.items() if k in inspect.signature(kind.function).parameters}
    if name == "TanTriggs":
        settings["sigma"] = (1.5, 3.0)
    changed = module(name, **settings)
    assert torch.equal(changed(x), kind.function(x, **settings))
    assert not torch.equal(changed(x), module(name)(x))
    assert "luminance_only=True" in repr(changed)
    assert list(changed.state_dict()) == list(changed.parameters()) == []


def test_the_settings_are_attributes_and_shown() -> None:
    layer = CLAHE(2.0, (4, 4), exact=False)
    assert (layer.clip_limit, layer.grid_size, layer.exact) == (2.0, (4, 4), False)
    shown = "CLAHE(clip_limit=2.0, grid_size=(4, 4), convention='opencv', exact=False, luminance_only=False)"
    assert repr(layer) == shown
    layer.clip_limit = 3.0
    assert torch.equal(layer(faces()), CLAHE(3.0, (4, 4), exact=False)(faces()))
    trained = repr(CLAHE(2.0, trainable=True))
    assert "(clip_limit): Positive(2)" in trained
    assert "clip_limit=" not in trained


# Containers


def test_before_a_convolution() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 4, 3)
    x = faces()
    assert torch.equal(nn.Sequential(CLAHE(2.0), conv)(x), conv(CLAHE(2.0)(x)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["CLAHE", "ModifiedCLAHE", "TanTriggs"])
def test_in_kornias_image_sequential(name: str, channels: int) -> None:
    torch.manual_seed(0)
    flip, gain = K.RandomHorizontalFlip(p=0.5), K.RandomGamma((0.5, 2.0), p=1.0)
    enhancer = module(name)
    sequence = K.ImageSequential(flip, enhancer, gain)
    x = faces(channels)
    y = sequence(x)
    flipped = flip(x, params=flip._params)
    assert not torch.equal(flipped, x)
    assert torch.equal(y, gain(enhancer(flipped), params=gain._params))
    assert torch.equal(sequence(x, params=sequence._params), y)  # the same draw again


@pytest.mark.parametrize("channels", [1, 3])
def test_in_kornias_augmentation_sequential_with_keypoints_boxes_and_masks(channels: int) -> None:
    torch.manual_seed(1)
    rotation, gain = K.RandomAffine(20.0, p=1.0), K.RandomGamma((0.5, 2.0), p=1.0)
    enhancer = CLAHE(2.0, (4, 4))
    keys = ["input", "keypoints", "bbox_xyxy", "mask"]
    sequence = K.AugmentationSequential(rotation, enhancer, gain, data_keys=keys)
    x = faces(channels)
    points = torch.rand(4, 5, 2) * 30
    boxes = torch.tensor([[4.0, 5.0, 20.0, 25.0]]).expand(4, 1, 4)
    masks = (x[:, :1] > 0.1).float()
    y, moved, _, moved_masks = sequence(x, points, boxes, masks)
    turned = rotation(x, params=rotation._params)
    assert torch.equal(y, gain(enhancer(turned), params=gain._params))

    without = K.AugmentationSequential(rotation, gain, data_keys=keys)
    params = [p for p in sequence._params if not p.name.startswith("CLAHE")]
    params = [type(p)(p.name.replace("_2", "_1"), p.data) for p in params]
    plain, *rest = without(x, points, boxes, masks, params=params)
    assert not torch.allclose(plain, y, atol=0.02)
    for ours, theirs in zip((moved, _, moved_masks), rest, strict=True):
        assert torch.equal(ours, theirs)  # the enhancer moves nothing
    homogeneous = torch.cat([points, torch.ones(4, 5, 1)], dim=-1)
    expected = (homogeneous @ rotation.transform_matrix.mT)[..., :2]
    assert torch.allclose(moved, expected, atol=1e-4)
    assert (moved - points).abs().max() > 1


def test_a_limit_is_learned_inside_kornias_container() -> None:
    torch.manual_seed(0)
    enhancer = CLAHE(4.0, (4, 4), trainable=True)
    sequence = K.AugmentationSequential(K.RandomHorizontalFlip(p=0.5), enhancer, data_keys=["input", "keypoints"])
    y, _ = sequence(faces(), torch.rand(4, 5, 2))
    y.square().sum().backward()
    assert enhancer.clip_limit.log_factor.grad != 0
    assert len(list(sequence.parameters())) == 1


def test_what_leaves_the_range_before_an_enhancer_is_refused() -> None:
    torch.manual_seed(0)
    sequence = K.ImageSequential(K.RandomGaussianNoise(std=0.5, p=1.0), CLAHE(2.0, (4, 4)))
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\].*x.clamp\(0, 1\)"):
        sequence(faces())


# Learning


@pytest.mark.parametrize("make", TRAINABLE)
def test_what_is_learned_starts_where_it_was_set_and_gets_a_gradient(make: Any) -> None:
    x = faces()
    fixed, layer = make(), make(trainable=True)
    assert torch.allclose(layer(x), fixed(x), atol=1e-5)
    assert {*layer.settings()} == {*fixed.settings()}
    for name in type(layer).learned:
        assert layer.settings()[name].item() == pytest.approx(fixed.settings()[name])
    names = [n for n, _ in layer.named_parameters()]
    assert [n.split(".")[0] for n in names] == list(type(layer).learned)
    layer(x).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite()
        assert parameter.grad != 0


def test_at_the_start_a_positive_number_is_exact_so_that_whole_counts_do_not_change() -> None:
    for limit in (1.7, 2.0, 3.92, 40.0):
        assert Positive(limit)().item() == torch.tensor(limit).item()
        assert torch.equal(CLAHE(limit, trainable=True)(faces()), CLAHE(limit)(faces()))


def test_a_positive_number_stays_positive_and_a_fraction_between_0_and_1() -> None:
    for direction in (-5.0, 5.0):
        positive, fraction = Positive(0.3), Fraction(0.3)
        with torch.no_grad():
            positive.log_factor += direction
            fraction.logit += direction
        assert positive().item() == pytest.approx(0.3 * math.exp(direction))
        assert fraction().item() == pytest.approx(1 / (1 + 0.7 / 0.3 * math.exp(-direction)))
    derivative = torch.autograd.grad(positive(), positive.log_factor)[0]
    assert derivative.item() == pytest.approx(positive().item())


@pytest.mark.parametrize("make", TRAINABLE)
def test_a_few_steps_of_descent_come_nearer_to_a_target(make: Any) -> None:
    x = faces(kind=torch.float64)
    layer = make(trainable=True).double()
    with torch.no_grad():
        target = layer(x)
        for parameter in layer.parameters():
            parameter.add_(0.7)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    errors = []
    for _ in range(8):
        optimizer.zero_grad()
        error = (layer(x) - target).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_one_limit_for_each_image_as_a_parameter_and_as_a_buffer() -> None:
    limits = torch.tensor([1.0, 2.0, 4.0, 40.0])
    x = faces()
    expected = torch.stack([CLAHE(c)(p) for c, p in zip(limits.tolist(), x, strict=True)])
    layer = CLAHE(nn.Parameter(limits))
    assert torch.allclose(layer(x), expected, atol=1e-6)
    layer(x).sum().backward()
    assert layer.clip_limit.grad.shape == (4,)
    buffer = CLAHE(limits)
    assert list(buffer.state_dict()) == ["clip_limit"]
    assert list(buffer.parameters()) == []
    assert buffer.double().clip_limit.dtype == torch.float64


# Storing, copying, moving


@pytest.mark.parametrize("make", TRAINABLE)
def test_state_dict_copy_and_pickle(make: Any) -> None:
    x = faces()
    layer = make(trainable=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3)
    assert not torch.allclose(layer(x), make()(x), atol=1e-4)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    again = make(trainable=True)
    if isinstance(layer, CLAHE):  # the state also says from which number the learning began
        again = CLAHE(0.5, (4, 4), convention=layer.convention, trainable=True)
    again.load_state_dict(torch.load(file, weights_only=True))
    for same in (again, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(same(x), layer(x))
        assert all(a is not b for a, b in zip(same.parameters(), layer.parameters(), strict=True))


@pytest.mark.parametrize("make", TRAINABLE)
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_precisions(make: Any, kind: torch.dtype) -> None:
    layer = make(trainable=True).to(kind)
    assert all(p.dtype == kind for p in layer.parameters())
    y = layer(faces(kind=kind))
    assert y.dtype == kind
    assert layer(faces()).dtype == torch.float32
    assert torch.allclose(y.float(), make()(faces()), atol=0.15 if kind == torch.bfloat16 else 0.02)


def test_compiled() -> None:
    layer = CLAHE(4.0, (4, 4), exact=False, trainable=True)
    compiled = torch.compile(layer, backend="eager")
    assert torch.allclose(compiled(faces()), layer(faces()), atol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CLAHE(clip=2.0), TypeError, "unexpected keyword argument 'clip'"),
        (lambda: CLAHE(2.0, (8, 8), "opencv"), TypeError, "too many positional arguments"),
        (lambda: Gamma(), TypeError, "missing a required argument: 'gamma'"),
        (lambda: GBIE(trainable=True), TypeError, "trainable: GBIE has no setting that can be learned"),
        (lambda: CLAHE(0.0, trainable=True), ValueError, "clip_limit: expected a positive finite number .* got 0.0"),
        (lambda: ModifiedCLAHE(trainable=True), ValueError, "prefilter: expected a number between 0 and 1 .* try 0.5"),
        (lambda: CLAHE(2.0, convention="matlab", trainable=True), ValueError, "clip_limit: .* between 0 and 1"),
        (lambda: CLAHE(-2.0)(faces()), ValueError, "clip_limit"),
        (lambda: CLAHE()(faces() * 255), ValueError, r"expected values in \[0, 1\]"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
