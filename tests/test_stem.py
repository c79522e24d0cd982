"""`with_log_stem`: that the picture enters a network through logarithmic layers alone, or the network is refused."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from facelight.layers import LogConv2d, light_stem, log_compress, with_log_stem
from facelight.layers._entry import entries
from facelight.layers._timm import SamePad2d
from facelight.models import IMAGENET


def light(*shape, dtype=torch.float32, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# with_log_stem

FAMILIES = {
    "alexnet": 64, "vgg11": 32, "convnext_tiny": 32, "densenet121": 32, "efficientnet_b0": 32, "mnasnet0_5": 32,
    "mobilenet_v2": 32, "mobilenet_v3_small": 32, "regnet_y_400mf": 32, "resnet18": 32, "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32, "swin_t": 32, "vit_b_16": 32,
}  # fmt: skip


def build(name, **options):
    if name == "vit_b_16":  # a two-layer vision transformer
        return torchvision.models.VisionTransformer(32, 16, 2, 2, 32, 64, num_classes=10)
    if name == "vgg11":  # its hundred million weights are drawn once, not twice
        options |= {"init_weights": False}
    return torchvision.models.get_model(name, weights=None, **options)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_log_stem_on_torchvision_families(name):
    torch.manual_seed(0)
    model = build(name).eval()
    stem_name, conv = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    log_model = with_log_stem(model)
    stem = log_model.get_submodule(stem_name)
    assert type(stem) is LogConv2d
    assert type(model.get_submodule(stem_name)) is nn.Conv2d
    assert sum(isinstance(m, LogConv2d) for m in log_model.modules()) == 1
    assert torch.equal(stem.weight, conv.weight)
    assert stem.in_channels == 3

    size = FAMILIES[name]
    x = light(2, 3, size, size)
    seen = []
    stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        y = log_model(x)
        torch.testing.assert_close(y, model(torch.log1p(x)), rtol=1e-3, atol=1e-4)
    assert torch.equal(seen[0], x)  # the first convolution registered is the one that sees the image
    after = log_model.state_dict()
    assert set(after) - set(before) == {f"{stem_name}.gamma", f"{stem_name}.log_epsilon"}
    assert all(torch.equal(after[k], v) for k, v in before.items())


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 75), ("googlenet", 32)])
def test_log_stem_switches_transform_input_off(name, size):
    torch.manual_seed(0)
    model = build(name, aux_logits=False, init_weights=False, transform_input=True).eval()
    log_model = with_log_stem(model, epsilon=0.1)
    assert model.transform_input
    assert not log_model.transform_input
    x = light(1, 3, size, size)
    model.transform_input = False
    with torch.no_grad():
        torch.testing.assert_close(log_model(x), model(log_compress(x, epsilon=0.1)), rtol=1e-3, atol=1e-4)


def test_log_stem_by_name_and_on_a_bare_convolution():
    model = nn.ModuleDict({"side": nn.Conv2d(1, 1, 1), "stem": nn.Sequential(nn.Conv2d(3, 4, 3))})
    log_model = with_log_stem(model, first="stem.0", epsilon=0.5)
    assert isinstance(log_model["stem"][0], LogConv2d)
    assert type(log_model["side"]) is nn.Conv2d
    assert isinstance(with_log_stem(nn.Conv2d(3, 4, 3)), LogConv2d)


class Graph(nn.Module):
    """A network as a function of its modules, in the order in which they are registered."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.run(self, x)


