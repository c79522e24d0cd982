"""Half precision in, half precision out, and float32 on the way; settings without axes of whatever type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from every_enhancer import METHODS, photo
from facelight import augment, detect, enhance, illumination, losses

LIGHT: dict[str, Callable[..., Tensor]] = {
    "darken": lambda x: illumination.darken(x, torch.tensor([3.0, 1.7])),
    "darken, linear": lambda x: illumination.darken(x, 6.0, linear_light=True),
    "relight": lambda x: illumination.relight(x, torch.tensor([0.4, 1.3]), -0.3, gain=1.1, linear_light=True),
    "shade": lambda x: illumination.shade(x, torch.linspace(0, 2, x.shape[-1]), linear_light=True),
    "gamma_correct": lambda x: illumination.gamma_correct(x, torch.tensor([0.4, 2.2])),
    "quantize": illumination.quantize,
    "srgb_to_linear": illumination.srgb_to_linear,
    "linear_to_srgb": illumination.linear_to_srgb,
    "sensor_noise": lambda x: illumination.sensor_noise(x, generator=torch.Generator().manual_seed(0)),
    "to_gray": illumination.to_gray,
    "crop": lambda x: detect.crop(x, torch.tensor([1.0, 2.0, 15.0, 19.0]).expand(*x.shape[:-3], 4), (9, 8)),
}
# One value for each image, which must not be rounded to the type of the image.
PER_IMAGE: dict[str, Callable[..., Tensor]] = {
    "log_stretch": lambda x: enhance.log_stretch(x, torch.tensor([0.0123, 0.34])),
    "multi_scale_retinex": lambda x: enhance.multi_scale_retinex(x, epsilon=torch.tensor([0.0123, 0.34])),
    "log_contrast": lambda x: enhance.log_contrast(x, torch.tensor([0.0123, 0.34])),
    "local_contrast_normalize": lambda x: enhance.local_contrast_normalize(x, epsilon=torch.tensor([0.0123, 0.34])),
    "weberface": lambda x: enhance.weberface(x, epsilon=torch.tensor([0.0123, 0.34])),
}
FUNCTIONS = METHODS | LIGHT | {f"{name}, per image": function for name, function in PER_IMAGE.items()}
half = pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])


@half
@pytest.mark.parametrize("name", FUNCTIONS)
def test_half_precision_is_float32_rounded_at_the_end(name: str, kind: torch.dtype) -> None:
    x = torch.cat([photo(2, 1, 23, 19, seed=i) for i in range(3)], dim=1).to(kind)
    y = FUNCTIONS[name](x)
    assert y.dtype == kind
    assert torch.equal(y, FUNCTIONS[name](x.float()).to(kind))


@half
def test_augmentation_in_half_precision_moves_as_far(kind: torch.dtype) -> None:
    x, landmarks = photo(3, 1, 240, 220).to(kind), torch.rand(3, 68, 2).to(kind)
    results = [
        augment.augment_faces(picture, points, augment.Augmentation(), torch.Generator().manual_seed(3))
        for picture, points in ((x, landmarks), (x.float(), landmarks.float()))
    ]
    for a, b in zip(*results, strict=True):
        assert a.dtype == kind
        assert torch.equal(a, b.to(kind))


@half
@pytest.mark.parametrize(
    "loss", [losses.wing_loss, losses.rectified_wing_loss, losses.adaptive_wing_loss], ids=lambda f: f.__name__
)
def test_losses_in_half_precision(loss: Callable[..., Tensor], kind: torch.dtype) -> None:
    pred = torch.tensor([0.0, 0.25, 0.7, 1.0, 300.0, 60000.0]).to(kind).requires_grad_()
    target = torch.tensor([0.0, 0.25, 0.3, 1.0, 0.0, 0.9]).to(kind)
    value = loss(pred, target, reduction="none")
    precise = loss(pred.detach().float(), target.float(), reduction="none")
    assert torch.equal(value, precise.to(kind))
    value[:5].sum().backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


def test_adaptive_wing_far_away_has_the_slope_of_its_line() -> None:
    """|d|^p overflows there; its derivative, infinite times 0, must not get into the gradient."""
    pred = torch.tensor([1e20, -3e30], requires_grad=True)
    losses.adaptive_wing_loss(pred, torch.zeros(2), reduction="sum").backward()
    near = torch.tensor([5.0, -5.0], requires_grad=True)
    losses.adaptive_wing_loss(near, torch.zeros(2), reduction="sum").backward()
    assert torch.equal(pred.grad, near.grad)


@half
def test_cosines_in_half_precision(kind: torch.dtype) -> None:
    cosines = (2 * torch.rand(5, 4) - 1).to(kind)
    target = torch.tensor([0, 3, 1, 1, 2])
    expected = losses.large_margin_cosine_loss(cosines.float(), target).to(kind)
    assert torch.equal(losses.large_margin_cosine_loss(cosines, target), expected)


# Settings

NEEDED: dict[str, dict[str, float]] = {"gamma": {"gamma": 0.4}, "gamma_correct": {"gamma": 0.4},
    "darken": {"factor": 2.0}, "relight": {"across": 0.3, "down": 0.2}}  # fmt: skip
TAKES_SETTINGS: dict[str, Callable[..., Tensor]] = {
    name: getattr(module, name)
    for module, names in (
        (enhance, [n for n in enhance.__all__ if n.islower() and "clip" not in n]),
        (illumination, ["darken", "relight", "gamma_correct", "sensor_noise"]),
    )
    for name in names
}


def settings_of(name: str) -> dict[str, float]:
    """The settings that are numbers, with values."""
    given: dict[str, Any] = {k: p.default for k, p in inspect.signature(TAKES_SETTINGS[name]).parameters.items()}
    return {k: v for k, v in (given | NEEDED.get(name, {})).items() if isinstance(v, float)}


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", [n for n in TAKES_SETTINGS if settings_of(n)])
def test_a_setting_without_axes_may_be_of_any_type(name: str, kind: torch.dtype) -> None:
    function, x = TAKES_SETTINGS[name], photo(2, 3, 23, 19)
    for setting, number in settings_of(name).items():
        value = torch.tensor(number, dtype=kind)
        results = []
        for same in (value, value.item()):
            torch.manual_seed(0)  # of `sensor_noise`
            results.append(function(x, **NEEDED.get(name, {}) | {setting: same}))
        assert results[0].dtype == x.dtype
        gap = (results[0] - results[1]).abs()
        gap = torch.minimum(gap, 1 - gap) if name == "gradientface" else gap  # an angle: 0 and 1 are the same
        assert gap.max() < 2e-6, setting
