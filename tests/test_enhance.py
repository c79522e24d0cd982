"""Enhancers against OpenCV, scikit-image, SciPy and plain loops; their limits; their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data, exposure
from torch import Tensor

from facelight import _tiles, enhance
from facelight.enhance import _filters

METHODS: dict[str, Callable[..., Tensor]] = {
    "equalize": enhance.equalize,
    "ahe": enhance.ahe,
    "clahe": enhance.clahe,
    "clahe, opencv": lambda x: enhance.clahe(x, 2.0, convention="opencv"),
    "modified_clahe": enhance.modified_clahe,
    "modified_clahe, 3 stages": lambda x: enhance.modified_clahe(x, stages=3),
    "bbhe": enhance.bbhe,
    "gbie": enhance.gbie,
}
ASTRONAUT = data.astronaut().mean(-1).astype(np.uint8)[20:152:2, 150:280:2]  # 66x65 grey levels


def tensor(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels)[None].float() / 255


def grey(x: Tensor) -> np.ndarray:
    return (x[0].double() * 255).round().numpy().astype(np.uint8)


def slow_adapthisteq(image: np.ndarray, clip_limit: float, grid: tuple[int, int]) -> np.ndarray:
    """CLAHE in MATLAB's convention, one pixel at a time."""
    tiles, pads = [], []
    for length, parts in zip(image.shape, grid, strict=True):
        tile = math.ceil(length / parts)
        tile += tile % 2
        tiles.append(tile)
        pads.append((tile * parts - length) // 2)
    around = [(p, t * g - n - p) for p, t, g, n in zip(pads, tiles, grid, image.shape, strict=True)]
    padded = np.pad(image, around, mode="symmetric")
    pixels = tiles[0] * tiles[1]
    least = math.ceil(pixels / 256)
    limit = least + math.floor(clip_limit * (pixels - least) + 0.5)
    tables = {}
    for r in range(grid[0]):
        for c in range(grid[1]):
            tile = padded[r * tiles[0] : (r + 1) * tiles[0], c * tiles[1] : (c + 1) * tiles[1]]
            tables[r, c] = slow_table([int((tile == v).sum()) for v in range(256)], limit)
    out = np.empty_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, dy = divmod(y + pads[0] - tiles[0] // 2, tiles[0])
            c, dx = divmod(x + pads[1] - tiles[1] // 2, tiles[1])
            total = 0
            for i, wy in ((r, tiles[0] - dy), (r + 1, dy)):
                for j, wx in ((c, tiles[1] - dx), (c + 1, dx)):
                    near = min(max(i, 0), grid[0] - 1), min(max(j, 0), grid[1] - 1)
                    total += wy * wx * tables[near][image[y, x]]
            out[y, x] = math.floor(total / pixels + 0.5)
    return out


def slow_table(counts: list[int], limit: int) -> list[int]:
    pixels, excess = sum(counts), sum(max(c - limit, 0) for c in counts)
    share = excess // 256
    for v, count in enumerate(counts):
        new = limit if count > limit else min(count + share, limit)
        excess -= max(new - count, 0)
        counts[v] = new
    start = 0
    while excess:
        for v in range(start, 256, max(256 // excess, 1)):
            if excess and counts[v] < limit:
                counts[v] += 1
                excess -= 1
        start = (start + 1) % 256
    return [math.floor(255 * c / pixels + 0.5) for c in np.cumsum(counts).tolist()]


# CLAHE, MATLAB's convention


@pytest.mark.parametrize("grid", [(8, 8), (2, 4), (1, 1), (3, 5), (16, 12)])
@pytest.mark.parametrize("clip_limit", [0, 0.001, 0.01, 0.5, 1])
def test_matlab_clahe_equals_the_plain_loops(grid: tuple[int, int], clip_limit: float) -> None:
    image = ASTRONAUT[:30, :25] // (4 if clip_limit == 0.5 else 1)
    expected = slow_adapthisteq(image, clip_limit, grid)
    np.testing.assert_array_equal(grey(enhance.clahe(tensor(image), clip_limit, grid)), expected)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.integers(0, 400))
def test_clipping_keeps_the_pixels_and_the_limit_and_equals_the_loop(seed: int, top: int, more: int) -> None:
    counts = np.random.default_rng(seed).poisson(0.3, 256) * (np.arange(256) < 4 * top)
    counts[seed % 256] += 1 + more
    limit = math.ceil(counts.sum() / 256) + top // 9
    clipped = _tiles.clip_histogram(torch.tensor(np.stack([counts, counts[::-1]])).int(), limit)
    assert clipped.max() <= limit
    assert clipped.sum(1).tolist() == [counts.sum()] * 2
    table = _tiles.equalizing_table(clipped)[0].tolist()
    assert table == slow_table(counts.tolist(), limit)


def test_clip_limit_one_is_ahe_and_one_tile_without_limit_is_the_cumulative_share() -> None:
    x = tensor(ASTRONAUT[:64, :64])
    assert torch.equal(enhance.ahe(x, (4, 4)), enhance.clahe(x, 1.0, (4, 4)))
    shares = np.cumsum(np.bincount(ASTRONAUT[:64, :64].ravel(), minlength=256)) / 64**2
    expected = np.floor(255 * shares + 0.5)[ASTRONAUT[:64, :64]]
    np.testing.assert_array_equal(grey(enhance.ahe(x, (1, 1))), expected)


def test_matlab_clahe_is_near_scikit_image_at_the_same_count() -> None:
    image = data.astronaut().mean(-1).astype(np.uint8)[:256, 100:356]  # tiles of 32x32 in both
    limit = enhance.convert_clip_limit(0.01, 32 * 32, "matlab", "skimage")
    assert enhance.clip_count(limit, 32 * 32, "skimage") == enhance.clip_count(0.01, 32 * 32, "matlab") == 14
    theirs = exposure.equalize_adapthist(image, kernel_size=32, clip_limit=limit) * 255
    assert np.abs(grey(enhance.clahe(tensor(image), 0.01)) - theirs).mean() < 6
    assert np.abs(grey(enhance.clahe(tensor(image), 0.05)) - theirs).mean() > 12  # the comparison can fail


def test_many_tiles_of_two_pixels_are_all_the_same() -> None:
    x = tensor(np.random.default_rng(0).integers(0, 256, (24, 21), np.uint8))
    assert torch.equal(enhance.clahe(x[..., :20], 0.01, (12, 10)), enhance.clahe(x[..., :20], 0.01, (16, 16)))


# CLAHE, OpenCV's convention, HE, AHE


@pytest.mark.parametrize("grid", [(8, 8), (2, 5)])
def test_opencv_clahe_is_opencv(grid: tuple[int, int]) -> None:
    expected = cv2.createCLAHE(3.0, grid[::-1]).apply(ASTRONAUT)
    np.testing.assert_array_equal(grey(enhance.clahe(tensor(ASTRONAUT), 3.0, grid, "opencv")), expected)
    assert not np.array_equal(expected, cv2.createCLAHE(3.0, (4, 4)).apply(ASTRONAUT))


def test_equalize_against_numpy() -> None:
    counts = np.bincount(ASTRONAUT.ravel(), minlength=256)
    lowest = counts[ASTRONAUT.min()]
    table = np.round(255 * (np.cumsum(counts) - lowest) / (ASTRONAUT.size - lowest))
    assert np.abs(grey(enhance.equalize(tensor(ASTRONAUT))) - table[ASTRONAUT]).max() <= 1
    spread = exposure.equalize_hist(ASTRONAUT) * 255
    assert np.abs(grey(enhance.equalize(tensor(ASTRONAUT))) - spread).mean() < 1.5


# BBHE


def slow_bbhe(image: np.ndarray) -> np.ndarray:
    mean = int(image.mean())
    out = np.empty_like(image)
    for dark, low, high in ((True, 0, mean), (False, mean + 1, 255)):
        half = (image <= mean) == dark
        for v in np.unique(image[half]):
            share = (image[half] <= v).mean()
            out[half & (image == v)] = math.floor(low + (high - low) * share + 0.5)
    return out


@pytest.mark.parametrize("image", [ASTRONAUT, ASTRONAUT // 3, np.eye(9, dtype=np.uint8) * 255])
def test_bbhe_equals_the_loop(image: np.ndarray) -> None:
    assert np.abs(grey(enhance.bbhe(tensor(image))).astype(int) - slow_bbhe(image)).max() <= 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_bbhe_table_is_monotone_and_keeps_the_halves(seed: int, top: int) -> None:
    image = np.random.default_rng(seed).integers(0, top + 1, (6, 7), np.uint8)
    out = grey(enhance.bbhe(tensor(image)))
    order = np.argsort(image, axis=None)
    assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()
    mean = int(image.mean())
    assert (out[image <= mean] <= mean).all()
    assert (out[image > mean] > mean).all()


# GBIE, M-CLAHE


def test_gbie_by_hand() -> None:
    offsets = np.arange(-2, 3)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 0.8**2))
    blurred = scipy.ndimage.correlate(ASTRONAUT.astype(float), kernel / kernel.sum(), mode="nearest")
    log = 32 * np.log2(1 + blurred)
    expected = (log - log.min()) / (log.max() - log.min())
    x = tensor(ASTRONAUT).double()
    np.testing.assert_allclose(enhance.gbie(x, 0.8)[0], expected, atol=1e-6)
    np.testing.assert_allclose(enhance.gbie(x, 0.8, stretch=False)[0], np.minimum(log / 255, 1), atol=1e-6)
    assert torch.allclose(enhance.gbie(x, 0.8, 5.0), enhance.gbie(x, 0.8), atol=1e-9)  # (11) removes the scale
    brighter = enhance.gbie(x, levels=255.0).mean() - enhance.gbie(x, levels=1.0).mean()
    assert brighter > 0.1


def test_gbie_gradient() -> None:
    x = torch.rand(1, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    assert torch.autograd.gradcheck(lambda v: enhance.gbie(v, stretch=False), x.requires_grad_())


def test_modified_clahe_stage_by_stage() -> None:
    x = tensor(ASTRONAUT)
    noisy = (x / 8 + 0.03 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    clahe = enhance.clahe(noisy)
    stages = [enhance.modified_clahe(noisy, stages=s) for s in range(4)]
    assert torch.equal(stages[0], clahe)
    kernel = np.exp(-np.array([1, 0, 1]) / (2 * 0.5**2))
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    prefiltered = scipy.ndimage.correlate(clahe[0].double().numpy(), kernel, mode="nearest")
    np.testing.assert_allclose(stages[1][0], prefiltered, atol=1e-5)
    roughness = [(s[..., 1:] - s[..., :-1]).abs().mean().item() for s in stages]
    assert roughness[0] > roughness[1] > roughness[2] > roughness[3]
    # Where nothing counts as amplified, the later stages change nothing.
    assert torch.equal(enhance.modified_clahe(noisy, stages=3, gain=1e6), stages[1])
    errors = [(s - noisy).square().mean().item() for s in stages]
    assert errors[1] < errors[0]  # smoothing alone raises PSNR


def test_noise_estimate_finds_the_noise() -> None:
    noise = torch.randn((1, 200, 200), generator=torch.Generator().manual_seed(0))
    assert _filters.noise_level(0.5 + 0.05 * noise).item() == pytest.approx(0.05, rel=0.03)
    ramp = torch.linspace(0, 1, 50).expand(1, 40, 50)
    assert _filters.noise_level(ramp).item() < 0.002  # only the repeated edge is left


# All of them


@pytest.mark.parametrize("name", METHODS)
def test_shape_type_range_and_batch_equals_loop(name: str) -> None:
    x = torch.stack([tensor(ASTRONAUT), tensor(ASTRONAUT.T[:, ::-1].copy()[:66].repeat(2, 0)[:66, :65])]) / 2
    x = torch.cat([x, 1 - x], dim=1)[None]  # (1, 2, 2, H, W)
    before = x.clone()
    y = METHODS[name](x)
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.min() >= 0
    assert y.max() <= 1
    assert not torch.allclose(x, y, atol=0.02)
    for i in range(2):
        for c in range(2):
            assert torch.allclose(METHODS[name](x[0, i, c][None])[0], y[0, i, c], atol=1e-6)
    assert METHODS[name](x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["equalize", "bbhe", "gbie"])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_constant_image_stays(name: str, level: int) -> None:
    x = torch.full((1, 16, 16), level / 255)
    assert torch.allclose(METHODS[name](x), x, atol=1e-6)


@pytest.mark.parametrize("name", ["clahe", "ahe", "modified_clahe", "clahe, opencv"])
def test_a_constant_image_stays_constant(name: str) -> None:
    assert METHODS[name](torch.full((1, 20, 19), 0.3)).std() < 1e-6


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 16, 16, dtype=torch.uint8), TypeError, r"floating-point image in \[0, 1\], got torch.uint8"),
        (torch.full((1, 16, 16), 1.5), ValueError, r"expected values in \[0, 1\], got \[1.5, 1.5\]"),
        (torch.full((1, 16, 16), float("nan")), ValueError, "NaN"),
        (torch.zeros(16, 16), ValueError, r"expected shape \(\*, C, H, W\)"),
        (np.zeros((1, 16, 16)), TypeError, "expected a torch.Tensor"),
    ],
)
def test_bad_images_are_refused(name: str, x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        METHODS[name](x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: enhance.clahe(x, -0.1), "clip_limit: expected 0 to 1 for convention 'matlab', got -0.1"),
        (lambda x: enhance.clahe(x, 2.0), r"got 2.0, or pass convention='opencv' \(1 \+ 255"),
        (lambda x: enhance.clahe(x, -1, convention="opencv"), "a finite number, at least 0"),
        (lambda x: enhance.clahe(x, convention="skimage"), "'matlab', 'opencv', got 'skimage'"),
        (lambda x: enhance.clahe(x, 0.01, (17, 8)), r"grid_size \(17, 8\) needs an image of at least 17x8 pixels"),
        (lambda x: enhance.clahe(x, grid_size=8), r"grid_size: expected \(rows, columns\), got 8"),
        (lambda x: enhance.ahe(x, (0, 1)), r"use grid_size between \(1, 1\) and \(16, 16\)"),
        (lambda x: enhance.modified_clahe(x, stages=4), "stages: expected 0"),
        (lambda x: enhance.modified_clahe(x, window=4), "window: expected an odd number"),
        (lambda x: enhance.modified_clahe(x, gain=0), "gain: expected a positive"),
        (lambda x: enhance.gbie(x, 0), "sigma: expected a positive"),
    ],
)
def test_bad_settings_are_refused(call: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 16, 16))


