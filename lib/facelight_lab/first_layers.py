"""Modules that stand before, or in place of, the first convolution of a network; which are compared: `stems`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import illumination
from facelight.layers import LogConv2d, log_compress
from facelight.layers.level import DARKEST
from facelight.precision import no_autocast


class Precise(nn.Module):
    """A layer that computes in float32 under autocast and leaves its output so.

    All variants have their first layer in it, so that they do not differ in precision; and gamma's gradient, a
    difference of large numbers in front of batch normalization, is not lost in the rounding of bfloat16.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x in float32."""
        with no_autocast(x):
            return self.layer(x.float())


class LinearLight(nn.Module):
    """Decode sRGB values to linear light."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1]."""
        return illumination.srgb_to_linear(x)


class LogMinusMean(nn.Module):
    """The logarithm of the light minus its mean over the picture: `ln(1 + x / epsilon) - mean`.

    A factor on all the light is an offset of the logarithm, which the mean takes away; one that varies over the
    picture stays.

    Args:
        epsilon: > 0, in the unit of x.
    """

    def __init__(self, epsilon: float = 1 / 255) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0."""
        light = log_compress(x, epsilon=self.epsilon)
        return light - light.mean((1, 2, 3), keepdim=True)


class LearnedCurve(nn.Module):
    """Brighten each pixel by a curve that a small network draws for it, trained together with what follows.

    `x + a x (1 - x)`, eight times, with maps a in [-1, 1] of their own for each time and channel. It starts as the
    identity.

    Args:
        width: channels of the network's two hidden layers.
        times: how often the curve is applied.

    Source: Guo et al. (2020), Zero-DCE, arXiv:2001.06826.
    Differs from the source: three layers of 16 channels instead of seven of 32; no losses of its own.
    """

    def __init__(self, width: int = 16, times: int = 8) -> None:
        super().__init__()
        self.times = times
        layers = [nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, width), (width, width), (width, 3 * times))]
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(cast(Tensor, layers[-1].bias))
        self.maps = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1]."""
        for curve in self.maps(x).chunk(self.times, dim=1):
            x = x + curve * x * (1 - x)
        return x


class ColorInvariantEdges(nn.Module):
    """Edges of three color channels relative to the light, as a logarithm, normalized over the image.

    Smoothed at a trained scale, the opponent channels E, E', E'' have the gradients g; the result is
    ln(sum |g|^2 / E^2 + e), minus its mean, over its deviation, three times.

    Source: Lengyel, Garg, Milford, van Gemert (2021), arXiv:2108.05137, their invariant W.
    """

    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))  # the deviation of the Gaussian is 2 to this power, pixels
        self.register_buffer("matrix", torch.tensor([[0.06, 0.63, 0.27], [0.3, 0.04, -0.35], [0.34, -0.6, 0.17]]))

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), float >= 0."""
        sigma = 2 ** self.scale.clamp(-2.5, 2.5)
        radius = math.ceil(3 * sigma.item())
        place = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
        smooth = torch.exp(-(place**2) / (2 * sigma**2))
        smooth = smooth / smooth.sum()
        slope = -place / sigma**2 * smooth
        opponent = F.pad(torch.einsum("oc,bchw->bohw", self.matrix.to(x), x), (radius,) * 4, mode="replicate")

        def filtered(down: Tensor, across: Tensor) -> Tensor:
            y = F.conv2d(opponent, down.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)
            return F.conv2d(y, across.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)

        light = filtered(smooth, smooth)[:, :1]
        edges = (filtered(slope, smooth) ** 2 + filtered(smooth, slope) ** 2).sum(1, keepdim=True)
        return F.instance_norm(torch.log(edges / (light**2 + DARKEST**2) + 1e-4)).expand(-1, 3, -1, -1)


class SharedZeroMean(LogConv2d):
    """A `LogConv2d` whose kernels sum to zero over all channels together, not over each."""

    def kernel(self) -> Tensor:
        """The weights minus their mean over channels and positions."""
        return self.weight - self.weight.mean((1, 2, 3), keepdim=True)


class SeveralScales(nn.Module):
    """Kernels of 3, 7 and 15 pixels side by side, a quarter, a half and a quarter of the channels.

    Args:
        conv: what they replace, for channels and stride.
        makes: makes a layer of each.
    """

    def __init__(self, conv: nn.Conv2d, makes: Callable[[nn.Conv2d], nn.Module]) -> None:
        super().__init__()
        quarter = conv.out_channels // 4
        found = []
        for kernel, channels in ((3, quarter), (7, conv.out_channels - 2 * quarter), (15, quarter)):
            one = nn.Conv2d(conv.in_channels, channels, kernel, conv.stride[0], kernel // 2, bias=False)
            nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
            found.append(makes(one))
        self.scales = nn.ModuleList(found)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to maps as many times smaller as those of the layer that it replaces."""
        return torch.cat([scale(x) for scale in self.scales], dim=1)
