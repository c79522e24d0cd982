"""Darkening, light from a side, shade, sRGB, luma, rounding, gamma and sensor noise; functions and modules."""

import inspect

import cv2
import kornia
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2

from facelight.illumination import (
    Darken,
    Relight,
    SensorNoise,
    darken,
    gamma_correct,
    linear_to_srgb,
    quantize,
    relight,
    sensor_noise,
    shade,
    srgb_to_linear,
    to_gray,
)

EIGHT_BIT = (torch.arange(256) / 255).view(1, 1, 16, 16)


def light(*shape, dtype=torch.float64, low=0.05, high=0.95):
    return low + (high - low) * torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def srgb_by_hand(value):
    """The standard's encoding of one linear value, scalar and slow."""
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


# sRGB


def test_srgb_encoding_against_a_scalar_version():
    x = torch.linspace(0, 1, 1001, dtype=torch.float64).view(1, 1, -1)
    np.testing.assert_allclose(linear_to_srgb(x).flatten(), [srgb_by_hand(v) for v in x.flatten().tolist()], atol=1e-12)


def test_srgb_decoding_against_known_values():
    x = torch.tensor([[[0.0, 0.04045, 0.5, 1.0]]], dtype=torch.float64)
    expected = torch.tensor([[[0.0, 0.04045 / 12.92, 0.21404114, 1.0]]], dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(x), expected, atol=1e-8, rtol=0)


