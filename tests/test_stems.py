"""First layers and remedies by name: what they do to a picture, what they ignore, and that they can be trained."""

from __future__ import annotations

import copy
import math
import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facelight import models
from facelight.layers import ContrastNorm2d, LocalLevel, LogConv2d, light_stem
from facelight_lab import first_layers
from facelight_lab.landmarks import regressor
from facelight_lab.landmarks.regressor import Network
from facelight_lab.stems import BOTH, LOCAL, NORMALIZED, OURS, VARIANTS, build

WITHOUT_GAIN = {  # variants on which a factor on the whole picture has next to no effect, unrounded and without black
    "divided by mean", OURS, "zero-mean ln(1 + 1000x)", f"{OURS}, channels together", LOCAL, f"{LOCAL}, 7 px",
    f"{LOCAL}, 31 px", "by local mean", "Weber contrast", "divisive normalization", "instance normalization",
    "zero-mean ln(1 + x / epsilon), epsilon trained", "color-invariant edges", f"{OURS}, attention",
    f"{OURS}, several scales", "ln minus local mean", f"{LOCAL}, 1/255 added", "ln(1 + x / local mean)",
    "zero-mean ln(1 + x / local mean)", f"{OURS}, contrast normalized", f"{LOCAL}, zero-mean, contrast normalized",
    "zero-mean ln(1 + x / local mean), contrast normalized", "zero-mean ln(1 + 25x), contrast normalized",
    "zero-mean x, contrast normalized",
}  # fmt: skip
WITH_GAIN = {
    "linear", "ln(1 + x)", "ln(1 + x), gamma fixed", "ln(1 + 255x)", "ln(1 + 10x)", "ln(1 + 25x)", "ln(1 + 1000x)",
    "ln(1 + 255x), edges repeated", "zero-mean x", "zero-mean ln(1 + x)", "zero-mean ln(1 + 10x)",
    "zero-mean ln(1 + 25x)", "ln(1 + x), gamma of each channel", "ln(1 + x / epsilon), epsilon trained",
    "ln of linear light", "attention", "several scales",
}  # fmt: skip
PARTLY = {f"{OURS}, zero padding", "zero-mean ln of linear light"}  # the border; black, where light is steep


def built(variant: str, seed: int = 0) -> models.FaceNet:
    torch.manual_seed(seed)
    return regressor.build(variant, Network(head_width=32, dropout=0.5), 68).eval()


def picture(low: float = 0.3, count: int = 2) -> Tensor:
    """Smooth patches with noise on them, between `low` and 1."""
    generator = torch.Generator().manual_seed(1)
    smooth = F.interpolate(torch.rand((count, 3, 6, 6), generator=generator), (48, 48), mode="bilinear")
    x = (smooth + 0.2 * torch.rand((count, 3, 48, 48), generator=generator)) / 1.2
    return low + (1 - low) * x


@pytest.fixture(scope="module")
def linear() -> models.FaceNet:
    return built("linear")


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """A variant after the other: all tests of one, on one network, then those of the next."""
    return request.param


@pytest.fixture(scope="module")
def network(variant: str) -> models.FaceNet:
    return built(variant)


@torch.no_grad()
def first(model: models.FaceNet, x: Tensor) -> Tensor:
    """What the first layer makes of pictures."""
    body: nn.Module = model.body
    return body.get_submodule("conv1")(model.normalize(x))


def change(model: models.FaceNet, x: Tensor, other: Tensor) -> float:
    one, two = first(model, x), first(model, other)
    return ((one - two).norm() / (one - one.mean((0, 2, 3), keepdim=True)).norm()).item()


def test_weights_in_common_are_the_same_for_one_seed(
    variant: str, network: models.FaceNet, linear: models.FaceNet
) -> None:
    base, found = (dict(model.named_parameters()) for model in (linear, network))
    several = VARIANTS[variant].several
    found = {re.sub(r"conv1\.layer\.(stem\.)?\d\.", "conv1.layer.", n): p for n, p in found.items()}  # not alone
    common = {n for n in base if not (several and "conv1.layer" in n) and (n in found)}
    assert all(torch.equal(base[n], found[n]) for n in common)
    lost = set(base) - common
    assert all(".bn2." in n for n in lost) if VARIANTS[variant].attention else len(lost) == several


def test_a_variant_can_be_trained_and_survives_black(network: models.FaceNet) -> None:
    model = copy.deepcopy(network).train()
    pred = model(torch.cat([picture(), torch.zeros(1, 3, 48, 48)]))
    pred.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert model.eval()(torch.zeros(1, 3, 48, 48)).isfinite().all()


def test_which_variants_a_factor_leaves_alone(variant: str, network: models.FaceNet) -> None:
    found = change(network, picture(), picture() / 6)
    if variant in WITHOUT_GAIN:
        assert found < 0.2
    elif variant in PARTLY:
        assert 0.2 < found < 0.5
    elif variant in WITH_GAIN:  # others come close without being meant to
        assert found > 0.2


