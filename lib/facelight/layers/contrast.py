"""Contrast normalization of feature maps: `ContrastNorm2d`, for use behind a first layer."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facelight import _check
from facelight._graph import leaf, plain_operations_needed
from facelight.precision import no_autocast


class ContrastNorm2d(nn.Module):
    """Divide a feature map by its energy in the neighborhood: `z / sqrt(m + floor^2)`.

    m is the mean of z^2 over the channels and a square window, the edge repeated. Behind kernels of zero mean on
    logarithmic light, z is contrast: a tone curve x^p multiplies it by p, and it is low in haze and near black. What
    leaves this layer has nearly the same energy everywhere, where that was well above `floor`.

    Args:
        window: side of the window in pixels of the feature map, odd.
        floor: amplitude below which the division fades out, in the unit of z, > 0. 0.03 is about a third of the
            deviation of z on faces, with kernels as torchvision's ResNets draw them.

    Raises:
        ValueError: window is not odd and positive, or floor is not positive.

    The layer computes in float32 under autocast; half-precision input comes back in its own dtype.

    >>> ContrastNorm2d()(torch.full((1, 4, 9, 9), 3.0))[0, 0, 0, 0]
    tensor(1.0000)

    Source: Heeger (1992), doi:10.1017/S0952523800009640; between layers of a network Jarrett, Kavukcuoglu, Ranzato,
    LeCun (2009), doi:10.1109/ICCV.2009.5459469.
    Differs from the sources: a square window with equal weights, no subtraction of a local mean, and a floor that is
    added to the energy instead of a threshold.
    """

    def __init__(self, window: int = 7, floor: float = 0.03) -> None:
        super().__init__()
        _check.odd(window, "window")
        _check.positive(floor, "floor")
        self.window, self.floor = window, floor

    @leaf
    def forward(self, z: Tensor) -> Tensor:
        """Feature maps (B, C, H, W)."""
        with no_autocast(z):
            precise = z.to(torch.promote_types(z.dtype, torch.float32))
            divided = _divided if plain_operations_needed() else _Divided.apply
            return cast(Tensor, divided(precise, self.window, self.floor)).to(z.dtype)

    def extra_repr(self) -> str:
        """Window and floor."""
        return f"window={self.window}, floor={self.floor:g}"


def _scale(energy: Tensor, window: int, floor: float) -> Tensor:
    """1 / sqrt(m + floor^2) of the energy (B, 1, H, W), m its mean in the window."""
    around = F.avg_pool2d(F.pad(energy, (window // 2,) * 4, mode="replicate"), window, stride=1)
    return (around + floor**2).rsqrt()


def _divided(z: Tensor, window: int, floor: float) -> Tensor:
    """Z times `_scale` of its energy."""
    return z * _scale(z.square().mean(1, keepdim=True), window, floor)


class _Divided(torch.autograd.Function):
    """`_divided` in half the time: autograd's derivative of that goes over z again and again.

    With g the gradient of the output, s the scale and E = sum z^2 / C over C channels, dL/dz = s g + (2 / C) z dL/dE;
    dL/dE is what `_scale` passes back of dL/ds = sum z g, the sum over the channels.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, window: int, floor: float) -> Tensor:
        energy = torch.linalg.vector_norm(z, dim=1, keepdim=True).square() / z.shape[1]
        ctx.save_for_backward(z, energy)
        ctx.window, ctx.floor = window, floor
        return z * _scale(energy, window, floor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        z, energy = ctx.saved_tensors
        with torch.enable_grad():
            energy = energy.detach().requires_grad_()
            scale = _scale(energy, ctx.window, ctx.floor)
        with no_autocast(z):  # a product of matrices, which autocast would round
            of_scale = torch.einsum("bchw,bchw->bhw", z, gradient)[:, None]
        (of_energy,) = torch.autograd.grad(scale, energy, of_scale)
        return (gradient * scale.detach()).addcmul_(z, of_energy, value=2 / z.shape[1]), None, None
