"""The noise of a camera's sensor: `sensor_noise`."""

from __future__ import annotations

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.illumination.color import decoded, encoded


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
    return encoded(photograph_light(decoded(_check.precise(x)), photons, read, generator)).to(x.dtype)


def photograph_light(
    light: Tensor, photons: float | Tensor, read: float | Tensor, generator: torch.Generator | None
) -> Tensor:
    """The model of `sensor_noise` on linear light in [0, 1], without its checks: noisy linear light in [0, 1]."""
    noise = torch.randn(light.shape, generator=generator, device=light.device, dtype=light.dtype)
    return with_noise(light, photons, read, noise)


def with_noise(light: Tensor, photons: float | Tensor, read: float | Tensor, noise: Tensor) -> Tensor:
    """`photograph_light` with its normal noise as given, of the shape of the light."""
    variance = light / photons + (read / photons) ** 2
    smallest = torch.finfo(light.dtype).tiny  # the slope of a square root at 0 is infinite
    return (light + variance.clamp_min(smallest).sqrt() * noise).clamp(0, 1)
