"""Where a picture enters a network: one forward pass, watched operation by operation. Used by `stem`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operations that weigh what they get, as a convolution does; all others (pad, cut, cast, pool, ...) pass a picture on.
_WEIGHING = ("mm", "addmm", "bmm", "baddbmm", "addbmm", "linear", "norm", "attention", "prelu", "lstm", "gru")
_SIDES = (64, 224, 256, 299, 384)


@dataclass(frozen=True)
class Entry:
    """A place where a picture, and nothing computed from it by the network, is weighed or mixed with features.

    Args:
        name: of the module that does it, as in `named_modules()`.
        operation: PyTorch's name of what is done there: "convolution", "addmm", "add", ...
        low, high: smallest and largest value that arrives; the picture itself lies in [0, 1] and contains 1.
        picture: shape of the picture that the network took.
    """

    name: str
    operation: str
    low: float
    high: float
    picture: tuple[int, ...]


def entries(model: nn.Module, example: Tensor | None = None) -> list[Entry]:
    """Every place where the picture enters a network, in the order of a forward pass; each module once.

    Args:
        model: stays as it is; a copy of it is run in evaluation mode.
        example: pictures (B, C, H, W) that the network takes; None: a size that the network names, then common ones.

    Raises:
        ValueError: the network takes no picture that was tried.
    """
    probe = copy.deepcopy(model).eval()
    if getattr(probe, "transform_input", False):  # torchvision's Inception and GoogLeNet
        probe.transform_input = False  # type: ignore[assignment]
    failures = []
    for shape in _shapes(probe) if example is None else [tuple(example.shape)]:
        try:
            return _watched(probe, _ramp(shape, next(probe.parameters(), torch.empty(0))))
        except Exception as error:  # whatever a network says to a picture of the wrong size
            failures.append(f"{'x'.join(map(str, shape))}: {str(error).strip().splitlines()[:1]}")
    raise ValueError(
        f"model: {type(model).__name__} takes none of the pictures that were tried ({'; '.join(failures)}): pass one "
        "that it takes as example=, or name the convolutions that see the picture with first="
    )


def _shapes(model: nn.Module) -> Iterator[tuple[int, ...]]:
    """Shapes that a network may take: its own, as timm and torchvision note them, then usual ones."""
    config = getattr(model, "pretrained_cfg", None) or {}
    if "input_size" in config:
        yield (1, *config["input_size"])
    conv = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = [conv.in_channels] if conv is not None else []
    noted = getattr(model, "image_size", None)
    for number in dict.fromkeys([*channels, 3, 1]):
        for side in dict.fromkeys([*([noted] if isinstance(noted, int) else []), *_SIDES]):
            yield (1, number, side, side)


def _ramp(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Pictures that rise smoothly from 1/16 to 1, so that cutting and scaling hardly change their range."""
    ramp = torch.linspace(1 / 16, 1, shape[-2] * shape[-1], device=like.device)
    dtype = like.dtype if like.is_floating_point() else torch.float32
    return ramp.to(dtype).view(shape[-2:]).expand(shape).contiguous()


def _watched(model: nn.Module, picture: Tensor) -> list[Entry]:
    watch = _Watch(picture)
    hooks = []
    for name, module in model.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            hooks.append(module.register_forward_pre_hook(lambda m, i, name=name: watch.inside.append(name)))
            hooks.append(module.register_forward_hook(lambda m, i, o: watch.leave(), always_call=True))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), watch:
            model(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return list({entry.name: entry for entry in reversed(watch.found)}.values())[::-1]


def _range(tensors: list[Tensor]) -> tuple[float, float]:
    """Smallest and largest value; as if unchanged on the meta device, where there are none."""
    if tensors[0].is_meta:
        return 0.0, 1.0
    values = torch.stack([torch.stack(t.double().aminmax()) for t in tensors])
    return values.min().item(), values.max().item()


class _Marked:
    """Tensors by the memory they lie in, so that a write through a view marks the whole; forgotten when freed."""

    def __init__(self) -> None:
        self.memory: dict[int, StorageWeakRef] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        found = self.memory.get(tensor.untyped_storage()._cdata)
        return found is not None and not found.expired()

    def add(self, tensor: Tensor) -> None:
        reference = StorageWeakRef(tensor.untyped_storage())
        self.memory[reference.cdata] = reference

    def discard(self, tensor: Tensor) -> None:
        self.memory.pop(tensor.untyped_storage()._cdata, None)


class _Watch(TorchDispatchMode):
    """Follows a picture through PyTorch's operations, until one weighs it or mixes it with features."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.shape = tuple(picture.shape)
        self.found: list[Entry] = []
        self.inside = [""]  # the modules whose forward is running
        self.pictures = _Marked()  # it, and what was only cut, padded, cast, ... from it
        self.features = _Marked()
        self.pictures.add(picture)

    def leave(self) -> None:
        self.inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        seen = [t for t in given if t in self.pictures]
        mixed = any(t in self.features for t in given)
        name = func.overloadpacket.__name__
        if not (seen or mixed) or name.endswith("_like") or name.startswith("new_"):
            return func(*args, **(kwargs or {}))
        entered = bool(seen) and (mixed or name == "convolution" or any(word in name.split("_") for word in _WEIGHING))
        if entered:
            self.found.append(Entry(self.inside[-1], name, *_range(seen), self.shape))
        out = func(*args, **(kwargs or {}))
        for result in tree_leaves(out):
            if isinstance(result, Tensor):
                (self.features if entered or mixed else self.pictures).add(result)
                (self.pictures if entered or mixed else self.features).discard(result)
        return out