def conv(kernel=3, channels=3, **options):
    return nn.Conv2d(channels, 4, kernel, padding=kernel // 2, **options)


def log_layers(model):
    return [name for name, module in model.named_modules() if isinstance(module, LogConv2d)]


def test_the_picture_is_followed_and_not_the_order_of_registration():
    model = Graph(lambda m, x: m.late(m.early(x)), late=nn.Conv2d(4, 4, 3), early=conv())
    assert log_layers(with_log_stem(model)) == ["early"]


def test_a_convolution_of_two_names_is_replaced_under_both():
    stem = conv()
    log_model = with_log_stem(Graph(lambda m, x: m.used(x), known=stem, used=stem))
    assert isinstance(log_model.used, LogConv2d)
    assert log_model.known is log_model.used


def test_all_branches_are_replaced_each_with_what_follows():
    model = Graph(lambda m, x: m.wide(x) + m.last(F.relu(m.narrow(x))), narrow=conv(), wide=conv(5), last=conv(3, 4))
    log_model = with_log_stem(model, then=nn.BatchNorm2d(4), epsilon=0.1)
    assert log_layers(log_model) == ["narrow.0", "wide.0"]
    assert log_model.narrow[1] is not log_model.wide[1]
    x = light(1, 3, 9, 9)
    for name in ("narrow", "wide"):
        expected = model.get_submodule(name)(log_compress(x, epsilon=0.1))
        torch.testing.assert_close(log_model.get_submodule(f"{name}.0")(x), expected)


@pytest.mark.parametrize(
    "before",
    [
        lambda x: F.pad(x, (1, 1, 1, 1)),
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.double().float(),
        lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
        lambda x: (
            x.new_zeros(len(x), 3, 80, 80).index_copy_(2, torch.arange(32), x[:, :, :32, :80].clone())
            if x.shape[3] >= 80
            else x
        ),
        lambda x: x.flip(1),
    ],
)
def test_a_picture_may_be_moved_and_padded_before_its_convolution(before):
    model = Graph(lambda m, x: m.stem(before(x)), stem=conv())
    assert log_layers(with_log_stem(model)) == ["stem"]


def written(x, features):
    """Both side by side in memory of their own."""
    out = x.new_zeros(len(x), 7, *x.shape[2:])
    out[:, :3] = x
    out[:, 3:] = features
    return out


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda m, x: m.one(x) + x.mean(1, keepdim=True), r"also enters the network itself \(Graph\), by 'add'"),
        (lambda m, x: torch.cat([m.one(x), x], 1), "the network itself.*by 'cat'"),
        (lambda m, x: written(x, m.one(x)), "the network itself.*by 'copy_'"),
        (lambda m, x: m.one(x) + m.line(x.mean((2, 3)))[..., None, None], r"also enters line \(Linear\)"),
        (lambda m, x: m.one(x) * F.conv2d(x, torch.ones(1, 3, 1, 1)), "the network itself.*by 'convolution'"),
        (lambda m, x: m.one(m.norm(x)), r"also enters norm \(BatchNorm2d\), by 'native_batch_norm'"),
        (lambda m, x: m.one(x).mean() + m.deep(x[:, :, None]).mean(), r"also enters deep \(Conv3d\)"),
    ],
)
def test_a_way_beside_the_convolution_is_refused_by_name(run, message):
    model = Graph(run, one=conv(), norm=nn.BatchNorm2d(3), line=nn.Linear(3, 4), deep=nn.Conv3d(3, 2, 1))
    with pytest.raises(TypeError, match=message):
        with_log_stem(model)


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        (lambda m, x: m.one((x - 0.45) / 0.22), r"\[-1.7\d, 2.5\]"),
        (lambda m, x: m.one(x / 255), r"\[0.000245, 0.00392\]"),
        (lambda m, x: m.one(2 * x - 1), r"\[-0.875, 1\]"),
    ],
)
def test_a_network_that_changes_the_picture_first_is_refused_with_the_values(run, shown):
    with pytest.raises(ValueError, match=rf"reaches one \(Conv2d\) as {shown}.*Remove that step"):
        with_log_stem(Graph(run, one=conv()))


def test_a_network_of_an_unusual_size_wants_an_example():
    model = nn.Sequential(conv(), nn.Flatten(), nn.Linear(4 * 10 * 12, 2))
    with pytest.raises(ValueError, match=r"Sequential takes none of the pictures.*1x3x64x64.*example="):
        with_log_stem(model)
    assert log_layers(with_log_stem(model, example=torch.zeros(1, 3, 10, 12))) == ["0"]


def test_the_pass_that_finds_the_convolutions_leaves_no_trace():
    model = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3)).train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert [entry.name for entry in entries(model)] == ["0"]
    assert torch.equal(state, torch.get_rng_state())
    log_model = with_log_stem(model)
    assert all(module.training for net in (model, log_model) for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for net in (model, log_model) for m in net.modules())


def test_it_works_without_memory_on_the_meta_device_and_in_half_precision():
    with torch.device("meta"):
        assert log_layers(with_log_stem(torchvision.models.resnet18())) == ["conv1"]
    assert with_log_stem(nn.Sequential(conv(dtype=torch.bfloat16)))[0].weight.dtype == torch.bfloat16


# with kernels of zero mean


def moved(model, x):
    """How far division of the light by six moves the output, relative to it."""
    with torch.no_grad():
        one, six = model(x), model(x / 6)
    return ((one - six).norm() / one.norm()).item()


