"""Histograms and tables of gray levels with derivatives: the two operations that every histogram method is made of.

A gray level v in [0, 255] lies between the levels k and k + 1, v = k + f. It counts 1 - f in bin k and f in bin k + 1,
and it is mapped to (1 - f) T(k) + f T(k + 1). Each is piecewise linear in v. At a whole level the derivative is the
mean of the slopes to its left and right, which is what central differences give there. There are first derivatives
only, in reverse mode.

What is computed for each pixel is written twice: `_levels_torch` in PyTorch's operations, for every device, and
`_levels_numba` as compiled loops, for CPUs. `paths` says which of them runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import recording
from facelight.enhance import _levels_torch, paths
from facelight.enhance._levels_torch import BINS
from facelight.enhance._places import Blend, Place


def gray_levels(x: Tensor, exact: bool) -> tuple[Tensor, bool]:
    """Images (*, C, H, W) in [0, 1] as levels (N, H, W) from 0 to 255, and whether some pixel lies between two levels.

    Double precision stays what it is, unless `exact`; everything else becomes single. Values that rounding has moved
    off a whole level, as multiplying by 1 / 255 does, are put back. NaN, which no check finds where values are not
    `readable`, counts as black, so that it cannot become an index; `pictures` puts it back.

    Compiled loops do all that line by line when they need it. For them the images stay as they are, in [0, 1], and so
    are what `look_up` returns.
    """
    kind = torch.float64 if x.dtype == torch.float64 and not exact else torch.float32
    x = x.to(kind).flatten(0, -3)
    if paths.compiled(x):
        return x, True
    levels = x * (BINS - 1)
    levels = levels if _check.readable(x) else levels.nan_to_num(nan=0.0)
    between = _some_between(levels)
    if between:
        levels = whole_levels(levels, _levels_torch.nearly(kind))
        between = _some_between(levels)
    return levels, between


def pictures(levels: Tensor, x: Tensor) -> Tensor:
    """Levels in the order of the pixels of x as images of its shape and type; NaN where x is. They are overwritten."""
    out = levels if paths.compiled(levels) else levels.div_(BINS - 1)
    out = out.to(x.dtype).view(x.shape)
    return out if _check.readable(x) else torch.where(x.isnan(), x.detach(), out)


def whole_levels(levels: Tensor, within: float = 0.5) -> Tensor:
    """Gray levels moved to a whole level if it is `within` reach; the derivative is that of doing nothing."""
    with torch.no_grad():
        step = levels.round() - levels
        step = torch.where(step.abs() <= within, step, 0)
    return levels + step


def half_up(value: Tensor) -> Tensor:
    """Rounded, halves upwards; OpenCV, like `torch.round`, rounds them to even."""
    return (value + 0.5).floor()


def histograms(levels: Tensor, place: Place, number: int, between: bool = True, rounded: bool = False) -> Tensor:
    """Soft histograms (number, 256) of lines (L, W) of `gray_levels`, which says `between`; or of levels `rounded`."""
    fast = paths.compiled(levels)
    if rounded and between and not fast:
        levels = whole_levels(levels)
    return run(_Histograms, levels, place, number, between and not rounded, fast)


def look_up(
    levels: Tensor,
    tables: Tensor,
    place: Place,
    blend: Blend | None = None,
    between: bool = True,
    rounding: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Lines (L, W) of `gray_levels` through tables (number, 256), or through four of them, blended bilinearly.

    `rounding` makes gray levels of the entries of the tables; the derivative is that without it. Each result is then
    moved by 1/4096 of the way to the nearest whole level: one half-way between two levels could otherwise be rounded
    up or down later, after a division by 255 and a multiplication by it.
    """
    return run(_LookUp, levels, tables, place, blend, between, rounding, paths.compiled(levels))


def run(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """Apply a function; under `torch.jit.trace`, which cannot save one, its forward pass alone, without a gradient."""
    if recording() or (paths.compiled(inputs[0]) and not _learned(*inputs[:2])):
        return function.forward(*(x.detach() if isinstance(x, Tensor) else x for x in inputs))
    if not torch.compiler.is_compiling() and any(_check.mapped(x) for x in inputs[:2] if isinstance(x, Tensor)):
        raise NotImplementedError(
            "histogram methods do not run under torch.func.vmap: pass all images at once, (*, C, H, W)"
        )
    return function.apply(*inputs)


def _learned(*inputs: Any) -> bool:
    """Whether somebody may ask for a gradient."""
    return torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)


class _Histograms(torch.autograd.Function):
    @staticmethod
    def forward(levels: Tensor, place: Place, number: int, between: bool, fast: bool) -> Tensor:
        return paths.operations(fast).count(levels, place, number, between)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        levels, ctx.place, _, ctx.between, ctx.fast = inputs
        ctx.save_for_backward(levels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (levels,) = ctx.saved_tensors
        with torch.no_grad():
            out = paths.operations(ctx.fast).slopes(levels, gradient, None, ctx.place, None, ctx.between)
        return first_derivative(out, gradient), None, None, None, None


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(
        levels: Tensor,
        tables: Tensor,
        place: Place,
        blend: Blend | None,
        between: bool,
        rounding: Callable[[Tensor], Tensor] | None,
        fast: bool,
    ) -> Tensor:
        entries = rounding(tables) if rounding else tables
        return paths.operations(fast).blended(levels, entries, place, blend, between, rounding is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        levels, tables, ctx.place, ctx.blend, ctx.between, _, ctx.fast = inputs
        ctx.save_for_backward(levels, tables)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None, None]:
        levels, tables = ctx.saved_tensors
        path = paths.operations(ctx.fast)
        to_levels = to_tables = None
        with torch.no_grad():
            if ctx.needs_input_grad[0]:
                to_levels = path.slopes(levels, tables, gradient, ctx.place, ctx.blend, ctx.between)
            if ctx.needs_input_grad[1]:
                to_tables = path.spread(levels, gradient, len(tables), ctx.place, ctx.blend, ctx.between)
        if to_levels is not None:
            to_levels = first_derivative(to_levels, levels, tables, gradient)
        if to_tables is not None:
            to_tables = first_derivative(to_tables, levels, gradient)
        return to_levels, to_tables, None, None, None, None, None


def first_derivative(gradient: Tensor, *inputs: Tensor) -> Tensor:
    """A gradient that stays connected to what it depends on, so that a second derivative is refused and not lost."""
    if torch.compiler.is_compiling():  # which refuses second derivatives itself
        return gradient
    return _FirstDerivative.apply(gradient, *inputs)


class _FirstDerivative(torch.autograd.Function):
    @staticmethod
    def forward(gradient: Tensor, *inputs: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        raise NotImplementedError("histogram methods have first derivatives only: leave create_graph out")


def _some_between(levels: Tensor) -> bool:
    """Whether some pixel lies between two levels; yes where nothing is `readable`."""
    return not _check.readable(levels) or not torch.equal(levels, levels.floor())
