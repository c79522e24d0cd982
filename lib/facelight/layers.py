"""Layers: the logarithmic input (`log_compress`, `LogConv2d`, `with_log_stem`), `CosineLinear`. Networks: `models`."""

from __future__ import annotations

import copy
import math
from typing import Any, Self, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import _check

C = TypeVar("C", bound="LogConv2d")


def log_compress(x: Tensor, gamma: float | Tensor = 1.0, epsilon: float | Tensor = 1.0) -> Tensor:
    """Compress light logarithmically: `gamma * ln(1 + x / epsilon)`.

    With epsilon = 1 this is the bracket of eq. (3) of the paper. On [0, 1] that is close to a straight line; the
    curve becomes logarithmic, so that a division of x becomes a subtraction, where x is much larger than epsilon. The
    slope at 0 is gamma / epsilon: below 1/255 epsilon only amplifies the rounding of 8-bit images.

    Args:
        x: light, any shape, float, >= 0; images in [0, 1].
        gamma: gain, a number or a tensor that broadcasts against x.
        epsilon: > 0, in the unit of x, a number or a tensor that broadcasts against x.

    Returns:
        A tensor of the shape and dtype of x; half-precision input is computed in float32.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: x is negative, infinite or NaN, or epsilon is not positive (tensors: on the CPU, outside tracing).

    >>> log_compress(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), eq. (3), doi:10.31649/1681-7893-2026-51-1-108-116.
    Differs from the paper: epsilon divides x instead of being added to it, so 0 maps to 0 for every epsilon.
    """
    _check.non_negative(x)
    _check.positive(epsilon, "epsilon")
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    return (gamma * torch.log1p(precise / epsilon)).to(x.dtype)


