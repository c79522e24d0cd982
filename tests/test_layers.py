"""The logarithmic layer against eq. (3), eq. (7), autograd, and the runtimes that have to accept it."""

import ast
import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from facelight.layers import LogConv2d, log, log_compress
from facelight.models import IMAGENET

OPTIONS = [
    {},
    {"gamma": 1.7, "epsilon": 1 / 255},
    {"gamma": 0.6, "per_channel": True, "epsilon": 0.01, "train_epsilon": True, "zero_mean": True},
]


def light(*shape, dtype=torch.float32, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# log_compress


def test_log_compress_values_by_hand():
    x = torch.tensor([0.0, 0.5, 1.0])
    expected = torch.tensor([0.0, 2 * np.log(51), 2 * np.log(101)], dtype=torch.float32)
    torch.testing.assert_close(log_compress(x, gamma=2, epsilon=0.01), expected)


def test_log_compress_is_the_paper_at_epsilon_one_and_has_slope_one_at_zero():
    x = torch.linspace(0, 1, 11, dtype=torch.float64, requires_grad=True)
    y = log_compress(x)
    np.testing.assert_allclose(y.detach().numpy(), np.log(x.detach().numpy() + 1), rtol=1e-15)
    y.sum().backward()
    torch.testing.assert_close(x.grad, 1 / (1 + x.detach()))


@given(st.floats(0.05, 1), st.floats(1.5, 10), st.floats(1e-6, 1e-4), st.floats(0.1, 5))
def test_division_becomes_subtraction_where_x_is_much_larger_than_epsilon(x, k, epsilon, gamma):
    x = torch.tensor(x, dtype=torch.float64)
    shift = log_compress(x, gamma, epsilon) - log_compress(x / k, gamma, epsilon)
    assert shift.item() == pytest.approx(gamma * np.log(k), abs=gamma * k * epsilon / x.item() + 1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_log_compress_half_precision_uses_float32_inside(dtype):
    x = light(1000).to(dtype)
    y = log_compress(x, 1.0, 1e-7)  # x / 1e-7 overflows float16
    assert y.dtype == dtype
    torch.testing.assert_close(y, log_compress(x.double(), 1.0, 1e-7).to(dtype), rtol=1e-2, atol=0)


def test_log_compress_gradcheck_with_tensor_gamma_and_epsilon():
    x = light(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    gamma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64).view(3, 1, 1).requires_grad_()
    epsilon = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_compress, (x, gamma, epsilon))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.tensor([-0.1]),), ValueError, r"x: expected finite values >= 0, got \[-0.1.*leave out mean/std"),
        ((torch.tensor([float("nan"), 1]),), ValueError, "x: contains NaN"),
        ((torch.tensor([float("inf")]),), ValueError, "finite"),
        ((torch.zeros(1), 1.0, 0.0), ValueError, "epsilon: expected a positive finite number, got 0"),
        ((torch.zeros(1), 1.0, torch.tensor(-1.0)), ValueError, "epsilon: expected a positive"),
        ((torch.zeros(1, dtype=torch.uint8),), TypeError, r"floating-point tensor, got torch.uint8.*/ 255"),
        (([0.5],), TypeError, "floating-point tensor, got list"),
    ],
)
def test_log_compress_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        log_compress(*arguments)


# LogConv2d


@pytest.mark.parametrize("options", OPTIONS)
def test_forward_is_conv_of_the_compressed_input(options):
    layer = LogConv2d(4, 6, 3, 2, 1, groups=2, **options).double()
    x = light(2, 4, 9, 8, dtype=torch.float64)
    weight = layer.weight
    if layer.zero_mean:
        weight = weight - weight.mean((2, 3), keepdim=True)
        assert layer.kernel().sum((2, 3)).abs().max() < 1e-12
    gain = layer.gamma.expand(4).view(4, 1, 1)
    expected = F.conv2d(gain * torch.log(1 + x / options.get("epsilon", 1.0)), weight, layer.bias, 2, 1, 1, 2)
    assert layer(x).shape == (2, 6, 5, 4)
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradcheck_x_weight_bias_gamma_log_epsilon(options):
    layer = LogConv2d(2, 3, 3, padding=1, **options | {"train_epsilon": True}).double()
    x = light(2, 2, 4, 4, dtype=torch.float64).requires_grad_()
    names = [n for n, _ in layer.named_parameters()]
    assert names == ["weight", "bias", "gamma", "log_epsilon"]

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