# Clip limits


@given(st.integers(1, 80_000), st.sampled_from(["matlab", "opencv", "skimage"]), st.data())
def test_clip_limit_of_inverts_clip_count(pixels: int, convention: str, draw: st.DataObject) -> None:
    least = -(-pixels // 256) if convention == "matlab" else 1
    count = draw.draw(st.integers(least, pixels))
    assert enhance.clip_count(enhance.clip_limit_of(count, pixels, convention), pixels, convention) == count


@given(st.floats(0, 1), st.integers(256, 40_000), st.sampled_from(["opencv", "skimage"]))
def test_conversion_there_and_back_keeps_the_count(clip_limit: float, pixels: int, other: str) -> None:
    there = enhance.convert_clip_limit(clip_limit, pixels, "matlab", other)
    back = enhance.convert_clip_limit(there, pixels, other, "matlab")
    count = enhance.clip_count(clip_limit, pixels, "matlab")
    assert enhance.clip_count(there, pixels, other) == enhance.clip_count(back, pixels, "matlab") == count
    assert abs(back - clip_limit) <= 0.5 / (pixels - -(-pixels // 256)) + 1e-9


def test_clip_counts_by_hand() -> None:
    # 224x224 in 8x8 tiles of 28x28 = 784 pixels
    limits = (0.001, 0.002, 0.005, 0.01, 0.05)
    assert [enhance.clip_count(c, 784, "matlab") for c in limits] == [5, 6, 8, 12, 43]
    assert [round(enhance.convert_clip_limit(c, 784, "matlab", "opencv"), 2) for c in limits] == [
        1.63,
        1.96,
        2.61,
        3.92,
        14.04,
    ]
    # 192x168: tiles of 24x22 = 528 pixels, so 0.001 to 0.010 give five counts
    assert [enhance.clip_count(i / 1000, 528, "matlab") for i in range(1, 11)] == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8]
    assert enhance.clip_count(0, 784, "opencv") == enhance.clip_count(1, 784, "matlab") == 784
    assert enhance.clip_count(0, 784, "skimage") == enhance.clip_count(1.0, 784, "skimage") == 784
    assert enhance.clip_count(0.1, 784, "opencv") == 1
    with pytest.raises(ValueError, match="count: expected 4 to 784 for convention 'matlab'"):
        enhance.convert_clip_limit(0.5, 784, "opencv", "matlab")
    with pytest.raises(ValueError, match="pixels: expected at least 1"):
        enhance.clip_count(0.5, 0, "opencv")


def test_the_count_is_what_opencv_clips_at() -> None:
    """A tile with one level: OpenCV moves all but `clip_count` of it, so the jump of its table shows the count."""
    image = np.zeros((16, 16), np.uint8)
    image[0, :2] = 255, 1
    for limit in (3.0, 17.9, 40.0):
        count = enhance.clip_count(limit, 256, "opencv")
        out = cv2.createCLAHE(limit, (1, 1)).apply(image)
        # bins 0 and 1 after an even spread of 254 - count: count + share + residual, then 1 + share + residual
        assert abs(int(out[1, 1]) - 255 * count / 256) <= 3
