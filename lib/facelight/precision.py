"""Which precision a device computes in, and how to keep a part of a network out of autocast."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the device of x; never on a device that has none, such as "meta"."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which operations on the device of x keep the types they are given."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else contextlib.nullcontext()


def computes_in_bfloat16(device: torch.device | str) -> bool:
    """Whether a device multiplies bfloat16 numbers by instructions of its own.

    PyTorch accepts bfloat16 everywhere. A processor without such instructions emulates them, and a training step of
    ResNet-18 then takes 10 to 27 times as long as in float32.

    Args:
        device: "cpu", "cuda", "cuda:1", ...

    Returns:
        True on a GPU from compute capability 8.0 on, and on a CPU with AVX-512 BF16, AMX or Arm's BF16 that oneDNN is
        allowed to use (`ONEDNN_MAX_CPU_ISA`); False on every other device.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return _onednn_takes_bfloat16() and _has_instructions()


def _onednn_takes_bfloat16() -> bool:
    """What oneDNN says; yes to AVX-512 without BF16 as well, where it emulates."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _has_instructions() -> bool:
    """What the processor itself says."""
    if hasattr(torch.cpu, "get_capabilities"):  # newer PyTorch
        return any(has and "bf16" in name for name, has in torch.cpu.get_capabilities().items())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
