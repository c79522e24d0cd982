"""Packages that only an extra of the distribution brings are imported in `with extra(...)`, which names it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator


class MissingExtra(ModuleNotFoundError):
    """A package is not installed that an extra of `facelight` brings; the message has the command that installs it."""

    def __init__(self, package: str, name: str) -> None:
        super().__init__(f'{package} is not installed; it comes with: pip install "facelight[{name}]"', name=package)


@contextlib.contextmanager
def extra(name: str, *packages: str) -> Iterator[None]:
    """Import what needs packages of the extra "fast", "render", "onnx" or "book" inside of this.

    Args:
        name: of the extra.
        packages: these must be there although nothing imports them yet.

    Raises:
        MissingExtra: one of them is not installed, or one that is imported inside.

    >>> with extra("book"):
    ...     import not_there
    Traceback (most recent call last):
    facelight._extras.MissingExtra: not_there is not installed; it comes with: pip install "facelight[book]"
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, name)
    try:
        yield
    except MissingExtra:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("facelight"):  # a mistake of ours
            raise
        raise MissingExtra(error.name.partition(".")[0], name) from None
