"""A function of images as a module: `FunctionModule`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from facelight._graph import leaf
from facelight._transforms import on_images


class FunctionModule(nn.Module):
    """Hold the settings of a function of images and call it; a subclass says which, `function`.

    Args:
        *args, **settings: the arguments of `function` after x, with its defaults. A `torch.nn.Parameter` among them is
            a parameter of the module, another tensor a buffer.

    Raises:
        TypeError: arguments that the function does not take. All else is checked by the function.
    """

    function: ClassVar[Callable[..., Tensor]]
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        """Show the arguments of the function in `help` and in completion."""
        super().__init_subclass__()
        if hasattr(cls, "function"):
            cls.__signature__ = inspect.Signature(list(inspect.signature(cls.function).parameters.values())[1:])

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__()
        bound = inspect.signature(self.function).bind(None, *args, **settings)  # None stands for x
        bound.apply_defaults()
        self._names = tuple(bound.arguments)[1:]
        for name in self._names:
            value = bound.arguments[name]
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def settings(self) -> dict[str, Any]:
        """The arguments with which the function is called now."""
        values = {name: getattr(self, name) for name in self._names}
        return {name: value() if isinstance(value, nn.Module) else value for name, value in values.items()}

    @leaf
    def forward(self, x: Any, *others: Any) -> Any:
        """Change the images x: (*, C, H, W), float in [0, 1]; same shape and dtype.

        A sample of `torchvision.transforms.v2` comes back with its images changed and everything else untouched.
        """
        return on_images(lambda images: self.function(images, **self.settings()), x, *others)

    def extra_repr(self) -> str:
        """The settings that are not learned."""
        values = {name: getattr(self, name) for name in self._names}
        return ", ".join(f"{n}={v!r}" for n, v in values.items() if not isinstance(v, nn.Module))
