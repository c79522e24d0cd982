"""Contrast, entropy, SSIM and noise amplification against independent versions and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve, uniform_filter
from scipy.stats import entropy as scipy_entropy
from skimage.metrics import structural_similarity

from facelight import enhance
from facelight.metrics import entropy, noise_amplification, rms_contrast, ssim

ONE = (rms_contrast, entropy)
TWO = (ssim, noise_amplification)


def pictures(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def noisy_ramp(seed=0, noise=2.0, low=0.2, high=0.3, size=64):
    """A slow ramp with Gaussian noise of so many gray levels, rounded to 8 bits, (1, size, size)."""
    ramp = torch.linspace(low, high, size, dtype=torch.float64).expand(1, size, size)
    noise = noise / 255 * torch.randn(ramp.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return ((ramp + noise).clamp(0, 1) * 255).round() / 255


# contrast


def test_contrast_against_numpy_and_by_hand():
    x = pictures(3, 2, 7, 9)
    np.testing.assert_allclose(rms_contrast(x), 255 * x.numpy().std((2, 3)).mean(1))
    half = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    assert rms_contrast(half).item() == 127.5  # the largest there is
    assert rms_contrast(half, peak=1).item() == 0.5
    assert rms_contrast(torch.full((2, 1, 4, 4), 0.3)).tolist() == [0, 0]


def test_contrast_gradcheck():
    assert torch.autograd.gradcheck(rms_contrast, (pictures(2, 1, 3, 4).requires_grad_(),))


@given(st.integers(0, 10_000), st.floats(0.1, 1), st.floats(0, 1))
def test_contrast_scales_with_the_image_and_ignores_a_shift(seed, factor, share):
    x = pictures(1, 5, 6, seed=seed)
    y = factor * x + share * (1 - factor)
    assert rms_contrast(y).item() == pytest.approx(factor * rms_contrast(x).item(), rel=1e-9)


# entropy


def test_entropy_against_scipy():
    x = pictures(4, 1, 13, 11)
    levels = (255 * x).round().int().numpy()
    expected = [scipy_entropy(np.bincount(image.ravel(), minlength=256), base=2) for image in levels]
    np.testing.assert_allclose(entropy(x), expected)
    color = x.view(2, 2, 13, 11)
    np.testing.assert_allclose(entropy(color), np.reshape(expected, (2, 2)).mean(1))


@pytest.mark.parametrize("value", [-0.1, 1.1, 300.0])
def test_a_value_out_of_range_reaches_no_other_image(monkeypatch, value):
    monkeypatch.setattr("facelight._check.images", lambda *_: None)  # as on a GPU, where values are not looked at
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x[1, 0, 0, 0] = value
    assert torch.equal(entropy(x), entropy(x.clamp(0, 1)))


def test_entropy_of_equal_levels_is_their_logarithm():
    ramp = (torch.arange(256) / 255).view(1, 16, 16)
    assert entropy(ramp).item() == 8
    assert entropy(ramp * 255 // 64 / 3).item() == 2
    assert entropy(torch.zeros(3, 1, 8, 8)).tolist() == [0, 0, 0]


@given(st.integers(0, 10_000), st.floats(0.2, 3))
def test_no_table_raises_entropy(seed, gamma):
    x = (255 * pictures(1, 12, 12, seed=seed)).round() / 255
    assert entropy(x**gamma) <= entropy(x) + 1e-12
    assert entropy(enhance.equalize(x)) <= entropy(x) + 1e-12


# ssim


def test_ssim_against_scikit_image():
    x, y = pictures(3, 1, 24, 31), pictures(3, 1, 24, 31, seed=1)
    y = torch.cat([y[:1], 0.7 * x[1:2] + 0.3 * y[1:2], 0.5 * x[2:]])
    setting = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [structural_similarity(a[0].numpy(), b[0].numpy(), **setting) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim(x, y), expected, rtol=1e-12)
    color = ssim(x.view(1, 3, 24, 31), y.view(1, 3, 24, 31))
    np.testing.assert_allclose(color, [np.mean(expected)])
    np.testing.assert_allclose(ssim(x.float(), y.float()), expected, atol=1e-5)


def test_ssim_of_two_constants_by_hand():
    x, y = torch.full((1, 11, 11), 0.5, dtype=torch.float64), torch.full((1, 11, 11), 0.7, dtype=torch.float64)
    assert ssim(x, y).item() == pytest.approx((2 * 0.35 + 1e-4) / (0.25 + 0.49 + 1e-4))
    black = torch.zeros(1, 12, 12)
    assert ssim(black, black).item() == 1  # Kornia's constant in the denominator would give 0.99999


def test_ssim_limits_and_gradient():
    x = pictures(2, 1, 12, 13)
    torch.testing.assert_close(ssim(x, x), torch.ones(2, dtype=torch.float64))
    assert (ssim(x, 1 - x) < 0).all()
    torch.testing.assert_close(ssim(x, x**2), ssim(x**2, x))
    assert torch.autograd.gradcheck(lambda y: ssim(x, y), (pictures(2, 1, 12, 13, seed=1).requires_grad_(),))


# noise amplification


def slow_amplification(x, y, window=7, flat=3.0):
    """The docstring's equation with scipy, for images (1, H, W)."""
    q = 1 / (255 * math.sqrt(12))
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    level = math.sqrt(math.pi / 2) / 6 * np.abs(convolve(x[0], mask, mode="nearest")).mean()
    variance = [
        uniform_filter(v[0] ** 2, window, mode="nearest") - uniform_filter(v[0], window, mode="nearest") ** 2
        for v in (x, y)
    ]
    chosen = np.sqrt(np.maximum(variance[0], 0)) <= flat * max(level, q)
    with np.errstate(invalid="ignore"):
        return np.sqrt((variance[1][chosen] + q**2).sum() / (variance[0][chosen] + q**2).sum())


