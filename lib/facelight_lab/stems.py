"""First layers and remedies by name, and the one place where a network gets one.

Their modules: `facelight.layers` and `first_layers`. An experiment lists which of them it asks for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from facelight import _check, enhance, models
from facelight.layers import ContrastNorm2d, LocalLevel, LogConv2d, MeanLevel, NoiseAware, light_stem
from facelight.layers.level import LEVEL
from facelight.layers.noise import REMEDIES
from facelight_lab.first_layers import (
    ColorInvariantEdges,
    LearnedCurve,
    LinearLight,
    LogMinusMean,
    Precise,
    SeveralScales,
    SharedZeroMean,
)


def _same(conv: nn.Conv2d) -> nn.Module:
    return conv


def _repeated(conv: nn.Conv2d) -> nn.Module:
    """The layer itself, with the edge of the picture repeated instead of zeros around it."""
    twin = copy.deepcopy(conv)
    twin.padding_mode = "replicate"
    return twin


def _log(conv: nn.Conv2d, kind: type[LogConv2d] = LogConv2d, *, contrast: bool = False, **options: Any) -> nn.Module:
    """Kernels of zero mean see the border repeated, unless told: zeros would not cancel."""
    if options.get("zero_mean") or kind is SharedZeroMean:
        options = {"padding_mode": "replicate"} | options
    layer = kind.from_conv(conv, **options)
    return nn.Sequential(layer, ContrastNorm2d()) if contrast else layer


@dataclass(frozen=True)
class Variant:
    """What stands before the body of a network.

    Args:
        makes: makes the first layer of the body's first convolution.
        before: what the picture goes through before that, and before a normalization.
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
        """The first layer, in float32 under autocast."""
        return Precise(SeveralScales(conv, self.makes) if self.several else self.makes(conv))


def build(variant: str, network: Callable[..., models.FaceNet]) -> models.FaceNet:
    """A network with the first layer of a variant, in `Precise`, and whatever else the variant has.

    With one seed the networks of all variants have the same weights where they have them in common.

    Args:
        variant: a key of `VARIANTS`.
        network: `models.landmark_regressor` or `models.face_classifier` with all but its `stem`.

    Raises:
        ValueError: an unknown variant.

    >>> build("linear", partial(models.face_classifier, "resnet18_c4", 5)).body.conv1
    Precise(
      (layer): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
    )
    """
    _check.one_of(variant, tuple(VARIANTS), "variant")
    chosen = VARIANTS[variant]
    model = network(stem=None if chosen.linear else chosen.stem)
    if chosen.linear:  # with a `stem` its pictures would not be normalized as ImageNet's weights expect
        name, conv = next((n, m) for n, m in model.body.named_modules() if isinstance(m, nn.Conv2d))
        model.body.set_submodule(name, Precise(conv))
    if chosen.before is not None:
        model.normalize = nn.Sequential(Precise(chosen.before()), model.normalize)
    if chosen.attention:
        _add_attention(model.body)
    return model