def test_gamma_gradient_is_equation_7_summed_over_layer_and_positions():
    layer = LogConv2d(3, 5, 3, stride=2, padding=1, gamma=1.3).double()
    x = light(2, 3, 8, 8, dtype=torch.float64)
    z = layer(x)
    z.retain_grad()
    torch.tanh(z).square().sum().backward()
    delta = z.grad.flatten(2)  # (B, out, positions)
    patches = F.unfold(torch.log(x + 1), 3, stride=2, padding=1)  # (B, in * 9, positions)
    inner = layer.weight.detach().flatten(1) @ patches  # sum_i w_ji ln(x_i + 1)
    torch.testing.assert_close(layer.gamma.grad, (delta * inner).sum())


def test_per_channel_gamma_gradients_sum_to_the_shared_one():
    shared = LogConv2d(3, 4, 3).double()
    per_channel = LogConv2d(3, 4, 3, per_channel=True).double()
    per_channel.load_state_dict(shared.state_dict() | {"gamma": torch.ones(3, dtype=torch.float64)})
    x = light(2, 3, 6, 6, dtype=torch.float64)
    for layer in (shared, per_channel):
        layer(x).square().sum().backward()
    assert per_channel.gamma.grad.shape == (3,)
    torch.testing.assert_close(per_channel.gamma.grad.sum(), shared.gamma.grad)


def response_change(layer, x, gain):
    with torch.no_grad():
        return ((layer(x * gain) - layer(x)).norm() / layer(x).norm()).item()


def test_small_epsilon_and_zero_mean_together_cancel_gain_and_color_cast():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 16, 7, padding=3, padding_mode="replicate", bias=False)
    x = 0.1 + 0.9 * light(4, 3, 16, 16)
    cast = torch.tensor([1.0, 0.5, 0.2]).view(3, 1, 1)
    make = {
        "both": LogConv2d.from_conv(conv, epsilon=1e-5, zero_mean=True),
        "epsilon only": LogConv2d.from_conv(conv, epsilon=1e-5),
        "zero mean only": LogConv2d.from_conv(conv, zero_mean=True),
    }
    for gain in (1 / 6, cast):
        assert response_change(make["both"], x, gain) < 1e-3
        assert response_change(make["epsilon only"], x, gain) > 0.05
        assert response_change(make["zero mean only"], x, gain) > 0.3


def test_a_sum_over_all_channels_cancels_a_gain_but_not_a_cast():
    torch.manual_seed(0)
    layer = LogConv2d(3, 8, 5, epsilon=1e-5, bias=False)
    with torch.no_grad():
        layer.weight -= layer.weight.mean((1, 2, 3), keepdim=True)
    x = 0.1 + 0.9 * light(2, 3, 12, 12)
    assert response_change(layer, x, 1 / 6) < 1e-3
    assert response_change(layer, x, torch.tensor([1.0, 0.5, 0.2]).view(3, 1, 1)) > 0.05


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_fold_is_equivalent(options, groups):
    layer = LogConv2d(4, 8, 3, groups=groups, **options)
    with torch.no_grad():
        layer.gamma += 0.3 * light(*layer.gamma.shape)
    folded = layer.fold()
    assert [n for n, _ in folded.named_parameters()] == ["weight", "bias"]
    assert folded.gamma == 1
    assert not folded.zero_mean
    x = light(2, 4, 9, 9)
    torch.testing.assert_close(folded(x), layer(x), rtol=1e-6, atol=5e-6)
    torch.testing.assert_close(folded.double()(x.double()), layer.double()(x.double()), rtol=1e-6, atol=1e-6)


