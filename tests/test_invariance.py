"""What the light can do to zero-mean kernels on a logarithm: the bounds of the chapter "Beyond", as properties.

L(x) = ln(1 + x / epsilon); z = sum w L(x) with sum w = 0, so that |z(a) - z(b)| <= |w|_1 / 2 times the spread of
L(a) - L(b) over the patch.
"""

from __future__ import annotations

import math

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from facelight import illumination
from facelight.layers import LocalLevel, LogConv2d

gains = st.floats(1 / 25, 4)
epsilons = st.floats(1e-4, 0.2)
seeds = st.integers(0, 10_000)


def layer(epsilon: float, seed: int, size: int = 5, padding: int = 0) -> LogConv2d:
    torch.manual_seed(seed)
    return LogConv2d(
        2, 4, size, padding=padding, padding_mode="replicate", bias=False, epsilon=epsilon, zero_mean=True
    ).double()


def patch(seed: int, low: float = 0.0, size: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return low + (1 - low) * torch.rand((1, 2, size, size), generator=generator, dtype=torch.float64)


def bound(stem: LogConv2d, residue: Tensor) -> Tensor:
    """Half of the kernels' absolute sum, channel by channel, times the spread of the residue there: (1, out, 1, 1)."""
    spread = residue.amax((2, 3)) - residue.amin((2, 3))
    return (0.5 * stem.kernel().abs().sum((2, 3)) * spread).sum(1).view(1, -1, 1, 1)


def moved(stem: LogConv2d, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return (stem(y) - stem(x)).abs()


@settings(max_examples=60, deadline=None)
@given(gains, epsilons, seeds)
def test_a_gain_moves_the_output_by_no_more_than_the_bound(gain: float, epsilon: float, seed: int) -> None:
    """L(c x) - L(x) = ln c + ln((x + epsilon / c) / (x + epsilon)): the first is an offset, the second is bounded."""
    stem, x = layer(epsilon, seed), patch(seed)
    residue = torch.log((x + epsilon / gain) / (x + epsilon))
    assert bool((moved(stem, x, gain * x) <= bound(stem, residue) + 1e-7).all())
    darkest = x.amin((2, 3), keepdim=True)
    simple = abs(1 / gain - 1) * epsilon / (darkest + epsilon * min(1, 1 / gain))  # bounds the residue itself
    assert bool((residue.abs() <= simple + 1e-12).all())


@settings(max_examples=30, deadline=None)
@given(gains, seeds)
def test_the_change_vanishes_with_epsilon(gain: float, seed: int) -> None:
    """Above any smallest light the change falls at least in proportion to epsilon, to nothing."""
    x = patch(seed, low=0.05)
    change = [moved(layer(epsilon, seed), x, gain * x).max().item() for epsilon in (1e-2, 1e-4, 1e-6)]
    scale = layer(1.0, seed).kernel().abs().sum((1, 2, 3)).max().item()
    for epsilon, value in zip((1e-2, 1e-4, 1e-6), change, strict=True):
        assert value <= scale * abs(1 / gain - 1) * epsilon / 0.05 + 1e-7
    assert change[2] < 1e-3


@settings(max_examples=30, deadline=None)
@given(gains, gains, seeds)
def test_a_gain_of_each_channel_is_an_offset_too(red: float, blue: float, seed: int) -> None:
    x = patch(seed, low=0.05)
    cast = torch.tensor([red, blue], dtype=torch.float64).view(2, 1, 1)
    assert moved(layer(1e-6, seed), x, cast * x).max() < 5e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), seeds)
def test_of_a_ramp_the_slope_is_left(across: float, down: float, seed: int) -> None:
    """exp(a u + b v) adds a plane to the logarithm: what is left is the kernel's first moment, and 0 for even ones."""
    stem, x = layer(1e-7, seed), patch(seed, low=0.1)
    u = torch.arange(5, dtype=torch.float64) - 2
    plane = across * u + down * u[:, None]
    with torch.no_grad():
        difference = stem(x * plane.exp()) - stem(x)
        expected = (stem.kernel() * plane).sum((1, 2, 3)).view(1, -1, 1, 1)
    torch.testing.assert_close(difference, expected, rtol=0, atol=1e-3)
    with torch.no_grad():
        stem.weight.copy_((stem.weight + stem.weight.flip(2, 3)) / 2)
        assert (stem(x * plane.exp()) - stem(x)).abs().max() < 1e-3


