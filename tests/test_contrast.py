"""`ContrastNorm2d`: by hand, what it ignores, precision, and in a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from facelight.layers import ContrastNorm2d, LogConv2d, with_log_stem


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand_with_numpy() -> None:
    z = maps(2, 5, 9, 8).double()
    energy = np.pad((z.numpy() ** 2).mean(1), ((0, 0), (2, 2), (2, 2)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(energy, (5, 5), axis=(1, 2)).mean((-2, -1))
    expected = z.numpy() / np.sqrt(around[:, None] + 0.2**2)
    np.testing.assert_allclose(ContrastNorm2d(5, 0.2)(z).numpy(), expected, rtol=1e-12)


def test_a_factor_on_contrast_is_gone_far_above_the_floor_and_stays_below_it() -> None:
    z, layer = maps(1, 8, 16, 16), ContrastNorm2d(floor=1e-3)
    torch.testing.assert_close(layer(7 * z), layer(z), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(2e-6 * z), 2 * layer(1e-6 * z), rtol=1e-4, atol=1e-8)
    assert torch.equal(layer(torch.zeros(1, 2, 8, 8)), torch.zeros(1, 2, 8, 8))


def test_energy_is_one_where_contrast_varies_slowly() -> None:
    falling = torch.exp(-torch.linspace(0, 2, 64))
    out = ContrastNorm2d(floor=1e-4)(maps(1, 64, 64, 64) * falling)
    energy = out.square().mean((1, 2))[0]
    assert (energy - 1).abs().max() < 0.1


def test_gradients() -> None:
    z = maps(1, 2, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(ContrastNorm2d(3, 0.1), (z,))
    black = torch.zeros(1, 2, 4, 4, requires_grad=True)
    ContrastNorm2d(3, 0.1)(black).sum().backward()
    torch.testing.assert_close(black.grad, torch.full((1, 2, 4, 4), 10.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays_and_half_precision_does_not_underflow(dtype: torch.dtype) -> None:
    z = (1e-4 * maps(1, 4, 8, 8)).to(dtype)  # the square of which float16 cannot hold
    out = ContrastNorm2d(floor=1e-5)(z)
    assert out.dtype == dtype
    expected = ContrastNorm2d(floor=1e-5)(z.double())
    torch.testing.assert_close(out.double(), expected, rtol=1e-2, atol=1e-2)


def test_autocast_changes_nothing() -> None:
    z = maps(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ContrastNorm2d()(z), ContrastNorm2d()(z.clone()))
        under = ContrastNorm2d()(z)
    assert torch.equal(under, ContrastNorm2d()(z))


def test_a_backward_pass_under_autocast_is_as_precise() -> None:
    one, other = (maps(1, 4, 8, 8).requires_grad_() for _ in range(2))
    ContrastNorm2d()(one).square().mul(maps(1, 4, 8, 8, seed=1)).sum().backward()
    out = ContrastNorm2d()(other).square().mul(maps(1, 4, 8, 8, seed=1)).sum()
    with torch.autocast("cpu", torch.bfloat16):
        out.backward()
    torch.testing.assert_close(other.grad, one.grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"window": 4}, "window: expected an odd"), ({"window": 0}, "window: expected an odd"),
     ({"floor": 0.0}, "floor: expected a positive"), ({"floor": float("nan")}, "floor: expected a positive")],
)  # fmt: skip
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastNorm2d(**options)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return resnet18().eval()


def test_it_follows_the_first_layer_of_a_network(network: nn.Module) -> None:
    options = {"epsilon": 1 / 255, "zero_mean": True, "padding_mode": "replicate"}
    model = with_log_stem(network, then=ContrastNorm2d(), **options)
    stem = model.get_submodule("conv1")
    assert [type(m) for m in stem] == [LogConv2d, ContrastNorm2d]
    assert torch.equal(stem[0].weight, network.get_submodule("conv1").weight)
    x = 0.05 + 0.95 * torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    plain = with_log_stem(network, **options).get_submodule("conv1")(x)
    torch.testing.assert_close(stem(x), ContrastNorm2d()(plain))
    assert type(with_log_stem(nn.Conv2d(3, 2, 3), then=ContrastNorm2d())) is nn.Sequential


@pytest.mark.parametrize(
    "change", [lambda x: 0.5 * x + 0.5, lambda x: x**2, lambda x: x**0.5], ids=["haze", "2", "1/2"]
)
def test_what_changes_contrast_is_divided_away(network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Haze lowers the contrast of the logarithm, a power of the light multiplies it."""
    x = 0.3 + 0.4 * torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    found = {}
    for name, then in (("alone", None), ("divided", ContrastNorm2d(floor=1e-3))):
        model = with_log_stem(network, then=then, epsilon=1e-3, zero_mean=True, padding_mode="replicate")
        with torch.no_grad():
            before, after = (model.get_submodule("conv1")(y) for y in (x, change(x)))
        found[name] = ((after - before).norm() / before.norm()).item()
    assert found["alone"] > 0.3
    assert found["divided"] < 0.3 * found["alone"]


def test_it_goes_to_onnx(network: nn.Module, tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = with_log_stem(network, then=ContrastNorm2d(), epsilon=1 / 255, zero_mean=True, padding_mode="replicate")
    stem, path = model.get_submodule("conv1").eval(), tmp_path / "stem.onnx"
    x = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    torch.onnx.export(stem, (x,), str(path), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (z,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(z, stem(x).detach().numpy(), rtol=1e-3, atol=1e-4)
