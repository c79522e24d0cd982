"""First layers that know the camera's noise: `NoiseAware`, for `light_stem(noise=...)`. A draft: none is trained yet.

What is the ideal? Around a pixel of mean m, light is m (1 + d) with a contrast d of covariance C over the support, and
noise of deviation s(m). Through ln(1 + x / u) and kernels w the layer has a (w.d + w.n), a = m / (m + u) and n of
deviation s / m. It should say w.d. Three terms of chapter 07's bounds are in the way:

- residue, the slope is not 1: (1 - a)^2 w'Cw;
- light of a gradient g of its logarithm over the places p: a^2 (g w.p)^2;
- noise: a^2 (s / m)^2 w'w.

Over w, for a wanted response r = C w0, their sum is least at w = (C + (s / m)^2 + g^2 pp')^-1 r, up to a factor: what
Wiener says. Frequencies of which faces have less contrast than the noise are left out, so kernels grow as the light
falls. Over the level, with S = w'Cw / w'w and no gradient, it is least at a = S / (S + (s / m)^2), that is

    u = s(m)^2 / (S m).

In linear light, behind N electrons for white and read noise r, s^2 = m / N + (r / N)^2, so u = 1 / (S N) + r^2 / (S N^2
m): shot noise asks for one constant level, read noise for one that grows in the dark. A level k s(m) bounds the noise
by 1 / k instead. Both are below; kernels that grow are imitated by "pooled", the smaller slope by "shrunk". Contrast
normalization undoes a smaller slope where z is above its floor: there only "pooled" and "shrunk" leave noise out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check
from facelight._graph import leaf
from facelight.enhance._filters import local_mean
from facelight.illumination.color import decoded, encoded
from facelight.layers.contrast import ContrastNorm2d
from facelight.layers.level import DARKEST, LEVEL
from facelight.layers.log import LogConv2d
from facelight.precision import no_autocast

REMEDIES = ("level", "ideal level", "anscombe", "pooled", "shrunk")
CONTRAST = 0.1  # deviation of x / m - 1 on faces, about
SCALES = (1, 3, 7, 15)  # sides of the windows of "pooled", pixels


@dataclass(frozen=True)
class NoiseAware:
    """A camera, and what a first layer does about its noise; see the top of this file.

    - "level": k deviations of the noise are added to the unit u of the logarithm, ln(1 + x / (u + k s(m)));
    - "ideal level": the same with `s(m)^2 / (S m)` in place of `k s(m)`, S = (`CONTRAST` / k)^2;
    - "anscombe": the offset of the generalized Anscombe transform, `c = (3/8 + read^2) / photons`, on linear light,
      with sRGB's curve in place of the root: `encode((l + c) / (1 + c))`;
    - "pooled": differences of means over windows of `SCALES`, each by its share of signal, E / (E + k^2 noise);
    - "shrunk": k deviations of what noise makes of z are added to the floor of contrast normalization.

    m is the mean of 15x15 pixels around, s the deviation of the noise at such a gray level. Without noise (photons
    infinite, read 0) each leaves the layer as it is.

    Args:
        photons: electrons that a white pixel collects, > 0; may be infinite.
        read: standard deviation of the read noise in electrons, >= 0.
        remedy: of `REMEDIES`.
        strength: k, > 0.

    Source: Naka, Rushton (1966), doi:10.1113/jphysiol.1966.sp008001; Anscombe (1948), doi:10.1093/biomet/35.3-4.246.
    """

    photons: float = 1000.0
    read: float = 2.0
    remedy: str = "level"
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check.one_of(self.remedy, REMEDIES, "remedy")
        _check.positive(self.strength, "strength")
        if not (self.photons > 0 and 0 <= self.read < math.inf):
            raise ValueError(f"expected photons > 0 and read >= 0, finite, got {self.photons} and {self.read}")

    def variance(self, x: Tensor) -> Tensor:
        """Of the noise in gray levels, where the picture is x in [0, 1]: that of linear light, by the slope of sRGB."""
        light = decoded(x.clamp(0, 1))
        slope = torch.where(light > 0.0031308, (1.055 / 2.4) * light.clamp_min(0.0031308) ** (1 / 2.4 - 1), 12.92)
        return slope**2 * (light / self.photons + (self.read / self.photons) ** 2)


class NoiseLevel(nn.Module):
    """Light before a logarithm, weighed by what the camera's noise makes of it; see `NoiseAware`.

    Args:
        noise: with any remedy but "shrunk".
        unit: u of the logarithm, in gray levels; None: the local mean, by which the levels then divide.
        window: of the mean, pixels, odd.
    """

    def __init__(self, noise: NoiseAware, unit: float | None, window: int = 15) -> None:
        super().__init__()
        self.noise, self.unit, self.window = noise, unit, window

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float in [0, 1], to images of the same shape and dtype."""
        precise, how = _check.precise(_check.non_negative(x)), self.noise
        if how.remedy == "anscombe":
            offset = (0.375 + how.read**2) / how.photons
            return encoded((decoded(precise.clamp(max=1)) + offset) / (1 + offset)).to(x.dtype)
        around = local_mean(precise, self.window)
        variance = how.variance(around)
        if how.remedy == "pooled":
            return self._pooled(precise, how.strength**2 * variance).to(x.dtype)
        if how.remedy == "ideal level":
            added = how.strength**2 * variance / (CONTRAST**2 * (around + DARKEST))
        else:
            added = how.strength * (variance + 1e-20).sqrt() * (variance > 0)
        if self.unit is None:
            return (LEVEL * precise / (around + DARKEST + added)).to(x.dtype)
        return (precise / (1 + added / self.unit)).to(x.dtype)

    def _pooled(self, x: Tensor, variance: Tensor) -> Tensor:
        """The sum of bands, means over a window minus means over the next, each by its share of signal."""
        means = [local_mean(x, side) for side in SCALES]
        found = means[-1]
        for place in range(len(SCALES) - 1):
            band, inner, outer = means[place] - means[place + 1], SCALES[place], SCALES[place + 1]
            noise = variance * (1 / inner**2 - 1 / outer**2)  # of a mean over nested windows
            signal = (local_mean(band.square(), self.window) - noise).clamp_min(0)
            share = torch.where(noise > 0, signal / (signal + noise).clamp_min(1e-20), torch.ones_like(signal))
            found = found + share * band
        return found.clamp_min(0)


