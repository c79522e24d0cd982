"""HE and BBHE: OpenCV in every pixel, plain loops, derivatives against differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, exposure
from torch import Tensor

from facelight import enhance
from facelight.enhance import _levels
from facelight.enhance._places import Place

pytestmark = pytest.mark.usefixtures("either_path")  # every test on both

ASTRONAUT = data.astronaut().mean(-1).astype(np.uint8)[20:152:2, 150:280:2]  # 66x65 gray levels


def tensor(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels)[None].float() / 255


def gray(x: Tensor) -> np.ndarray:
    return (x[0].double() * 255).round().numpy().astype(np.uint8)


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.integers(0, 255), st.integers(0, 255))
def test_equalize_equals_opencv_in_every_pixel(seed: int, height: int, width: int, low: int, top: int) -> None:
    low, top = sorted((low, top))
    levels = np.random.default_rng(seed).integers(low, top + 1, (height, width)).astype(np.uint8)
    np.testing.assert_array_equal(gray(enhance.equalize(tensor(levels))), cv2.equalizeHist(levels))


def test_the_papers_rule_is_the_cumulative_share() -> None:
    shares = np.cumsum(np.bincount(ASTRONAUT.ravel(), minlength=256)) / ASTRONAUT.size
    out = enhance.equalize(tensor(ASTRONAUT), exact=False)
    np.testing.assert_allclose(out[0], shares[ASTRONAUT], atol=1e-5)
    spread = exposure.equalize_hist(ASTRONAUT)
    assert np.abs(out[0].numpy() - spread).mean() < 1.5 / 255


def slow_bbhe(image: np.ndarray) -> np.ndarray:
    mean = int(image.mean())
    out = np.empty(image.shape)
    for dark, low, high in ((True, 0, mean), (False, mean + 1, 255)):
        half = (image <= mean) == dark
        for v in np.unique(image[half]):
            out[half & (image == v)] = low + (high - low) * (image[half] <= v).mean()
    return out


@pytest.mark.parametrize("image", [ASTRONAUT, ASTRONAUT // 3, np.eye(9, dtype=np.uint8) * 255])
def test_bbhe_equals_the_loop(image: np.ndarray) -> None:
    np.testing.assert_allclose(255 * enhance.bbhe(tensor(image), exact=False)[0], slow_bbhe(image), atol=1e-3)
    assert np.abs(gray(enhance.bbhe(tensor(image))) - slow_bbhe(image)).max() < 0.51


@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_bbhe_table_is_monotone_and_keeps_the_halves(seed: int, top: int) -> None:
    image = np.random.default_rng(seed).integers(0, top + 1, (6, 7), np.uint8)
    out = gray(enhance.bbhe(tensor(image)))
    order = np.argsort(image, axis=None)
    assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()
    mean = math.floor(image.mean())
    assert (out[image <= mean] <= mean).all()
    assert (out[image > mean] > mean).all()


@pytest.mark.parametrize("function", [enhance.equalize, enhance.bbhe])
@pytest.mark.parametrize("level", [0, 77, 254, 255])
def test_a_constant_image_stays(function: Callable[[Tensor], Tensor], level: int) -> None:
    x = torch.full((1, 16, 16), level / 255)
    assert torch.allclose(function(x), x, atol=1e-6)


@pytest.mark.parametrize("whole", [False, True], ids=["between levels", "at whole levels"])
@pytest.mark.parametrize("function", [enhance.equalize, enhance.bbhe])
def test_gradient_equals_central_differences(function: Callable[..., Tensor], whole: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 9, 7, dtype=torch.float64, generator=rng) * 0.3 + 0.2
    x = (255 * x).round() / 255 if whole else x
    upstream = torch.randn(x.shape, dtype=x.dtype, generator=rng)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(leaf, exact=False) * upstream).sum(), leaf)
    step = 1e-7 * torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    rise = function(x + step, exact=False) - function(x - step, exact=False)
    expected = (rise * upstream).flatten(1).sum(1).view(x.shape) / 2e-7
    assert (gradient - expected).norm() < 1e-4 * expected.norm()
    assert expected.norm() > 1


def test_exact_mode_passes_a_gradient_too() -> None:
    for function in (enhance.equalize, enhance.bbhe):
        x = tensor(ASTRONAUT).requires_grad_()
        (gradient,) = torch.autograd.grad(function(x).square().sum(), x)
        (smooth,) = torch.autograd.grad(function(x, exact=False).square().sum(), x)
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), smooth.flatten(), dim=0) > 0.95


# What both are made of


def as_read(levels: Tensor) -> Tensor:
    """Levels (L, W) as the path that runs wants them."""
    return _levels.gray_levels(levels[None] / 255, exact=False)[0][0]


def one_table() -> Place:
    return Place(torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32))


@given(st.lists(st.floats(0, 255), min_size=1, max_size=30))
def test_a_soft_histogram_keeps_the_pixels_and_the_mean(values: list[float]) -> None:
    levels = torch.tensor([values], dtype=torch.float64)
    counts = _levels.histograms(as_read(levels), one_table(), 1)
    assert counts.sum().item() == pytest.approx(len(values))
    assert (counts * torch.arange(256)).sum().item() == pytest.approx(sum(values), abs=1e-9)
    assert counts.min() >= 0


@given(st.lists(st.floats(0, 255), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_a_table_between_levels_is_a_straight_line(values: list[float], seed: int) -> None:
    levels = torch.tensor([values], dtype=torch.float64)
    table = torch.rand(1, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = np.interp(values, np.arange(256), table[0].numpy())
    found = _levels.pictures(_levels.look_up(as_read(levels), table, one_table()), levels)
    np.testing.assert_allclose(255 * found[0], expected, atol=1e-9)


def test_histogram_and_table_are_each_others_transpose() -> None:
    """To count with weights is the adjoint of to look up: <hist(v), T> = sum of T(v), for every table T."""
    rng = torch.Generator().manual_seed(0)
    levels = 255 * torch.rand(1, 50, dtype=torch.float64, generator=rng)
    table = torch.rand(1, 256, dtype=torch.float64, generator=rng)
    counted = (_levels.histograms(as_read(levels), one_table(), 1) * table).sum()
    found = _levels.pictures(_levels.look_up(as_read(levels), table, one_table()), levels)
    assert counted.item() == pytest.approx(255 * found.sum().item())
