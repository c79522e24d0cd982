"""The light of an image: `darken` divides it, `relight` and `shade` multiply it by one that varies over the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.illumination.color import decoded, encoded, rounded


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
    y = ((decoded(y) if linear_light else y) / factor).clamp(max=1)
    y = encoded(y) if linear_light else y
    return (rounded(y, 256) if quantize else y).to(x.dtype)


@one_node
def relight(
    x: Tensor, across: float | Tensor, down: float | Tensor, *, gain: float | Tensor = 1.0, linear_light: bool = False
) -> Tensor:
    """Multiply an image by a light that grows exponentially from one side to the other.

        y = min(1, gain * exp(across * u + down * v) * x),    u, v in [-1, 1] from left to right and from top to bottom

    It is the smoothest positive light with a given direction: its logarithm is a plane, so any two of them multiply to
    a third. Shadows and the shape of the face are not in it: `shade`
    multiplies by any light, and a rendered face (`facelight_render`) has both.

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
    y = ((decoded(y) if linear_light else y) * light).clamp(max=1)
    return (encoded(y) if linear_light else y).to(x.dtype)


@one_node
def shade(x: Tensor, depth: Tensor, *, linear_light: bool = False) -> Tensor:
    """Multiply an image by a light that a map describes: `y = min(1, exp(-depth) * x)`.

    The depth of a shadow is the logarithm of what divides the image: 0 leaves it as it is, ln 6 divides it by 6.
    `darken` is a depth that is the same everywhere, `relight` one that is a plane.

    Args:
        x: sRGB images (*, C, H, W), float in [0, 1].
        depth: finite, of a shape that broadcasts to that of x, such as (H, W) or (B, 1, H, W); below 0 it brightens.
        linear_light: multiply linear light instead of sRGB values.

    Returns:
        sRGB images in [0, 1], same shape and dtype; what exceeds 1 is clipped, with gradient 0.

    Raises:
        TypeError: x or depth is not a floating-point tensor.
        ValueError: wrong shape or range of x, a depth that is not finite or does not fit x.

    >>> shade(torch.full((1, 1, 3), 0.4), torch.tensor([0.0, 0.6931, 1.3863]))
    tensor([[[0.4000, 0.2000, 0.1000]]])
    """
    x = _check.images(x)
    _check.floating(depth, "depth")
    if not _check.all_true(depth.isfinite()):
        raise ValueError("depth: expected finite values: a shadow that leaves no light at all is x * 0")
    if depth.ndim > x.ndim or any(d not in (1, n) for d, n in zip(depth.shape[::-1], x.shape[::-1], strict=False)):
        raise ValueError(
            f"depth: expected a shape that broadcasts to {tuple(x.shape)}, got {tuple(depth.shape)}: "
            "one map per image has the shape (B, 1, H, W)"
        )
    y = _check.precise(x)
    light = torch.exp(-depth.to(y)).clamp(max=torch.finfo(y.dtype).max)  # black stays black
    y = ((decoded(y) if linear_light else y) * light).clamp(max=1)
    return (encoded(y) if linear_light else y).to(x.dtype)


def patches(values: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """A map for `shade` that varies from place to place: values at random places, interpolated and stretched to [0, 1].

    Args:
        values: (B, 1, h, w), the corners on the corners of the picture.
        size: height and width of the map.

    Returns:
        (B, 1, H, W): 0 at the least and 1 at the greatest value of each map; all 0 where the values are equal.

    >>> patches(torch.tensor([[[[3.0, 5.0]]]]), (1, 3))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    field = F.interpolate(values, size, mode="bilinear", align_corners=True)
    least, most = field.amin((2, 3), keepdim=True), field.amax((2, 3), keepdim=True)
    return (field - least) / (most - least).clamp_min(torch.finfo(field.dtype).eps)