def test_kernels_of_zero_mean_see_repeated_edges_unless_told_otherwise():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
    x = 0.1 + 0.9 * light(2, 3, 32, 32)
    kept, zeros = (with_log_stem(first, epsilon=1e-5, zero_mean=True, **o) for o in ({}, {"padding_mode": "zeros"}))
    assert (kept.padding_mode, zeros.padding_mode) == ("replicate", "zeros")
    assert moved(kept, x) < 0.001 < 0.1 < moved(zeros, x)
    assert with_log_stem(first).padding_mode == "zeros"  # ln(1 + 0) = 0: black, as in the linear network
    mirrored = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
    assert with_log_stem(mirrored, zero_mean=True).padding_mode == "reflect"


def test_what_stands_before_the_layer_sees_the_picture():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    half = nn.AvgPool2d(3, 1, 1)
    x = light(2, 3, 9, 8)
    found = with_log_stem(model, before=half, epsilon=0.1)
    assert [type(m) for m in found[0]] == [nn.AvgPool2d, LogConv2d]
    assert found[0][0] is not half
    torch.testing.assert_close(found(x), with_log_stem(model, epsilon=0.1)(half(x)))


@pytest.mark.parametrize("unit", [None, "local mean"])
def test_light_stem_ignores_the_light_and_takes_other_options(unit):
    torch.manual_seed(0)
    model = build("resnet18").eval()
    x = 0.1 + 0.9 * light(2, 3, 64, 64)
    stem = light_stem(model, unit=unit).conv1
    assert moved(stem, x) < 0.2 < moved(with_log_stem(model).conv1, x)
    layer = stem[-2]
    assert (layer.epsilon.item(), layer.zero_mean) == (pytest.approx(0.45 if unit else 1 / 255), True)
    assert light_stem(model, unit=unit, epsilon=0.1).conv1[-2].epsilon.item() == pytest.approx(0.1)
    fitted = light_stem(model, unit=unit, normalized=IMAGENET, first="conv1").conv1[-2]
    assert not torch.equal(fitted.weight, layer.weight)
    assert type(model.conv1) is nn.Conv2d


def test_light_stem_knows_two_units():
    with pytest.raises(ValueError, match="unit: expected None or 'local mean', got 'mean'"):
        light_stem(nn.Conv2d(3, 4, 3), unit="mean")


class Rotated(nn.Conv2d):
    def forward(self, x):
        return super().forward(x.rot90(1, (2, 3)))


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (nn.Sequential(nn.Linear(3, 2)), {}, ValueError, "Sequential has no Conv2d to replace"),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), {"first": "stem"}, ValueError, "no module is called 'stem'.*named_modules"),
        (nn.Sequential(LogConv2d(3, 2, 3)), {}, ValueError, "0 is a LogConv2d already"),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 3)), {"first": "0"}, TypeError, "nn.Conv2d, got '0', a ReLU"),
        (nn.Sequential(Rotated(3, 2, 3)), {}, TypeError, "0 is a Rotated, a convolution whose forward is not known"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), {"zero_mean": True}, ValueError, "0 has kernels of one pixel"),
        (Graph(lambda m, x: torch.zeros(1), one=conv()), {}, ValueError, "Graph computes nothing from the picture"),
    ],
)
def test_log_stem_errors(model, options, error, message):
    with pytest.raises(error, match=message):
        with_log_stem(model, **options)


# timm's own convolutions

KINDS = ["Conv2dSame", "StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("kernel", "stride", "bias"), [(3, 2, False), (7, 2, True), (3, 1, True), ((3, 5), (2, 3), False)]
)
def test_convolutions_of_timm_keep_what_they_compute(kind, kernel, stride, bias):
    layers = pytest.importorskip("timm").layers
    torch.manual_seed(0)
    padding = "SAME" if kind.endswith("dSame") else 1
    stem = getattr(layers, kind)(3, 6, kernel, stride=stride, padding=padding, bias=bias)
    if hasattr(stem, "gain"):
        nn.init.uniform_(stem.gain, 0.5, 2)
    log_stem = with_log_stem(nn.Sequential(stem), epsilon=0.01)
    for height, width in ((16, 16), (13, 18), (7, 8)):
        x = light(2, 3, height, width)
        torch.testing.assert_close(log_stem(x), stem(log_compress(x, epsilon=0.01)), rtol=1e-4, atol=1e-4)
    (name,) = log_layers(log_stem)
    log_conv = log_stem.get_submodule(name)
    inside = (
        SamePad2d(stem.kernel_size, stem.stride, stem.dilation)(x)
        if getattr(stem, "same_pad", kind == "Conv2dSame")
        else x
    )
    torch.testing.assert_close(log_conv.fold()(inside), log_conv(inside), rtol=1e-4, atol=1e-4)
    assert torch.equal(copy.deepcopy(log_stem)(x), log_stem(x))


