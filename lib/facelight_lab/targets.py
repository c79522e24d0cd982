"""What was to be reached, as `book/targets.yml` says it, and which records it judges. No measuring here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab.results import Record

with extra("book"):
    import yaml

FILE = "book/targets.yml"
_ASKED = ("name", "ours", "base", "cells", "at_most", "share")


def read(path: Path) -> dict[str, Any]:
    """The file, checked.

    Raises:
        ValueError: a part is missing or not what it should be; names the target.
    """
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or {"date", "experiment", "judges", "seeds", "targets"} - found.keys():
        raise ValueError(f"{path}: expected date, experiment, judges, seeds and targets")
    for number, target in enumerate(found["targets"], 1):
        name = target.get("name", f"number {number}")
        if missing := [part for part in _ASKED if part not in target]:
            raise ValueError(f"{path}: target {name!r} lacks {', '.join(missing)}")
        if not 0 < target["share"] <= 1:
            raise ValueError(f"{path}: target {name!r}: share: expected a number in (0, 1], got {target['share']}")
    return found


def judged(records: Iterable[Record], judges: Mapping[str, Any]) -> list[Record]:
    """The records whose settings are as the file says.

    Args:
        records: of the experiment.
        judges: setting -> value; dots between the names of nested settings.
    """

    def at(config: Any, name: str) -> Any:
        for part in name.split("."):
            config = config.get(part) if isinstance(config, Mapping) else None
        return config

    return [item for item in records if all(at(item.config, name) == value for name, value in judges.items())]
