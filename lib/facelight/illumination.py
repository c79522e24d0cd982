"""Changing the light of an image: `darken`, `relight`, `sensor_noise` and others. Undoing it belongs to `enhance`."""

from __future__ import annotations

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node


@one_node
def srgb_to_linear(x: Tensor) -> Tensor:
    """Decode sRGB values to linear light: x / 12.92 up to 0.04045, ((x + 0.055) / 1.055)^2.4 above.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].

    Returns:
        Linear light in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, or values outside [0, 1].

    >>> srgb_to_linear(torch.tensor([[[0.5]]]))  # half the gray level is a fifth of the light
    tensor([[[0.2140]]])

    Source: IEC 61966-2-1:1999.
    """
    x = _check.images(x)
    return _decode(_check.precise(x)).to(x.dtype)


@one_node
def linear_to_srgb(x: Tensor) -> Tensor:
    """Encode linear light as sRGB values: 12.92 x up to 0.0031308, 1.055 x^(1/2.4) - 0.055 above.

    Args:
        x: linear light (*, C, H, W), float in [0, 1].

    Returns:
        sRGB values in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, or values outside [0, 1].

    >>> linear_to_srgb(torch.tensor([[[0.5]]]))
    tensor([[[0.7354]]])

    Source: IEC 61966-2-1:1999.
    """
    x = _check.images(x)
    return _encode(_check.precise(x)).to(x.dtype)


@one_node
def quantize(x: Tensor, levels: int = 256) -> Tensor:
    """Round to equally spaced levels; the gradient passes straight through, as if nothing had been rounded.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        levels: number of levels, 0 and 1 included; 256 is 8-bit storage.

    Returns:
        Multiples of 1 / (levels - 1) in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape, values outside [0, 1], or fewer than two levels.

    >>> quantize(torch.tensor([[[0.2, 0.7]]]), levels=3)
    tensor([[[0.0000, 0.5000]]])

    Source: straight-through gradient: Bengio, Léonard, Courville (2013), arXiv:1308.3432.
    """
    x = _check.images(x)
    if levels < 2:
        raise ValueError(f"levels: expected at least 2, got {levels}: 256 is 8-bit storage")
    return _round(_check.precise(x), levels).to(x.dtype)


@one_node
def darken(x: Tensor, factor: float | Tensor, *, quantize: bool = True, linear_light: bool = False) -> Tensor:
    """Divide the light of an image by a factor: `x / factor`, the paper's way of darkening.

    Divided sRGB values are not divided light: by the sRGB curve, 1/3 and 1/6 of the value of white are about 1/11 and
    1/42 of its light. `linear_light=True` divides the light and encodes the result again. Rounding to
    8 bits, as storing the dark image would, leaves about 256 / factor levels.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].
        factor: > 0, one number, or one per image: shape (B,) for x: (B, C, H, W). Below 1 it brightens, and what
            exceeds 1 is clipped to 1, with gradient 0.
        quantize: round the result to 256 levels, with a straight-through gradient.
        linear_light: divide linear light instead of sRGB values.

    Returns:
        sRGB images in [0, 1], same shape and dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, factor not positive or not one per image.

    >>> darken(torch.tensor([[[1.0, 0.5]]]), 2, quantize=False)
    tensor([[[0.5000, 0.2500]]])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), Table 1, doi:10.31649/1681-7893-2026-51-1-108-116.
    Differs from the paper: it states neither the space nor the rounding; both are choices here.
    """
    x = _check.images(x)
    _check.positive(factor, "factor")
    factor = _check.per_image(factor, x, "factor")
    y = _check.precise(x)
    y = ((_decode(y) if linear_light else y) / factor).clamp(max=1)
    y = _encode(y) if linear_light else y
    return (_round(y, 256) if quantize else y).to(x.dtype)


@one_node
def relight(
    x: Tensor, across: float | Tensor, down: float | Tensor, *, gain: float | Tensor = 1.0, linear_light: bool = False
) -> Tensor:
    """Multiply an image by a light that grows exponentially from one side to the other.

        y = min(1, gain * exp(across * u + down * v) * x),    u, v in [-1, 1] from left to right and from top to bottom

    It is the smoothest positive light with a given direction: its logarithm is a plane, so any two of them multiply to
    a third. Shadows and the shape of the face are not in it; a rendered face (`data.synthetic`) has both.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].
        across: slope of the logarithm of the light, per half width; ln 2 doubles it from the middle to the right edge.
            One number, or one per image: shape (B,) for x: (B, C, H, W).
        down: the same per half height, towards the bottom.
        gain: > 0, of the light in the middle.
        linear_light: multiply linear light instead of sRGB values.

    Returns:
        sRGB images in [0, 1], same shape and dtype; what exceeds 1 is clipped, with gradient 0.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, gain not positive, a slope that is not finite, or one of them not one per
            image.

    >>> relight(torch.full((1, 1, 3), 0.2), across=0.6931, down=0.0)
    tensor([[[0.1000, 0.2000, 0.4000]]])
    """
    x = _check.images(x)
    _check.positive(gain, "gain")
    y = _check.precise(x)
    across, down, gain = (
        torch.as_tensor(_check.per_image(value, x, name), dtype=y.dtype, device=y.device)
        for value, name in ((across, "across"), (down, "down"), (gain, "gain"))
    )
    if not _check.all_true(across.isfinite()) or not _check.all_true(down.isfinite()):
        raise ValueError(f"across, down: expected finite slopes, got {across} and {down}")
    height, width = x.shape[-2:]
    u = torch.linspace(-1, 1, width, dtype=y.dtype, device=y.device) if width > 1 else y.new_zeros(1)
    v = torch.linspace(-1, 1, height, dtype=y.dtype, device=y.device) if height > 1 else y.new_zeros(1)
    light = (gain * torch.exp(across * u + down * v[:, None])).clamp(max=torch.finfo(y.dtype).max)  # black stays black
    y = ((_decode(y) if linear_light else y) * light).clamp(max=1)
    return (_encode(y) if linear_light else y).to(x.dtype)


