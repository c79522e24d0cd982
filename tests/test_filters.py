"""Tests of facelight.enhance._filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from facelight.enhance import _filters as filters

SHAPES = [(1, 1), (2, 3), (1, 9), (17, 31), (5, 400)]  # the last one, with few weights, goes pass by pass


def rand(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 3, 5, 41])
def test_separable_equals_scipy(shape: tuple[int, int], count: int) -> None:
    x = rand(2, 3, *shape)
    across, down = rand(2, count).tolist()
    expected = ndimage.correlate1d(x.numpy(), across, axis=-1, mode="nearest")
    expected = ndimage.correlate1d(expected, down, axis=-2, mode="nearest")
    torch.testing.assert_close(filters.separable(x, across, down), torch.from_numpy(expected))


def test_both_ways_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(filters, "_band", lambda *a: calls.append("band") or torch.eye(a[0], dtype=torch.float64))
    filters.separable(rand(1, 4, 193), [1.0, 1.0, 1.0])
    assert calls == []
    filters.separable(rand(1, 4, 192), [1.0, 1.0, 1.0])
    assert calls == ["band", "band"]


@pytest.mark.parametrize("weights", [[0.25, 0.5, 0.25], [1 / 7] * 7, filters.gaussian(9.0)])
def test_separable_keeps_a_constant_image_exactly_constant(weights: list[float]) -> None:
    for size in ((13, 29), (3, 600)):
        out = filters.separable(torch.full((2, 1, *size), 0.3), weights)
        assert out.unique().numel() == 1
        torch.testing.assert_close(out[0, 0, 0, 0], torch.tensor(0.3))


def test_separable_keeps_dtype_device_layout_and_leading_axes() -> None:
    x = rand(2, 2, 3, 6, 5, dtype=torch.float32)
    out = filters.separable(x, [0.25, 0.5, 0.25])
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[1, 0], filters.separable(x[1, 0], [0.25, 0.5, 0.25]))
    last = x[0].to(memory_format=torch.channels_last)
    torch.testing.assert_close(filters.separable(last, [0.25, 0.5, 0.25]), out[0])
    torch.testing.assert_close(filters.separable(x.mT, [0.25, 0.5, 0.25]), out.mT)
    assert filters.separable(x.bfloat16(), [0.25, 0.5, 0.25]).dtype == torch.bfloat16
    assert filters.separable(x[:0], [0.25, 0.5, 0.25]).shape == (0, 2, 3, 6, 5)


@pytest.mark.parametrize("size", [(4, 5), (2, 200)])
def test_separable_gradcheck(size: tuple[int, int]) -> None:
    x = rand(1, *size).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: filters.separable(t, [0.2, 0.5, 0.4], [1.0, -2.0, 3.0]), x)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 20.0])
def test_blur_equals_scipy(sigma: float) -> None:
    x = rand(1, 12, 15)
    expected = ndimage.gaussian_filter(x.numpy(), (0, sigma, sigma), mode="nearest", truncate=3.0)
    if sigma < 0.5:  # scipy's window of radius int(3 sigma + 0.5) is ours from one pixel up
        expected = ndimage.gaussian_filter(x.numpy(), (0, sigma, sigma), mode="nearest", radius=(0, 1, 1))
    torch.testing.assert_close(filters.blur(x, sigma), torch.from_numpy(expected))


def test_local_statistics_equal_a_loop() -> None:
    x = rand(1, 6, 8)
    padded = np.pad(x[0].numpy(), 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    torch.testing.assert_close(filters.local_mean(x, 5)[0], torch.from_numpy(windows.mean((-2, -1))))
    torch.testing.assert_close(filters.local_variance(x, 5)[0], torch.from_numpy(windows.var((-2, -1))))


def test_local_variance_survives_a_bright_background() -> None:
    x = 0.99 + 1e-4 * rand(1, 16, 16)
    torch.testing.assert_close(
        filters.local_variance(x.float(), 7), filters.local_variance(x, 7).float(), rtol=1e-2, atol=0
    )


def test_local_variance_is_not_negative() -> None:
    steps = (rand(8, 1, 30, 30, dtype=torch.float32) * 255).round().repeat_interleave(9, -1) / 255
    assert filters.local_variance(steps, 3).min() == 0


def test_noise_level_finds_the_noise() -> None:
    noise = torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0))
    found = filters.noise_level(0.5 + 0.02 * noise)
    assert found.shape == (1, 1, 1)
    torch.testing.assert_close(found.item(), 0.02, rtol=0.05, atol=0)
    ramp = torch.linspace(0, 1, 50).expand(1, 50, 50)
    assert filters.noise_level(ramp).item() < 1e-3
