"""Light in units of its own mean: `MeanLevel` of the whole image, `LocalLevel` of what surrounds each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facelight import _check
from facelight._graph import leaf
from facelight.enhance._filters import local_mean

LEVEL = 0.45  # mean of ImageNet's pictures, in [0, 1]
DARKEST = 0.1 / 255  # far below one gray level
MODES = ("mean", "contrast", "energy")


class MeanLevel(nn.Module):
    """Divide each image by its mean over pixels and channels, and multiply it by a level: `level x / mean(x)`.

    A factor on all of its values changes nothing, as long as nothing is rounded or saturates.

    Args:
        level: mean of the result, > 0; what stands behind expects pictures of about that mean.

    Raises:
        ValueError: level is not positive.

    >>> MeanLevel(0.5)(torch.tensor([[[[0.1, 0.3]]]]))
    tensor([[[[0.2500, 0.7500]]]])

    Source: the "gray world" normalization, Buchsbaum (1980), doi:10.1016/0016-0032(80)90058-7.
    Differs from the source: one factor for all three channels, so that a color cast stays.
    """

    def __init__(self, level: float = LEVEL) -> None:
        super().__init__()
        _check.positive(level, "level")
        self.level = level

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0, to images of the same shape and dtype; a black one stays black."""
        x = _check.non_negative(x)
        precise = _check.precise(x)
        smallest = torch.finfo(precise.dtype).tiny
        return (self.level * (precise / precise.mean((1, 2, 3), keepdim=True).clamp_min(smallest))).to(x.dtype)

    def extra_repr(self) -> str:
        """The level."""
        return f"level={self.level:g}"


class LocalLevel(nn.Module):
    """Compare each pixel x with the mean m, or the mean of squares m2, of the square window around it.

    - "mean": `level x / (m + floor)`, light in units of the local mean;
    - "contrast": `(x - m) / (m + floor)`, Weber's, negative where it is darker than around;
    - "energy": `level x / sqrt(m2 + floor^2)`, divisive normalization.

    A factor on the light that hardly varies within a window changes nothing, as long as nothing is rounded.

    Args:
        mode: as above.
        window: side of the square in pixels, odd; the edge of the image is repeated.
        per_channel: each channel has a mean of its own; otherwise all share one, and a color cast stays.
        level: factor of "mean" and "energy", > 0: their value where the light is even.
        floor: what dark places are divided by at least, in the unit of x, > 0.

    Raises:
        ValueError: an unknown mode, a window that is not odd, or a level or floor that is not positive.

    >>> LocalLevel(window=3)(torch.full((1, 1, 4, 4), 0.2))[0, 0, 0, 0]
    tensor(0.4491)

    Source: for "energy" Heeger (1992), doi:10.1017/S0952523800009640.
    Differs from the source: a square window on pixels, without filters of different orientation.
    """

    def __init__(
        self,
        mode: str = "mean",
        window: int = 15,
        *,
        per_channel: bool = True,
        level: float = LEVEL,
        floor: float = DARKEST,
    ) -> None:
        super().__init__()
        _check.one_of(mode, MODES, "mode")
        _check.odd(window, "window")
        _check.positive(level, "level")
        _check.positive(floor, "floor")
        self.mode, self.window, self.per_channel, self.level, self.floor = mode, window, per_channel, level, floor

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0, to maps of the same shape and dtype."""
        x = _check.non_negative(x)
        precise = _check.precise(x)
        around = precise if self.per_channel else precise.mean(1, keepdim=True)
        if self.mode == "energy":
            energy = local_mean(around**2, self.window).clamp_min(0)  # rounding may leave it just below
            return (self.level * precise / (energy + self.floor**2).sqrt()).to(x.dtype)
        mean = local_mean(around, self.window)
        compared = self.level * precise if self.mode == "mean" else precise - mean
        return (compared / (mean + self.floor)).to(x.dtype)

    def extra_repr(self) -> str:
        """All settings."""
        return (
            f"{self.mode!r}, window={self.window}, per_channel={self.per_channel}, level={self.level:g}, "
            f"floor={self.floor:.3g}"
        )
