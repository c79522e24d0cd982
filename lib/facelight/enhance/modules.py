"""What the Modules of `facelight.enhance` share: `EnhancerModule`, and numbers that are learned. No new methods here.

A Module takes the arguments of its function after x once, and the images later; its settings are attributes. Kornia's
`ImageSequential` and `AugmentationSequential` take it as it is, between random augmentations: every image passes
through it, and keypoints, boxes and masks stay as they are. The images must be in [0, 1] there too: after an
augmentation that leaves the range, such as `RandomGaussianNoise`, put one that clips.

torchvision's `v2.Compose` takes it, too, behind `v2.ToDtype(torch.float32, scale=True)`: an `Image` or `Video` of a
sample is enhanced, and boxes, masks, key points, labels and all else pass as they are.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from facelight import _check
from facelight._module import FunctionModule


class Positive(nn.Module):
    """A number that is learned and stays positive: `initial * exp(log_factor)`, exactly `initial` at first.

    Args:
        initial: > 0.

    Raises:
        ValueError: initial is not positive.

    `state_dict` holds the parameter `log_factor`, a relative change, and `initial`.

    >>> Positive(40.0)()
    tensor(40., grad_fn=<MulBackward0>)
    """

    initial: Tensor

    def __init__(self, initial: float) -> None:
        if not 0 < initial < float("inf"):
            raise ValueError(f"expected a positive finite number to learn from, got {initial}")
        super().__init__()
        self.register_buffer("initial", torch.tensor(float(initial)))
        self.log_factor = nn.Parameter(torch.zeros(()))

    def forward(self) -> Tensor:
        """The number, a scalar in at least float32."""
        precise = torch.promote_types(self.initial.dtype, torch.float32)
        return self.initial.to(precise) * self.log_factor.to(precise).exp()

    def extra_repr(self) -> str:
        """The number now."""
        return f"{self().item():.4g}"


class Fraction(nn.Module):
    """A number that is learned and stays between 0 and 1: `sigmoid(logit)`.

    Args:
        initial: > 0 and < 1.

    Raises:
        ValueError: initial is not between 0 and 1; at the ends the sigmoid has no slope, and nothing would be learned.

    >>> Fraction(0.5)()
    tensor(0.5000, grad_fn=<SigmoidBackward0>)
    """

    def __init__(self, initial: float) -> None:
        if not 0 < initial < 1:
            raise ValueError(
                f"expected a number between 0 and 1 to learn from, the ends excluded, got {initial}: try 0.5"
            )
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(float(initial)).logit())

    def forward(self) -> Tensor:
        """The number, a scalar in at least float32."""
        return self.logit.to(torch.promote_types(self.logit.dtype, torch.float32)).sigmoid()

    def extra_repr(self) -> str:
        """The number now."""
        return f"{self().item():.4g}"


class EnhancerModule(FunctionModule):
    """Hold the settings, call the function: a subclass names it, and what of it can be learned.

    Args:
        *args, **settings: see `FunctionModule`.
        trainable: replace the settings listed in `learned` by a `Positive` or a `Fraction`. The current number is
            then `module.name()`; without, it is `module.name`.

    Raises:
        TypeError: arguments that the function does not take; `trainable` where nothing can be learned.
        ValueError: a setting that is to be learned and is not inside its range. All else is checked by the function.
    """

    learned: ClassVar[dict[str, type[Positive] | type[Fraction]]] = {}

    def __init_subclass__(cls) -> None:
        """Show the arguments of the function, and `trainable`, in `help` and in completion."""
        super().__init_subclass__()
        if cls.learned:
            trainable = inspect.Parameter("trainable", inspect.Parameter.KEYWORD_ONLY, default=False)
            cls.__signature__ = inspect.Signature([*cls.__signature__.parameters.values(), trainable])

    def __init__(self, *args: Any, trainable: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if trainable:
            self._learn()

    def _learn(self) -> None:
        if not self.learned:
            raise TypeError(f"trainable: {type(self).__name__} has no setting that can be learned")
        for name, kind in self.learned.items():
            value = getattr(self, name)
            if name == "clip_limit" and getattr(self, "convention", "") == "matlab":
                kind = Fraction  # MATLAB's limit is a share
            if isinstance(value, nn.Parameter) or (isinstance(value, Tensor) and value.ndim):
                raise TypeError(
                    f"{name}: trainable starts from one plain number, got {value!r}: "
                    "to learn several, pass a torch.nn.Parameter and leave trainable out"
                )
            _check.number(value, name)
            try:
                setattr(self, name, kind(float(value)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
