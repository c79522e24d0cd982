"""First layers that the landmark experiments compare: what a picture meets before the body of a network, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import enhance, illumination, models
from facelight.enhance._filters import local_mean
from facelight.layers import LogConv2d

LEVEL = 0.45  # mean of ImageNet's pictures, which divided pictures are given
DARKEST = 0.1 / 255  # added to local means: far below one grey level


class Precise(nn.Module):
    """A layer that computes in float32 under autocast and leaves its output so.

    All variants have their first layer in it, so that they do not differ in precision; and gamma's gradient, a
    difference of large numbers in front of batch normalisation, is not lost in the rounding of bfloat16.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class MeanLevel(nn.Module):
    """Divide each image by its mean over pixels and channels, and multiply it by a level.

    A factor on all of its values changes nothing, as long as nothing is rounded or saturates.

    Args:
        level: mean of the result.
    """

    def __init__(self, level: float = LEVEL) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0; a black one stays black."""
        smallest = torch.finfo(x.dtype).tiny
        return self.level * (x / x.mean((1, 2, 3), keepdim=True).clamp_min(smallest))


class LocalLevel(nn.Module):
    """Compare each pixel with its surroundings, in one of three ways.

    "mean": level x / (m + e), divided by the local mean; "contrast": (x - m) / (m + e), Weber's; "energy":
    level x / sqrt(m2 + e^2), divided by the root of the local mean of squares, divisive normalisation.

    Args:
        how: as above.
        window: side of the square of the local mean, pixels, odd; the edge is repeated.
        each: a local mean for each channel; otherwise one for all three.
        dark: e, added to the local mean.

    Source: for "energy" Heeger (1992), doi:10.1017/S0952523800009640.
    Differs from the source: a square window on pixels, without filters of different orientation.
    """

    def __init__(self, how: str = "mean", window: int = 15, *, each: bool = True, dark: float = DARKEST) -> None:
        super().__init__()
        self.how, self.window, self.each, self.dark = how, window, each, dark

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0."""
        kept = x if self.each else x.mean(1, keepdim=True)
        if self.how == "energy":
            return LEVEL * x / (local_mean(kept**2, self.window) + self.dark**2).sqrt()
        mean = local_mean(kept, self.window)
        return (LEVEL * x if self.how == "mean" else x - mean) / (mean + self.dark)


class LinearLight(nn.Module):
    """Decode sRGB values to linear light."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1]."""
        return illumination.srgb_to_linear(x)


class ColourInvariantEdges(nn.Module):
    """Edges of three colour channels relative to the light, as a logarithm, normalised over the image.

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


class ContrastNormalized(LogConv2d):
    """A `LogConv2d` whose output z is divided by its energy around: z / sqrt(m + e^2), in float32 throughout.

    m is the mean of z^2 over the channels and 7x7 positions, the edge repeated; e = 0.03, about a third of the
    deviation of z with kernels as PyTorch draws them for 64 channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W), float >= 0."""
        with torch.autocast(x.device.type, enabled=False):
            z = super().forward(x.float())
            energy = local_mean(z.square().mean(1, keepdim=True), 7)
            return z / (energy + 0.03**2).sqrt()


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
            one = nn.Conv2d(conv.in_channels, channels, kernel, 2, kernel // 2, bias=False)
            nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
            found.append(makes(one))
        self.scales = nn.ModuleList(found)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps of half the size."""
        return torch.cat([scale(x) for scale in self.scales], dim=1)


def _same(conv: nn.Conv2d) -> nn.Module:
    return conv


def _log(conv: nn.Conv2d, kind: type[LogConv2d] = LogConv2d, **options: Any) -> nn.Module:
    """Kernels of zero mean see the border repeated, unless told: zeros would not cancel."""
    if options.get("zero_mean") or kind is SharedZeroMean:
        options = {"padding_mode": "replicate"} | options
    return kind.from_conv(conv, **options)


@dataclass(frozen=True)
class Variant:
    """What stands before the body of a network.

    Args:
        makes: makes the first layer of the body's first convolution.
        before: what the picture goes through before that, and before a normalisation.
        several: kernels of several sizes, see `SeveralScales`.
        attention: squeeze and excitation in every block of the body.
    """

    makes: Callable[[nn.Conv2d], nn.Module] = _same
    before: Callable[[], nn.Module] | None = None
    several: bool = False
    attention: bool = False

    @property
    def linear(self) -> bool:
        """Whether the body keeps its own first layer."""
        return self.makes is _same and not self.several

    def stem(self, conv: nn.Conv2d) -> nn.Module:
        """The first layer."""
        return SeveralScales(conv, self.makes) if self.several else self.makes(conv)


