"""The laboratory behind the book: experiments by subject, their records, tables and plots, and the command.

`experiments.run` measures, `results` keeps what was measured; `frame` reads it, `spread`, `versus` and `table` say what
it means, `plot` draws it. An experiment called NAME is the module `<subject>/NAME.py`. Nothing is imported here before
it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facelight_lab.frames import frame, measured, rates, recorded, wide
    from facelight_lab.statistics import holm, spread, versus, versus_faces
    from facelight_lab.tables import beside_paper, differences, say, show, table, verdicts

_HOMES = {
    "frames": ("frame", "measured", "rates", "recorded", "wide"),
    "statistics": ("holm", "spread", "versus", "versus_faces"),
    "tables": ("beside_paper", "differences", "say", "show", "table", "verdicts"),
}
__all__ = [
    "beside_paper",
    "differences",
    "frame",
    "holm",
    "measured",
    "rates",
    "recorded",
    "say",
    "show",
    "spread",
    "table",
    "verdicts",
    "versus",
    "versus_faces",
    "wide",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
