"""GBIE against SciPy and against what the paper says of it; M-CLAHE stage by stage against its equations in SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from torch import Tensor

from facelight import metrics
from facelight.data import yaleb
from facelight.enhance.adaptive import clahe
from facelight.enhance.smoothing import gbie, modified_clahe

ASTRONAUT = data.astronaut().mean(-1).astype(np.uint8)[20:152:2, 150:280:2]  # 66x65 gray levels
CORRECTED = {"levels": 7.0, "scale": None, "stretch": False}
METHODS: dict[str, Callable[..., Tensor]] = {
    "gbie": gbie,
    "gbie, corrected": lambda x, **k: gbie(x, **CORRECTED, **k),
    "modified_clahe": lambda x, **k: modified_clahe(x, 4.0, **k),
    "modified_clahe, 3 stages": lambda x, **k: modified_clahe(x, 0.02, convention="matlab", stages=3, **k),
    "modified_clahe, smooth": lambda x, **k: modified_clahe(x, 4.0, exact=False, **k),
}


def tensor(levels: np.ndarray) -> Tensor:
    return torch.from_numpy(levels)[None].double() / 255


def scene(noise: float = 0.03) -> Tensor:
    """A dark face with noise, (1, 66, 65), float64, whole gray levels."""
    random = torch.rand((1, *ASTRONAUT.shape), generator=torch.Generator().manual_seed(0))
    return ((tensor(ASTRONAUT) / 8 + noise * random) * 255).round().clamp(0, 255) / 255


def gaussian(x: np.ndarray, sigma: float, radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2))
    return scipy.ndimage.correlate(x, kernel / kernel.sum(), mode="nearest")


# GBIE


@pytest.mark.parametrize("levels", [255.0, 7.0, 1.0])
def test_gbie_against_scipy(levels: float) -> None:
    x = tensor(ASTRONAUT)
    log = 32 * np.log2(1 + gaussian(x[0].numpy() * levels, 0.8, 2))
    stretched = (log - log.min()) / (log.max() - log.min())
    np.testing.assert_allclose(gbie(x, 0.8, levels=levels)[0], stretched, atol=1e-9)
    as_it_is = gbie(x, 0.8, levels=levels, stretch=False)[0]
    np.testing.assert_allclose(as_it_is, np.minimum(log / 255, 1), atol=1e-9)
    to_white = gbie(x, 0.8, None, levels=levels, stretch=False)[0]
    np.testing.assert_allclose(to_white, log / (32 * math.log2(1 + levels)), atol=1e-9)
    assert not np.allclose(as_it_is, to_white, atol=1e-3)


def test_stretching_makes_the_scale_irrelevant() -> None:
    x = tensor(ASTRONAUT)
    assert torch.equal(gbie(x, scale=5.0), gbie(x))
    assert not torch.allclose(gbie(x, scale=5.0, stretch=False), gbie(x, stretch=False))


def test_the_printed_scale_takes_white_beyond_255_and_none_takes_it_to_255() -> None:
    white = torch.ones(1, 6, 6, dtype=torch.float64)
    gray = white * 254 / 255
    assert gbie(gray, stretch=False).max() == gbie(white, stretch=False).max() == 1.0  # cut: 254 and 255 are the same
    assert gbie(gray, scale=None, stretch=False).max() < gbie(white, scale=None, stretch=False).max()
    assert gbie(white, scale=None, stretch=False).max().item() == pytest.approx(1)


def test_the_noise_of_black_grows_as_printed_and_not_as_corrected() -> None:
    # Two levels above black, so that nothing is cut off; a fifth of a level, in which the logarithm is nearly straight.
    noise = torch.randn((1, 300, 300), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (2 + 0.2 * noise) / 255
    slope = 255 / (math.log(256) * (1 + 2))
    offsets = torch.arange(-2, 3, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / 2)
    left = (weights / weights.sum()).square().sum().item()
    assert left == pytest.approx(0.287, abs=1e-3)
    assert gbie(x, scale=None, stretch=False).std() / x.std() == pytest.approx(slope * left, rel=0.03)
    assert 255 / math.log(256) * left == pytest.approx(13.2, abs=0.05)  # on black itself
    assert gbie(x, **CORRECTED).std() < x.std()
    assert 7 / math.log(8) * left == pytest.approx(0.967, abs=1e-3)
    assert gbie(x, levels=8.0, scale=None, stretch=False).std() / x.std() < 8 / math.log(9) * left


def test_a_gain_on_the_light_hardly_changes_the_printed_result() -> None:
    x = tensor(ASTRONAUT) * 0.9 + 0.1
    assert metrics.psnr(gbie(x), gbie(x / 2)) > metrics.psnr(x, x / 2) + 10
    assert metrics.psnr(gbie(x), gbie(x / 2)) > metrics.psnr(gbie(x, levels=1.0), gbie(x / 2, levels=1.0))


@pytest.mark.parametrize("settings", [{}, {"levels": 1.0}, CORRECTED, {"stretch": False, "scale": 20.0}])
def test_gbie_gradient(settings: dict[str, Any]) -> None:
    x = torch.rand(2, 1, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    assert torch.autograd.gradcheck(lambda v: gbie(v, **settings), x.requires_grad_())


@pytest.mark.parametrize("level", [0, 77, 255])
def test_gbie_of_a_constant_image_is_the_image_with_a_finite_gradient(level: int) -> None:
    for kind in (torch.float32, torch.float64):
        x = torch.full((1, 16, 16), level / 255, dtype=kind, requires_grad=True)
        y = gbie(x)
        assert torch.equal(x, y)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(gradient, torch.ones_like(x))


def test_one_constant_channel_leaves_the_others_alone() -> None:
    x = torch.cat([tensor(ASTRONAUT), torch.full((1, 66, 65), 0.4)])
    y = gbie(x)
    assert torch.equal(y[1], x[1])
    assert torch.equal(y[0], gbie(x[:1])[0])


# M-CLAHE


def slow_modified_clahe(
    x: Tensor, enhanced: Tensor, stages: int, prefilter: float, strength: float, softness: float
) -> np.ndarray:
    """The equations of the docstring, with its other defaults."""
    before, after = x[0].numpy(), enhanced[0].numpy()
    q = 1 / (255 * math.sqrt(12))
    second = np.outer([1, -2, 1], [1, -2, 1])
    noise = np.abs(scipy.ndimage.correlate(before, second, mode="nearest")).mean() * math.sqrt(math.pi / 2) / 6
    spreads = [
        np.sqrt(scipy.ndimage.uniform_filter((v - v.mean()) ** 2, 7, mode="nearest")
        - scipy.ndimage.uniform_filter(v - v.mean(), 7, mode="nearest") ** 2 + q**2)
        for v in (before, after)
    ]  # fmt: skip

    def step(ratio: np.ndarray) -> np.ndarray:
        return 1 / (1 + ratio ** (-1 / softness)) if softness else (ratio > 1).astype(float)

    out = after + prefilter * (gaussian(after, 0.5, 1) - after)
    for k in range(2, stages + 1):
        s = 1.5 * (k - 1)
        mask = step(3 * max(noise, q) / spreads[0]) * step(spreads[1] / spreads[0] / (2 * (k - 1)))
        assert 0.05 < mask.mean() < 0.98
        out = out + strength * mask * (gaussian(out, s, int(3 * s + 0.5)) - out)
    return out


@pytest.mark.parametrize("softness", [0.25, 0.0])
@pytest.mark.parametrize(
    ("stages", "prefilter", "strength"), [(1, 1.0, 1.0), (2, 0.3, 0.6), (3, 0.0, 1.0), (3, 1.0, 0.5)]
)
def test_modified_clahe_against_scipy(stages: int, prefilter: float, strength: float, softness: float) -> None:
    x = scene()
    settings: dict[str, Any] = {"stages": stages, "prefilter": prefilter, "strength": strength, "softness": softness}
    expected = slow_modified_clahe(x, clahe(x, 6.0), **settings)
    np.testing.assert_allclose(modified_clahe(x, 6.0, **settings)[0], expected, atol=1e-7)


@pytest.mark.parametrize("convention", ["opencv", "matlab"])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_without_strength_it_is_clahe_to_the_last_bit(convention: str, exact: bool, kind: torch.dtype) -> None:
    x = torch.cat([scene(), tensor(ASTRONAUT)]).to(kind)
    limit = 0.3
    expected = clahe(x, limit, (4, 5), convention=convention, exact=exact)
    zero = torch.zeros((), requires_grad=True)
    for stages, strength in ((0, 1.0), (1, 0.0), (3, 0.0), (3, zero)):
        out = modified_clahe(
            x, limit, (4, 5), convention=convention, exact=exact, stages=stages,
            prefilter=strength, strength=strength,
        )  # fmt: skip
        assert torch.equal(out, expected)


def test_each_stage_smooths_and_where_nothing_is_amplified_the_later_ones_do_nothing() -> None:
    x = scene()
    stages = [modified_clahe(x, 6.0, stages=s) for s in range(4)]
    roughness = [(s[..., 1:] - s[..., :-1]).abs().mean().item() for s in stages]
    assert roughness[0] > roughness[1] > roughness[2] > roughness[3]
    psnr = [metrics.psnr(x, s).item() for s in stages]
    assert psnr[0] < psnr[1]  # smoothing alone raises PSNR
    assert torch.allclose(modified_clahe(x, 6.0, stages=3, gain=1e6), stages[1], atol=1e-12)
    assert torch.equal(modified_clahe(x, 6.0, stages=3, gain=1e6, softness=0.0), stages[1])
    assert torch.allclose(modified_clahe(x, 6.0, stages=3, flat=1e-6), stages[1], atol=1e-12)


def test_edges_stay_and_noise_goes() -> None:
    step = torch.where(torch.arange(64) < 32, 0.2, 0.6).expand(1, 64, 64).double()
    noise = 0.01 * torch.randn((1, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = step + noise
    before = clahe(x, 40.0, (2, 2))
    after = modified_clahe(x, 40.0, (2, 2), prefilter=0.0)
    change = (after - before).abs().mean((0, 1))
    assert change[29:35].max() < 0.3 * change[8:24].mean()
    assert after[..., 8:24].std(dim=-2).mean() < 0.5 * before[..., 8:24].std(dim=-2).mean()


def test_modified_clahe_gradient_in_everything_that_can_be_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 7, dtype=torch.float64) ** 4
    x = torch.rand((2, 1, 8, 7), generator=generator, dtype=torch.float64) * 0.02 + 0.3 + 0.3 * ramp
    learned = [torch.tensor(v, dtype=torch.float64) for v in (20.0, 0.6, [0.7, 0.3], 3.0, [1.3, 1.5])]

    def function(x: Tensor, limit: Tensor, prefilter: Tensor, strength: Tensor, flat: Tensor, gain: Tensor) -> Tensor:
        amounts = {"prefilter": prefilter, "strength": strength, "flat": flat, "gain": gain}
        return modified_clahe(x, limit, (2, 2), exact=False, stages=3, window=3, **amounts)

    inputs = [v.requires_grad_() for v in (x, *learned)]
    assert torch.autograd.gradcheck(function, inputs)
    gradients = torch.autograd.grad(function(*inputs).square().sum(), inputs)
    assert all(g.abs().max() > 1e-4 for g in gradients)  # none of them vanishes


def test_gradients_stay_finite_where_a_face_is_black() -> None:
    x = scene().float()
    x[..., :40] = 0
    strength = torch.tensor(0.5, requires_grad=True)
    limit = torch.tensor(6.0, requires_grad=True)
    x.requires_grad_()
    for stages in (1, 2, 3):
        y = modified_clahe(x, limit, stages=stages, prefilter=strength, strength=strength)
        gradients = torch.autograd.grad(y.square().sum(), (x, limit, strength))
        assert all(g.isfinite().all() for g in gradients)
        assert gradients[2] != 0


def test_a_hard_mask_passes_no_gradient_to_the_thresholds() -> None:
    gain = torch.tensor(2.0, requires_grad=True)
    strength = torch.tensor(0.5, requires_grad=True)
    y = modified_clahe(scene(), 6.0, gain=gain, strength=strength, softness=0.0).sum()
    hard = torch.autograd.grad(y, (gain, strength), allow_unused=True)
    assert hard[0] is None
    assert hard[1] != 0
    y = modified_clahe(scene(), 6.0, gain=gain, softness=0.1).sum()
    assert torch.autograd.grad(y, gain)[0] != 0


def test_one_value_per_image() -> None:
    x = torch.stack([scene(), scene(0.1)])
    values = {"prefilter": [0.2, 0.9], "strength": [1.0, 0.4], "flat": [3.0, 2.0], "gain": [2.0, 1.0]}
    together = modified_clahe(x, torch.tensor([6.0, 3.0]), **{k: torch.tensor(v) for k, v in values.items()})
    for i in range(2):
        alone = modified_clahe(x[i], (6.0, 3.0)[i], **{k: v[i] for k, v in values.items()})
        assert torch.allclose(together[i], alone, atol=1e-7)


@pytest.mark.parametrize("luminance_only", [False, True])
def test_a_constant_image_stays_constant(luminance_only: bool) -> None:
    for level in (0.0, 0.3, 1.0):
        y = modified_clahe(torch.full((2, 3, 20, 19), level), stages=3, luminance_only=luminance_only)
        assert y.unique().numel() == 1


@pytest.mark.parametrize("size", [16, 24, 40])
@pytest.mark.parametrize("sigma", [0.7, 0.9])
def test_white_stays_white_whatever_the_rounding_of_the_blur(size: int, sigma: float) -> None:
    x = torch.ones(1, size, size)
    x[:, :2, :2] = 0
    assert modified_clahe(x, 0.0, (1, 1), sigma=sigma).max() <= 1


@pytest.mark.realdata
def test_what_the_stages_do_on_faces_in_the_dark(yaleb_root: Path) -> None:
    x = yaleb.load(yaleb_root).image[::150].float() / 255
    stages = [modified_clahe(x, 2.0, stages=s) for s in range(4)]
    noise = [metrics.noise_amplification(x, y).nanmean().item() for y in stages]
    assert noise[0] > noise[1] > noise[2] > noise[3]
    psnr = [metrics.psnr(x, y).mean().item() for y in stages]
    assert psnr[0] < psnr[1] < psnr[0] + 0.5  # not the 2 to 3 dB of the paper


# Both


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_type_range_and_batch_equals_loop(name: str, kind: torch.dtype) -> None:
    x = torch.stack([scene(), tensor(ASTRONAUT)])
    x = torch.cat([x, 1 - x], dim=1)[None].to(kind)  # (1, 2, 2, H, W)
    before = x.clone()
    y = METHODS[name](x)
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.dtype == kind
    assert y.min() >= 0
    assert y.max() <= 1
    assert not torch.allclose(x, y, atol=0.02)
    for i in range(2):
        for c in range(2):
            alone = METHODS[name](x[0, i, c][None])[0]
            assert torch.allclose(alone, y[0, i, c], atol=1e-2 if kind == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_memory_layout_does_not_matter_and_gradients_do_not_change_the_result(name: str) -> None:
    x = torch.stack([scene(), tensor(ASTRONAUT), scene(0.1)], dim=1).float()  # (1, 3, H, W)
    expected = METHODS[name](x)
    layouts = [x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT, x.clone().requires_grad_()]
    for same in layouts:
        assert torch.allclose(METHODS[name](same), expected, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_luminance_only(name: str) -> None:
    gray = scene()
    x = gray.expand(3, -1, -1)
    assert torch.allclose(METHODS[name](x, luminance_only=True), METHODS[name](gray).expand(3, -1, -1), atol=1e-5)
    color = torch.cat([gray, gray * 0.5, tensor(ASTRONAUT) * 0.3])
    out = METHODS[name](color, luminance_only=True)
    assert not torch.allclose(out, METHODS[name](color), atol=0.02)
    inside = ((out > 0) & (out < 1)).all(0)
    difference = (out - color)[:, inside]
    assert torch.allclose(difference[0], difference[2], atol=1e-6)  # the chroma stays
    with pytest.raises(ValueError, match="luminance_only: expected 3 channels"):
        METHODS[name](torch.rand(2, 16, 16), luminance_only=True)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 23), width=st.integers(8, 23), top=st.integers(0, 255))
def test_values_stay_in_range_for_any_image(seed: int, height: int, width: int, top: int) -> None:
    generator = np.random.default_rng(seed)
    x = torch.from_numpy(generator.integers(0, top + 1, (1, height, width), np.uint8)).float() / 255
    amounts = generator.random(2)
    outs = [
        gbie(x, 0.3 + generator.random(), levels=10 ** (3 * generator.random() - 1), stretch=bool(seed % 2)),
        modified_clahe(x, 50 * generator.random(), (2, 3), stages=3, prefilter=amounts[0], strength=amounts[1]),
    ]
    for y in outs:
        assert y.shape == x.shape
        assert y.isfinite().all()
        assert 0 <= y.min() <= y.max() <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: modified_clahe(x, stages=4), r"stages: expected 0 \(CLAHE alone\), 1, 2 or 3, got 4"),
        (lambda x: modified_clahe(x, window=4), "window: expected an odd whole number of at least 3 pixels, got 4"),
        (lambda x: modified_clahe(x, softness=-0.1), "softness: expected a finite number >= 0"),
        (lambda x: modified_clahe(x, gain=0), "gain: expected a positive"),
        (lambda x: modified_clahe(x, flat=torch.tensor(-1.0)), "flat: expected a positive"),
        (lambda x: modified_clahe(x, sigma=0), "sigma: expected a positive"),
        (lambda x: modified_clahe(x, noise_sigma=float("inf")), "noise_sigma: expected a positive"),
        (lambda x: modified_clahe(x, strength=1.1), r"strength: expected an amount in \[0, 1\], .*got 1.1"),
        (lambda x: modified_clahe(x, prefilter=torch.tensor(-0.1)), r"prefilter: expected an amount in \[0, 1\]"),
        (lambda x: modified_clahe(x, prefilter=-0.1), r"prefilter: expected an amount in \[0, 1\]"),
        (lambda x: modified_clahe(x, prefilter=float("nan")), r"prefilter: expected an amount in \[0, 1\]"),
        (lambda x: modified_clahe(x, strength=torch.ones(3)), "strength: expected a number or one value per image"),
        (lambda x: modified_clahe(x, grid_size=(17, 8)), r"grid_size \(17, 8\) needs an image of at least 17x8"),
        (lambda x: modified_clahe(x, -1.0), "clip_limit"),
        (lambda x: modified_clahe(x, 2.0, convention="matlab"), "clip_limit"),
        (lambda x: gbie(x, 0), "sigma: expected a positive"),
        (lambda x: gbie(x, scale=0.0), "scale: expected a positive"),
        (lambda x: gbie(x, levels=-1.0), "levels: expected a positive"),
    ],
)
def test_bad_settings_are_refused(call: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 1, 16, 16))


def test_compiled_as_one_graph() -> None:
    x = scene().float()
    function = METHODS["modified_clahe, smooth"]
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), function(x), atol=1e-5)
