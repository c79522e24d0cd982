"""A disk cache of arrays keyed by the configuration that made them. What is made, and how, is the caller's business."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelight import _files, _locks
from facelight.data.sources import cache_root

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """Arrays by name, and one sha256 over all of them (names, dtypes, shapes and values)."""

    arrays: Arrays
    sha256: str


def key(config: Mapping[str, Any]) -> str:
    """The sha256 of a configuration written as canonical JSON (sorted keys, no spaces, no NaN).

    Args:
        config: what decides the content: numbers, strings, booleans, None, lists and dictionaries of them.

    Returns:
        64 hexadecimal digits.

    >>> key({"b": 1, "a": [0.5]}) == key({"a": [0.5], "b": 1})
    True
    """
    return hashlib.sha256(_canonical(config).encode()).hexdigest()


def cached(name: str, config: Mapping[str, Any], make: Callable[[], Arrays]) -> Entry:
    """Arrays from the cache, made and kept there first when it lacks them.

    An entry is a directory `<cache root>/<name>/<key>` with one `.npy` file per array and `entry.json`. It is written
    under a temporary name and renamed when complete, under a lock, so that two processes make it once; on a file system
    without locks both may make it, and one is kept. On reading, configuration and checksums are compared; a damaged
    entry is dropped and made again. Arrays that are read are memory-mapped copy-on-write: changing them never changes
    the file. The umask decides who may read an entry, so a group can share a cache.

    Args:
        name: of the kind of content, part of the path.
        config: see `key`; include a version of the code that makes the arrays.
        make: called without arguments when the entry is missing.

    Returns:
        The arrays and their checksum. When the cache cannot be written, the arrays come straight from `make`, with a
        warning that names `FACELIGHT_CACHE`.

    >>> import os, tempfile, unittest.mock
    >>> with tempfile.TemporaryDirectory() as root, unittest.mock.patch.dict(os.environ, FACELIGHT_CACHE=root):
    ...     entry = cached("example", {"n": 3}, lambda: {"x": np.arange(3)})
    ...     entry.arrays["x"].tolist()
    [0, 1, 2]
    """
    try:
        place = cache_root() / name / key(config)[:32]
        if (entry := _read(place, config)) is not None:
            return entry
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".try-"):
            pass
    except OSError as problem:
        where = f" {problem.filename}" if problem.filename else ""
        warnings.warn(
            f"cannot write to the cache{where} ({problem.strerror or problem}): keeping {name} in memory only, to be "
            "made again next time; set FACELIGHT_CACHE to a directory that can be written",
            stacklevel=2,
        )
        return _in_memory(make())
    with _locks.locked(place.with_name(f"{place.name}.lock"), "set FACELIGHT_CACHE to a directory on another disk"):
        entry = _read(place, config)  # another process may have made it meanwhile
        return entry if entry is not None else _write(place, config, make())


def _canonical(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checksum(array: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # no copy: entries may be large
    return digest.hexdigest()


def _digest(checksums: Mapping[str, str]) -> str:
    return hashlib.sha256(_canonical(checksums).encode()).hexdigest()


def _read(place: Path, config: Mapping[str, Any]) -> Entry | None:
    """The entry at `place`, or None when it is missing, incomplete, damaged or of another configuration."""
    try:
        record = json.loads((place / "entry.json").read_text(encoding="utf-8"))
        if record["config"] != json.loads(_canonical(config)):
            return None
        arrays = {k: np.load(place / f"{k}.npy", mmap_mode="c", allow_pickle=False) for k in record["checksums"]}
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if any(_checksum(array) != record["checksums"][k] for k, array in arrays.items()):
        return None
    return Entry(arrays, _digest(record["checksums"]))


def _in_memory(arrays: Arrays) -> Entry:
    return Entry(arrays, _digest({name: _checksum(array) for name, array in arrays.items()}))


def _write(place: Path, config: Mapping[str, Any], arrays: Arrays) -> Entry:
    """Keep arrays at `place`, complete or not at all, and read them back."""
    made = _in_memory(arrays)
    unfinished = None
    try:
        unfinished = _files.new_folder(place.parent, ".unfinished-")
        for name, array in arrays.items():
            np.save(unfinished / f"{name}.npy", array, allow_pickle=False)
        record = {"config": dict(config), "checksums": {name: _checksum(array) for name, array in arrays.items()}}
        (unfinished / "entry.json").write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        if place.exists() and _read(place, config) is None:  # damaged: out of the way, then gone
            damaged = _files.new_folder(place.parent, ".damaged-")
            place.replace(damaged / "entry")
            shutil.rmtree(damaged, ignore_errors=True)
        unfinished.replace(place)
    except OSError as problem:
        if (entry := _read(place, config)) is not None:  # without locks another process may have been faster
            return entry
        warnings.warn(
            f"could not keep {place.parent.name} in the cache {place.parent} ({problem.strerror}): it stays in memory; "
            "free some space there or set FACELIGHT_CACHE to another directory",
            stacklevel=3,
        )
        return made
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return _read(place, config) or made
