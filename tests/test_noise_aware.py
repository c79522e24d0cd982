"""First layers that know the camera's noise: limits, values by hand, gradients, and what noise does to them."""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from facelight import illumination, models
from facelight.layers import ContrastNorm2d, NoiseAware, light_stem
from facelight.layers.noise import CONTRAST, REMEDIES, NoiseLevel, Shrunk

every_remedy = pytest.mark.parametrize("remedy", REMEDIES)
every_unit = pytest.mark.parametrize("unit", [None, "local mean"])
Aware = partial(NoiseAware, 1000.0, 2.0)


def picture(seed: int = 0, size: int = 40, count: int = 2) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def stem(unit: str | None, noise: NoiseAware | None) -> nn.Module:
    torch.manual_seed(0)
    return light_stem(nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False), unit=unit, noise=noise, first="")


@every_remedy
@every_unit
def test_without_noise_it_is_the_layer_without_it(remedy: str, unit: str | None) -> None:
    x = picture() / 4
    plain, aware = stem(unit, None), stem(unit, NoiseAware(math.inf, 0.0, remedy))
    assert torch.allclose(aware(x), plain(x), atol=2e-4)
    many = stem(unit, NoiseAware(1e12, 0.0, remedy))(x)
    assert torch.allclose(many, plain(x), atol=2e-2)
    assert not torch.allclose(stem(unit, Aware(remedy))(x), plain(x), atol=2e-2)


@every_remedy
@every_unit
def test_shapes_dtypes_and_black(remedy: str, unit: str | None) -> None:
    layer = stem(unit, Aware(remedy))
    assert layer(picture(size=33)).shape == (2, 8, 17, 17)
    assert layer(torch.zeros(1, 3, 40, 40)).abs().max() < 1e-4
    assert layer(torch.ones(1, 3, 40, 40)).isfinite().all()
    x = picture()
    assert torch.allclose(torch.cat([layer(one[None]) for one in x]), layer(x), atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).isfinite().all()


@every_remedy
@every_unit
def test_gradients(remedy: str, unit: str | None) -> None:
    layer = stem(unit, Aware(remedy)).double()
    x = (0.05 + 0.9 * picture(size=17, count=1).double()).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)
    weight = next(p for name, p in layer.named_parameters() if name.endswith("weight"))
    layer(torch.cat([x.detach(), torch.zeros_like(x)])).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    dark = torch.zeros(1, 3, 17, 17, dtype=torch.float64, requires_grad=True)
    layer(dark).sum().backward()
    assert dark.grad is not None
    assert dark.grad.isfinite().all()


@every_remedy
@every_unit
def test_dark_noise_is_amplified_less(remedy: str, unit: str | None) -> None:
    """A smooth picture in a twelfth of the gray levels: how much of the output is noise."""
    u = torch.linspace(0, 6, 64)
    x = (0.5 + 0.3 * torch.sin(u) * torch.cos(u[:, None])).expand(4, 3, 64, 64) / 12
    noisy = illumination.sensor_noise(x, photons=1000.0, read=2.0, generator=torch.Generator().manual_seed(0))
    plain, aware = stem(unit, None), stem(unit, NoiseAware(1000.0, 2.0, remedy, strength=2.0))
    if remedy != "shrunk":  # contrast normalization would make up for a smaller slope
        plain, aware = cast(nn.Sequential, plain)[:-1], cast(nn.Sequential, aware)[:-1]
    noise = [(layer(noisy) - layer(x)).std().item() for layer in (plain, aware)]
    assert noise[1] < 0.8 * noise[0]


def test_the_variance_is_that_of_a_camera() -> None:
    for value in (0.02, 0.1, 0.5, 0.9):
        x = torch.full((1, 3, 256, 256), value)
        seen = illumination.sensor_noise(x, photons=4000.0, read=2.0, generator=torch.Generator().manual_seed(0))
        expected = NoiseAware(4000.0, 2.0).variance(x[:, :, :1, :1]).sqrt().mean().item()
        assert (seen - value).std().item() == pytest.approx(expected, rel=0.1)