def test_srgb_round_trip_of_every_8_bit_level():
    assert torch.equal((linear_to_srgb(srgb_to_linear(EIGHT_BIT)) * 255).round(), EIGHT_BIT * 255)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_srgb_gradients(function):
    assert torch.autograd.gradcheck(function, (light(2, 3, 4, 4).requires_grad_(),))
    x = torch.zeros(1, 1, 1, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    slope = 1 / 12.92 if function is srgb_to_linear else 12.92
    assert x.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_srgb_of_any_number_of_channels_and_in_half_precision(function, channels):
    x = light(2, channels, 5, 4, dtype=torch.float32)
    expected = torch.cat([function(one.expand(2, 3, 5, 4))[:, :1] for one in x.split(1, 1)], 1)
    torch.testing.assert_close(function(x), expected)
    assert torch.equal(function(x.half()), function(x.half().float()).half())  # one rounding, at the end


def test_srgb_compiles_in_one_graph():
    x = light(2, 1, 4, 4, dtype=torch.float32)
    for function in (srgb_to_linear, linear_to_srgb):
        torch.testing.assert_close(torch.compile(function, backend="aot_eager", fullgraph=True)(x), function(x))


# to_gray


def test_gray_is_luma():
    levels = torch.randint(256, (3, 40, 50), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    gray = to_gray(levels / 255)
    expected = cv2.cvtColor(np.ascontiguousarray(levels.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    assert np.abs(255 * gray[0].numpy() - expected).max() <= 0.51
    torch.testing.assert_close(gray, kornia.color.rgb_to_grayscale(levels / 255))
    assert to_gray(gray) is gray
    assert to_gray(torch.ones(2, 3, 4, 4)).max() <= 1
    assert torch.autograd.gradcheck(to_gray, (light(2, 3, 3, 3).requires_grad_(),))


# quantize


def test_quantize_gives_exact_levels_and_is_idempotent():
    x = light(2, 3, 8, 8, dtype=torch.float32)
    y = quantize(x)
    assert torch.equal(y, (x * 255).round() / 255)
    assert torch.equal(quantize(y), y)
    assert torch.equal(quantize(x, 2), (x > 0.5).float())
    assert (y - x).abs().max() <= 0.5 / 255 + 1e-7


def test_quantize_passes_the_gradient_straight_through():
    x = light(1, 3, 4, 4).requires_grad_()
    weight = light(1, 3, 4, 4)
    (quantize(x) * weight).sum().backward()
    assert torch.equal(x.grad, weight)


# darken


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
def test_darken_equals_8_bit_integer_arithmetic(factor):
    levels = np.arange(256)
    y = (darken(EIGHT_BIT, factor) * 255).flatten().numpy()
    np.testing.assert_allclose(y, y.round(), atol=1e-4)
    no_tie = levels % factor != factor / 2  # a half may go either way in floating point
    np.testing.assert_array_equal(y.round()[no_tie], np.floor(levels / factor + 0.5)[no_tie])
    assert np.abs(y - levels / factor).max() <= 0.5 + 1e-4


def test_darken_by_six_leaves_43_levels():
    assert len(darken(EIGHT_BIT, 6).unique()) == 43


def test_darken_in_linear_light_by_hand():
    x = torch.tensor([[[1.0, 0.5, 0.02]]], dtype=torch.float64)
    expected = [srgb_by_hand(v / 6) for v in (1.0, ((0.5 + 0.055) / 1.055) ** 2.4, 0.02 / 12.92)]
    y = darken(x, 6, quantize=False, linear_light=True)
    np.testing.assert_allclose(y.flatten(), expected, rtol=1e-10)
    assert y[0, 0, 0] > 2 * darken(x, 6, quantize=False)[0, 0, 0]  # division of sRGB values is much darker


def test_darken_factor_one_is_the_identity_and_below_one_saturates():
    x = light(1, 3, 4, 4)
    torch.testing.assert_close(darken(x, 1, quantize=False), x)
    torch.testing.assert_close(darken(x, 1, quantize=False, linear_light=True), x)
    bright = x.clone().requires_grad_()
    y = darken(bright, 0.5, quantize=False)
    torch.testing.assert_close(y, (2 * x).clamp(max=1))
    y.sum().backward()
    torch.testing.assert_close(bright.grad, torch.where(2 * x < 1, 2.0, 0.0).double())


@pytest.mark.parametrize("linear_light", [False, True])
def test_darken_gradcheck_in_image_and_factor(linear_light):
    x, factor = light(2, 3, 3, 3).requires_grad_(), torch.tensor([2.0, 6.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, k: darken(x, k, quantize=False, linear_light=linear_light), (x, factor))
    darken(x, factor, linear_light=linear_light).sum().backward()  # and straight through the rounding
    assert x.grad.min() > 0
    assert factor.grad.max() < 0


@pytest.mark.parametrize("function", [darken, gamma_correct])
def test_one_value_per_image_equals_a_loop(function):
    x = light(4, 3, 5, 5, dtype=torch.float32)
    values = torch.tensor([0.5, 1.0, 2.0, 6.0])
    expected = torch.stack([function(one, value.item()) for one, value in zip(x, values, strict=True)])
    torch.testing.assert_close(function(x, values), expected)
    stacked = function(x.view(2, 2, 3, 5, 5), values.view(2, 2))
    torch.testing.assert_close(stacked, expected.view(2, 2, 3, 5, 5))


@given(st.floats(1, 20), st.booleans(), st.booleans())
def test_darken_never_brightens_and_keeps_order(factor, rounded, linear_light):
    y = darken(EIGHT_BIT, factor, quantize=rounded, linear_light=linear_light).flatten()
    assert (y <= EIGHT_BIT.flatten() + 1e-6).all()
    assert (y.diff() >= 0).all()
    assert y.min() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_are_kept_and_the_input_untouched(dtype):
    x = light(2, 3, 6, 4, dtype=torch.float32).to(dtype)
    before = x.clone()
    for y in (darken(x, torch.tensor([2.0, 3.0], dtype=torch.float64)), gamma_correct(x, 2.0), sensor_noise(x),
              quantize(x), linear_to_srgb(x), relight(x, torch.tensor([0.5, -1.0], dtype=torch.float64), 0.2),
              relight(x, 0.3, 0, gain=2, linear_light=True)):  # fmt: skip
        assert y.shape == x.shape
        assert y.dtype == dtype
    assert torch.equal(x, before)


def test_darken_compiles_in_one_graph():
    x = light(2, 3, 4, 4, dtype=torch.float32)
    compiled = torch.compile(darken, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, 3.0, linear_light=True), darken(x, 3.0, linear_light=True))


# relight


def test_relight_by_hand():
    x = torch.full((1, 3, 5), 0.08, dtype=torch.float64)
    y = relight(x, across=np.log(4), down=np.log(3), gain=2.0)
    expected = 0.08 * 2 * np.array([[1 / 3], [1.0], [3.0]]) * np.array([1 / 4, 1 / 2, 1.0, 2.0, 4.0])
    assert (expected > 1).sum() == 1  # three times four times 0.16
    np.testing.assert_allclose(y[0], expected.clip(max=1), rtol=1e-12)
    x = torch.tensor([[[0.3, 0.6, 0.0], [0.9, 0.2, 1.0]]], dtype=torch.float64)
    expected = [[0.6 / np.e, 1.0, 0.0], [0.9 * 2 * np.exp(-2 / 3 - 1) * np.exp(2 / 3), 0.4, 1.0]]
    np.testing.assert_allclose(relight(x, 1, 0, gain=2)[0], expected, rtol=1e-12)


def test_relight_in_linear_light_by_hand():
    x = torch.tensor([[[0.5, 0.02, 0.9]]], dtype=torch.float64)
    light = [((0.5 + 0.055) / 1.055) ** 2.4 / 2 * 1.5, 0.02 / 12.92 * 1.5, 1.0]
    y = relight(x, np.log(2), 0, gain=1.5, linear_light=True)
    np.testing.assert_allclose(y.flatten(), [srgb_by_hand(v) for v in light], rtol=1e-10)


def test_relight_leaves_a_picture_under_even_light_and_one_pixel_has_no_side():
    x = light(2, 3, 4, 5)
    assert torch.equal(relight(x, 0, 0), x)
    torch.testing.assert_close(relight(x, 0.0, 0.0, linear_light=True), x)
    torch.testing.assert_close(relight(x, 0.0, 0.0, gain=0.5), darken(x, 2, quantize=False))
    row, column = x[..., :1, :], x[..., :1]
    torch.testing.assert_close(relight(row, 0.0, 3.0), row)
    torch.testing.assert_close(relight(column, 3.0, 0.0), column)
    assert not torch.equal(relight(row, 0.1, 0.0), row)


@pytest.mark.parametrize("linear_light", [False, True])
def test_relight_per_image_equals_a_loop(linear_light):
    x = light(4, 3, 5, 6, dtype=torch.float32)
    across, down, gain = (torch.tensor(v) for v in ([0.5, -1.0, 0.0, 2.0], [0.0, 0.3, -0.7, 1.0], [0.5, 1.0, 3.0, 0.2]))
    values = zip(x, across.tolist(), down.tolist(), gain.tolist(), strict=True)
    expected = torch.stack([relight(one, a, d, gain=g, linear_light=linear_light) for one, a, d, g in values])
    torch.testing.assert_close(relight(x, across, down, gain=gain, linear_light=linear_light), expected)
    a, d, g = (value.view(2, 2) for value in (across, down, gain))
    stacked = relight(x.view(2, 2, 3, 5, 6), a, d, gain=g, linear_light=linear_light)
    torch.testing.assert_close(stacked, expected.view(2, 2, 3, 5, 6))
    mixed = relight(x, across, 0.3, gain=gain, linear_light=linear_light)  # a number beside tensors
    torch.testing.assert_close(mixed[1], expected[1])


@given(*[st.floats(-1, 1)] * 4, st.floats(0.2, 2), st.floats(0.2, 2))
def test_two_lights_multiply_to_a_third(a, b, c, d, one, other):
    x = 0.004 * light(1, 1, 6, 7)  # at most 0.0038 * 4 e^4 = 0.83: nothing clips
    both = relight(relight(x, a, b, gain=one), c, d, gain=other)
    torch.testing.assert_close(both, relight(x, a + c, b + d, gain=one * other))


@given(st.floats(-3, 3), st.floats(-3, 3), st.booleans())
def test_relight_from_the_other_side_is_the_mirrored_picture(across, down, linear_light):
    x = light(1, 3, 5, 4)
    y = relight(x, across, down, linear_light=linear_light)
    assert y.min() >= 0
    assert y.max() <= 1
    torch.testing.assert_close(relight(x.flip(-1), -across, down, linear_light=linear_light), y.flip(-1))
    torch.testing.assert_close(relight(x.flip(-2), across, -down, linear_light=linear_light), y.flip(-2))


@pytest.mark.parametrize("linear_light", [False, True])
def test_relight_gradcheck_in_everything(linear_light):
    x = light(2, 3, 3, 4, high=0.3).requires_grad_()
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.3, -0.5], [0.2, 0.1], [0.8, 1.2])]
    assert torch.autograd.gradcheck(
        lambda x, a, d, g: relight(x, a, d, gain=g, linear_light=linear_light), (x, *values)
    )


@pytest.mark.parametrize("linear_light", [False, True])
def test_relight_clips_with_gradient_zero(linear_light):
    x = torch.tensor([[[0.9, 0.9]]], dtype=torch.float64, requires_grad=True)
    y = relight(x, 1.0, 0.0, linear_light=linear_light)
    assert y[0, 0, 0] < 0.9
    assert y[0, 0, 1].item() == pytest.approx(1)
    y.sum().backward()
    assert x.grad[0, 0, 0] > 0
    assert x.grad[0, 0, 1] == 0


# shade


def test_shade_by_hand():
    x = torch.tensor([[[0.9, 0.6], [0.3, 0.0]]], dtype=torch.float64)
    depth = torch.tensor([[0.0, np.log(6)], [-np.log(2), 9.0]], dtype=torch.float64)
    torch.testing.assert_close(shade(x, depth), torch.tensor([[[0.9, 0.1], [0.6, 0.0]]], dtype=torch.float64))
    assert shade(x, -depth.abs().flip(1)).tolist() == [[[1, 0.6], [1, 0]]]
    in_light = shade(x, depth, linear_light=True)[0, 0, 1]
    assert in_light.item() == pytest.approx(srgb_by_hand(((0.6 + 0.055) / 1.055) ** 2.4 / 6))


@pytest.mark.parametrize("linear_light", [False, True])
def test_shade_is_darken_where_it_is_even_and_relight_where_it_is_a_plane(linear_light):
    x = light(3, 3, 5, 6)
    even = torch.tensor([0.1, 0.7, -0.4], dtype=torch.float64)
    expected = darken(x, even.exp(), quantize=False, linear_light=linear_light)
    torch.testing.assert_close(shade(x, even.view(3, 1, 1, 1), linear_light=linear_light), expected)
    plane = -(0.3 * torch.linspace(-1, 1, 6) - 0.5 * torch.linspace(-1, 1, 5)[:, None]).double()
    torch.testing.assert_close(
        shade(x, plane, linear_light=linear_light), relight(x, 0.3, -0.5, linear_light=linear_light), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("linear_light", [False, True])
def test_shade_gradcheck(linear_light):
    x, depth = light(2, 3, 3, 4, high=0.4).requires_grad_(), light(2, 1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, d: shade(x, d, linear_light=linear_light), (x, depth))


# modules


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (Darken(6.0), lambda x: darken(x, 6.0)),
        (Darken(3, quantize=False, linear_light=True), lambda x: darken(x, 3, quantize=False, linear_light=True)),
        (Relight(0.5, -0.2, gain=0.8), lambda x: relight(x, 0.5, -0.2, gain=0.8)),
        (SensorNoise(photons=300.0), lambda x: sensor_noise(x, photons=300.0)),
    ],
    ids=["darken", "darken linear light", "relight", "noise"],
)
def test_modules_in_sequences_graphs_and_samples(module, function):
    x = light(2, 3, 6, 5, dtype=torch.float32)
    chain = torch.nn.Sequential(module, torch.nn.Identity())

    def seeded(call, *args):
        torch.manual_seed(0)
        return call(*args)

    expected = seeded(function, x)
    assert torch.equal(seeded(chain, x), expected)
    graph = torch.fx.symbolic_trace(chain)
    assert "call_module" in {node.op for node in graph.graph.nodes}
    assert torch.equal(seeded(graph, x), expected)
    assert torch.equal(seeded(kornia.augmentation.AugmentationSequential(module), x), expected)
    sample = {"image": tv_tensors.Image(x[0]), "landmarks": torch.rand(68, 2), "label": 3}
    out = seeded(v2.Compose([chain]), sample)
    assert type(out["image"]) is tv_tensors.Image
    assert torch.equal(out["image"].as_subclass(torch.Tensor), seeded(function, x[0]))
    assert out["landmarks"] is sample["landmarks"]
    assert out["label"] == 3