@settings(max_examples=60, deadline=None)
@given(gains, epsilons, seeds)
def test_rounding_moves_the_output_by_no_more_than_the_bound(gain: float, epsilon: float, seed: int) -> None:
    """Half a gray level, q = 1 / 510, changes L by at most -ln(1 - q / (c x + epsilon))."""
    q = 1 / 510
    assume(epsilon > 1.5 * q)
    stem, x = layer(epsilon, seed), (min(gain, 1.0) * patch(seed)).clamp(max=1)
    most = -torch.log(1 - q / (x + epsilon))
    limit = (stem.kernel().abs() * most).sum((1, 2, 3)).view(1, -1, 1, 1)
    assert bool((moved(stem, x, illumination.quantize(x)) <= limit + 1e-7).all())


def test_noise_is_amplified_by_the_slope() -> None:
    """Of small noise of deviation s, the output has s times the root of the sum of (w / (x + epsilon))^2."""
    stem, x = layer(1 / 255, 3), patch(3)
    generator, s = torch.Generator().manual_seed(0), 1e-5
    noise = s * torch.randn((20_000, 2, 5, 5), generator=generator, dtype=torch.float64)
    with torch.no_grad():
        found = (stem((x + noise).clamp_min(0)) - stem(x)).std(0).flatten()
        expected = s * ((stem.kernel() / (x + 1 / 255)) ** 2).sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)


def test_zero_padding_breaks_what_repeated_pixels_keep() -> None:
    """On a flat picture replicated borders cancel like the middle; zeros leave the part of the kernel inside."""
    x = torch.full((1, 2, 9, 9), 0.5, dtype=torch.float64)
    repeated, zeros = layer(1e-6, 0, padding=2), layer(1e-6, 0, padding=2)
    zeros.padding_mode = "zeros"
    inside = moved(zeros, x, x / 6)[..., 2:-2, 2:-2].max()
    border = moved(zeros, x, x / 6)[..., 0, 0].max()
    assert moved(repeated, x, x / 6).max() < 1e-4
    assert inside < 1e-4 < 0.05 < border


@settings(max_examples=60, deadline=None)
@given(st.floats(1 / 6, 1), epsilons, seeds)
def test_a_factor_of_linear_light_is_an_offset_at_epsilon_0_055(gain: float, epsilon: float, seed: int) -> None:
    """sRGB is 1.055 l^(1 / 2.4) - 0.055 above its straight part: there x + 0.055 gets the factor g = gain^(1 / 2.4).

    With another epsilon ln(1 - (0.055 - epsilon) (1 / g - 1) / (x + epsilon)) is left.
    """
    x, g = patch(seed, low=0.4), gain ** (1 / 2.4)
    dark = illumination.linear_to_srgb(gain * illumination.srgb_to_linear(x))
    assert dark.min() > 0.0405
    torch.testing.assert_close((dark + 0.055) / (x + 0.055), torch.full_like(x, g))
    assert moved(layer(0.055, seed), x, dark).max() < 1e-6
    left = torch.log((dark + epsilon) / (x + epsilon)) - math.log(g)
    torch.testing.assert_close(left, torch.log(1 - (0.055 - epsilon) * (1 / g - 1) / (x + epsilon)))
    stem = layer(epsilon, seed)
    assert bool((moved(stem, x, dark) <= bound(stem, left) + 1e-7).all())


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 3), seeds)
def test_any_light_costs_no_more_than_its_spread_over_the_kernel(depth: float, seed: int) -> None:
    """As epsilon vanishes only the light's logarithm is left; where it is constant over the kernel it costs nothing."""
    stem, x = layer(1e-8, seed), patch(seed, low=0.1)
    field = depth * torch.rand((1, 1, 5, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 2))
    assert bool((moved(stem, x, x * field.exp()) <= bound(stem, field.expand_as(x)) + 1e-5).all())


def test_the_worst_that_rounding_does() -> None:
    """At epsilon = 1 / 255 ln 1.5, to a value just below half a gray level, which becomes black."""
    x = torch.linspace(0, 0.1, 100_001, dtype=torch.float64)[None, None]
    change = (torch.log(1 + 255 * illumination.quantize(x)) - torch.log(1 + 255 * x)).abs()
    assert abs(change.max().item() - math.log(1.5)) < 1e-3
    assert abs(x.flatten()[change.flatten().argmax()].item() - 1 / 510) < 1e-4


def test_local_division_cancels_a_slope_on_symmetric_content_only() -> None:
    """The mean of the window is weighted by what is in it: beside an edge the slope is not quite gone."""
    ramp = torch.exp(0.02 * (torch.arange(31, dtype=torch.float64) - 15)).expand(1, 1, 31, 31)
    flat = torch.full((1, 1, 31, 31), 0.5, dtype=torch.float64)
    edge = flat.clone()
    edge[..., 16:] = 0.1
    local = LocalLevel()
    middle = (..., 15, 15)
    for x, most, least in ((flat, 0.01, 0.0), (edge, 0.1, 0.01)):
        change = (local(x * ramp)[middle] / local(x)[middle]).log().abs().item()
        assert least <= change < most
