"""The logarithmic first layer put into a network, wherever the picture enters it: `light_stem`, `with_log_stem`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from facelight.layers._entry import Entry, entries
from facelight.layers._timm import of_timm
from facelight.layers.contrast import ContrastNorm2d
from facelight.layers.level import LEVEL, LocalLevel
from facelight.layers.log import LogConv2d
from facelight.layers.noise import NoiseAware, NoiseLevel, Shrunk

UNITS = (None, "local mean")


def light_stem(
    model: nn.Module,
    *,
    unit: str | None = None,
    noise: NoiseAware | None = None,
    first: str | Sequence[str] | None = None,
    example: Tensor | None = None,
    **options: Any,
) -> nn.Module:
    """Return a copy of a network whose first layer ignores the light: what the book recommends.

    Kernels of zero mean on the logarithm of the light, edges repeated, then contrast normalization:

        y = ContrastNorm2d()(W * ln(1 + x / epsilon)),   sum of W over each kernel = 0

    A factor on the light, everywhere or slowly varying, is an offset of the logarithm, which such kernels do not see;
    a power of the light and haze are a factor on what they see, which contrast normalization divides away.

    Args:
        model: see `with_log_stem`; it stays as it is.
        unit: of epsilon. None: the unit of x, with epsilon = 1/255, one gray level. "local mean": the mean m of 15x15
            pixels around, with ln(1 + x / m); it loses less in uneven light and amplifies less noise.
        noise: a camera, and what is done about its noise; None: nothing.
        first: see `with_log_stem`.
        example: see `with_log_stem`.
        **options: of `LogConv2d.from_conv`, in place of those above: `normalized=models.IMAGENET` for ImageNet's
            weights.

    Returns:
        The copy, which takes images in [0, 1] without mean/std normalization.

    Raises:
        ValueError: an unknown unit; and see `with_log_stem`.
        TypeError: see `with_log_stem`.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    >>> [type(layer).__name__ for layer in light_stem(net, unit="local mean")[0]]
    ['LocalLevel', 'LogConv2d', 'ContrastNorm2d']

    Source: this book, chapter "Beyond the papers"; of its parts see `LogConv2d`, `LocalLevel`, `ContrastNorm2d`.
    """
    if unit not in UNITS:
        raise ValueError(f"unit: expected None or 'local mean', got {unit!r}")
    local = unit == "local mean"
    options = {"epsilon": LEVEL if local else 1 / 255, "zero_mean": True} | options  # level x / m over level is x / m
    before: list[nn.Module] = [LocalLevel()] if local else []
    together: Callable[..., nn.Module] = nn.Sequential
    if noise is not None:
        level = None if local else float(options["epsilon"])
        if noise.remedy == "shrunk":
            together = partial(Shrunk, noise, level)
        elif noise.remedy in ("level", "ideal level"):
            before = [NoiseLevel(noise, level)]  # divides by the local mean, too, where that is the unit
        else:
            before.insert(0, NoiseLevel(noise, level))
    front = nn.Sequential(*before) if len(before) > 1 else before[0] if before else None
    return _replaced(model, first, front, ContrastNorm2d(), example, options, together)


def with_log_stem(
    model: nn.Module,
    *,
    first: str | Sequence[str] | None = None,
    before: nn.Module | None = None,
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
        before: a module in front of each new layer, from light >= 0 to light >= 0, such as
            `facelight.layers.LocalLevel()`; copied for each.
        then: a module that follows each new layer, such as `facelight.layers.ContrastNorm2d()`; copied for each.
        example: pictures (B, C, H, W) that the network takes, where it takes none of the usual sizes. Only their
            shape matters.
        **options: of `LogConv2d.from_conv`: epsilon, zero_mean, normalized, padding_mode, ... With `zero_mean` the
            border is repeated instead of filled with zeros, unless `padding_mode` says otherwise: beside zeros a kernel
            of zero mean sees how strong the light is.

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
    return _replaced(model, first, before, then, example, options)


def _replaced(
    model: nn.Module,
    first: str | Sequence[str] | None,
    before: nn.Module | None,
    then: nn.Module | None,
    example: Tensor | None,
    options: dict[str, Any],
    together: Callable[..., nn.Module] = nn.Sequential,
) -> nn.Module:
    """`with_log_stem`; `together` makes one module of those of a new layer."""
    modules = dict(model.named_modules())
    if first is None:
        names = _found(model, modules, example)
    else:
        names = [first] if isinstance(first, str) else list(first)
    for name in names:
        if name not in modules:
            raise ValueError(f"first: no module is called {name!r}: choose names from model.named_modules()")
    new = {modules[name]: _stem(modules[name], name, before, then, options, together) for name in names}
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


def _stem(
    conv: nn.Module,
    name: str,
    before: nn.Module | None,
    then: nn.Module | None,
    options: dict[str, Any],
    together: Callable[..., nn.Module],
) -> nn.Module:
    """The new layer, with what stands before and behind it."""
    if isinstance(conv, LogConv2d):
        raise ValueError(f"model: {name or 'it'} is a LogConv2d already: start from the linear network")
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"first: expected the name of an nn.Conv2d, got {name!r}, a {type(conv).__name__}")
    if options.get("zero_mean") and conv.weight.shape[2:].numel() == 1:
        raise ValueError(
            f"zero_mean: {name or 'it'} has kernels of one pixel, and one pixel minus its mean is zero. In a network "
            "of several branches merge them first, with timm.utils.reparameterize_model; else leave zero_mean out"
        )
    if options.get("zero_mean") and conv.padding_mode == "zeros":
        options = {"padding_mode": "replicate"} | options
    stem = [LogConv2d.from_conv(conv, **options)] if type(conv) is nn.Conv2d else of_timm(conv, name, options)
    stem = [*(() if before is None else (copy.deepcopy(before),)), *stem]
    stem += [] if then is None else [copy.deepcopy(then)]
    return together(*stem) if len(stem) > 1 else stem[0]
