"""Histograms and tables of gray levels with derivatives: the two operations that every histogram method is made of.

A gray level v in [0, 255] lies between the levels k and k + 1, v = k + f. It counts 1 - f in bin k and f in bin k + 1,
and it is mapped to (1 - f) T(k) + f T(k + 1). Each is piecewise linear in v. At a whole level the derivative is the
mean of the slopes to its left and right, which is what central differences give there. There are first derivatives
only, in reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import recording
from facelight.enhance._places import Blend, Place

BINS = 256
_PIXELS_AT_ONCE = 2**17  # on a CPU, so that what is computed on the way stays in the cache


def gray_levels(x: Tensor, exact: bool) -> tuple[Tensor, bool]:
    """Images (*, C, H, W) in [0, 1] as levels (N, H, W) from 0 to 255, and whether some pixel lies between two levels.

    Double precision stays what it is, unless `exact`; everything else becomes single. Values that rounding has moved
    off a whole level, as multiplying by 1 / 255 does, are put back. NaN, which no check finds where values are not
    `readable`, counts as black, so that it cannot become an index; `pictures` puts it back.
    """
    kind = torch.float64 if x.dtype == torch.float64 and not exact else torch.float32
    levels = x.to(kind).flatten(0, -3) * (BINS - 1)
    levels = levels if _check.readable(x) else levels.nan_to_num(nan=0.0)
    between = _some_between(levels)
    if between:
        levels = whole_levels(levels, 512 * torch.finfo(kind).eps)
        between = _some_between(levels)
    return levels, between


def pictures(levels: Tensor, x: Tensor) -> Tensor:
    """Levels in the order of the pixels of x as images of its shape and type; NaN where x is NaN."""
    out = (levels / (BINS - 1)).to(x.dtype).view(x.shape)
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


def histograms(levels: Tensor, place: Place, number: int, between: bool = True) -> Tensor:
    """Soft histograms (number, 256) of lines of gray levels (L, W) in [0, 255]; `between` as of `gray_levels`."""
    return _run(_Histograms, levels, place, number, between)


def look_up(
    levels: Tensor,
    tables: Tensor,
    place: Place,
    blend: Blend | None = None,
    between: bool = True,
    rounding: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Lines of gray levels (L, W) through tables (number, 256), or through four of them, blended bilinearly.

    `rounding` makes gray levels of the entries of the tables; the derivative is that without it. Each result is then
    moved by 1/4096 of the way to the nearest whole level: one half-way between two levels could otherwise be rounded
    up or down later, after a division by 255 and a multiplication by it.
    """
    return _run(_LookUp, levels, tables, place, blend, between, rounding)


