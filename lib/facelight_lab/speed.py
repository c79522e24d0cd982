"""What benchmarks measured: one record of each for every kind of processor.

A kind of processor is its name and those of `SETS` that it has. Both are part of the configuration of a record, so that
a new one takes the place of that of the same kind and leaves those of others alone.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab import results
from facelight_lab.frames import frame

with extra("book"):
    import pandas as pd

SETS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16", "asimd": "NEON"}
"""Sets of instructions that make a difference, as Linux and as people call them."""
UNKNOWN = "not named"


def processor(told: str | None = None) -> dict[str, Any]:
    """Name and instruction sets of this processor: `processor` and `instructions`.

    Args:
        told: what Linux says in /proc/cpuinfo, which is the default; where there is none, instruction sets are left
            out.
    """
    if told is None:
        path = Path("/proc/cpuinfo")
        told = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [line.partition(":") for line in told.splitlines()]
    first = {key.strip().lower(): value.strip() for key, _, value in reversed(lines)}  # that of the first core
    flags = first.get("flags", first.get("features", "")).split()
    name = first.get("model name") or platform.processor() or platform.machine()
    return {"processor": name, "instructions": [shown for flag, shown in SETS.items() if flag in flags]}


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark take `--save`."""
    parser.add_argument("--save", action="store_true", help="write a record to book/results/speed")


def check_saving(wanted: bool) -> None:
    """Before hours of work: a record must name the commit that it comes from.

    Raises:
        SystemExit: a record is wanted of files that no commit holds.
    """
    if wanted and results.clean() is not True:
        raise SystemExit("--save: a record names the commit that was measured; commit or undo your changes first")


def save(
    what: str, config: Mapping[str, Any], metrics: Mapping[str, Any], *, data: Mapping[str, Any], seconds: float
) -> Path:
    """Keep what a benchmark measured, in place of what is kept of it for this kind of processor.

    Args:
        what: name of the benchmark.
        config: its settings. One that has `bf16` is kept for each value of it.
        metrics, data, seconds: as for `results.record`.
    """
    mine = {"what": what} | processor() | ({"bf16": config["bf16"]} if "bf16" in config else {})
    item = results.record("speed", {**config, **mine}, metrics, data=data, seconds=seconds)
    for old in results.load("speed"):
        if mine.items() <= old.config.items():
            (results.root() / "speed" / f"{old.key}.json").unlink()
    return results.save(item)


def times(what: str, **values: Any) -> pd.DataFrame:
    """The columns of `facelight_lab.frame` for a benchmark; `processor` tells the kind, "not named" in old records."""
    found = frame("speed", **values)
    found = found[found["what"].fillna("clahe") == what].reset_index(drop=True)  # old records of that have no name
    rows: Any = found.to_dict("records")
    return found.assign(processor=[kind(row) for row in rows])


def kind(config: Mapping[str, Any]) -> str:
    """A kind of processor in words.

    >>> kind({"processor": "Intel(R) Xeon(R) Processor", "instructions": ["AVX2", "AVX-512"]})
    'Intel Xeon, AVX2, AVX-512'
    """
    name, sets = config.get("processor"), config.get("instructions")
    if not isinstance(name, str):
        return UNKNOWN
    name = re.sub(r"\((R|TM)\)| CPU| Processor", "", name).strip()
    return ", ".join([name, *([sets] if isinstance(sets, str) else sets or [])])
