"""The names that expressions over records may use: the laboratory's, and those that the cells of a page define."""

from __future__ import annotations

import ast
import builtins
import functools
import math
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import facelight_lab
from facelight._extras import extra
from facelight_lab.claims.prose import numbers
from facelight_lab.statistics import PairedDifference

with extra("book"):
    import numpy as np
    import pandas as pd

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?:---\n.*?\n---\n)?((?::[\w-]+:[^\n]*\n)*)(.*?)^```", re.M | re.S)
# The part of a set-up cell that fetches the book in Colab and does nothing elsewhere.
COLAB = re.compile(r"^import sys\n+if \"google\.colab\" in sys\.modules:.*\n(?:[ \t]+.*(?:\n|\Z))*", re.MULTILINE)
OWN = ("facelight.", "facelight_lab")  # packages that a page without cells may take names from
CHANGING = ("append", "extend", "insert", "update", "setdefault", "pop", "add", "remove", "sort")
BUILTINS = {name: value for name, value in vars(builtins).items() if name not in ("open", "exec", "eval", "input")}


class Names:
    """What expressions know; a name that a cell of the page defines is computed when it is first used.

    Args:
        source: the page in MyST Markdown; "" for a page without cells.
        define: Python, with more names.

    Raises:
        SyntaxError: `define` is not Python, or imports something that is not the book's.
    """

    def __init__(self, source: str = "", define: str = "") -> None:
        self.statements = list(_statements(source))
        self.values: dict[str, Any] = {"__builtins__": BUILTINS} | _base()
        self.given = ast.parse(define)
        imports = [node for node in ast.walk(self.given) if isinstance(node, (ast.Import, ast.ImportFrom))]
        if not all(isinstance(node, ast.ImportFrom) and str(node.module).startswith(OWN) for node in imports):
            raise SyntaxError("define: imports are for the book's packages only; use names of the page's cells")
        self.defined = {name for node in self.given.body for name in _bound(node)}
        self._compute(self.given.body)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression.

        Raises:
            NameError: a name that neither the page nor the laboratory has, or that cells give several values.
        """
        return self._again(lambda: eval(compile(expression.strip(), "<claim>", "eval"), self.values))

    def run(self, code: str) -> None:
        """Run Python that may use the names, such as the solution of an exercise.

        Raises:
            NameError: as in `evaluate`.
        """
        self._compute(ast.parse(code).body)

    def _again(self, attempt: Any) -> Any:
        """Try, and try again with each name that lacks."""
        tried: set[str] = set()
        while True:
            try:
                return attempt()
            except NameError as error:
                name = error.name or str(re.findall(r"'(\w+)'", str(error))[0])
                if name in tried or name in self.values:
                    raise
                tried.add(name)
                self._find(name)

    def _compute(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            code = compile(ast.Module([node], []), "<page>", "exec")
            self._again(functools.partial(exec, code, self.values))

    def _find(self, name: str) -> None:
        """Compute a name by the statements that define it: one, or a chain in which each uses the value before it."""
        found = [node for node in self.statements if name in _bound(node)]
        if not found and hasattr(self.values["lab"], name):
            self.values[name] = getattr(self.values["lab"], name)
            return
        if not found:
            raise NameError(f"{name} is no name of the laboratory, of `define`, or of the page's cells", name=name)
        for node in found[1:]:
            if not isinstance(node, ast.AugAssign) and name not in _read(node):
                raise NameError(f"the cells of the page give {name} several values: put one into `define`", name=name)
        if any(_changes(node, name) for node in self.statements):
            raise NameError(f"the cells of the page change what {name} holds: put it into `define`", name=name)
        self._compute(found)


def flat(value: Any) -> list[float]:
    """The numbers in a value, in order: of lists, tuples, series, paired differences (mean and interval) and texts.

    Raises:
        TypeError: something is no number.
    """
    if isinstance(value, PairedDifference):
        return [value.mean, value.low, value.high]
    if isinstance(value, str):
        return [one.value for one in numbers(value) if one.kind == "digits"]
    if isinstance(value, (bool, int, float, np.number)):
        return [float(value)]
    if isinstance(value, (list, tuple, pd.Series, np.ndarray)):
        return [number for one in value for number in flat(one)]
    if callable(getattr(value, "item", None)):
        return [float(value.item())]
    raise TypeError(f"expected numbers, got {type(value).__name__} {value!r}")


def _base() -> dict[str, Any]:
    """The laboratory's functions; frames are read once."""
    offers = {name: getattr(facelight_lab, name) for name in facelight_lab.__all__}
    offers |= {name: functools.cache(offers[name]) for name in ("frame", "recorded")}
    return {"lab": SimpleNamespace(**offers), "np": np, "pd": pd, "math": math, "flat": flat}


def _statements(source: str) -> Iterable[ast.stmt]:
    for _, code in CELL.findall(source):
        lines = [line for line in COLAB.sub("", code).splitlines() if not line.lstrip().startswith(("!", "%"))]
        yield from ast.parse("\n".join(lines)).body


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a cell defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if hasattr(node, "target") else []
    if isinstance(node, (ast.For, ast.With)):
        return set()
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}


def _changes(node: ast.stmt, name: str) -> bool:
    """Whether a statement at the top of a cell writes into what a name holds: `name[key] = ...`, `name.append(...)`."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return False
    for one in ast.walk(node):
        holder = one.value if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store) else None
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in CHANGING:
            holder = one.func.value
        while isinstance(holder, (ast.Attribute, ast.Subscript, ast.Call)):
            holder = holder.func if isinstance(holder, ast.Call) else holder.value
        if isinstance(holder, ast.Name) and holder.id == name:
            return True
    return False


def _read(node: ast.stmt) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
