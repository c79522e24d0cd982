"""Faces under changing light: the library behind the book.

Every public function and class is at hand by its name, `facelight.clahe`, `facelight.LogConv2d`, and in its module,
`facelight.enhance.clahe`. An image flows through the modules in this order: `data`, `illumination`, `augment`,
`enhance`, `layers`, `models`, `losses`, `metrics`; `train` trains, `detect` and `finders` find faces, `weights` keeps
networks in files, and `pipelines` leads from a photograph to landmarks in three lines.
Modules are imported when one of their names is used first: `import facelight` alone costs nothing and touches neither
network nor GPU. The names are those in the `__all__` of the modules; `__init__.pyi` tells editors the same.
"""

import ast as _ast
import re as _re
from importlib.metadata import version as _version
from pathlib import Path as _Path

import lazy_loader as _lazy

__version__ = _version("facelight")

_MODULES = (
    "augment", "data", "detect", "enhance", "finders", "illumination", "layers", "losses", "metrics", "models",
    "pipelines", "train", "weights",
)  # fmt: skip


def _names(module: str) -> list[str]:
    """The `__all__` of a module, or of those whose names it takes over with a star, read without importing them."""
    path = _Path(__file__).parent / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    if listed := _re.search(r"^__all__ = (\[.*?\])", source, _re.DOTALL | _re.MULTILINE):
        return list(_ast.literal_eval(listed[1]))
    parts = _re.findall(r"^from facelight\.(\S+) import \*", source, _re.MULTILINE)
    return [name for part in parts for name in _names(part)]


__getattr__, __dir__, __all__ = _lazy.attach(
    __name__, _MODULES, {name: _names(name) for name in (*_MODULES, "data.samples")}
)
