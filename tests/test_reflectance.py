"""Tests of facelight.enhance.reflectance and facelight.enhance.edges."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from facelight.enhance.edges import gradientface, tan_triggs
from facelight.enhance.pointwise import log_stretch
from facelight.enhance.reflectance import local_contrast_normalize, log_contrast, multi_scale_retinex, weberface

METHODS = [multi_scale_retinex, log_contrast, local_contrast_normalize, weberface, tan_triggs, gradientface]
SIZES = [(1, 1), (1, 6), (2, 3), (13, 11)]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def rand(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def face(*shape: int, low: float = 0.2) -> torch.Tensor:
    """A smooth image away from black, where ratios are not rounding."""
    noise = ndimage.gaussian_filter(rand(*shape).numpy(), (0,) * (len(shape) - 2) + (1, 1), mode="nearest")
    return torch.from_numpy(low + 0.7 * noise)


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma, mode="nearest", radius=int(3 * sigma + 0.5))


# Independent versions: scipy and loops, one image at a time, as the equations are printed.


def retinex_reference(image: np.ndarray) -> np.ndarray:
    r = np.mean([np.log(image + 1 / 255) - np.log(smooth(image, s) + 1 / 255) for s in (2, 4, 8)], axis=0)
    return 1 / (1 + np.exp(-r))


def log_contrast_reference(image: np.ndarray) -> np.ndarray:
    log = np.log(1 + 255 * image)
    return 0.5 + (log - ndimage.uniform_filter(log, 7, mode="nearest")) / (2 * np.log(256))


def contrast_reference(image: np.ndarray) -> np.ndarray:
    padded, out = np.pad(image, 3, mode="edge"), np.empty_like(image)
    for (i, j), value in np.ndenumerate(image):
        window = padded[i : i + 7, j : j + 7]
        out[i, j] = 1 / (1 + np.exp(-(value - window.mean()) / np.sqrt(window.var() + 1e-6)))
    return out


def weber_reference(image: np.ndarray) -> np.ndarray:
    image = smooth(image, 1)
    padded, out = np.pad(image, 1, mode="edge"), np.empty_like(image)
    for (i, j), center in np.ndenumerate(image):
        total = sum((center - n) / (center + 1 / 255) for n in padded[i : i + 3, j : j + 3].flat)
        out[i, j] = 0.5 + math.atan(2 * total) / math.pi
    return out


def tan_triggs_reference(image: np.ndarray, tau: float = 10) -> np.ndarray:
    image = smooth(image**0.2, 1) - smooth(image**0.2, 2)
    size = np.maximum(np.abs(image), 1e-6)
    scale = np.mean(size**0.1) ** 10
    image, size = image / scale, size / scale
    image = image / np.mean(np.minimum(tau, size) ** 0.1) ** 10
    return 0.5 + 0.5 * np.tanh(image / tau)


def gradient_reference(image: np.ndarray) -> np.ndarray:
    down, right = (
        ndimage.gaussian_filter(image, 0.75, order=order, mode="nearest", radius=2) for order in ((1, 0), (0, 1))
    )
    angle = np.arctan2(down, right)
    return 0.5 + np.where(np.maximum(abs(down), abs(right)) < 1e-6, 0, angle) / (2 * np.pi)


REFERENCES = [
    retinex_reference, log_contrast_reference, contrast_reference, weber_reference, tan_triggs_reference,
    gradient_reference,
]  # fmt: skip


@every_size
@pytest.mark.parametrize(("method", "reference"), list(zip(METHODS, REFERENCES, strict=True)))
def test_equals_the_reference(method, reference, size: tuple[int, int]) -> None:
    x = rand(2, 2, *size)
    expected = torch.from_numpy(np.stack([[reference(channel) for channel in image] for image in x.numpy()]))
    for out, near in ((method(x), 1e-8), (method(x.float()).double(), 2e-4)):
        apart = (out - expected).abs()
        if method is gradientface:  # 0 and 1 are the same direction, and rounding decides between them
            apart = torch.minimum(apart, 1 - apart)
        assert apart.max() <= near


def test_tan_triggs_saturates_at_tau() -> None:
    x = rand(1, 13, 11)
    expected = torch.from_numpy(tan_triggs_reference(x[0].numpy(), tau=1.5))
    torch.testing.assert_close(tan_triggs(x, tau=1.5)[0], expected)


def test_by_hand() -> None:
    x = torch.tensor([[[0.0, 1.0, 0.0]]])
    torch.testing.assert_close(log_contrast(x, window=3), torch.tensor([[[1 / 3, 5 / 6, 1 / 3]]]))
    # Mean 1/3, variance 2/9 in every window: 1 is sqrt 2 standard deviations above, 0 is 1/sqrt 2 below.
    normal = torch.logit(local_contrast_normalize(x, window=3, epsilon=1e-6))
    torch.testing.assert_close(normal, torch.tensor([[[-(0.5**0.5), 2**0.5, -(0.5**0.5)]]]))
    # One scale, a blur so wide that the surround is the mean of the two ends: x / (x + surround).
    two = torch.tensor([[[0.2, 0.6]]], dtype=torch.float64)
    wide = multi_scale_retinex(two, sigmas=(200.0,), epsilon=1e-9)
    torch.testing.assert_close(wide, two / (two + 0.4), atol=2e-3, rtol=0)
    # No blur to speak of; the edge is repeated: three differences to the right-hand neighbor.
    weber = weberface(two, sigma=1e-3, epsilon=1e-9)
    expected = [0.5 + math.atan(2 * 3 * d) / math.pi for d in ((0.2 - 0.6) / 0.2, (0.6 - 0.2) / 0.6)]
    torch.testing.assert_close(weber.flatten(), torch.tensor(expected, dtype=torch.float64))


def test_log_contrast_is_half_the_stretch_minus_its_mean() -> None:
    x = rand(1, 9, 9)
    stretched = log_stretch(x, 0.02)
    mean = ndimage.uniform_filter(stretched[0].numpy(), 5, mode="nearest")
    torch.testing.assert_close(log_contrast(x, 0.02, 5), 0.5 + (stretched - torch.from_numpy(mean)) / 2)


def test_gradientface_directions() -> None:
    ramp = torch.linspace(0.1, 0.9, 9).expand(1, 9, 9)
    for image, value in ((ramp, 0.5), (ramp.mT, 0.75), (ramp.mT.flip(-2), 0.25)):
        torch.testing.assert_close(gradientface(image), torch.full_like(image, value), atol=1e-4, rtol=0)
    left = gradientface(ramp.flip(-1))
    assert torch.minimum(left, 1 - left).max() < 1e-4
    diagonal = gradientface((ramp + ramp.mT) / 2)[..., 2:-2, 2:-2]  # the repeated edge turns the others
    torch.testing.assert_close(diagonal, torch.full_like(diagonal, 0.625), atol=1e-3, rtol=0)


@every_method
@pytest.mark.parametrize("value", [0.0, 1e-3, 0.3, 1.0])
def test_a_constant_image_is_neutral_and_has_a_finite_gradient(method, value: float) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for size in (*SIZES, (3, 700)):
            x = torch.full((2, 1, *size), value, dtype=dtype, requires_grad=True)
            out = method(x)
            torch.testing.assert_close(out, torch.full_like(out, 0.5), atol=1e-6, rtol=0)
            out.sum().backward()
            assert x.grad is not None
            assert x.grad.isfinite().all()


@every_method
def test_black_parts_have_finite_gradients(method) -> None:
    x = rand(1, 1, 12, 12, dtype=torch.float32)
    x[..., :6] = 0
    x[..., 8, 2] = 1 / 255
    x.requires_grad_()
    weights = rand(1, 1, 12, 12, dtype=torch.float32, seed=1)
    (method(x) * weights).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[..., 8:] != 0).any()


@every_method
def test_gradcheck(method) -> None:
    x = face(1, 2, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(method, x, atol=1e-5)
    color = face(1, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(partial(method, luminance_only=True), color, atol=1e-5)


@pytest.mark.parametrize("method", METHODS[:4], ids=lambda m: m.__name__)
def test_epsilon_may_be_trained_and_differ_per_image(method) -> None:
    x, epsilon = face(2, 1, 5, 6), torch.tensor([0.01, 0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: method(x, epsilon=e), epsilon)
    expected = torch.stack([method(image, epsilon=e) for image, e in zip(x, (0.01, 0.2), strict=True)])
    torch.testing.assert_close(method(x, epsilon=epsilon).detach(), expected)
    one = torch.tensor(0.03, requires_grad=True)
    method(x, epsilon=one).var().backward()
    assert one.grad is not None
    assert one.grad != 0


@every_method
def test_batch_layout_dtype_and_grad_mode(method) -> None:
    x = face(2, 3, 14, 10).float()
    out = method(x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    close = partial(torch.testing.assert_close, atol=1e-4, rtol=0)
    close(out, torch.stack([torch.stack([method(channel[None])[0] for channel in image]) for image in x]))
    close(method(x[:, None]), out[:, None])
    close(method(x.to(memory_format=torch.channels_last)), out)
    wide = torch.zeros(2, 3, 14, 20)
    wide[..., ::2] = x
    close(method(wide[..., ::2]), out)
    assert torch.equal(method(x.clone().requires_grad_()).detach(), out)
    half = x.bfloat16()
    assert method(half).dtype == torch.bfloat16
    assert torch.equal(method(half), method(half.float()).bfloat16())  # computed in float32
    assert method(x[:0]).shape == (0, 3, 14, 10)


@every_method
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    levels=st.sampled_from([1, 2, 255, 10**6]),
    scale=st.sampled_from([1.0, 1 / 255, 1e-4, 1e-30]),
)
def test_stays_in_range_and_finite(method, seed: int, size: tuple[int, int], levels: int, scale: float) -> None:
    x = (scale * (rand(1, *size, dtype=torch.float32, seed=seed) * levels).round() / levels).requires_grad_()
    out = method(x)
    assert 0 <= out.min() <= out.max() <= 1
    out.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("method", METHODS[:-1], ids=lambda m: m.__name__)  # directions turn with the image
def test_transposition_and_mirror(method) -> None:
    x = face(1, 12, 9)
    torch.testing.assert_close(method(x.mT), method(x).mT)
    torch.testing.assert_close(method(x.flip(-1)), method(x).flip(-1))


@pytest.mark.parametrize("factor", [0.5, 1 / 6])
def test_multiplied_light_does_not_matter(factor: float) -> None:
    x = face(1, 1, 24, 20)
    for method in (
        tan_triggs,
        gradientface,
        partial(weberface, epsilon=1e-9),
        partial(multi_scale_retinex, epsilon=1e-9),
        partial(local_contrast_normalize, epsilon=1e-9),
    ):
        torch.testing.assert_close(method(factor * x), method(x), atol=1e-6, rtol=0)
    # With epsilon of one level the factor shows a little: |d ln(1 + x / epsilon)| <= epsilon (1 / (factor x) - 1 / x).
    bound = (1 / factor - 1) / (255 * x.min().item()) / math.log(256)
    change = (log_contrast(factor * x) - log_contrast(x)).abs().max().item()
    assert change < bound
    assert change < 0.2 * (log_stretch(factor * x) - log_stretch(x)).abs().min().item()


def test_slowly_varying_light_hardly_matters() -> None:
    x = face(1, 1, 40, 40)
    light = torch.linspace(0.3, 1.0, 40, dtype=torch.float64)
    inner = (..., slice(6, -6), slice(6, -6))
    for method in METHODS[:-1]:
        clean, lit = method(x)[inner], method(light * x)[inner]
        alike = torch.corrcoef(torch.stack([clean.flatten(), lit.flatten()]))[0, 1]
        assert alike > 0.97, method.__name__


def test_tan_triggs_hardly_depends_on_a_few_strong_edges() -> None:
    x = face(1, 1, 40, 40)
    spoiled = x.clone()
    spoiled[..., 0, 0] = 0.0
    far = (..., slice(8, None), slice(8, None))
    torch.testing.assert_close(tan_triggs(spoiled)[far], tan_triggs(x)[far], atol=0.01, rtol=0)


@every_method
def test_luminance_only(method) -> None:
    gray = face(2, 1, 8, 9)
    color = gray.expand(2, 3, 8, 9)
    torch.testing.assert_close(method(color, luminance_only=True), method(gray).expand(2, 3, 8, 9))
    torch.testing.assert_close(method(gray, luminance_only=True), method(gray))


@every_method
def test_compiles_in_one_graph(method) -> None:
    x = face(2, 1, 9, 8).float()
    compiled = torch.compile(method, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), method(x), atol=1e-5, rtol=0)


@every_method
def test_errors_of_the_image(method) -> None:
    with pytest.raises(TypeError, match="divide 8-bit images by 255"):
        method(torch.zeros(1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        method(torch.full((1, 2, 2), -0.1))
    with pytest.raises(ValueError, match="contains NaN"):
        method(torch.full((1, 2, 2), math.nan))
    with pytest.raises(ValueError, match=r"luminance_only: expected 3 channels.*with 4: leave luminance_only out"):
        method(rand(4, 2, 2), luminance_only=True)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (multi_scale_retinex, {"sigmas": ()}, "sigmas: expected standard deviations"),
        (multi_scale_retinex, {"sigmas": (1.0, 0.0)}, "sigmas: expected a positive finite number, got 0.0"),
        (multi_scale_retinex, {"epsilon": 0.0}, "epsilon: expected a positive"),
        (log_contrast, {"epsilon": -1.0}, "epsilon: expected a positive"),
        (log_contrast, {"epsilon": torch.ones(2)}, r"epsilon: expected a number or one value per image"),
        (log_contrast, {"window": 4}, "window: expected an odd whole number of at least 3 pixels, got 4"),
        (local_contrast_normalize, {"window": 1}, "window: expected an odd whole number"),
        (local_contrast_normalize, {"epsilon": 0.0}, "epsilon: expected a positive"),
        (weberface, {"sigma": 0.0}, "sigma: expected a positive"),
        (weberface, {"alpha": 0.0}, "alpha: expected a positive"),
        (weberface, {"epsilon": math.nan}, "epsilon: expected a positive"),
        (tan_triggs, {"sigma": (2.0, 1.0)}, "inner < outer, got"),
        (tan_triggs, {"sigma": (0.0, 1.0)}, "sigma: expected a positive"),
        (tan_triggs, {"sigma": (1.0, math.inf)}, "sigma: expected a positive"),
        (tan_triggs, {"gamma": 0.0}, "gamma: expected a positive"),
        (tan_triggs, {"alpha": 0.0}, "alpha: expected a positive"),
        (tan_triggs, {"tau": 0.0}, "tau: expected a positive"),
        (gradientface, {"sigma": -1.0}, "sigma: expected a positive"),
    ],
)
def test_errors_of_the_options(method, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(rand(1, 1, 4, 4), **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: weberface(x, alpha=torch.ones(8)), "alpha: expected one number"),
        (lambda x: multi_scale_retinex(x, sigmas=("2",)), "sigmas: expected one number, got '2'"),
        (lambda x: tan_triggs(x, gamma=torch.ones(8)), "gamma: expected one number"),
        (lambda x: gradientface(x, sigma=(1.0, 2.0)), r"sigma: expected one number, got \(1.0, 2.0\)"),
    ],
)
def test_settings_that_are_one_number(call, message) -> None:
    with pytest.raises(TypeError, match=message):
        call(torch.rand(1, 8, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: multi_scale_retinex(x, sigmas=8.0),
            "sigmas: expected standard deviations .* got 8.0",
        ),
        (lambda x: tan_triggs(x, sigma=1.0), "expected two standard deviations"),
        (lambda x: log_contrast(x, window=7.0), "window: expected an odd whole number"),
    ],
)
def test_settings_of_another_kind(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.rand(1, 8, 8))