def test_from_conv_keeps_weights_bias_geometry_dtype_and_mode():
    conv = nn.Conv2d(3, 6, (3, 5), (1, 2), (2, 1), (2, 1), 3, True, "reflect", dtype=torch.float64).eval()
    conv.weight.requires_grad_(False)
    layer = LogConv2d.from_conv(conv, gamma=0.5, zero_mean=False)
    x = light(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(0.5 * torch.log1p(x)))
    assert not layer.training
    assert not layer.weight.requires_grad
    assert layer.bias.requires_grad
    layer.bias.data.zero_()
    assert conv.bias.abs().sum() > 0  # a copy, not a reference


def test_batch_equals_loop():
    layer = LogConv2d(3, 4, 3, epsilon=0.01)
    x = light(3, 3, 7, 7)
    torch.testing.assert_close(layer(x), torch.cat([layer(one[None]) for one in x]))


@pytest.mark.parametrize("options", OPTIONS)
def test_state_dict_is_strict_and_the_same_whether_trained_or_fixed(options, tmp_path):
    layer = LogConv2d(3, 4, 3, **options)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    fixed = LogConv2d(3, 4, 3, **options | {"train_gamma": False, "train_epsilon": False, "epsilon": 0.7, "gamma": 9})
    fixed.load_state_dict(torch.load(tmp_path / "layer.pt"), strict=True)
    x = light(2, 3, 5, 5)
    assert torch.equal(fixed(x), layer(x))
    assert [n for n, _ in fixed.named_parameters()] == ["weight", "bias"]


def test_deepcopy_is_independent():
    layer = LogConv2d(3, 4, 3, epsilon=0.1, train_epsilon=True)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.gamma += 1
    assert layer.gamma == 1
    assert twin.gamma == 2


def test_channels_last_in_and_out():
    layer = LogConv2d(3, 4, 3, per_channel=True).to(memory_format=torch.channels_last)
    x = light(2, 3, 8, 8)
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, layer(x))


@pytest.mark.parametrize("given_dtype", [torch.float32, torch.bfloat16])
def test_autocast_bfloat16_keeps_the_logarithm_precise(given_dtype):
    layer = LogConv2d(3, 8, 3, epsilon=1e-6, train_epsilon=True)
    x = light(2, 3, 16, 16).to(given_dtype)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    exact = layer(x.float())
    assert (y.float() - exact).norm() / exact.norm() < 0.02
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_autocast_keeps_neighboring_gray_levels_apart():
    layer = LogConv2d(1, 1, (1, 2), epsilon=1 / 255, bias=False, zero_mean=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[-1.0, 1.0]]]]))
    levels = torch.arange(256.0) / 255
    pairs = torch.stack([levels[:-1], levels[1:]], 1)[:, None, None]
    with torch.autocast("cpu", torch.bfloat16):
        steps = layer(pairs).flatten()
    exact = torch.log1p(255 * levels).diff()
    torch.testing.assert_close(steps.float(), exact, rtol=0.005, atol=1e-6)  # the rounding of the result alone


def test_half_precision_module_keeps_a_small_epsilon():
    layer = LogConv2d(1, 1, 3, epsilon=1e-8).half()
    assert layer.epsilon.dtype == torch.float32
    assert layer.epsilon.item() == pytest.approx(1e-8, rel=0.02)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_in_one_graph_with_gradients(backend):
    layer = LogConv2d(3, 4, 3, epsilon=1 / 255, zero_mean=True, per_channel=True, train_epsilon=True)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    x = light(2, 3, 8, 8)
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).square().sum().backward()
    grads = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x).square().sum().backward()
    for ours, theirs in zip(layer.parameters(), grads, strict=True):
        torch.testing.assert_close(ours.grad, theirs)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_compiles_with_inductor(tmp_path, monkeypatch):
    # Of its own: PyTorch takes from a shared one what was made for vectors of another length, and computes nonsense.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.config.cpp.vec_isa_ok", True)  # asking the compiler takes as long as the rest
    layer = LogConv2d(3, 4, 3, epsilon=1 / 255, zero_mean=True)
    x = light(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x), rtol=1e-4, atol=1e-5)
    assert any((tmp_path / "cache").rglob("*.so"))


