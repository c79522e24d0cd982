"""How the library gets along with what records or transforms programs: `one_node`, `leaf`, `recording`.

Symbolic tracing passes a `torch.fx.Proxy` in place of a tensor. It has no values to check and no shape to compute with,
so code that looks at its input cannot be traced through. What is decorated here becomes one node of the graph and runs
with real tensors later. torchvision's `create_feature_extractor` and FX quantization trace so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, fx, nn

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


def one_node(function: Callable[Concatenate[Tensor, P], Tensor]) -> Callable[Concatenate[Tensor, P], Tensor]:
    """Keep a call of a function of images whole; the function stands at the top level of its module."""

    @functools.wraps(function)
    def call(x: Tensor, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if isinstance(x, fx.Proxy):
            node = x.tracer.create_proxy("call_function", call, (x, *args), dict[str, Any](kwargs))
            return cast(Tensor, node)
        return function(x, *args, **kwargs)

    return cast(Callable[Concatenate[Tensor, P], Tensor], call)


def leaf(forward: F) -> F:
    """Keep a module whole: decorates its `forward`, whose first argument is traced.

    Raises:
        TypeError: the module itself is what is traced, and so has no place in a graph.
    """

    @functools.wraps(forward)
    def call(self: nn.Module, x: Any, *others: Any) -> Any:
        if not isinstance(x, fx.Proxy):
            return forward(self, x, *others)
        tracer: Any = x.tracer
        if tracer.root is self:
            raise TypeError(f"{type(self).__name__} is one node of a torch.fx graph: trace torch.nn.Sequential(it)")
        return tracer.create_proxy("call_module", tracer.path_of_module(self), (x, *others), {})

    return cast(F, call)


def recording() -> bool:
    """Whether `torch.jit.trace` records what is computed, for inputs of other values and with or without gradients."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined]


def plain_operations_needed() -> bool:
    """Whether plain operations are needed in place of a `torch.autograd.Function`.

    `torch.jit.trace` cannot save one, and the transforms of `torch.func` want a second version of it.
    """
    return recording() or torch._C._functorch.peek_interpreter_stack() is not None
