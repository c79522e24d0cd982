"""`MeanLevel` and `LocalLevel`: by hand, what they ignore, black, precision, one node of a graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from facelight.enhance._filters import local_mean
from facelight.layers import LocalLevel, MeanLevel

LAYERS = [MeanLevel(), LocalLevel(), LocalLevel("contrast", 5), LocalLevel("energy", 7), LocalLevel(per_channel=False)]
each_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)


def light(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def windows(x: np.ndarray, window: int) -> np.ndarray:
    """Mean of every window, the edge repeated."""
    padded = np.pad(x, ((0, 0), (0, 0), (window // 2,) * 2, (window // 2,) * 2), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(2, 3)).mean((-2, -1))


def test_mean_level_by_hand() -> None:
    x = torch.tensor([[[[0.1, 0.3]], [[0.2, 0.6]]], [[[0.0, 1.0]], [[0.0, 1.0]]]])
    expected = torch.stack([x[0] * 0.6 / 0.3, x[1] * 0.6 / 0.5])
    torch.testing.assert_close(MeanLevel(0.6)(x), expected)


@pytest.mark.parametrize("per_channel", [True, False])
def test_local_level_with_numpy(per_channel: bool) -> None:
    x = light(2, 3, 9, 8)
    image = x.numpy()
    around = image if per_channel else image.mean(1, keepdims=True)
    mean, energy = windows(around, 5), windows(around**2, 5)
    expected = {
        "mean": 0.6 * image / (mean + 0.01),
        "contrast": (image - mean) / (mean + 0.01),
        "energy": 0.6 * image / np.sqrt(energy + 0.01**2),
    }
    for mode, value in expected.items():
        layer = LocalLevel(mode, 5, per_channel=per_channel, level=0.6, floor=0.01)
        np.testing.assert_allclose(layer(x).numpy(), value, rtol=1e-9, atol=1e-12)


@each_layer
def test_a_factor_on_the_light_changes_nothing(layer: nn.Module) -> None:
    x = 0.2 + 0.8 * light(2, 3, 24, 20)
    torch.testing.assert_close(layer(x / 6), layer(x), rtol=1e-2, atol=1e-2)


def test_which_ignore_a_color_cast() -> None:
    x, cast = 0.2 + 0.8 * light(2, 3, 24, 20), torch.tensor([1.0, 0.7, 0.4]).view(3, 1, 1)
    for layer, ignores in zip(LAYERS, (False, True, True, True, False), strict=True):
        assert torch.allclose(layer(cast * x), layer(x), rtol=1e-2, atol=1e-2) == ignores, layer


@each_layer
def test_even_light_has_its_level_and_black_stays_black(layer: nn.Module) -> None:
    even = layer(torch.full((1, 3, 16, 16), 0.5))
    level = 0.0 if getattr(layer, "mode", "") == "contrast" else 0.45
    torch.testing.assert_close(even, torch.full_like(even, level), rtol=2e-3, atol=2e-3)
    assert torch.equal(layer(torch.zeros(1, 3, 16, 16)), torch.zeros(1, 3, 16, 16))


def test_the_energy_of_black_beside_white_is_not_negative() -> None:
    """A local mean is measured from the first pixel: that of black is zero up to rounding, on either side."""
    x = light(64, 3, 64, 64, dtype=torch.float32)
    x[..., 20:, :] = 0
    assert local_mean(x**2, 15).min() < 0
    assert LocalLevel("energy")(x).isfinite().all()


@each_layer
def test_gradients_and_a_batch_is_its_images(layer: nn.Module) -> None:
    x = 0.1 + light(2, 3, 6, 5)
    assert torch.autograd.gradcheck(layer, (x.clone().requires_grad_(),))
    torch.testing.assert_close(layer(x), torch.cat([layer(one[None]) for one in x]))


@each_layer
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(layer: nn.Module, dtype: torch.dtype) -> None:
    x = (0.1 + 0.9 * light(1, 3, 24, 20)).to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert torch.equal(y, layer(x.float()).to(dtype))


@each_layer
def test_autocast_changes_nothing(layer: nn.Module) -> None:
    x = light(1, 3, 24, 20, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        under = layer(x)
    assert torch.equal(under, layer(x))


@each_layer
def test_it_is_one_node_of_a_graph(layer: nn.Module) -> None:
    x = light(1, 3, 24, 20)
    traced = fx.symbolic_trace(nn.Sequential(layer))
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "output"]
    assert torch.equal(traced(x), layer(x))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MeanLevel, {"level": 0.0}, "level: expected a positive"),
        (LocalLevel, {"mode": "median"}, "mode: expected one of 'mean', 'contrast', 'energy', got 'median'"),
        (LocalLevel, {"window": 4}, "window: expected an odd"),
        (LocalLevel, {"level": -1.0}, "level: expected a positive"),
        (LocalLevel, {"floor": 0.0}, "floor: expected a positive"),
    ],
)
def test_bad_options(kind: type[nn.Module], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)


@each_layer
def test_pictures_that_are_no_light_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"expected finite values >= 0, got \[-0.5"):
        layer(torch.tensor([[[[-0.5, 1.0]]]]))
    with pytest.raises(TypeError, match="floating-point tensor"):
        layer(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
