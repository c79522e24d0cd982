"""`with_log_stem`: the logarithmic first layer, put into a network wherever the picture enters it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from facelight._graph import leaf
from facelight.layers._entry import Entry, entries
from facelight.layers.log import LogConv2d


def with_log_stem(
    model: nn.Module,
    *,
    first: str | Sequence[str] | None = None,
    then: nn.Module | None = None,
    example: Tensor | None = None,
    **options: Any,
) -> nn.Module:
    """Return a copy of a network in which every convolution that sees the picture is a `LogConv2d` of the same weights.

    One forward pass with a synthetic picture shows where the picture enters. Networks whose blocks begin in several
    branches (RepVGG, MobileOne) have more than one such place; all are replaced, or none.

    The input of the copy is the image itself, in [0, 1], without mean/std normalization, which would make it
    negative. For the same reason the copy of a torchvision Inception-v3 or GoogLeNet has `transform_input` switched
    off. Weights trained on normalized light, as ImageNet's are, are adapted by `normalized`, and then fine-tuned.

    Args:
        model: a network that maps pictures (B, C, H, W) to whatever it computes; it stays as it is.
        first: names of the convolutions, as in `model.named_modules()`; None finds them.
        then: a module that follows each new layer, such as `facelight.layers.ContrastNorm2d()`; copied for each.
        example: pictures (B, C, H, W) that the network takes, where it takes none of the usual sizes. Only their
            shape matters.
        **options: of `LogConv2d.from_conv`: epsilon, zero_mean, normalized, padding_mode, ...

    Besides `nn.Conv2d`, timm's convolutions with "same" padding and with standardized weights are replaced. The
    padding becomes a module in front of the `LogConv2d`; the standardization a parametrization of its weight
    (`torch.nn.utils.parametrize`), or, with `normalized`, which it would undo, its initial weight.

    Returns:
        The copy.

    Raises:
        ValueError: there is no Conv2d, no module called `first`, or it is a LogConv2d already; the network takes no
            picture that was tried, changes the picture before it looks at it, or has a way around its convolutions;
            or a kernel has one pixel and `zero_mean` is asked for.
        TypeError: something other than a convolution sees the picture, or one of a kind that is not known here.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> with_log_stem(net, epsilon=1 / 255)[0]
    LogConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), gamma=1, epsilon=0.003922, zero_mean=False)
    """
    modules = dict(model.named_modules())
    if first is None:
        names = _found(model, modules, example)
    else:
        names = [first] if isinstance(first, str) else list(first)
    for name in names:
        if name not in modules:
            raise ValueError(f"first: no module is called {name!r}: choose names from model.named_modules()")
    new = {modules[name]: _stem(modules[name], name, then, options) for name in names}
    if model in new:
        return new[model]
    places = {name: new[m] for name, m in model.named_modules(remove_duplicate=False) if m in new}  # all its names
    model = copy.deepcopy(model)
    for name, stem in places.items():
        model.set_submodule(name, stem)
    if getattr(model, "transform_input", False):
        model.transform_input = cast(Any, False)
    return model


def _found(model: nn.Module, modules: dict[str, nn.Module], example: Tensor | None) -> list[str]:
    """Names of the convolutions through which alone the picture enters."""
    if not any(isinstance(module, nn.Conv2d) for module in modules.values()):
        raise ValueError(f"model: {type(model).__name__} has no Conv2d to replace: pass a convolutional network")
    found = entries(model, example)
    if not found:
        raise ValueError(f"model: {type(model).__name__} computes nothing from the picture: pass another example=")
    for entry in found:
        _require_convolution(entry, modules[entry.name])
    return [entry.name for entry in found]


def _require_convolution(entry: Entry, module: nn.Module) -> None:
    """Refuse an entry that no LogConv2d can replace."""
    place = f"{entry.name or 'the network itself'} ({type(module).__name__})"
    if isinstance(module, LogConv2d):
        return  # which `_stem` says
    if entry.operation != "convolution" or not isinstance(module, nn.Conv2d):
        raise TypeError(
            f"model: the picture also enters {place}, by {entry.operation!r}, which is not an nn.Conv2d: the light "
            "would pass beside the logarithmic layer. Take another network, or name the layers to replace with first="
        )
    if entry.low < 0 or abs(entry.high - 1) > 0.05:
        raise ValueError(
            f"model: a picture of [0.06, 1] reaches {place} as [{entry.low:.3g}, {entry.high:.3g}]: the network "
            "changes it first, and a logarithm needs the light itself. Remove that step, or name the layer with first="
        )


def _stem(conv: nn.Module, name: str, then: nn.Module | None, options: dict[str, Any]) -> nn.Module:
    """The new layer, with what follows it."""
    if isinstance(conv, LogConv2d):
        raise ValueError(f"model: {name or 'it'} is a LogConv2d already: start from the linear network")
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"first: expected the name of an nn.Conv2d, got {name!r}, a {type(conv).__name__}")
    if options.get("zero_mean") and conv.weight.shape[2:].numel() == 1:
        raise ValueError(
            f"zero_mean: {name or 'it'} has kernels of one pixel, and one pixel minus its mean is zero. In a network "
            "of several branches merge them first, with timm.utils.reparameterize_model; else leave zero_mean out"
        )
    stem = [LogConv2d.from_conv(conv, **options)] if type(conv) is nn.Conv2d else _of_timm(conv, name, options)
    follows = [] if then is None else [copy.deepcopy(then)]
    return nn.Sequential(*stem, *follows) if len(stem) + len(follows) > 1 else stem[0]


def _of_timm(conv: nn.Conv2d, name: str, options: dict[str, Any]) -> list[nn.Module]:
    """What replaces a convolution with "same" padding, standardized weights or both, as timm has them."""
    kind = type(conv).__name__
    plain = _plain(conv)
    pad: nn.Module = nn.Identity()
    standard: nn.Module = nn.Identity()
    if getattr(conv, "same_pad", kind == "Conv2dSame"):
        plain.padding = (0, 0)
        pad = SamePad2d(conv.kernel_size, conv.stride, conv.dilation)
    if "StdConv2d" in kind:
        standard = StandardizedWeight(conv)
    if not _same_output(conv, lambda x: plain._conv_forward(pad(x), standard(plain.weight), plain.bias)):
        raise TypeError(
            f"model: {name or 'it'} is a {kind}, a convolution whose forward is not known here and would be lost: "
            "replace it by an nn.Conv2d first"
        )
    if isinstance(pad, SamePad2d):
        options = dict(options)
        pad.mode = options.pop("padding_mode", "zeros")
    if options.get("normalized") is not None:
        with torch.no_grad():
            plain.weight.copy_(standard(plain.weight))
    log_conv = LogConv2d.from_conv(plain, **options)
    if options.get("normalized") is None and isinstance(standard, StandardizedWeight):
        parametrize.register_parametrization(log_conv, "weight", standard)
    return [pad, log_conv] if isinstance(pad, SamePad2d) else [log_conv]


@torch.no_grad()
def _same_output(conv: nn.Conv2d, rebuilt: Callable[[Tensor], Tensor]) -> bool:
    """Whether what was rebuilt computes what a convolution does, on pictures of noise; on the meta device, its size."""
    sides = [5 * side + 2 for side in conv.kernel_size]
    with torch.random.fork_rng(devices=[]):
        x = torch.rand(2, conv.in_channels, *sides, device=conv.weight.device, dtype=conv.weight.dtype)
    ours, wanted = rebuilt(x), conv(x)
    return ours.shape == wanted.shape and (ours.is_meta or torch.allclose(ours, wanted, rtol=1e-3, atol=1e-3))


def _plain(conv: nn.Conv2d) -> nn.Conv2d:
    """An nn.Conv2d of the same geometry, weight and bias, whatever the class does with them."""
    plain = nn.Conv2d(
        conv.in_channels, conv.out_channels, cast(Any, conv.kernel_size), cast(Any, conv.stride),
        cast(Any, conv.padding), cast(Any, conv.dilation), conv.groups, conv.bias is not None,
        cast(Any, conv.padding_mode), conv.weight.device, conv.weight.dtype,
    )  # fmt: skip
    plain.load_state_dict(conv.state_dict(), strict=False)
    for name, parameter in plain.named_parameters():
        parameter.requires_grad_(conv.get_parameter(name).requires_grad)
    return plain.train(conv.training)


class SamePad2d(nn.Module):
    """Padding as TensorFlow has it: so much that a convolution returns ceil(side / stride) pixels a side.

    An odd pixel goes to the right and to the bottom.

    Args:
        kernel_size: (rows, columns) of the convolution that follows.
        stride: of that convolution.
        dilation: of that convolution.
        mode: "zeros", "replicate", "reflect" or "circular".
    """

    def __init__(
        self, kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], mode: str = "zeros"
    ) -> None:
        super().__init__()
        self.geometry = tuple(zip(kernel_size, stride, dilation, strict=True))
        self.mode = mode

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W)."""
        amounts: list[int] = []
        for length, (kernel, stride, dilation) in zip(x.shape[:-3:-1], reversed(self.geometry), strict=True):
            total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
            amounts += [total // 2, total - total // 2]
        return F.pad(x, amounts, mode="constant" if self.mode == "zeros" else self.mode)

    def extra_repr(self) -> str:
        """Kernel, stride and dilation of each axis."""
        return f"{self.geometry}, mode={self.mode}"


class StandardizedWeight(nn.Module):
    """A parametrization: each kernel minus its mean, over its deviation, times a learned gain where there is one.

    Args:
        conv: a convolution of timm's with `eps`, and perhaps `gain` and `scale`, which are copied.

    Source: Qiao, Wang, Liu, Shen, Yuille (2019), arXiv:1903.10520; with a gain Brock, De, Smith (2021),
    arXiv:2101.08692.
    """

    gain: nn.Parameter | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.eps = float(cast(Any, conv.eps))
        self.scale = float(cast(Any, getattr(conv, "scale", 1.0)))
        gain = getattr(conv, "gain", None)
        self.register_parameter("gain", None if gain is None else nn.Parameter(gain.detach().clone()))

    def forward(self, weight: Tensor) -> Tensor:
        """Kernels (out, in / groups, kh, kw)."""
        centered = weight - weight.mean((1, 2, 3), keepdim=True)
        unit = centered * (centered.square().mean((1, 2, 3), keepdim=True) + self.eps).rsqrt()
        return unit if self.gain is None else unit * (self.gain * self.scale)