@pytest.mark.parametrize("kind", ["StdConv2d", "ScaledStdConv2dSame"])
def test_standardized_weights_stay_standardized_while_they_are_trained(kind):
    layers = pytest.importorskip("timm").layers
    torch.manual_seed(0)
    model = with_log_stem(nn.Sequential(getattr(layers, kind)(3, 6, 3, stride=2)), epsilon=0.01)
    (name,) = log_layers(model)
    layer = model.get_submodule(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model(light(2, 3, 9, 9)).square().sum().backward()
    optimizer.step()
    spread = layer.weight.flatten(1).std(1, correction=0)
    assert layer.weight.flatten(1).mean(1).abs().max() < 1e-5
    scale = 1.0 if kind == "StdConv2d" else (layer.parametrizations.weight[0].gain.flatten() * 27**-0.5).abs()
    torch.testing.assert_close(spread, scale * spread.new_ones(6), rtol=1e-3, atol=1e-4)


def test_normalized_takes_standardized_weights_as_they_are():
    """The tangent at the mean, as for a plain convolution: standardizing again would undo the scaling."""
    layers = pytest.importorskip("timm").layers
    torch.manual_seed(0)
    stem = layers.StdConv2d(3, 6, 5, padding=0).double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in IMAGENET)
    layer = with_log_stem(nn.Sequential(stem), normalized=IMAGENET, epsilon=0.02)[0]
    small = mean + 1e-4 * torch.randn(2, 3, 9, 9, dtype=torch.float64)
    change = layer(small) - layer(mean.expand(2, 3, 9, 9).contiguous())
    expected = stem((small - mean) / std)
    torch.testing.assert_close(change, expected, rtol=0, atol=1e-5)


def test_padding_mode_reaches_same_padding():
    layers = pytest.importorskip("timm").layers
    torch.manual_seed(0)
    model = with_log_stem(
        nn.Sequential(layers.Conv2dSame(3, 2, 3, stride=2)), epsilon=1e-5, zero_mean=True, padding_mode="replicate"
    )
    x = 0.1 + 0.9 * light(1, 3, 8, 8)
    torch.testing.assert_close(model(x / 6), model(x), rtol=0, atol=1e-3)  # at the edges too


def test_log_stem_model_trains_saves_and_loads(tmp_path):
    torch.manual_seed(0)
    model = with_log_stem(build("squeezenet1_1"), epsilon=1 / 255, train_epsilon=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = model(light(2, 3, 32, 32)).square().mean()
    loss.backward()
    optimizer.step()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = with_log_stem(build("squeezenet1_1"), epsilon=1 / 255, train_epsilon=True)
    other.load_state_dict(torch.load(tmp_path / "model.pt"), strict=True)
    x = light(2, 3, 32, 32, seed=3)
    assert torch.equal(other.eval()(x), model.eval()(x))
    assert other.features[0].gamma != 1


TIMM = {
    "convnext_atto": 32, "efficientnet_lite0": 32, "mobilenetv3_small_050": 32, "regnetx_002": 32, "resnet10t": 32,
    "resnet18": 32, "test_vit": 160, "vgg11_bn": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TIMM))
def test_log_stem_on_timm_models(name):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    options = {"mlp_ratio": 0.05} if name == "vgg11_bn" else {}  # a hundred million weights less
    model = timm.create_model(name, pretrained=False, **options).eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in IMAGENET)
    log_model = with_log_stem(model, epsilon=1 / 255, zero_mean=True, normalized=IMAGENET, padding_mode="replicate")
    assert sum(isinstance(m, LogConv2d) for m in log_model.modules()) == 1
    assert not any(isinstance(m, LogConv2d) for m in model.modules())
    x = 0.05 + 0.95 * light(2, 3, TIMM[name], TIMM[name])
    with torch.no_grad():
        plain = [model((y - mean) / std) for y in (x, x / 6)]
        ours = [log_model(y) for y in (x, x / 6)]
    change = [((one - six).norm() / one.norm()).item() for one, six in (plain, ours)]
    assert change[1] < 0.5 * change[0]
    assert ours[0].isfinite().all()


def test_a_whole_network_with_the_layer_goes_to_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = with_log_stem(build("resnet18"), epsilon=1 / 255, zero_mean=True, padding_mode="replicate").eval()
    path, batch = tmp_path / "network.onnx", torch.export.Dim("batch")
    torch.onnx.export(
        model, (light(2, 3, 64, 64),), str(path), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = light(3, 3, 64, 64, seed=1)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-3, atol=1e-4)