class Shrunk(nn.Module):
    """Contrast normalization with the noise's share n of the variance of z: `y = z / sqrt(m + floor^2 + k^2 n)`.

    Args:
        noise: with the remedy "shrunk".
        unit: see `NoiseLevel`.
        stem: modules of a first layer: a `LogConv2d` among them, `ContrastNorm2d` at their end.
    """

    def __init__(self, noise: NoiseAware, unit: float | None, *stem: nn.Module) -> None:
        super().__init__()
        self.noise, self.unit = noise, unit
        self.stem, self.norm = nn.Sequential(*stem[:-1]), cast(ContrastNorm2d, stem[-1])

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float in [0, 1], to feature maps."""
        z = self.stem(x)
        with no_autocast(z):
            wide, around = _check.precise(z), local_mean(_check.precise(x), 15)
            conv = next(m for m in self.stem if isinstance(m, LogConv2d))
            slope = 1 / (around + (around + DARKEST if self.unit is None else self.unit))
            weight = (conv.gamma * conv.kernel().square().sum((2, 3)).mean(0).sqrt()).square().view(1, -1, 1, 1)
            noise = (weight * slope**2 * self.noise.variance(around)).sum(1, keepdim=True)
            noise = self.noise.strength**2 * F.adaptive_avg_pool2d(noise, z.shape[-2:])
            energy = F.pad(wide.square().mean(1, keepdim=True), (self.norm.window // 2,) * 4, mode="replicate")
            total = F.avg_pool2d(energy, self.norm.window, stride=1) + self.norm.floor**2 + noise
            return (wide * total.rsqrt()).to(z.dtype)
