"""What every enhancer must hold: range, shape and type, batches, memory formats, constant images, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from every_enhancer import METHODS, SETTINGS, function_of, photo
from facelight import enhance
from facelight_lab.enhancers import FAMILY, SIGNED

each = pytest.mark.parametrize("name", METHODS)


def test_every_function_is_covered() -> None:
    others = {"clip_count", "clip_limit_of", "convert_clip_limit"}
    others |= {"histogram_path", "prepare_histograms", "use_histogram_path"}
    functions = {n for n in enhance.__all__ if n.islower()} - others
    assert functions == {name.split(",")[0] for name in METHODS}
    assert functions >= {e.name for e in FAMILY.values()} - {"identity"}


@each
def test_shape_type_range_and_input_untouched(name: str) -> None:
    x = photo(2, 2, 3, 23, 19)
    before = x.clone()
    y = METHODS[name](x)
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert 0 <= y.min() < y.max() <= 1
    assert (y - x).abs().max() > 0.02


@each
def test_batch_equals_loop(name: str) -> None:
    x = torch.stack([photo(2, 23, 19), photo(2, 23, 19, seed=1).flip(-1) / 2])
    y = METHODS[name](x)
    for i in range(2):
        for c in range(2):
            assert torch.allclose(METHODS[name](x[i, c][None])[0], y[i, c], atol=1e-6)


@each
@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_are_near_single_precision(name: str, kind: torch.dtype) -> None:
    x = photo(1, 2, 23, 19).to(kind)
    y, expected = METHODS[name](x), METHODS[name](x.float())
    assert y.dtype == kind
    within = 1e-4 if kind == torch.float64 else 2**-8
    if name == "gradientface":  # an angle: 0 and 1 are the same
        gap = (y.float() - expected).abs()
        assert torch.minimum(gap, 1 - gap).max() < within
    else:
        assert (y.float() - expected).abs().max() < within


@each
def test_memory_formats_do_not_matter(name: str) -> None:
    x = photo(2, 3, 23, 19)
    expected = METHODS[name](x)
    strided = torch.stack([x, x], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    assert torch.allclose(METHODS[name](strided), expected, atol=1e-6)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(METHODS[name](last), expected, atol=1e-6)
    turned = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert torch.allclose(METHODS[name](turned), expected, atol=1e-6)


@each
def test_same_forward_with_and_without_gradient_and_a_finite_one(name: str) -> None:
    x = photo(2, 1, 23, 19)
    x[0, 0, :5] = 0  # black, where logarithms and powers are steep
    leaf = x.clone().requires_grad_()
    y = METHODS[name](leaf)
    assert torch.equal(y.detach(), METHODS[name](x))
    (gradient,) = torch.autograd.grad(y.square().sum(), leaf)
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


@each
def test_autocast_does_not_matter(name: str) -> None:
    x = photo(2, 1, 23, 19)
    expected = METHODS[name](x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(METHODS[name](x), expected)


@each
def test_default_type_does_not_matter(name: str) -> None:
    x = photo(1, 1, 23, 19)
    expected = METHODS[name](x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(METHODS[name](x), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@each
@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_a_constant_image_stays_constant(name: str, level: int) -> None:
    y = METHODS[name](torch.full((1, 1, 20, 19), level / 255))
    assert y.max() - y.min() < 1e-5
    if name in SIGNED:
        assert torch.allclose(y, torch.tensor(0.5), atol=1e-5)


@each
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.sampled_from([3, 4, 7, 13, 31]),
    width=st.sampled_from([2, 3, 5, 11, 17]),
    top=st.sampled_from([0.0, 1 / 255, 0.1, 1.0]),
    whole=st.booleans(),
)
def test_values_stay_in_range(name: str, seed: int, height: int, width: int, top: float, whole: bool) -> None:
    x = top * torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    x = (255 * x).round() / 255 if whole else x
    y = METHODS[name](x)
    assert y.isfinite().all()
    assert y.min() >= 0
    assert y.max() <= 1


@each
def test_luminance_only(name: str) -> None:
    x = torch.cat([photo(2, 1, 23, 19, seed=i) for i in range(3)], dim=1)
    function, settings = function_of(name), SETTINGS[name]
    y = function(x, luminance_only=True, **settings)
    luma = (torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1) * x).sum(1, keepdim=True)
    expected = (x + function(luma, **settings) - luma).clamp(0, 1)
    assert torch.allclose(y, expected, atol=2e-3 if name == "gradientface" else 1e-5)
    gray = x[:, :1]
    assert torch.equal(function(gray, luminance_only=True, **settings), function(gray, **settings))
    with pytest.raises(ValueError, match="luminance_only"):
        function(x[:, :2], luminance_only=True, **settings)


@each
def test_empty_batches_pass(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert METHODS[name](torch.zeros(0, 1, 16, 16)).shape == (0, 1, 16, 16)


@each
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 16, 16, dtype=torch.uint8), TypeError, r"floating-point image in \[0, 1\], got torch.uint8"),
        (torch.full((1, 16, 16), 1.5), ValueError, r"expected values in \[0, 1\], got \[1.5, 1.5\]"),
        (torch.full((1, 16, 16), -0.1), ValueError, r"expected values in \[0, 1\], got \[-0.1, -0.1\]"),
        (torch.full((1, 16, 16), float("nan")), ValueError, "NaN"),
        (torch.zeros(16, 16), ValueError, r"expected shape \(\*, C, H, W\)"),
        (np.zeros((1, 16, 16)), TypeError, "expected a torch.Tensor"),
    ],
)
def test_bad_images_are_refused(name: str, x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        METHODS[name](x)
