"""What every enhancer does with channels and precision: luma alone or each channel, never below float32."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from facelight import _check
from facelight.illumination.color import luma


def apply(function: Callable[[Tensor], Tensor], x: Tensor, luminance_only: bool) -> Tensor:
    """The function of x, channel by channel or of its luma alone, in float32 or better, in the dtype of x."""
    precise = _check.precise(x)
    out = on_luminance(function, precise) if luminance_only else function(precise)
    return out.to(x.dtype)


def on_luminance(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Change the luma of color images and keep their chroma.

    With y = 0.299 R + 0.587 G + 0.114 B, the result is x + f(y) - y, clipped to [0, 1]: adding the same to R, G and B
    leaves Cb and Cr as they are, so this is Y replaced in YCbCr without the two conversions.

    Args:
        function: takes luma (*, 1, H, W) in [0, 1] to luma of the same shape.
        x: images (*, 3, H, W), float in [0, 1]; (*, 1, H, W) is luma itself.

    Returns:
        As x. Where the sum leaves [0, 1] it is clipped, which changes the color and stops the gradient.

    Raises:
        ValueError: neither 1 nor 3 channels.

    >>> on_luminance(lambda y: y / 2, Tensor([0.9, 0.5, 0.5]).view(3, 1, 1)).flatten()
    tensor([0.5902, 0.1902, 0.1902])

    Source: ITU-R BT.601-7 (2011).
    """
    channels = x.shape[-3]
    if channels == 1:
        return function(x)
    if channels != 3:
        raise ValueError(
            f"luminance_only: expected 3 channels, R, G and B, or 1, got shape {tuple(x.shape)} with {channels}: "
            "leave luminance_only out to treat every channel by itself"
        )
    before = luma(x)
    return (x + (function(before) - before)).clamp(0, 1)