def test_a_module_shows_its_settings_and_learns_those_that_are_parameters():
    module = Relight(torch.nn.Parameter(torch.tensor(0.1)), torch.tensor(0.2))
    assert list(dict(module.named_parameters())) == ["across"]
    assert list(dict(module.named_buffers())) == ["down"]
    module(light(1, 1, 3, 4, dtype=torch.float32)).sum().backward()
    assert module.across.grad.abs() > 0
    assert repr(Darken(2.0)) == "Darken(factor=2.0, quantize=True, linear_light=False)"
    assert list(inspect.signature(SensorNoise).parameters) == ["photons", "read", "generator"]
    with pytest.raises(TypeError, match="missing a required argument: 'factor'"):
        Darken()


# gamma_correct


@pytest.mark.parametrize("gamma", [0.4, 1.0, 2.2])
def test_gamma_correct_values_and_gradcheck(gamma):
    x = light(2, 1, 3, 3).requires_grad_()
    np.testing.assert_allclose(gamma_correct(x, gamma).detach(), x.detach().numpy() ** gamma)
    exponent = torch.tensor([gamma, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gamma_correct, (x, exponent))


@pytest.mark.parametrize(("gamma", "slope"), [(0.4, 0.0), (1.0, 1.0), (2.2, 0.0)])
def test_gamma_correct_at_black(gamma, slope):
    x = torch.zeros(1, 1, 1, dtype=torch.float64, requires_grad=True)
    exponent = torch.tensor([gamma], dtype=torch.float64, requires_grad=True)
    for value in (gamma, exponent[0]):
        x.grad = None
        y = gamma_correct(x, value)
        y.sum().backward()
        assert y.item() == 0
        assert x.grad.item() == slope
    assert exponent.grad.item() == 0


# sensor_noise


def test_noise_has_the_mean_and_variance_of_poisson_plus_gauss():
    photons, read, value = 200.0, 3.0, 0.6
    x = torch.full((1, 1, 400, 400), value, dtype=torch.float64)
    noisy = srgb_to_linear(sensor_noise(x, photons=photons, read=read, generator=torch.Generator().manual_seed(1)))
    electrons = srgb_to_linear(x[:, :, :1, :1]).item() * photons
    rng = np.random.default_rng(0)
    exact = (rng.poisson(electrons, 160_000) + rng.normal(0, read, 160_000)) / photons
    assert noisy.mean().item() == pytest.approx(exact.mean(), rel=2e-3)
    assert noisy.std().item() == pytest.approx(exact.std(), rel=0.01)


def test_noise_relative_to_the_light_grows_in_the_dark():
    x = light(1, 1, 100, 100, low=0.5)
    generator = torch.Generator().manual_seed(0)
    ratios = []
    for image in (x, darken(x, 6, quantize=False, linear_light=True)):
        clean = srgb_to_linear(image)
        ratios.append(((srgb_to_linear(sensor_noise(image, generator=generator)) - clean) / clean).std())
    assert 2 < ratios[1] / ratios[0] < 4  # shot noise alone: sqrt(6) = 2.45


def test_noise_is_seeded_and_vanishes_with_many_photons():
    x = light(2, 3, 8, 8)
    make = lambda seed, **kw: sensor_noise(x, generator=torch.Generator().manual_seed(seed), **kw)  # noqa: E731
    assert torch.equal(make(0), make(0))
    assert not torch.equal(make(0), make(1))
    torch.testing.assert_close(make(0, photons=1e14, read=0.0), x, atol=1e-5, rtol=0)
    state = torch.get_rng_state()
    make(3)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone


def test_noise_per_image_parameters():
    x = torch.full((2, 1, 64, 64), 0.5)
    y = sensor_noise(x, photons=torch.tensor([1e2, 1e6]), read=torch.tensor([5.0, 0.0]))
    assert y[0].std() > 50 * y[1].std()


def test_noise_gradcheck_and_finite_gradient_at_black():
    def noisy(x, photons, read):
        return sensor_noise(x, photons=photons, read=read, generator=torch.Generator().manual_seed(0))

    x = light(2, 1, 3, 3, low=0.3, high=0.7).requires_grad_()
    photons = torch.tensor([500.0, 2000.0], dtype=torch.float64, requires_grad=True)
    read = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(noisy, (x, photons, read))
    for dtype in (torch.float32, torch.float64):
        black = torch.zeros(1, 1, 8, 8, dtype=dtype, requires_grad=True)
        noisy(black, 100.0, 0.0).sum().backward()
        assert black.grad.isfinite().all()


# errors

IMAGE = torch.full((2, 3, 4, 4), 0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: darken(IMAGE, 0), ValueError, "factor: expected a positive finite number, got 0"),
        (lambda: darken(IMAGE, torch.tensor([1.0, -1.0])), ValueError, "factor: expected a positive"),
        (lambda: darken(IMAGE, torch.ones(3)), ValueError, r"factor: .*shape \(2,\), got shape \(3,\)"),
        (lambda: darken(IMAGE * 255, 2), ValueError, r"values in \[0, 1\], got \[127.5, 127.5\].*divide"),
        (lambda: darken(IMAGE.byte(), 2), TypeError, "got torch.uint8: divide 8-bit images by 255"),
        (lambda: darken(IMAGE[0, 0], 2), ValueError, r"expected shape \(\*, C, H, W\)"),
        (lambda: darken(IMAGE * float("nan"), 2), ValueError, "contains NaN"),
        (lambda: darken(IMAGE.numpy(), 2), TypeError, "expected a torch.Tensor .*got ndarray"),
        (lambda: relight(IMAGE * 255, 0, 0), ValueError, r"values in \[0, 1\], got \[127.5, 127.5\].*divide"),
        (lambda: relight(IMAGE.byte(), 0, 0), TypeError, "got torch.uint8: divide 8-bit images by 255"),
        (lambda: relight(IMAGE[0, 0], 0, 0), ValueError, r"expected shape \(\*, C, H, W\)"),
        (lambda: relight(IMAGE, 0, 0, gain=0), ValueError, "gain: expected a positive finite number, got 0"),
        (lambda: relight(IMAGE, 0, 0, gain=torch.tensor([1.0, -1.0])), ValueError, "gain: expected a positive"),
        (lambda: relight(IMAGE, torch.ones(3), 0), ValueError, r"across: .*shape \(2,\), got shape \(3,\)"),
        (lambda: relight(IMAGE, 0, torch.ones(3)), ValueError, r"down: .*shape \(2,\), got shape \(3,\)"),
        (lambda: relight(IMAGE, 0, 0, gain=torch.ones(3)), ValueError, r"gain: .*shape \(2,\), got shape \(3,\)"),
        (
            lambda: shade(IMAGE * 255, torch.zeros(4, 4)),
            ValueError,
            r"values in \[0, 1\], got \[127.5, 127.5\].*divide",
        ),
        (
            lambda: shade(IMAGE, torch.zeros(2, 4, 4)),
            ValueError,
            r"depth: .*broadcasts to \(2, 3, 4, 4\), got \(2, 4, 4\)",
        ),
        (lambda: shade(IMAGE[0], torch.zeros(1, 1, 4, 4)), ValueError, "depth: expected a shape that broadcasts to"),
        (lambda: shade(IMAGE, torch.full((4, 4), float("inf"))), ValueError, "depth: expected finite values"),
        (lambda: shade(IMAGE, torch.zeros(4, 4).long()), TypeError, "depth: expected a floating-point tensor"),
        (lambda: to_gray(IMAGE[:, :2]), ValueError, "expected 1 or 3 channels"),
        (lambda: gamma_correct(IMAGE, -1.0), ValueError, "gamma: expected a positive"),
        (lambda: quantize(IMAGE, 1), ValueError, "levels: expected at least 2, got 1"),
        (lambda: sensor_noise(IMAGE, photons=0), ValueError, "photons: expected a positive"),
        (lambda: sensor_noise(IMAGE, read=-1), ValueError, "read: expected electrons >= 0, finite, got -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_relight_refuses_slopes_that_are_not_finite_and_keeps_black_in_any_light():
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="expected finite slopes"):
        relight(x, float("nan"), 0.0)
    with pytest.raises(ValueError, match="expected finite slopes"):
        relight(x, 0.0, torch.tensor([float("inf")]))
    assert torch.equal(relight(x, 500.0, 0.0), x)