@pytest.mark.parametrize(("window", "flat"), [(7, 3.0), (5, 1.5)])
def test_noise_amplification_against_scipy(window, flat):
    x = torch.stack([noisy_ramp(0), noisy_ramp(1, noise=1.0, high=0.9), noisy_ramp(2, noise=0.3, low=0.0)])
    x[1, :, 20:40, 10:30] = pictures(20, 20)  # texture that no one would call flat
    y = enhance.equalize(x)
    found = noise_amplification(x, y, window=window, flat=flat)
    expected = [slow_amplification(a.numpy(), b.numpy(), window, flat) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.shape == (3,)
    np.testing.assert_allclose(noise_amplification(x.float(), y.float(), window=window, flat=flat), expected, rtol=0.01)


def test_amplification_is_the_slope_of_a_straight_table():
    x = noisy_ramp(noise=3.0)
    assert noise_amplification(x, x).item() == 1
    for slope in (0.5, 2.0, 3.0):
        y = 0.5 + slope * (x - x.mean())
        assert noise_amplification(x, y).item() == pytest.approx(slope, rel=0.02)  # q shows: 3 levels are not many


def test_amplification_where_the_image_is_black():
    black = torch.zeros(1, 32, 32, dtype=torch.float64)
    assert noise_amplification(black, black + 0.4).item() == 1  # moved, not amplified
    y = (0.4 + 10 / 255 * torch.randn(black.shape, generator=torch.Generator().manual_seed(0))).double().clamp(0, 1)
    assert noise_amplification(black, y).item() == pytest.approx(10 * math.sqrt(12), rel=0.1)  # against q


def test_amplification_does_not_look_where_x_is_not_flat():
    x = noisy_ramp(noise=1.0)
    wave = torch.sin(torch.arange(32, dtype=torch.float64) / 3)
    x[:, :, 32:] = (
        255 * (x[:, :, 32:] + 0.2 + 0.2 * wave)
    ).round() / 255  # a strong, smooth pattern with the same noise
    y = x.clone()
    y[:, :, 40:] = 0.5  # only the pattern changes
    assert noise_amplification(x, y).item() == pytest.approx(1, abs=0.02)
    y[:, :, :20] = x[:, :, :20].mean((-2), keepdim=True)  # the noise of the flat part, averaged away
    assert noise_amplification(x, y).item() < 0.8


def test_amplification_is_undefined_without_a_flat_window():
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).expand(1, 16, 16)  # steep and free of noise
    assert math.isnan(noise_amplification(ramp, ramp))


def test_adaptive_equalization_amplifies_more_than_a_limited_one():
    x = noisy_ramp(noise=1.0, low=0.05, high=0.5).float()
    ahe, clahe = enhance.ahe(x), enhance.clahe(x, 2.0, convention="opencv")
    assert noise_amplification(x, ahe) > 1.5 * noise_amplification(x, clahe) > 1.5


# all of them


@pytest.mark.parametrize("metric", [*ONE, *TWO])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_shapes_types_layouts_and_batch_equals_loop(metric, dtype):
    arguments = [pictures(2, 2, 3, 16, 17, seed=s).to(dtype) for s in range(2 if metric in TWO else 1)]
    if metric is noise_amplification:
        arguments[0] = 0.5 + 0.01 * arguments[0]
    found = metric(*arguments)
    assert found.shape == (2, 2)
    assert found.dtype == (torch.float32 if dtype.itemsize < 4 else dtype)
    exact = metric(*(a.double() for a in arguments))
    torch.testing.assert_close(
        found.double(), exact, rtol=1e-4, atol=1e-4
    )  # the values of what came, not rounded again
    one = torch.stack([torch.stack([metric(*(a[i, j] for a in arguments)) for j in range(2)]) for i in range(2)])
    torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-5)
    other = [a.mT.contiguous().mT for a in arguments]
    last = [a[0].contiguous(memory_format=torch.channels_last) for a in arguments]
    torch.testing.assert_close(metric(*other), found, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(metric(*last), found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", [*ONE, *TWO])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 16, 16).byte(), TypeError, "x: expected a floating-point.*got torch.uint8"),
        (torch.full((1, 16, 16), 2.0), ValueError, r"x: expected values in \[0, 1\]"),
        (torch.full((1, 16, 16), math.nan), ValueError, "x: contains NaN"),
        (torch.zeros(16, 16), ValueError, r"x: expected shape \(\*, C, H, W\)"),
    ],
)
def test_bad_images(metric, x, error, message):
    with pytest.raises(error, match=message):
        metric(*((x, x) if metric in TWO else (x,)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rms_contrast(torch.zeros(1, 4, 4), peak=0), "peak: expected a positive"),
        (lambda: ssim(torch.zeros(1, 16, 16), torch.zeros(1, 16, 17)), "x and y: expected one shape"),
        (lambda: ssim(torch.zeros(1, 16, 10), torch.zeros(1, 16, 10)), "x: expected at least 11x11 pixels"),
        (lambda: noise_amplification(torch.zeros(1, 9, 9), torch.zeros(1, 9, 8)), "x and y: expected one shape"),
        (lambda: noise_amplification(*[torch.zeros(1, 9, 9)] * 2, window=4), "window: expected an odd number"),
        (lambda: noise_amplification(*[torch.zeros(1, 9, 9)] * 2, flat=0), "flat: expected a positive"),
    ],
)
def test_bad_requests(call, message):
    with pytest.raises(ValueError, match=message):
        call()