def _add_attention(body: nn.Module) -> None:
    """Squeeze and excitation before the sum of each block of a ResNet-18 or -34.

    A sixteenth of the channels, at least 4, in between. Source: Hu, Shen, Sun (2018), doi:10.1109/CVPR.2018.00745.
    """
    from torchvision.models.resnet import BasicBlock
    from torchvision.ops import SqueezeExcitation

    blocks = [m for m in body.modules() if isinstance(m, BasicBlock)]
    if not blocks:
        raise ValueError(f"attention: {type(body).__name__} has no basic blocks: choose resnet18 or resnet34")
    for block in blocks:
        channels = block.conv2.out_channels
        block.bn2 = nn.Sequential(block.bn2, SqueezeExcitation(channels, max(4, channels // 16)))


def _zero(epsilon: float = 1 / 255, **options: Any) -> Callable[[nn.Conv2d], nn.Module]:
    return partial(_log, epsilon=epsilon, zero_mean=True, **options)


def _plain(epsilon: float, **options: Any) -> Callable[[nn.Conv2d], nn.Module]:
    return partial(_log, epsilon=epsilon, **options)


def _aware(remedy: str, unit: str | None = None) -> Callable[[nn.Conv2d], nn.Module]:
    """The recommended layer, `light_stem`, with a remedy for noise."""
    return partial(light_stem, unit=unit, noise=NoiseAware(remedy=remedy), first="")


OURS = "zero-mean ln(1 + 255x)"
LOCAL = "by local mean, each channel"
NORMALIZED = f"{OURS}, contrast normalized"
ADAPTIVE = "zero-mean ln(1 + x / local mean)"
BOTH = f"{ADAPTIVE}, contrast normalized"
ZERO_PADDED = f"{OURS}, zero padding"

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
    ZERO_PADDED: Variant(_zero(padding_mode="zeros")),
    f"{OURS}, channels together": Variant(partial(_log, kind=SharedZeroMean, epsilon=1 / 255)),
    NORMALIZED: Variant(_zero(contrast=True)),
    "zero-mean x, contrast normalized": Variant(  # 30 x, so that what fades out is as dark as in the others
        _zero(1e3, gamma=3e4, train_gamma=False, contrast=True)
    ),
    "zero-mean ln(1 + 25x), contrast normalized": Variant(_zero(1 / 25, contrast=True)),
    BOTH: Variant(_zero(LEVEL, contrast=True), LocalLevel),
    f"{LOCAL}, zero-mean, contrast normalized": Variant(
        _zero(1e3, gamma=1e3, train_gamma=False, contrast=True), LocalLevel
    ),
    # controls: one part of what is recommended without the others
    "x, contrast normalized": Variant(_plain(1e3, gamma=3e4, train_gamma=False, contrast=True)),
    "ln(1 + 255x) minus its mean": Variant(before=LogMinusMean),
    "linear, edges repeated": Variant(_repeated),
    f"{LOCAL}, edges repeated": Variant(_repeated, LocalLevel),
    "learned curve": Variant(before=LearnedCurve),
    # numbers that are learned
    "ln(1 + x), gamma of each channel": Variant(_plain(1.0, per_channel=True)),
    "ln(1 + x / epsilon), epsilon trained": Variant(_plain(1.0, train_epsilon=True)),
    "zero-mean ln(1 + x / epsilon), epsilon trained": Variant(_zero(train_epsilon=True)),
    # a camera of 1,000 electrons is known: a draft
    **{f"{NORMALIZED}, {remedy}": Variant(_aware(remedy)) for remedy in REMEDIES},
    **{f"{BOTH}, {remedy}": Variant(_aware(remedy, "local mean")) for remedy in REMEDIES},
    # other remedies
    LOCAL: Variant(before=LocalLevel),
    f"{LOCAL}, 7 px": Variant(before=partial(LocalLevel, window=7)),
    f"{LOCAL}, 31 px": Variant(before=partial(LocalLevel, window=31)),
    f"{LOCAL}, 1/255 added": Variant(before=partial(LocalLevel, floor=1 / 255)),
    "ln(1 + x / local mean)": Variant(_plain(LEVEL), LocalLevel),  # 0.45 x / m over 0.45
    ADAPTIVE: Variant(_zero(LEVEL), LocalLevel),
    "by local mean": Variant(before=partial(LocalLevel, per_channel=False)),
    "Weber contrast": Variant(before=partial(LocalLevel, "contrast")),
    "divisive normalization": Variant(before=partial(LocalLevel, "energy")),
    "instance normalization": Variant(before=partial(nn.InstanceNorm2d, 3, eps=1e-8, affine=True)),
    "ln of linear light": Variant(_plain(1 / 255 / 12.92), LinearLight),
    "zero-mean ln of linear light": Variant(_zero(1 / 255 / 12.92), LinearLight),
    "color-invariant edges": Variant(before=ColorInvariantEdges),
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
