"""Settings and metrics as a record writes them: JSON's values. What a record is besides is said in `records`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LATER = {"later": True}
"""Metadata of a setting that there was no need to name when runs were recorded first, `field(metadata=LATER)`.

At its default it is not written, so that a record of a run that had no such setting keeps its key and is that of the
same run today.
"""


def settings(config: Any) -> dict[str, Any]:
    """A frozen dataclass or a mapping as plain JSON values, without what is `LATER` and at its default."""
    values: dict[str, Any] = plain(_written(config))
    return values


def plain(value: Any) -> Any:
    """The value in JSON's types; NaN becomes None.

    Raises:
        ValueError: an infinite number.
        TypeError: something else than numbers, text, lists and mappings.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("an infinite number cannot be recorded; use None and say why in the metric's name")
        return None if math.isnan(value) else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"expected numbers, text, lists and mappings, got {type(value).__name__}: convert it first")


def _written(value: Any) -> Any:
    """Dataclasses, also within lists and mappings, as mappings of what is written of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if not (f.metadata.get("later") and _at_default(f, value))]
        return {f.name: _written(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {k: _written(v) for k, v in value.items()}
    return [_written(v) for v in value] if isinstance(value, (list, tuple)) else value


def _at_default(field: dataclasses.Field[Any], owner: Any) -> bool:
    made = field.default_factory
    return bool(getattr(owner, field.name) == (field.default if made is dataclasses.MISSING else made()))
