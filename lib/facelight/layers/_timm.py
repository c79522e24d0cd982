"""timm's convolutions in the terms of PyTorch's own: padding, standardized weights, `LogConv2d`. Used by `stem`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from facelight._graph import leaf
from facelight.layers.log import LogConv2d


def of_timm(conv: nn.Conv2d, name: str, options: dict[str, Any]) -> list[nn.Module]:
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