def finished(model: models.FaceNet, variant: Variant) -> models.FaceNet:
    """Put in front of a network, built with the variant's stem, what else it has; the first layer in `Precise`.

    Squeeze and excitation: Hu, Shen, Sun (2018), doi:10.1109/CVPR.2018.00745; before the sum of each block, a sixteenth
    of the channels, at least 4, in between.
    """
    body: Any = model.body
    body.conv1 = Precise(body.conv1)
    if variant.before is not None:
        model.normalize = nn.Sequential(Precise(variant.before()), model.normalize)
    if variant.attention:
        from torchvision.models.resnet import BasicBlock
        from torchvision.ops import SqueezeExcitation

        for block in [m for m in body.modules() if isinstance(m, BasicBlock)]:
            channels = block.conv2.out_channels
            excitation = SqueezeExcitation(channels, max(4, channels // 16))
            block.bn2 = nn.Sequential(block.bn2, excitation)
    return model


def _zero(epsilon: float = 1 / 255, **options: Any) -> Callable[[nn.Conv2d], nn.Module]:
    return partial(_log, epsilon=epsilon, zero_mean=True, **options)


def _plain(epsilon: float, **options: Any) -> Callable[[nn.Conv2d], nn.Module]:
    return partial(_log, epsilon=epsilon, **options)


OURS = "zero-mean ln(1 + 255x)"
LOCAL = "by local mean, each channel"

VARIANTS: dict[str, Variant] = {
    "linear": Variant(),
    "ln(1 + x)": Variant(_plain(1.0)),
    "ln(1 + x), gamma fixed": Variant(_plain(1.0, train_gamma=False)),
    "divided by mean": Variant(before=MeanLevel),
    "ln(1 + 255x)": Variant(_plain(1 / 255)),
    OURS: Variant(_zero()),
    # which part does what
    "ln(1 + 10x)": Variant(_plain(1 / 10)),
    "ln(1 + 25x)": Variant(_plain(1 / 25)),
    "ln(1 + 1000x)": Variant(_plain(1 / 1000)),
    "ln(1 + 255x), edges repeated": Variant(_plain(1 / 255, padding_mode="replicate")),
    "zero-mean x": Variant(_zero(1e3, gamma=1e3, train_gamma=False)),  # 1000 ln(1 + x / 1000) is x to within 0.05 %
    "zero-mean ln(1 + x)": Variant(_zero(1.0)),
    "zero-mean ln(1 + 10x)": Variant(_zero(1 / 10)),
    "zero-mean ln(1 + 25x)": Variant(_zero(1 / 25)),
    "zero-mean ln(1 + 1000x)": Variant(_zero(1 / 1000)),
    f"{OURS}, zero padding": Variant(_zero(padding_mode="zeros")),
    f"{OURS}, channels together": Variant(partial(_log, kind=SharedZeroMean, epsilon=1 / 255)),
    f"{OURS}, contrast normalised": Variant(partial(_log, kind=ContrastNormalized, epsilon=1 / 255, zero_mean=True)),
    # numbers that are learned
    "ln(1 + x), gamma of each channel": Variant(_plain(1.0, per_channel=True)),
    "ln(1 + x / epsilon), epsilon trained": Variant(_plain(1.0, train_epsilon=True)),
    "zero-mean ln(1 + x / epsilon), epsilon trained": Variant(_zero(train_epsilon=True)),
    # other remedies
    LOCAL: Variant(before=LocalLevel),
    f"{LOCAL}, 7 px": Variant(before=partial(LocalLevel, window=7)),
    f"{LOCAL}, 31 px": Variant(before=partial(LocalLevel, window=31)),
    f"{LOCAL}, 1/255 added": Variant(before=partial(LocalLevel, dark=1 / 255)),
    "ln(1 + x / local mean)": Variant(_plain(LEVEL), LocalLevel),  # 0.45 x / m over 0.45
    "zero-mean ln(1 + x / local mean)": Variant(_zero(LEVEL), LocalLevel),
    "by local mean": Variant(before=partial(LocalLevel, each=False)),
    "Weber contrast": Variant(before=partial(LocalLevel, "contrast")),
    "divisive normalisation": Variant(before=partial(LocalLevel, "energy")),
    "instance normalisation": Variant(before=partial(nn.InstanceNorm2d, 3, eps=1e-8, affine=True)),
    "ln of linear light": Variant(_plain(1 / 255 / 12.92), LinearLight),
    "zero-mean ln of linear light": Variant(_zero(1 / 255 / 12.92), LinearLight),
    "colour-invariant edges": Variant(before=ColourInvariantEdges),
    "CLAHE 2": Variant(before=partial(enhance.CLAHE, 2.0, (4, 4))),
    "CLAHE 40": Variant(before=partial(enhance.CLAHE, 40.0, (4, 4))),
    "CLAHE, limit learned": Variant(before=partial(enhance.CLAHE, 2.0, (4, 4), exact=False, trainable=True)),
    "Tan-Triggs": Variant(before=enhance.TanTriggs),
    "ln minus local mean": Variant(before=partial(enhance.LogContrast, 1 / 255, 15)),
    "local contrast": Variant(before=enhance.LocalContrastNormalize),
    # what the log paper names as future work
    "attention": Variant(attention=True),
    "several scales": Variant(several=True),
    f"{OURS}, attention": Variant(_zero(), attention=True),
    f"{OURS}, several scales": Variant(_zero(), several=True),
}
