"""CLAHE and AHE: OpenCV in every pixel, MATLAB's rule against plain loops, derivatives against differences."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, exposure
from torch import Tensor

from facelight import enhance
from facelight.enhance import _clipping, _grid, _levels, _levels_torch, _refill

pytestmark = pytest.mark.usefixtures("either_path")  # every test on both

ASTRONAUT = data.astronaut().mean(-1).astype(np.uint8)[20:152:2, 150:280:2]  # 66x65 gray levels


def tensor(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels)[None].float() / 255


def gray(x: Tensor) -> np.ndarray:
    return (x[0].double() * 255).round().numpy().astype(np.uint8)


def random_levels(seed: int, height: int, width: int, top: int, smooth: bool) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, top + 1, (height, width)).astype(np.uint8)
    return cv2.GaussianBlur(levels, (0, 0), 2.0) if smooth else levels


# OpenCV's convention


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    clip_limit=st.one_of(st.sampled_from([0.0, 0.3, 1.0, 2.0, 3.0, 4.0, 40.0, 256.0]), st.floats(0, 300)),
    top=st.sampled_from([0, 3, 60, 255]),
    smooth=st.booleans(),
)
def test_equal_to_opencv_in_every_pixel(
    seed: int, height: int, width: int, rows: int, columns: int, clip_limit: float, top: int, smooth: bool
) -> None:
    grid = min(rows, height), min(columns, width)
    levels = random_levels(seed, height, width, top, smooth)
    expected = cv2.createCLAHE(clip_limit, grid[::-1]).apply(levels)
    out = enhance.clahe(tensor(levels), clip_limit, grid)
    np.testing.assert_array_equal(gray(out), expected)
    assert np.abs(out[0].numpy() * 255 - expected).max() < 0.5


@pytest.mark.parametrize("size", [(224, 224), (192, 168), (97, 101), (64, 100), (480, 333)])
@pytest.mark.parametrize("grid", [(8, 8), (1, 1), (3, 7)])
def test_equal_to_opencv_on_larger_pictures(size: tuple[int, int], grid: tuple[int, int]) -> None:
    picture = cv2.resize(data.astronaut().mean(-1).astype(np.uint8), size[::-1], interpolation=cv2.INTER_AREA)
    batch = np.stack([picture, picture // 7, 255 - picture])
    for clip_limit in (0.0, 1.0, 2.0, 3.92, 40.0):
        reference = cv2.createCLAHE(clip_limit, grid[::-1])
        out = enhance.clahe(tensor(batch)[0][:, None], clip_limit, grid)
        for i, levels in enumerate(batch):
            np.testing.assert_array_equal(gray(out[i]), reference.apply(levels))


def test_levels_off_by_an_ulp_are_levels() -> None:
    levels = torch.from_numpy(ASTRONAUT)[None]
    expected = gray(enhance.clahe(levels / 255, 3.0))
    np.testing.assert_array_equal(gray(enhance.clahe(levels * (1 / 255), 3.0)), expected)
    np.testing.assert_array_equal(gray(enhance.clahe(levels.double() / 255, 3.0)), expected)
    np.testing.assert_array_equal(expected, cv2.createCLAHE(3.0, (8, 8)).apply(ASTRONAUT))


def test_between_levels_equals_the_plain_loops() -> None:
    """Soft histograms, even sharing of the excess and straight tables between levels, one pixel at a time."""
    levels = np.random.default_rng(0).random((12, 9)) ** 2 * 255
    grid, limit, (height, width) = (2, 3), 3.0, (6, 3)
    tables = np.zeros((*grid, 256))
    for (y, x), v in np.ndenumerate(levels):
        k = int(v)
        tables[y // height, x // width, k] += 1 - (v - k)
        tables[y // height, x // width, k + 1] += v - k
    most = limit * height * width / 256
    clipped = np.minimum(tables, max(most, 1))
    filled = clipped + (height * width - clipped.sum(-1, keepdims=True)) / 256
    tables = filled.cumsum(-1) * 255 / (height * width)
    expected = np.zeros_like(levels)
    for (y, x), v in np.ndenumerate(levels):
        down, across = (y / height - 0.5) % 1, (x / width - 0.5) % 1
        for r, wy in ((math.floor(y / height - 0.5), 1 - down), (math.floor(y / height + 0.5), down)):
            for c, wx in ((math.floor(x / width - 0.5), 1 - across), (math.floor(x / width + 0.5), across)):
                table = tables[min(max(r, 0), 1), min(max(c, 0), 2)]
                expected[y, x] += wy * wx * np.interp(v, np.arange(256), table)
    out = enhance.clahe(torch.from_numpy(levels / 255)[None], limit, grid, exact=False)
    np.testing.assert_allclose(out[0] * 255, expected, atol=1e-3)


def test_limits_for_each_image_and_each_channel() -> None:
    x = torch.rand(3, 2, 24, 20, generator=torch.Generator().manual_seed(0)) ** 2
    limits = torch.tensor([[1.0, 2.0], [0.0, 40.0], [7.5, 3.0]])
    each = enhance.clahe(x, limits, (2, 2))
    first = enhance.clahe(x, limits[:, 0], (2, 2))
    for i in range(3):
        for c in range(2):
            assert torch.equal(each[i, c][None], enhance.clahe(x[i, c][None], limits[i, c].item(), (2, 2)))
            assert torch.equal(first[i, c][None], enhance.clahe(x[i, c][None], limits[i, 0].item(), (2, 2)))


def test_many_images_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(5, 1, 30, 21, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole = enhance.clahe(x, 3.0, (4, 3))
    (gradient,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(enhance.adaptive, "_TILES_AT_ONCE", 24)
    monkeypatch.setattr(_levels_torch, "_PIXELS_AT_ONCE", 100)
    parts = enhance.clahe(x, 3.0, (4, 3))
    assert torch.equal(whole, parts)
    assert torch.allclose(gradient, torch.autograd.grad(parts.square().sum(), x)[0], atol=1e-4)


def test_not_looking_for_pixels_between_levels_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where looking would cost a synchronization."""
    x = tensor(np.concatenate([ASTRONAUT, 255 - ASTRONAUT // 9])).requires_grad_()
    functions = (lambda v: enhance.clahe(v, 3.0, (3, 2)), enhance.equalize, enhance.bbhe)
    looked = [(f(x), torch.autograd.grad(f(x).square().sum(), x)[0]) for f in functions]
    monkeypatch.setattr(_levels, "_some_between", lambda levels: True)
    for f, (value, gradient) in zip(functions, looked, strict=True):
        assert torch.equal(f(x), value)
        assert torch.allclose(torch.autograd.grad(f(x).square().sum(), x)[0], gradient, atol=1e-4)


def test_luminance_only_keeps_the_chroma() -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    y = enhance.clahe(x, 1.2, (2, 2), luminance_only=True)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    luma = (x * weights).sum(-3, keepdim=True)
    inside = ((y > 0) & (y < 1)).all(1, keepdim=True)
    expected = x + enhance.clahe(luma, 1.2, (2, 2)) - luma
    assert inside.float().mean() > 0.3
    assert torch.allclose(y[inside.expand_as(y)], expected[inside.expand_as(y)], atol=1e-6)


# MATLAB's convention


def slow_adapthisteq(image: np.ndarray, clip_limit: float, grid: tuple[int, int]) -> np.ndarray:
    """CLAHE in MATLAB's convention, one pixel at a time, not rounded."""
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
    out = np.empty(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, dy = divmod(y + pads[0] - tiles[0] // 2, tiles[0])
            c, dx = divmod(x + pads[1] - tiles[1] // 2, tiles[1])
            total = 0
            for i, wy in ((r, tiles[0] - dy), (r + 1, dy)):
                for j, wx in ((c, tiles[1] - dx), (c + 1, dx)):
                    near = min(max(i, 0), grid[0] - 1), min(max(j, 0), grid[1] - 1)
                    total += wy * wx * tables[near][image[y, x]]
            out[y, x] = total / pixels
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


@pytest.mark.parametrize("grid", [(8, 8), (2, 4), (1, 1), (3, 5), (16, 12)])
@pytest.mark.parametrize("clip_limit", [0, 0.001, 0.01, 0.5, 1])
def test_matlab_clahe_equals_the_plain_loops(grid: tuple[int, int], clip_limit: float) -> None:
    image = ASTRONAUT[:30, :25] // (4 if clip_limit == 0.5 else 1)
    expected = slow_adapthisteq(image, clip_limit, grid)
    out = enhance.clahe(tensor(image), clip_limit, grid, convention="matlab")[0].numpy() * 255
    assert np.abs(out - expected).max() < 1e-3  # of a gray level


@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.integers(0, 400))
def test_refilling_keeps_the_pixels_and_the_limit_and_equals_the_loop(seed: int, top: int, more: int) -> None:
    counts = np.random.default_rng(seed).poisson(0.3, 256) * (np.arange(256) < 4 * top)
    counts[seed % 256] += 1 + more
    limit = math.ceil(counts.sum() / 256) + top // 9
    both = torch.tensor(np.stack([counts, counts[::-1]]))
    limits = torch.tensor([[limit], [limit + 3]])
    clipped = _refill.clip_histogram(both.int(), limits.int())
    assert (clipped <= limits).all()
    assert clipped.sum(1).tolist() == [counts.sum()] * 2
    table = _clipping.matlab_tables(both.float(), limits.double(), int(counts.sum()))
    table = _levels.half_up(table)
    assert table[0].tolist() == slow_table(counts.tolist(), limit)
    assert table[1].tolist() == slow_table(counts[::-1].tolist(), limit + 3)


@given(st.integers(0, 2**32 - 1), st.floats(1, 30), st.floats(0.01, 1))
def test_the_water_level_fills_up_to_the_limit(seed: int, top: float, share: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    counts = (torch.rand(3, 256, dtype=torch.float64, generator=rng) * top * 2 - top).clamp(min=0)
    counts = counts / counts.sum(1, keepdim=True) * 500
    limit = 500 / 256 + share * (counts.amax(1, keepdim=True) - 500 / 256)
    level = _clipping._water_level(counts, limit, 500)
    filled = torch.minimum(counts + level, limit)
    assert torch.allclose(filled.sum(1), torch.full((3,), 500.0, dtype=torch.float64))
    assert (level >= -1e-9).all()
    for i in range(3):  # by bisection
        low, high = 0.0, limit[i].item()
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if torch.minimum(counts[i] + middle, limit[i]).sum() < 500 else (low, middle)
        refilled = torch.minimum(counts[i] + low, limit[i])
        assert torch.allclose(filled[i], refilled, atol=1e-6)


@pytest.mark.parametrize(
    ("convention", "clip_limit", "within"),
    [("opencv", 3.92, 5), ("opencv", 40.0, 1), ("matlab", 0.01, 4), ("matlab", 0.2, 1)],
)
def test_continuous_rules_are_near_the_exact_ones(convention: str, clip_limit: float, within: float) -> None:
    """Both originals hand out left-over pixels from the dark end, which brightens tiles of 1024 pixels."""
    picture = tensor(data.astronaut().mean(-1).astype(np.uint8)[:256, 100:356])
    both = [enhance.clahe(picture, clip_limit, convention=convention, exact=e) for e in (True, False)]
    gap = 255 * (both[0] - both[1])
    assert 0 < gap.abs().mean() < within
    assert gap.mean() > 0


def test_without_a_limit_exact_is_the_rounded_continuous_rule() -> None:
    x = tensor(ASTRONAUT)
    assert (enhance.clahe(x, 0.0) - enhance.clahe(x, 0.0, exact=False)).abs().max() < 0.6 / 255


def test_matlab_clahe_is_near_scikit_image_at_the_same_count() -> None:
    image = data.astronaut().mean(-1).astype(np.uint8)[:256, 100:356]  # tiles of 32x32 in both
    limit = enhance.convert_clip_limit(0.01, 32 * 32, "matlab", "skimage")
    assert enhance.clip_count(limit, 32 * 32, "skimage") == enhance.clip_count(0.01, 32 * 32, "matlab") == 14
    theirs = exposure.equalize_adapthist(image, kernel_size=32, clip_limit=limit) * 255
    assert np.abs(gray(enhance.clahe(tensor(image), 0.01, convention="matlab")) - theirs).mean() < 6
    assert np.abs(gray(enhance.clahe(tensor(image), 0.05, convention="matlab")) - theirs).mean() > 12


def test_ahe_is_clahe_without_a_limit() -> None:
    x = tensor(ASTRONAUT[:64, :64])
    assert torch.equal(enhance.ahe(x, (4, 4)), enhance.clahe(x, 0.0, (4, 4)))
    unlimited = enhance.clahe(x, 1.0, (4, 4), convention="matlab")
    assert torch.equal(enhance.ahe(x, (4, 4), convention="matlab"), unlimited)
    shares = np.cumsum(np.bincount(ASTRONAUT[:64, :64].ravel(), minlength=256)) / 64**2
    expected = np.round(255 * shares)[ASTRONAUT[:64, :64]]
    np.testing.assert_array_equal(gray(enhance.ahe(x, (1, 1))), expected)


# Tiles


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(["opencv", "matlab"]))
def test_extension_of_an_axis_is_that_of_numpy(length: int, tiles: int, convention: str) -> None:
    tiles = min(tiles, length)
    axis = _grid.tile_axes(length, 7, (tiles, 3), convention)[0]
    covered = axis.tiles * axis.size
    source = axis.source(torch.device("cpu"))
    if source is None:
        assert covered == length
        return
    mode: Any = "reflect" if convention == "opencv" else "symmetric"
    expected = np.pad(np.arange(length), (axis.before, covered - length - axis.before), mode=mode)
    assert source.tolist() == expected.tolist()
    assert covered > length
    if convention == "matlab":
        assert axis.size % 2 == 0
    else:
        assert 1 <= covered - length <= tiles


# Tables


@given(st.integers(0, 2**32 - 1), st.floats(0, 60), st.sampled_from(["opencv", "matlab"]), st.booleans())
def test_tables_rise_and_end_at_white(seed: int, clip_limit: float, convention: str, exact: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    counts = torch.rand(4, 256, generator=rng).mul(3).floor() * (torch.rand(4, 256, generator=rng) < 0.2)
    counts[:, 7] += 400 - counts.sum(1)
    given_limit = torch.tensor([[clip_limit / (60 if convention == "matlab" else 1)]]).double()
    limit = _clipping.largest_count(given_limit, 400, convention)
    tables = _clipping.tables(counts, limit.expand(4, 1), 400, convention, exact)
    assert (tables.diff(dim=1) >= -1e-4).all()
    assert tables.min() >= 0
    assert torch.allclose(tables[:, -1], torch.tensor(255.0), atol=1e-3)


# Derivatives


def central_differences(function: Any, x: Tensor, upstream: Tensor, step: float = 1e-7) -> Tensor:
    """The derivative of sum(function(x) * upstream) for one image (1, H, W): every shifted image in one batch."""
    shifts = step * torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    rise = function(x + shifts) - function(x - shifts)
    return ((rise * upstream).flatten(1).sum(1) / (2 * step)).view(x.shape)


@pytest.mark.parametrize("whole", [False, True], ids=["between levels", "at whole levels"])
@pytest.mark.parametrize(
    ("convention", "clip_limit"),
    [("opencv", 0.0), ("opencv", 1.5), ("opencv", 3.0), ("opencv", 40.0), ("matlab", 0.03), ("matlab", 1.0)],
)
def test_gradient_equals_central_differences(convention: str, clip_limit: float, whole: bool) -> None:
    """Size 13x17 divides by 3 and 2 in neither axis: the extension takes part."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 13, 17, dtype=torch.float64, generator=rng) * 0.3 + 0.2
    x = (255 * x).round() / 255 if whole else x
    upstream = torch.randn(x.shape, dtype=x.dtype, generator=rng)

    def function(v: Tensor) -> Tensor:
        return enhance.clahe(v, clip_limit, (3, 2), convention=convention, exact=False)

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(leaf) * upstream).sum(), leaf)
    expected = central_differences(function, x, upstream)
    assert expected.norm() > 50
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize(("convention", "scale"), [("opencv", 1.0), ("matlab", 1 / 300)])
def test_gradcheck_of_the_clip_limit_and_the_pixels(convention: str, scale: float) -> None:
    rng = torch.Generator().manual_seed(3)
    x = (torch.rand(2, 1, 9, 8, dtype=torch.float64, generator=rng) * 0.05 + 0.3).requires_grad_()
    limit = torch.tensor([8.3, 12.1], dtype=torch.float64, requires_grad=True)

    def function(v: Tensor, c: Tensor) -> Tensor:
        return enhance.clahe(v, c * scale, (1, 2), convention=convention, exact=False)

    assert torch.autograd.gradcheck(function, (x, limit), eps=1e-7, atol=1e-4, fast_mode=True)
    (gradient,) = torch.autograd.grad(function(x, limit).square().sum(), limit)
    assert (gradient != 0).all()


def test_exact_mode_has_the_gradient_of_the_continuous_rule_through_its_own_tables() -> None:
    x = tensor(ASTRONAUT)[None].requires_grad_()
    limit = torch.tensor(3.0, requires_grad=True)
    exact = torch.autograd.grad(enhance.clahe(x, limit, (2, 2)).square().sum(), (x, limit))
    smooth = torch.autograd.grad(enhance.clahe(x, limit, (2, 2), exact=False).square().sum(), (x, limit))
    for a, b in zip(exact, smooth, strict=True):
        assert (a - b).norm() < 0.1 * b.norm()
        assert not torch.equal(a, b)
        assert b.norm() > 0


def test_gradient_reaches_other_pixels_of_the_tile() -> None:
    """Only the histograms carry it there, so a look-up table without them would fail."""
    x = torch.full((1, 4, 4), 100.3 / 255, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(enhance.clahe(x, 0.0, (1, 1), exact=False)[0, 0, 0], x)
    others = gradient.flatten()[1:]
    # T(100) and T(101) enter with 0.7 and 0.3; moving one pixel up by d takes 255 d / 16 from T(100).
    assert torch.allclose(others, torch.full((15,), -0.7 * 255 / 16, dtype=torch.float64))
    assert gradient.flatten()[0].item() == pytest.approx(255 * 0.3 - 0.7 * 255 / 16)


def test_same_forward_with_and_without_gradient() -> None:
    x = torch.rand(2, 3, 40, 31, generator=torch.Generator().manual_seed(0))
    for exact in (True, False):
        for convention, limit in (("opencv", 2.0), ("matlab", 0.02)):
            plain = enhance.clahe(x, limit, convention=convention, exact=exact)
            traced = enhance.clahe(x.clone().requires_grad_(), limit, convention=convention, exact=exact)
            assert torch.equal(plain, traced)
            assert traced.requires_grad
            assert not plain.requires_grad


@pytest.mark.parametrize("function", [lambda v: enhance.clahe(v, 2.0, (1, 1)), enhance.equalize, enhance.bbhe])
def test_second_derivatives_are_refused_and_not_lost(function: Any) -> None:
    x = torch.rand(1, 8, 8, requires_grad=True)
    # The cube has a second derivative of its own, so that a lost one would go unnoticed.
    (gradient,) = torch.autograd.grad(function(x).square().sum() + (x**3).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad(gradient.square().sum(), x)
    (plain,) = torch.autograd.grad(function(x).square().sum() + (x**3).sum(), x)
    assert torch.allclose(gradient, plain)


def test_functional_gradient() -> None:
    x = torch.rand(1, 8, 8)
    found = torch.func.grad(lambda v: enhance.clahe(v, 2.0, (2, 2)).square().sum())(x)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(enhance.clahe(leaf, 2.0, (2, 2)).square().sum(), leaf)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)  # by other operations


def test_compiled_whole() -> None:
    x = tensor(ASTRONAUT)[None].requires_grad_()
    compiled = torch.compile(enhance.clahe, fullgraph=True, backend="eager")
    out = compiled(x, 3.0)
    np.testing.assert_array_equal(gray(out[0].detach()), cv2.createCLAHE(3.0, (8, 8)).apply(ASTRONAUT))
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    (expected,) = torch.autograd.grad(enhance.clahe(x, 3.0).square().sum(), x)
    assert torch.allclose(gradient, expected, atol=1e-3)


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: enhance.clahe(x, -1.0), ValueError, "a finite number, at least 0 for convention 'opencv', got -1.0"),
        (lambda x: enhance.clahe(x, float("nan")), ValueError, "a finite number, at least 0"),
        (lambda x: enhance.clahe(x, torch.tensor([2.0, -3.0])), ValueError, "got -3.0"),
        (lambda x: enhance.clahe(x, torch.tensor(2)), TypeError, "clip_limit: expected a floating-point tensor"),
        (lambda x: enhance.clahe(x, torch.ones(5)), ValueError, r"shape \(2,\) \(one for each image\) or \(2, 1\)"),
        (lambda x: enhance.clahe(x, -0.1, convention="matlab"), ValueError, "expected 0 to 1 for convention 'matlab'"),
        (lambda x: enhance.clahe(x, 2.0, convention="matlab"), ValueError, r"or pass convention='opencv' \(1 \+ 255"),
        (lambda x: enhance.clahe(x, convention="skimage"), ValueError, "'opencv', 'matlab', got 'skimage'"),
        (lambda x: enhance.clahe(x, 2.0, (17, 8)), ValueError, r"grid_size \(17, 8\) needs an image of at least 17x8"),
        (lambda x: enhance.clahe(x, grid_size=8), ValueError, r"grid_size: expected two whole numbers \(rows, col"),
        (lambda x: enhance.clahe(x, 2.0, (2.5, 2)), ValueError, "expected two whole numbers"),
        (lambda x: enhance.clahe(x, 2.0, (True, 2)), ValueError, "expected two whole numbers"),
        (lambda x: enhance.clahe(x, 2.0, ("a", "b")), ValueError, "expected two whole numbers"),
        (lambda x: enhance.clahe(x, "2"), TypeError, "clip_limit: expected one number, got '2'"),
        (lambda x: enhance.clahe(x, np.ones(2)), TypeError, "clip_limit: expected one number, got array"),
        (lambda x: enhance.clahe(x, float("inf")), ValueError, "got inf$"),
        (lambda x: enhance.ahe(x, (0, 1)), ValueError, r"use grid_size between \(1, 1\) and \(16, 16\)"),
    ],
)
def test_bad_settings_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(torch.zeros(2, 1, 16, 16))
