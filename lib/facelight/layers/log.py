"""The logarithmic first layer: `log_compress` and `LogConv2d`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from facelight import _check
from facelight._graph import leaf, one_node
from facelight.precision import autocasts, no_autocast

Normalized = tuple[Sequence[float], Sequence[float]]


@one_node
def log_compress(x: Tensor, gamma: float | Tensor = 1.0, epsilon: float | Tensor = 1.0) -> Tensor:
    """Compress light logarithmically: `gamma * ln(1 + x / epsilon)`.

    With epsilon = 1 this is the bracket of eq. (3) of the paper. On [0, 1] that is close to a straight line; the
    curve becomes logarithmic, so that a division of x becomes a subtraction, where x is much larger than epsilon. The
    slope at 0 is gamma / epsilon: below 1/255 epsilon only amplifies the rounding of 8-bit images.

    Args:
        x: light, any shape, float, >= 0; images in [0, 1]. Less than 0, by rounding or where values are not checked
            (on a GPU, while tracing), is taken as 0.
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
    x = _check.non_negative(x)
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
            would be enough for a change of brightness, but a color cast would still pass. Zero padding leaves a
            residue at the border; `padding_mode="replicate"` removes it.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: epsilon is not positive, or `zero_mean` is asked of a 1x1 kernel, which would vanish.

    Under autocast the layer keeps to the precision of its weights: the logarithms of neighboring gray levels lie
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
        self._keep("gamma", self.weight.new_full((in_channels,) if per_channel else (), gamma), trained=train_gamma)
        self._keep("log_epsilon", self.weight.new_tensor(math.log(epsilon)), trained=train_epsilon)

    def _keep(self, name: str, value: Tensor, *, trained: bool) -> None:
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

    def _times(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Weights times a factor, or one for each input channel."""
        factor = factor.expand(self.in_channels).view(self.groups, 1, -1, 1, 1)
        return (weight.unflatten(0, (self.groups, -1)) * factor).flatten(0, 1)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Convolve the compressed light x: (B, in_channels, H, W)."""
        light, kernel = log_compress(x, epsilon=self.epsilon), self._times(self.kernel(), self.gamma)
        if not autocasts(x):
            return self._conv_forward(light, kernel, self.bias)
        with no_autocast(x):  # bfloat16 would merge more than half of the gray levels
            z = self._conv_forward(light.to(self.weight.dtype), kernel, self.bias)
        return z.to(torch.get_autocast_dtype(x.device.type))

    def extra_repr(self) -> str:
        """Geometry and the current gamma (its mean, if per channel) and epsilon."""
        gamma, epsilon = self.gamma.mean().item(), self.epsilon.item()
        return f"{super().extra_repr()}, gamma={gamma:.4g}, epsilon={epsilon:.4g}, zero_mean={self.zero_mean}"

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, *, normalized: Normalized | None = None, **options: Any) -> Self:
        """Return a LogConv2d with the geometry of `conv` and copies of its weights and bias.

        Args:
            conv: a plain `torch.nn.Conv2d`; it stays as it is.
            normalized: mean m and standard deviation s of each channel, if the weights were trained on
                (x - m) / s. Near x = m that is (m + epsilon) / (gamma s) times the logarithmic light, up to a
                constant; the kernels are multiplied by this factor. The constant goes into the bias; without a bias
                it is left to the layer behind, and kernels of zero mean never see it.
            **options: the keyword-only options of `LogConv2d`: gamma, epsilon, zero_mean, ...; or `padding_mode`,
                in place of that of `conv`.

        Returns:
            The new layer, on the device and in the dtype of `conv`.

        Raises:
            TypeError: `conv` is not exactly a `torch.nn.Conv2d`; the forward of a subclass would be lost.
            ValueError: `normalized` does not have a number for every channel.

        >>> LogConv2d.from_conv(nn.Conv2d(3, 8, 7, stride=2), epsilon=1 / 255).stride
        (2, 2)
        """
        if type(conv) is not nn.Conv2d:
            raise TypeError(f"conv: expected a plain nn.Conv2d, got {type(conv).__name__}: its forward would be lost")
        log_conv = cls._like(conv, **options)
        log_conv.load_state_dict(conv.state_dict(), strict=False)
        for name, parameter in conv.named_parameters():
            log_conv.get_parameter(name).requires_grad_(parameter.requires_grad)
        if normalized is not None:
            log_conv._fit(*normalized)
        return log_conv.train(conv.training)

    @torch.no_grad()
    def _fit(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Turn weights of light normalized by mean and std into weights of logarithmic light."""
        if not len(mean) == len(std) == self.in_channels:
            raise ValueError(f"normalized: expected {self.in_channels} means and deviations, got {mean}, {std}")
        middle, deviation = self.weight.new_tensor(mean), self.weight.new_tensor(std)
        self.weight.copy_(self._times(self.weight, (middle + self.epsilon) / (self.gamma * deviation)))
        if self.bias is not None:
            self.bias.sub_(self._times(self.kernel(), log_compress(middle, self.gamma, self.epsilon)).sum((1, 2, 3)))

    def fold(self) -> LogConv2d:
        """Return an equivalent layer for inference: gamma and the zero mean are baked into its weights.

        Gamma scales the weights of its input channel, `W gamma ln(.) = (gamma W) ln(.)`, so it adds nothing that the
        weights cannot express. In the result gamma = 1 and epsilon are buffers.

        >>> LogConv2d(3, 8, 3, gamma=2.0).fold().gamma
        tensor(1.)
        """
        new = LogConv2d._like(self, train_gamma=False)
        kept = {name: value for name, value in self.state_dict().items() if name in ("bias", "log_epsilon")}
        new.load_state_dict(kept | {"weight": self._times(self.kernel(), self.gamma), "gamma": new.gamma})
        return new.train(self.training)

    @classmethod
    def _like(cls, conv: nn.Conv2d, **options: Any) -> Self:
        """A fresh layer with the geometry, device and dtype of `conv`."""
        size = ("in_channels", "out_channels", "kernel_size")
        names = (*size, "stride", "padding", "dilation", "groups", "padding_mode")
        same = {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
        return cls(**same | {"device": conv.weight.device, "dtype": conv.weight.dtype} | options)