def _run(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """Apply a function; under `torch.jit.trace`, which cannot save one, its forward pass alone, without a gradient."""
    if recording():
        return function.forward(*(x.detach() if isinstance(x, Tensor) else x for x in inputs))
    if not torch.compiler.is_compiling() and any(_check.mapped(x) for x in inputs[:2] if isinstance(x, Tensor)):
        raise NotImplementedError(
            "histogram methods do not run under torch.func.vmap: pass all images at once, (*, C, H, W)"
        )
    return function.apply(*inputs)


class _Histograms(torch.autograd.Function):
    @staticmethod
    def forward(levels: Tensor, place: Place, number: int, between: bool) -> Tensor:
        counts = levels.new_zeros(number * BINS + 1)  # white has nothing to put into the bin above its own
        for lines in _parts(levels):
            level, fraction = _split(levels[lines])
            bins = _index(level, place, lines, BINS).long().flatten()
            if between:
                counts.scatter_add_(0, bins, 1 - fraction.flatten())
                counts[1:].scatter_add_(0, bins, fraction.flatten())
            else:
                counts.scatter_add_(0, bins, counts.new_ones(1).expand(bins.shape))
        return counts[:-1].view(number, BINS)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        levels, ctx.place, _, ctx.between = inputs
        ctx.save_for_backward(levels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (levels,) = ctx.saved_tensors
        with torch.no_grad():
            slopes = _slopes(gradient)
            out = torch.empty_like(levels)
            for lines in _parts(levels):
                step = _half_steps(levels[lines], ctx.between)
                out[lines] = _pick(slopes, _index(step, ctx.place, lines, 2 * BINS))
        return _refusing_more(out, gradient), None, None, None


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(
        levels: Tensor,
        tables: Tensor,
        place: Place,
        blend: Blend | None,
        between: bool,
        rounding: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        flat = (rounding(tables) if rounding else tables.contiguous()).view(-1)
        rises = torch.diff(flat, append=flat[-1:])
        out = torch.empty_like(levels)
        for lines in _parts(levels):
            level, fraction = _split(levels[lines])
            index = _index(level, place, lines, BINS)
            value = _blended(flat, index, blend, lines, BINS)
            if between:
                value.addcmul_(fraction, _blended(rises, index, blend, lines, BINS))
            if rounding:
                value.lerp_(value.round(), 1 / 4096)
            torch.clamp(value, 0, BINS - 1, out=out[lines])  # sums of shares are off by an ulp
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        levels, tables, ctx.place, ctx.blend, ctx.between, _ = inputs
        ctx.save_for_backward(levels, tables)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        levels, tables = ctx.saved_tensors
        to_levels = to_tables = None
        with torch.no_grad():
            if ctx.needs_input_grad[0]:
                to_levels = _gradient_of_levels(levels, tables, gradient, ctx)
            if ctx.needs_input_grad[1]:
                to_tables = _gradient_of_tables(levels, tables, gradient, ctx)
        if to_levels is not None:
            to_levels = _refusing_more(to_levels, levels, tables, gradient)
        if to_tables is not None:
            to_tables = _refusing_more(to_tables, levels, gradient)
        return to_levels, to_tables, None, None, None, None


def _gradient_of_levels(levels: Tensor, tables: Tensor, gradient: Tensor, ctx: Any) -> Tensor:
    """Slope of the blended tables at each pixel, times what arrives from above."""
    slopes, out = _slopes(tables), torch.empty_like(levels)
    for lines in _parts(levels):
        index = _index(_half_steps(levels[lines], ctx.between), ctx.place, lines, 2 * BINS)
        torch.mul(gradient[lines], _blended(slopes, index, ctx.blend, lines, 2 * BINS), out=out[lines])
    return out


def _gradient_of_tables(levels: Tensor, tables: Tensor, gradient: Tensor, ctx: Any) -> Tensor:
    """What arrives from above, counted in the entries that each pixel was blended from."""
    out = tables.new_zeros(tables.numel() + 1)
    for lines in _parts(levels):
        level, fraction = _split(levels[lines])
        bins = _index(level, ctx.place, lines, BINS).long().flatten()
        for table, share in _corners(gradient[lines], ctx.blend, lines):
            target = out[table * BINS :]
            if ctx.between:
                upper = share * fraction
                target[1:].scatter_add_(0, bins, upper.flatten())
                share = share - upper
            target.scatter_add_(0, bins, share.flatten())
    return out[:-1].view_as(tables)


def _refusing_more(gradient: Tensor, *inputs: Tensor) -> Tensor:
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


def _parts(levels: Tensor) -> Iterator[slice]:
    """Runs of lines to work on at once: all of them, unless on a CPU and not traced."""
    if not _check.readable(levels):
        yield slice(0, levels.shape[0])
        return
    step = max(1, _PIXELS_AT_ONCE // levels.shape[1])
    for start in range(0, levels.shape[0], step):
        yield slice(start, start + step)


def _split(levels: Tensor) -> tuple[Tensor, Tensor]:
    """The level below, and how far above it, in [0, 1)."""
    below = levels.int()
    return below, levels - below


def _some_between(levels: Tensor) -> bool:
    """Whether some pixel lies between two levels; yes where nothing is `readable`."""
    return not _check.readable(levels) or not torch.equal(levels, levels.floor())


def _half_steps(levels: Tensor, between: bool) -> Tensor:
    """2 k for a pixel at level k, 2 k + 1 for one between k and k + 1."""
    return (levels.floor() + levels.ceil()).int() if between else levels.int().mul_(2)


def _slopes(tables: Tensor) -> Tensor:
    """What a table (..., 256) rises a level, at half steps: between levels, and at a level the mean of both sides."""
    rise = tables.diff()
    out = rise.new_empty((*tables.shape, 2))
    out[..., 1:-1, 0] = (rise[..., 1:] + rise[..., :-1]) / 2
    out[..., 0, 0], out[..., -1, 0] = rise[..., 0], rise[..., -1]
    out[..., :-1, 1], out[..., -1, 1] = rise, 0
    return out.view(-1)


def _index(entry: Tensor, place: Place, lines: slice, size: int) -> Tensor:
    """Where the entries of lines of pixels, which are overwritten, lie among tables of `size` entries."""
    return entry.add_(place.line[lines] * size).add_(place.column * size)


def _pick(flat: Tensor, index: Tensor) -> Tensor:
    return flat.index_select(0, index.flatten()).view(index.shape)


def _blended(flat: Tensor, index: Tensor, blend: Blend | None, lines: slice, size: int) -> Tensor:
    """The entries of the table of each pixel, or of the four around it in OpenCV's order of operations."""
    if blend is None:
        return _pick(flat, index)
    below = blend.stride * size
    left, down = 1 - blend.across, blend.down[lines]
    above = _pick(flat, index).mul_(left).add_(_pick(flat[size:], index).mul_(blend.across))
    under = _pick(flat[below:], index).mul_(left).add_(_pick(flat[below + size :], index).mul_(blend.across))
    return above.mul_(1 - down).add_(under.mul_(down))


def _corners(upstream: Tensor, blend: Blend | None, lines: slice) -> Iterator[tuple[int, Tensor]]:
    """For each table of a pixel: how many tables further it is, and the gradient that reaches it."""
    if blend is None:
        yield 0, upstream
        return
    for step, part in ((0, 1 - blend.down[lines]), (blend.stride, blend.down[lines])):
        row = upstream * part
        yield step, row * (1 - blend.across)
        yield step + 1, row * blend.across