def test_the_output_keeps_float32_under_autocast(network: models.FaceNet) -> None:
    x = picture()
    plain = first(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        under = first(network, x)
    assert under.dtype == torch.float32
    torch.testing.assert_close(under, plain)


def test_what_ignores_a_color_cast() -> None:
    cast = torch.tensor([1.0, 0.7, 0.4]).view(3, 1, 1)
    for variant, ignores in ((OURS, True), (LOCAL, True), ("by local mean", False), ("divided by mean", False),
                             (f"{OURS}, channels together", False)):  # fmt: skip
        assert (change(built(variant), picture(), picture() * cast) < 0.1) == ignores, variant


def test_what_ignores_a_ramp() -> None:
    """Light that falls to a sixth across the picture: locally nearly a factor, for the whole not.

    Division by the mean of a window around the pixel also cancels the slope; zero-mean kernels do not.
    """
    ramp = torch.exp(-math.log(6) * torch.linspace(0, 1, 48))
    found = {v: change(built(v), picture(), picture() * ramp) for v in ("linear", "divided by mean", OURS, LOCAL)}
    assert found[LOCAL] < 0.15 < found[OURS] < 0.5 * min(found["linear"], found["divided by mean"])


def test_color_invariant_edges_of_a_gray_step() -> None:
    """A vertical step is an edge there, and nowhere else; it does not matter how bright it is."""
    x = torch.full((1, 3, 15, 16), 0.2).double()
    x[..., 8:] = 0.6
    layer = first_layers.ColorInvariantEdges().double()
    found = layer(x)[0, 0]
    assert set(found[7].topk(2).indices.tolist()) <= {6, 7, 8, 9}
    assert found[7, :3].max() < found[7, 7]
    torch.testing.assert_close(layer(x / 5), found[None, None].expand(-1, 3, -1, -1), rtol=1e-2, atol=1e-2)
    assert found.mean().abs() < 1e-6


def test_contrast_normalized_variants_are_their_layer_and_the_division() -> None:
    for name in (v for v in VARIANTS if v.endswith("contrast normalized")):
        stem = built(name).get_submodule("body.conv1.layer")
        assert isinstance(stem, nn.Sequential)
        assert [type(m) for m in stem] == [LogConv2d, ContrastNorm2d]
        control = name == "x, contrast normalized"
        assert stem[0].zero_mean == (not control)
        assert stem[0].padding_mode == ("zeros" if control else "replicate")


@pytest.mark.parametrize(("name", "unit"), [(NORMALIZED, None), (BOTH, "local mean")])
def test_the_library_s_recipe_is_what_was_measured(name: str, unit: str | None) -> None:
    """Weight for weight and output for output."""
    plain, measured = built("linear"), built(name)
    plain.body.conv1 = plain.body.conv1.layer  # a plain network, as a user has it
    ours = light_stem(plain, unit=unit)
    stem = ours.body.conv1
    assert [type(m) for m in stem] == [LocalLevel] * (unit is not None) + [LogConv2d, ContrastNorm2d]
    kept = {n.replace("conv1.layer.0.", "conv1."): v for n, v in measured.state_dict().items()}
    found = {n.replace(f"conv1.{int(unit is not None)}.", "conv1."): v for n, v in ours.state_dict().items()}
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[n], value) for n, value in kept.items())
    x = picture()
    assert torch.equal(ours(x), measured(x))


def test_attention_sits_in_every_block_and_its_gates_lie_between_0_and_1() -> None:
    model = built("attention")
    norms = [m for m in model.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], _BatchNorm)]
    gated = [m for m in norms if len(m) == 2 and type(m[1]).__name__ == "SqueezeExcitation"]
    assert len(gated) == 6  # two blocks in each of three stages
    y = torch.rand(2, 64, 4, 4)
    ratio = gated[0][1](y) / y
    assert 0 < ratio.min() <= ratio.max() < 1


def test_attention_is_refused_where_there_are_no_blocks_for_it() -> None:
    with pytest.raises(ValueError, match="attention: ResNet has no basic blocks: choose resnet18 or resnet34"):
        build("attention", partial(models.face_classifier, "resnet50", 5))
    with pytest.raises(ValueError, match="variant: expected one of 'linear'"):
        build("quadratic", partial(models.face_classifier, "resnet18_c4", 5))


def test_several_scales_have_the_channels_and_the_size_of_one() -> None:
    for variant in ("several scales", f"{OURS}, several scales"):
        stem = built(variant).get_submodule("body.conv1.layer")
        assert isinstance(stem, first_layers.SeveralScales)
        shapes = [tuple(m.weight.shape) for m in stem.modules() if isinstance(m, nn.Conv2d)]
        assert shapes == [(16, 3, 3, 3), (32, 3, 7, 7), (16, 3, 15, 15)]
        assert all(isinstance(m, LogConv2d) for m in stem.scales) == variant.startswith(OURS)
        assert stem(picture()).shape == (2, 64, 24, 24)
