"""Where a face changes from pixel to pixel: `tan_triggs`, a band-pass filter, and `gradientface`, directions.

Both stay the same when the light of the whole image is multiplied by a number, up to rounding and to contrasts below
1e-6. 0.5 is neutral, and a constant image becomes 0.5 everywhere. Subtract 0.5 before a cosine similarity. Ratios
live in `reflectance`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node
from facelight.enhance import _luminance
from facelight.enhance._filters import blur, gaussian, separable
from facelight.enhance.modules import EnhancerModule

__all__ = ["Gradientface", "TanTriggs", "gradientface", "tan_triggs"]

# Rounding leaves less than this where there is no contrast. A power is off by an ulp at some pixels and not at others,
# depending on the vector instructions of the processor: up to 1 by an epsilon of float32 at most, 1.2e-7. Two blurs
# pass on one each, and adding and subtracting rounds once more: at most three. One pixel that is one 8-bit level
# brighter than its surroundings leaves 90 times as much.
_ROUNDING = 1e-6


@one_node
def tan_triggs(
    x: Tensor,
    gamma: float = 0.2,
    sigma: tuple[float, float] = (1.0, 2.0),
    alpha: float = 0.1,
    tau: float = 10.0,
    *,
    luminance_only: bool = False,
) -> Tensor:
    """Tan-Triggs normalization: gamma curve, difference of Gaussians, contrast equalization.

    With I = G_inner * x^gamma - G_outer * x^gamma and means over the image,

        I <- I / mean(|I|^alpha)^(1/alpha),    I <- I / mean(min(tau, |I|)^alpha)^(1/alpha),

    and the result is 0.5 + 0.5 tanh(I / tau). The small alpha and tau keep a few strong edges from setting the scale.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        gamma: exponent of the curve, > 0.
        sigma: standard deviations of the inner and the outer Gaussian, pixels, inner < outer.
        alpha: exponent of the means, > 0.
        tau: where strong contrast saturates, > 0.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x. Where |I| is below 1e-6, as rounding leaves it, the value is 0.5 exactly and the gradient 0. The slope of
        x^gamma at 0 is infinite: where x = 0 the gradient is 0 instead, and the value is exact. A black pixel therefore
        does not learn; use `log_contrast` where it should.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; gamma, alpha, tau or a sigma not positive; inner not below outer.

    >>> tan_triggs(torch.full((1, 4, 4), 0.2)).unique()
    tensor([0.5000])

    Source: Tan, Triggs (2010), section II, doi:10.1109/TIP.2010.2042645.
    Differs from the paper: no mask; I below 1e-6 is rounding and becomes 0, and inside the means the first |I| is at
        least 1e-6, which keeps the division finite in a flat image; the result is moved into [0, 1].
    """
    x = _check.images(x)
    if not isinstance(sigma, tuple | list) or len(sigma) != 2 or not sigma[0] < sigma[1]:
        raise ValueError(f"sigma: expected two standard deviations (inner, outer), inner < outer, got {sigma}")
    for value, name in (
        (gamma, "gamma"), (sigma[0], "sigma"), (sigma[1], "sigma"), (alpha, "alpha"), (tau, "tau"),
    ):  # fmt: skip
        _check.number(value, name)
        _check.positive(value, name)

    def power_mean(size: Tensor) -> Tensor:
        return (size**alpha).mean((-2, -1), keepdim=True) ** (1 / alpha)

    def normalize(y: Tensor) -> Tensor:
        black = y == 0
        y = torch.where(black, 0.0, torch.where(black, 1.0, y) ** gamma)
        contrast = blur(y, sigma[0]) - blur(y, sigma[1])
        contrast = torch.where(contrast.abs() < _ROUNDING, 0.0, contrast)
        size = contrast.abs().clamp(min=_ROUNDING)
        scale = power_mean(size)
        scale = scale * power_mean((size / scale).clamp(max=tau))
        return 0.5 + 0.5 * torch.tanh(contrast / (tau * scale))

    return _luminance.apply(normalize, x, luminance_only)


class TanTriggs(EnhancerModule):
    """The chain of Tan and Triggs: `tan_triggs`."""

    function = staticmethod(tan_triggs)


@one_node
def gradientface(x: Tensor, sigma: float = 0.75, *, luminance_only: bool = False) -> Tensor:
    """Gradientface: the direction in which an image brightens, without how much.

    With I_x and I_y the responses to the derivatives of a Gaussian along the rows and down the columns, the result is
    0.5 + atan2(I_y, I_x) / (2 pi): 0.5 brightens to the right, 0.75 downwards, 0.25 upwards, 0 and 1 both to the left.
    Straight to the left, where I_y is zero but for rounding, the sign of that rounding decides between them.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigma: standard deviation of the Gaussian, pixels.
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x. Where both responses are below 1e-6, as rounding leaves them, there is no direction: the value is 0.5 and
        the gradient 0. Elsewhere the gradient grows as one over the contrast. Values near 0 and near 1 are the same
        direction; the cosine and the sine of the angle do not have that seam.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: wrong shape or range of x; sigma not positive.

    >>> gradientface(torch.tensor([[[0.1, 0.2, 0.4]]]))
    tensor([[[0.5000, 0.5000, 0.5000]]])

    Source: Zhang, Tang, Fang, Shang, Liu (2009), doi:10.1109/TIP.2009.2028255.
    Differs from the paper: the angle lies in (-pi, pi] before it is moved into [0, 1].
    """
    x = _check.images(x)
    _check.number(sigma, "sigma")
    _check.positive(sigma, "sigma")
    smooth = gaussian(sigma)
    slope = [i * weight / float(sigma) ** 2 for i, weight in enumerate(smooth, -(len(smooth) // 2))]

    def direction(y: Tensor) -> Tensor:
        right, down = separable(y, slope, smooth), separable(y, smooth, slope)
        flat = (right.abs() < _ROUNDING) & (down.abs() < _ROUNDING)
        angle = torch.atan2(torch.where(flat, 0.0, down), torch.where(flat, 1.0, right))
        return (0.5 + angle / (2 * math.pi)).clamp(0, 1)

    return _luminance.apply(direction, x, luminance_only)


class Gradientface(EnhancerModule):
    """The direction of the gradient: `gradientface`."""

    function = staticmethod(gradientface)
