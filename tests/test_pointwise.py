"""Tests of facelight.enhance.pointwise and facelight.enhance._luminance."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facelight.enhance._luminance import apply, on_luminance
from facelight.enhance.pointwise import gamma, log_stretch
from facelight.layers import log_compress

METHODS = [lambda x, **k: gamma(x, 0.4, **k), lambda x, **k: log_stretch(x, **k)]


def rand(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_gamma_by_hand() -> None:
    x = torch.tensor([[[0.0, 0.25, 1.0]]])
    torch.testing.assert_close(gamma(x, 0.5), torch.tensor([[[0.0, 0.5, 1.0]]]))
    torch.testing.assert_close(gamma(x, 2.0), torch.tensor([[[0.0, 0.0625, 1.0]]]))
    torch.testing.assert_close(gamma(x, 1.0), x)


def test_log_stretch_by_hand() -> None:
    x = torch.tensor([[[0.0, 15 / 255, 1.0]]])
    torch.testing.assert_close(log_stretch(x), torch.tensor([[[0.0, 0.5, 1.0]]]))  # ln 16 / ln 256
    torch.testing.assert_close(log_stretch(x, 1.0)[0, 0, 1].item(), math.log(1 + 15 / 255) / math.log(2))


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 1 / 255, 1e-4])
def test_log_stretch_is_log_compress_rescaled(epsilon: float) -> None:
    x = rand(2, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(log_stretch(x, epsilon), log_compress(x, 1 / math.log1p(1 / epsilon), epsilon))


def test_log_stretch_claims_of_its_docstring() -> None:
    x = torch.linspace(0, 1, 1001, dtype=torch.float64).view(1, 1, -1)
    assert (log_stretch(x, 1.0) - x).abs().max() < 0.09
    torch.testing.assert_close(log_stretch(x, 1e6), x, atol=1e-6, rtol=0)  # a large epsilon is the identity
    black = torch.zeros(1, 1, 1, dtype=torch.float64, requires_grad=True)
    log_stretch(black).sum().backward()
    assert black.grad is not None
    assert round(black.grad.item()) == 46


def test_log_stretch_of_white_does_not_pass_one() -> None:
    epsilon = torch.logspace(-6, 1, 2000)
    white = log_stretch(torch.ones(2000, 1, 3, 3), epsilon)
    torch.testing.assert_close(white, torch.ones_like(white))
    assert white.max() <= 1


def test_one_value_per_image_equals_a_loop() -> None:
    x, values = rand(3, 2, 5, 4), torch.tensor([0.01, 0.3, 2.0])
    for method in (gamma, log_stretch):
        for luminance_only in (False, True):
            y = x[:, :1] if luminance_only else x
            expected = torch.stack([method(image, float(v)) for image, v in zip(y, values, strict=True)])
            torch.testing.assert_close(method(y, values, luminance_only=luminance_only), expected)


def test_gradcheck_of_the_image_and_the_parameter() -> None:
    x = (0.05 + 0.9 * rand(2, 1, 3, 4, dtype=torch.float64)).requires_grad_()
    value = torch.tensor([0.2, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_stretch, (x, value))
    assert torch.autograd.gradcheck(gamma, (x, value))


def test_gradient_at_black_is_finite() -> None:
    for method in METHODS:
        x = torch.zeros(1, 3, 3, requires_grad=True)
        method(x).sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_dtypes_layouts_and_batches(method) -> None:
    x = rand(2, 3, 6, 5)
    out = method(x)
    torch.testing.assert_close(out, torch.stack([method(i) for i in x]))
    torch.testing.assert_close(method(x.double()).float(), out)
    torch.testing.assert_close(method(x.to(memory_format=torch.channels_last)), out)
    torch.testing.assert_close(method(x.mT), out.mT)
    half = method(x.bfloat16(), luminance_only=True)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), method(x, luminance_only=True), atol=0.02, rtol=0.02)
    assert torch.equal(method(x.clone().requires_grad_()).detach(), out)


@given(st.floats(1e-4, 50), st.integers(0, 10**6))
def test_stays_in_range_and_keeps_order(value: float, seed: int) -> None:
    x = torch.rand(1, 4, 7, generator=torch.Generator().manual_seed(seed))
    order = x.flatten().argsort()
    for method in (gamma, log_stretch):
        y = method(x, value)
        assert 0 <= y.min() <= y.max() <= 1
        assert (y.flatten()[order].diff() >= -1e-6).all()


@pytest.mark.parametrize("method", [gamma, log_stretch])
def test_errors(method) -> None:
    with pytest.raises(TypeError, match="divide 8-bit images by 255"):
        method(torch.zeros(1, 2, 2, dtype=torch.uint8), 1.0)
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        method(torch.full((1, 2, 2), 2.0), 1.0)
    with pytest.raises(ValueError, match="expected a positive finite number, got 0"):
        method(rand(1, 2, 2), 0.0)
    with pytest.raises(ValueError, match=r"one value per image, shape \(2,\), got shape \(3,\)"):
        method(rand(2, 1, 2, 2), torch.ones(3))
    with pytest.raises(ValueError, match=r"luminance_only: expected 3 channels.*with 2"):
        method(rand(2, 2, 2), 1.0, luminance_only=True)


def test_luminance_equals_opencv_within_rounding() -> None:
    rgb = np.random.default_rng(0).integers(60, 160, (20, 30, 3), dtype=np.uint8)
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    curve = np.round(255 * (np.arange(256) / 255) ** 0.7).astype(np.uint8)
    ycc[..., 0] = curve[ycc[..., 0]]
    expected = torch.from_numpy(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)).permute(2, 0, 1).float()
    x = torch.from_numpy(rgb).permute(2, 0, 1) / 255
    out = 255 * gamma(x, 0.7, luminance_only=True)
    assert 0 < out.min() < out.max() < 255  # nothing is clipped, which the two would do differently
    assert (out - expected).abs().max() <= 2.5  # three roundings to 8 bits: Y, Cr and Cb, RGB
    assert (out - expected).abs().mean() < 0.75
    assert (255 * gamma(x, 0.7) - expected).abs().mean() > 0.9  # channel by channel is something else


def test_luma_alone_keeps_chroma_and_gray() -> None:
    x = 0.3 + 0.4 * rand(2, 3, 5, 5, dtype=torch.float64)
    out = on_luminance(lambda y: 0.9 * y, x)
    torch.testing.assert_close(out[:, 0] - out[:, 1], x[:, 0] - x[:, 1])
    torch.testing.assert_close(out[:, 2] - out[:, 1], x[:, 2] - x[:, 1])
    torch.testing.assert_close(on_luminance(lambda y: y, x), x)
    gray = rand(2, 1, 5, 5)
    torch.testing.assert_close(on_luminance(torch.sqrt, gray.expand(2, 3, 5, 5)), gray.sqrt().expand(2, 3, 5, 5))
    assert torch.equal(on_luminance(torch.sqrt, gray), gray.sqrt())


def test_luminance_of_white_does_not_leave_the_range() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        seen = []
        white = torch.ones(3, 2, 2, dtype=dtype)
        apply(lambda y, seen=seen: seen.append(y) or y, white, luminance_only=True)
        assert seen[0].max() <= 1
        assert seen[0].dtype == torch.promote_types(dtype, torch.float32)


def test_luminance_clips_and_passes_gradients() -> None:
    x = torch.tensor([1.0, 0.2, 0.2], dtype=torch.float64).view(3, 1, 1)
    assert on_luminance(lambda y: y + 0.3, x).flatten().tolist() == [1.0, 0.5, 0.5]
    y = (0.3 + 0.4 * rand(3, 2, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: on_luminance(lambda v: v**2, t), y)


def test_apply_computes_in_float32_and_returns_the_dtype() -> None:
    seen = []
    out = apply(lambda y: seen.append(y.dtype) or y, rand(1, 2, 2).bfloat16(), False)
    assert (seen[0], out.dtype) == (torch.float32, torch.bfloat16)