@one_node
def gamma_correct(x: Tensor, gamma: float | Tensor) -> Tensor:
    """Raise an image to a power: `x ** gamma`; gamma below 1 brightens, above 1 darkens.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        gamma: > 0, one number, or one per image: shape (B,) for x: (B, C, H, W).

    Returns:
        Images in [0, 1], same shape and dtype. For gamma below 1 the slope at x = 0 is infinite; the gradient
        there is 0 instead, so that one black pixel does not spoil a training step.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, gamma not positive or not one per image.

    >>> gamma_correct(torch.tensor([[[0.0, 0.25, 1.0]]]), 0.5)
    tensor([[[0.0000, 0.5000, 1.0000]]])

    Source: Poynton (2012), Digital Video and HD, 2nd ed., ISBN 978-0-12-391926-7.
    """
    x = _check.images(x)
    _check.positive(gamma, "gamma")
    gamma = _check.per_image(gamma, x, "gamma")
    y = _check.precise(x)
    if not isinstance(gamma, Tensor) and gamma >= 1:
        return (y**gamma).to(x.dtype)
    steep = (y == 0) & (gamma < 1) if isinstance(gamma, Tensor) else y == 0
    return torch.where(steep, 0.0, torch.where(steep, 1.0, y) ** gamma).to(x.dtype)


@one_node
def sensor_noise(
    x: Tensor,
    *,
    photons: float | Tensor = 1000.0,
    read: float | Tensor = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add the noise of a camera: shot noise of the light and read noise of the electronics, in linear light.

    A pixel of linear light l collects a Poisson number of electrons with mean `photons * l`, and reading it adds a
    Gaussian error. Both together are approximated by one Gaussian whose variance follows the light,

        l' = l + sqrt(l / photons + (read / photons)^2) n,    n ~ N(0, 1),

    which, unlike a Poisson draw, is differentiable in x, photons and read. To photograph a face in a sixth of the
    light, darken first: `sensor_noise(darken(x, 6, linear_light=True, quantize=False))`; `quantize` comes last.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].
        photons: electrons that a white pixel collects, > 0, one number or one per image; fewer mean more noise.
        read: standard deviation of the read noise in electrons, >= 0, one number or one per image.
        generator: source of randomness, on the device of x; None uses PyTorch's global one.

    Returns:
        Noisy sRGB images, clipped to [0, 1], same shape and dtype. Clipping at 0 lifts the mean of the darkest pixels.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x, photons or read; not one of them per image.

    >>> sensor_noise(torch.rand(1, 3, 4, 4), photons=100, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([1, 3, 4, 4])

    Source: Foi, Trimeche, Katkovnik, Egiazarian (2008), doi:10.1109/TIP.2008.2001399.
    Differs from the source: the noise is independent between color channels, as without demosaicing.
    """
    x = _check.images(x)
    _check.positive(photons, "photons")
    electrons = torch.as_tensor(read)
    if not _check.all_true((electrons >= 0) & electrons.isfinite()):
        raise ValueError(f"read: expected electrons >= 0, finite, got {read}")
    photons, read = _check.per_image(photons, x, "photons"), _check.per_image(read, x, "read")
    return _encode(photograph_light(_decode(_check.precise(x)), photons, read, generator)).to(x.dtype)


def photograph_light(
    light: Tensor, photons: float | Tensor, read: float | Tensor, generator: torch.Generator | None
) -> Tensor:
    """The model of `sensor_noise` on linear light in [0, 1], without its checks: noisy linear light in [0, 1]."""
    variance = light / photons + (read / photons) ** 2
    noise = torch.randn(light.shape, generator=generator, device=light.device, dtype=light.dtype)
    smallest = torch.finfo(light.dtype).tiny  # the slope of a square root at 0 is infinite
    return (light + variance.clamp_min(smallest).sqrt() * noise).clamp(0, 1)


def _decode(x: Tensor) -> Tensor:
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _encode(x: Tensor) -> Tensor:
    power = 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055  # the clamp keeps the unused branch's slope finite
    return torch.where(x <= 0.0031308, 12.92 * x, power).clamp(max=1)


def _round(x: Tensor, levels: int) -> Tensor:
    rounded = (x * (levels - 1)).round() / (levels - 1)
    return rounded.detach() + (x - x.detach())