def test_onnx_export_gives_the_same_numbers(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer = LogConv2d(3, 4, 3, epsilon=1 / 255, zero_mean=True, per_channel=True, padding=1).eval()
    path = tmp_path / "layer.onnx"
    batch = torch.export.Dim("batch")
    example = light(2, 3, 8, 8)
    torch.onnx.export(layer, (example,), str(path), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = light(5, 3, 8, 8, seed=1)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(y, layer(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_layer_errors_and_repr():
    with pytest.raises(ValueError, match="zero_mean: a 1x1 kernel minus its mean is zero"):
        LogConv2d(3, 4, 1, zero_mean=True)
    with pytest.raises(ValueError, match="epsilon: expected a positive"):
        LogConv2d(3, 4, 3, epsilon=-1.0)
    with pytest.raises(TypeError, match="Conv2d, got LogConv2d: its forward would be lost"):
        LogConv2d.from_conv(LogConv2d(3, 4, 3))
    with pytest.raises(ValueError, match="leave out mean/std normalization"):
        LogConv2d(3, 4, 3)(torch.full((1, 3, 4, 4), -0.5))
    assert "gamma=2, epsilon=0.5, zero_mean=True" in repr(LogConv2d(1, 1, 3, gamma=2.0, epsilon=0.5, zero_mean=True))


@settings(max_examples=20)
@given(st.floats(0.1, 4), st.floats(1e-4, 1), st.integers(0, 1000))
def test_output_scales_with_gamma(gamma, epsilon, seed):
    layer = LogConv2d(1, 2, 3, gamma=gamma, epsilon=epsilon, bias=False).double()
    x = light(1, 1, 5, 5, dtype=torch.float64, seed=seed)
    expected = F.conv2d(log_compress(x, 1.0, layer.epsilon), layer.weight) * layer.gamma
    torch.testing.assert_close(layer(x), expected)


# weights of normalized light, and the size of the module


def test_the_module_stays_small():
    """As many lines as it was meant to have: without docstrings, comments and blank lines at most 110."""
    source = Path(log.__file__).read_text()
    tree = ast.parse(source)
    said = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            said |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    code = [line for i, line in lines if i not in said and line.strip() and not line.strip().startswith("#")]
    assert 80 < len(code) <= 110


@pytest.mark.parametrize("zero_mean", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_normalized_is_the_tangent_at_the_mean(zero_mean, groups):
    """Near x = m the adapted layer does what the old one did, with small contrasts as well as it can."""
    torch.manual_seed(0)
    mean, std = IMAGENET
    conv = nn.Conv2d(3, 6, 5, groups=groups, padding_mode="replicate").double()
    if zero_mean:
        with torch.no_grad():
            conv.weight -= conv.weight.mean((2, 3), keepdim=True)
    layer = LogConv2d.from_conv(conv, normalized=IMAGENET, epsilon=0.02, gamma=1.7, zero_mean=zero_mean)
    m, s = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (mean, std))
    small = m + 1e-4 * torch.randn((2, 3, 9, 9), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(small), conv((small - m) / s), rtol=0, atol=2e-6)
    assert (layer(small) - LogConv2d.from_conv(conv, epsilon=0.02, zero_mean=zero_mean)(small)).abs().max() > 1e-4


def test_normalized_needs_a_number_for_each_channel():
    with pytest.raises(ValueError, match="normalized: expected 1 means and deviations"):
        LogConv2d.from_conv(nn.Conv2d(1, 2, 3), normalized=IMAGENET)


def test_padding_mode_may_be_chosen():
    layer = LogConv2d.from_conv(nn.Conv2d(3, 2, 3, padding=1), padding_mode="replicate", epsilon=0.1)
    x = light(1, 3, 5, 5)
    expected = F.conv2d(F.pad(torch.log(1 + x / 0.1), (1, 1, 1, 1), mode="replicate"), layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)