def test_levels_by_hand() -> None:
    x = torch.full((1, 3, 20, 20), 0.25, dtype=torch.float64)
    deviation = Aware().variance(x[..., :1, :1]).sqrt().mean().item()
    unit = 1 / 255
    found = [
        NoiseLevel(Aware(remedy, k), unit)(x).mean().item() for remedy, k in (("level", 3.0), ("ideal level", 1.0))
    ]
    added = (3 * deviation, deviation**2 / (CONTRAST**2 * 0.25))
    assert found == pytest.approx([0.25 / (1 + a / unit) for a in added], rel=3e-3)
    assert [math.log1p(value / unit) for value in found] == pytest.approx(
        [math.log1p(0.25 / (unit + a)) for a in added], rel=3e-3
    )
    local = NoiseLevel(Aware("level", 3.0), None)(x).mean().item()
    assert local == pytest.approx(0.45 * 0.25 / (0.25 + 3 * deviation), rel=2e-3)


def test_the_offset_of_anscombe_by_hand() -> None:
    x = torch.tensor([0.0, 0.1, 1.0], dtype=torch.float64).view(3, 1, 1, 1).expand(3, 3, 16, 16)
    found = NoiseLevel(Aware("anscombe"), 1 / 255)(x)[:, 0, 0, 0].tolist()
    offset = (3 / 8 + 4) / 1000

    def encode(light: float) -> float:
        return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055

    light = ((0.1 + 0.055) / 1.055) ** 2.4
    expected = [encode((v + offset) / (1 + offset)) for v in (0.0, light, 1.0)]
    assert found == pytest.approx(expected, abs=1e-4)


def test_pooling_keeps_edges_in_the_light_and_smooths_the_dark() -> None:
    edge = torch.where(torch.arange(48) < 24, 0.3, 0.9).expand(1, 3, 48, 48)
    layer = NoiseLevel(Aware("pooled"), 1 / 255)
    assert (layer(edge) - edge).abs().max() < 0.05
    dark = torch.full((1, 3, 48, 48), 0.04)
    noisy = illumination.sensor_noise(dark, generator=torch.Generator().manual_seed(0))
    assert layer(noisy).std() < 0.6 * noisy.std()


def test_shrinking_is_contrast_normalization_with_a_higher_floor() -> None:
    conv = stem(None, None)[0]
    x = torch.full((1, 3, 40, 40), 0.2) + 0.02 * picture(count=1)
    layer = Shrunk(Aware("shrunk"), 1 / 255, conv, ContrastNorm2d())
    z = conv(x)
    variance = Aware().variance(torch.full((1, 1, 1, 1), 0.21)).item() / (0.21 + 1 / 255) ** 2
    noise = conv.kernel().square().sum((1, 2, 3)).mean().item() * variance
    expected = ContrastNorm2d(floor=math.sqrt(0.03**2 + noise))(z)
    assert torch.allclose(layer(x), expected, rtol=0.02, atol=1e-3)


@every_remedy
def test_it_drops_into_a_network(remedy: str) -> None:
    model = light_stem(models.torchvision_body("resnet18"), unit="local mean", noise=Aware(remedy))
    assert model.eval()(picture(size=64)).shape == (2, 1000)
    assert any(isinstance(m, NoiseLevel | Shrunk) for m in model.modules())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"photons": 0.0}, "expected photons > 0"),
        ({"photons": math.nan}, "expected photons > 0"),
        ({"read": -1.0}, "expected photons > 0 and read >= 0, finite, got 1000.0 and -1.0"),
        ({"read": math.inf}, "expected photons > 0 and read >= 0, finite"),
        ({"strength": 0.0}, "strength"),
        ({"remedy": "hope"}, "remedy: expected one of 'level'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseAware(**settings)  # type: ignore[arg-type]