class LogConv2d(nn.Conv2d):
    """A `torch.nn.Conv2d` whose input is log-compressed: `z = W * (gamma ln(1 + x / epsilon)) + b`.

    Args:
        in_channels: channels of the input (B, in_channels, H, W), which is >= 0; images in [0, 1].
        out_channels: channels of the output.
        kernel_size: as in `torch.nn.Conv2d`.
        stride: as in `torch.nn.Conv2d`.
        padding: as in `torch.nn.Conv2d`; zeros stand for black, since ln(1 + 0) = 0.
        dilation: as in `torch.nn.Conv2d`.
        groups: as in `torch.nn.Conv2d`.
        bias: as in `torch.nn.Conv2d`.
        padding_mode: as in `torch.nn.Conv2d`.
        gamma: initial gain.
        per_channel: one gain per input channel instead of one for the layer.
        train_gamma: make gamma a parameter; otherwise it is a buffer.
        epsilon: initial epsilon, > 0, in the unit of x.
        train_epsilon: learn epsilon through its logarithm, which keeps it positive.
        zero_mean: subtract from each kernel its mean over the spatial support, separately for every input channel,
            on the fly. A gain c on one channel adds ln c to that channel's logarithm wherever x is much larger than
            epsilon, so each channel's kernel has to sum to zero by itself to cancel it. A sum over all channels
            would be enough for a change of brightness, but a colour cast would still pass. Zero padding leaves a
            residue at the border; `padding_mode="replicate"` removes it.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: epsilon is not positive, or `zero_mean` is asked of a 1x1 kernel, which would vanish.

    Under autocast the layer keeps to the precision of its weights: the logarithms of neighbouring grey levels lie
    closer together than bfloat16 can tell.

    `state_dict` holds `weight`, `bias`, `gamma` and `log_epsilon` whether they are trained or not.

    >>> LogConv2d(3, 8, 3, epsilon=1 / 255, zero_mean=True)(torch.rand(1, 3, 5, 5)).shape
    torch.Size([1, 8, 3, 3])

    Source: Tarnovskyi, Zakharchenko, Tarnovskyi (2026), eq. (3), doi:10.31649/1681-7893-2026-51-1-108-116.
    Differs from the paper: epsilon, a gain per channel and zero-mean kernels are additions; the defaults are the paper.
    """

    gamma: Tensor
    log_epsilon: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        gamma: float = 1.0,
        per_channel: bool = False,
        train_gamma: bool = True,
        epsilon: float = 1.0,
        train_epsilon: bool = False,
        zero_mean: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check.positive(epsilon, "epsilon")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            cast(Any, padding_mode), device, dtype,
        )  # fmt: skip
        if zero_mean and self.weight.shape[2:].numel() == 1:
            raise ValueError("zero_mean: a 1x1 kernel minus its mean is zero: use a larger kernel_size")
        self.zero_mean = zero_mean
        gains = self.weight.new_full((in_channels,) if per_channel else (), gamma)
        self._keep("gamma", gains, trained=train_gamma)
        self._keep("log_epsilon", self.weight.new_tensor(math.log(epsilon)), trained=train_epsilon)

    def _keep(self, name: str, value: Tensor, *, trained: bool) -> None:
        value = value.detach()
        if trained:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def epsilon(self) -> Tensor:
        """The current epsilon, a scalar in at least float32."""
        return self.log_epsilon.to(torch.promote_types(self.log_epsilon.dtype, torch.float32)).exp()

    def kernel(self) -> Tensor:
        """The weights in use (out, in / groups, kh, kw): `weight`, minus its spatial mean if `zero_mean`."""
        return self.weight - self.weight.mean((2, 3), keepdim=True) if self.zero_mean else self.weight

    def _scaled(self) -> Tensor:
        """The weights in use times gamma, which so gets its gradient without one for the picture, a costly one."""
        gamma = self.gamma.expand(self.in_channels).view(self.groups, 1, -1, 1, 1)
        return (self.kernel().unflatten(0, (self.groups, -1)) * gamma).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve the compressed light x: (B, in_channels, H, W)."""
        light = log_compress(x, epsilon=self.epsilon)
        if not torch.is_autocast_enabled(x.device.type):
            return self._conv_forward(light, self._scaled(), self.bias)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would merge more than half of the grey levels
            z = self._conv_forward(light.to(self.weight.dtype), self._scaled(), self.bias)
        return z.to(torch.get_autocast_dtype(x.device.type))

    def extra_repr(self) -> str:
        """Geometry and the current gamma (its mean, if per channel) and epsilon."""
        return (
            f"{super().extra_repr()}, gamma={self.gamma.mean().item():.4g}, "
            f"epsilon={self.epsilon.item():.4g}, zero_mean={self.zero_mean}"
        )

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, **options: Any) -> Self:
        """Return a LogConv2d with the geometry of `conv` and copies of its weights and bias.

        Args:
            conv: a plain `torch.nn.Conv2d`; it stays as it is.
            **options: the keyword-only options of `LogConv2d`: gamma, epsilon, zero_mean, ...

        Returns:
            The new layer, on the device and in the dtype of `conv`.

        Raises:
            TypeError: `conv` is not exactly a `torch.nn.Conv2d`; the forward of a subclass would be lost.

        >>> LogConv2d.from_conv(nn.Conv2d(3, 8, 7, stride=2), epsilon=1 / 255).stride
        (2, 2)
        """
        if type(conv) is not nn.Conv2d:
            raise TypeError(
                f"conv: expected a plain torch.nn.Conv2d, got {type(conv).__name__}, whose own forward would be "
                "lost: replace it by a torch.nn.Conv2d first"
            )
        log_conv = _like(cls, conv, **options)
        with torch.no_grad():
            log_conv.weight.copy_(conv.weight)
            log_conv.weight.requires_grad_(conv.weight.requires_grad)
            if log_conv.bias is not None and conv.bias is not None:
                log_conv.bias.copy_(conv.bias)
                log_conv.bias.requires_grad_(conv.bias.requires_grad)
        return log_conv.train(conv.training)

    def fold(self) -> LogConv2d:
        """Return an equivalent layer for inference: gamma and the zero mean are baked into its weights.

        Gamma scales the weights of its input channel, `W gamma ln(.) = (gamma W) ln(.)`, so it adds nothing that the
        weights cannot express. In the result gamma = 1 and epsilon are buffers.

        >>> LogConv2d(3, 8, 3, gamma=2.0).fold().gamma
        tensor(1.)
        """
        folded = _like(LogConv2d, self, train_gamma=False)
        with torch.no_grad():
            folded.weight.copy_(self._scaled())
            folded.log_epsilon.copy_(self.log_epsilon)
            if folded.bias is not None and self.bias is not None:
                folded.bias.copy_(self.bias)
        return folded.train(self.training)


def _like(cls: type[C], conv: nn.Conv2d, **options: Any) -> C:
    """A fresh layer with the geometry, device and dtype of `conv`."""
    placed: dict[str, Any] = {"device": conv.weight.device, "dtype": conv.weight.dtype}
    return cls(
        conv.in_channels, conv.out_channels, cast(Any, conv.kernel_size), cast(Any, conv.stride),
        cast(Any, conv.padding), cast(Any, conv.dilation), conv.groups, conv.bias is not None, conv.padding_mode,
        **placed | options,
    )  # fmt: skip


def with_log_stem(model: nn.Module, *, first: str | None = None, **options: Any) -> nn.Module:
    """Return a copy of a network whose first convolution is a `LogConv2d` with the same weights.

    The input of the copy is the image itself, in [0, 1], without mean/std normalisation, which would make it
    negative. For the same reason the copy of a torchvision Inception-v3 or GoogLeNet has `transform_input` switched
    off. Weights trained on normalised light are a starting point: fine-tune them.

    Args:
        model: a network in the manner of torchvision's classification models; it stays as it is.
        first: name of the convolution, as in `model.named_modules()`; None takes the first Conv2d registered, which
            is the input layer in torchvision's models.
        **options: the keyword-only options of `LogConv2d`.

    Returns:
        The copy.

    Raises:
        ValueError: there is no Conv2d, no module called `first`, or it is a LogConv2d already.
        TypeError: the module is not a plain Conv2d.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> with_log_stem(net, epsilon=1 / 255)[0]
    LogConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), gamma=1, epsilon=0.003922, zero_mean=False)
    """
    modules = dict(model.named_modules())
    name = first if first is not None else next((n for n, m in modules.items() if isinstance(m, nn.Conv2d)), None)
    if name is None:
        raise ValueError(f"model: {type(model).__name__} has no Conv2d to replace: pass a convolutional network")
    if name not in modules:
        raise ValueError(f"first: no module is called {name!r}: choose a name from model.named_modules()")
    if isinstance(modules[name], LogConv2d):
        raise ValueError(f"model: {name or 'it'} is a LogConv2d already: start from the linear network")
    log_conv = LogConv2d.from_conv(cast(nn.Conv2d, modules[name]), **options)
    if name == "":
        return log_conv
    model = copy.deepcopy(model)
    model.set_submodule(name, log_conv)
    if getattr(model, "transform_input", False):
        model.transform_input = cast(Any, False)
    return model


class CosineLinear(nn.Module):
    """Cosines between a feature and the weights of each class: a last layer without offsets and without lengths.

        c_k = <w_k, x> / (||w_k|| ||x||)

    Computed in float32, also under autocast: bfloat16 cannot tell 0.999 from 1.

    Args:
        in_features: length of a feature.
        out_features: number of classes.

    Attributes:
        weight: (out_features, in_features); only its directions matter.

    >>> CosineLinear(2, 1)(torch.zeros(1, 2))  # the direction of nothing
    tensor([[0.]], grad_fn=<MmBackward0>)

    Source: Wang et al. (2018), doi:10.1109/CVPR.2018.00552.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the cosines (B, out_features) of features x (B, in_features)."""
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(x.float()) @ F.normalize(self.weight).T

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
