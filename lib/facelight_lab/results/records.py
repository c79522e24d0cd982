"""Records: one measured run each, with provenance, saved atomically. No statistics here (`tables`).

A `Record` is one measured run. It lies in `book/results/<experiment>/<key>.json`, where the key is a hash of
experiment, configuration and seed: the same run is recorded once, and a run that is recorded can be skipped.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from facelight import _files, _machine
from facelight_lab.results.plain import plain, settings

SCHEMA = 2
SOURCE = Path(__file__)  # the commit that a record names is that of the checkout which holds this file
_NAMES = "facelight torch torchvision kornia opencv-python-headless scikit-image numpy anny warp-lang"
PACKAGES = tuple(_NAMES.split())
_NUMBERS = re.compile(r"\[\n[-+.,\deE\s]+\]")  # a list of numbers over several lines: saved on one


@dataclass(frozen=True)
class Record:
    """One measured run.

    Args:
        experiment: name of the experiment; also its folder.
        config: every setting of the run, JSON values only.
        metrics: what was measured: numbers, or nested mappings and lists of numbers; None where undefined.
        data: `name`, `sha256`, `split` and `count` of what it was measured on.
        seed: seed of the run; None where nothing is random.
        fingerprint: `values`, what `facelight_lab.fingerprints` says of the run's numerics, and `commit`, where that
            was computed; None where nobody asked.
        provenance: `commit`, `clean`, `versions`, `python`, `machine`, `device`, `precision`, `threads`, `seconds`,
            `command` and `date` (UTC).
        schema: version of this layout.
    """

    experiment: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int | None
    provenance: Mapping[str, Any]
    fingerprint: Mapping[str, Any] | None = None
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that stand for experiment, configuration and seed."""
        return key(self.experiment, self.config, self.seed)


def key(experiment: str, config: Any, seed: int | None = None) -> str:
    """Hash of what identifies a run: SHA-256 of the canonical JSON of experiment, configuration and seed, 12 digits.

    The configuration, a frozen dataclass or a mapping, counts as it is written, see `plain.settings`.

    >>> key("demo", {"a": 1, "b": 2}) == key("demo", {"b": 2, "a": 1})
    True
    """
    text = json.dumps([experiment, settings(config), seed], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def record(
    experiment: str,
    config: Any,
    metrics: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    seconds: float,
    seed: int | None = None,
    device: str = "cpu",
    command: str | None = None,
    fingerprint: Mapping[str, Any] | None = None,
) -> Record:
    """A record of a run that has just ended, with its provenance filled in.

    Args:
        experiment: name of the experiment, letters, digits and `_`.
        config: the frozen dataclass or mapping that configured the run.
        metrics: what was measured; NaN becomes None, infinities are refused.
        data: `name`, `sha256`, `split`, `count` of the data.
        seconds: wall time of the run; of one that was continued, since it was continued.
        seed: seed of the run, if anything in it is random.
        device: where it ran.
        command: how to run it again; default: the command line of this process.
        fingerprint: of the run's numerics, computed by this very code, see `facelight_lab.fingerprints`.

    Raises:
        ValueError: a malformed name, missing keys in `data`, or an infinite metric.
    """
    if not experiment.isidentifier():
        raise ValueError(f"experiment: expected letters, digits and _, got {experiment!r}")
    missing = {"name", "sha256", "split", "count"} - set(data)
    if missing:
        raise ValueError(f"data: the keys {sorted(missing)} are missing; say what the run was measured on")
    provenance = _provenance(seconds, device, command) | {"precision": _precision(settings(config), device)}
    told = None if fingerprint is None else {"values": plain(fingerprint), "commit": provenance["commit"]}
    return Record(experiment, settings(config), plain(metrics), plain(data), seed, provenance, told)


def root() -> Path:
    """Folder of the records: `FACELIGHT_RESULTS`, else `book/results` of the checkout around the working directory.

    Raises:
        FileNotFoundError: neither is there.
    """
    chosen = os.environ.get("FACELIGHT_RESULTS")
    if chosen:
        return _files.expanded(chosen, "FACELIGHT_RESULTS")
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "book").is_dir() and (folder / "_toc.yml").is_file():
            return folder / "book" / "results"
    raise FileNotFoundError(
        f"no book above {here}: run inside a checkout of the book, or set FACELIGHT_RESULTS to a folder"
    )


def save(item: Record, folder: Path | None = None) -> Path:
    """Write a record as JSON; readers see either the old file or the whole new one, never a part.

    Raises:
        OSError: the folder cannot be made or written.
    """
    target = _folder(folder) / item.experiment / f"{item.key}.json"
    text = json.dumps(dataclasses.asdict(item), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _files.whole(target) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise OSError(
            f"cannot write records to {target.parent} ({error.strerror}): "
            "set FACELIGHT_RESULTS to a folder that can be written"
        ) from error
    return target


def load(experiment: str, folder: Path | None = None) -> list[Record]:
    """All records of an experiment, in the order of their file names; an empty list where there are none.

    Raises:
        ValueError: a file that is not a record, names another run than its content, or has another schema.
    """
    place = _folder(folder) / experiment
    return [_read(path) for path in _files.visible(place.glob("*.json"), place)]


def find(experiment: str, config: Any, seed: int | None = None, folder: Path | None = None) -> Record | None:
    """The record of this very run, or None."""
    path = _folder(folder) / experiment / f"{key(experiment, settings(config), seed)}.json"
    return _read(path) if path.is_file() else None


def named(
    experiment: str, configs: Mapping[Any, Any], seed: int | None = None, folder: Path | None = None
) -> dict[Any, Record]:
    """The records of runs by their labels; `configs`: label -> configuration.

    Raises:
        FileNotFoundError: a run is not recorded.
    """
    found = {}
    for label, config in configs.items():
        item = find(experiment, config, seed, folder)
        if item is None:
            advice = f"`facelight run {experiment} --profile laptop` would measure it"
            raise FileNotFoundError(f"run {label!r} of {experiment!r} is not recorded: {advice}")
        found[label] = item
    return found


def _folder(folder: Path | None) -> Path:
    return root() if folder is None else _files.expanded(folder, "folder")


def _read(path: Path) -> Record:
    advice = f"delete {path} and run the experiment again"
    try:
        item = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a record ({error}): {advice}") from error
    if item.schema != SCHEMA:
        raise ValueError(f"{path} has schema {item.schema}, this version reads {SCHEMA}: {advice}")
    if item.key != path.stem:
        raise ValueError(f"{path} describes run {item.key}, not {path.stem}: its content was changed by hand; {advice}")
    return item


def commit() -> str | None:
    """The commit of the checkout that holds this file; None where it is installed without one.

    Warns when there is a checkout but git says nothing of it; ask before a long run.
    """
    return _git("rev-parse", "HEAD")


def clean() -> bool | None:
    """Whether the files of that checkout are those of its commit; None where there is none."""
    # Records that a run has just written do not make the code dirty.
    status = _git("status", "--porcelain", "--", ":/", ":(exclude,top)book/results")
    return None if status is None else not status


def _git(*words: str) -> str | None:
    """What git says of the checkout that this file belongs to; None where it is installed without one."""
    answer = ""
    # In a container the checkout may belong to somebody else, and git would refuse. Its code is running anyway.
    git = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", str(SOURCE.parent)]
    try:
        for call in (("ls-files", "--error-unmatch", str(SOURCE)), words):
            answer = subprocess.run(
                [*git, *call], capture_output=True, text=True, check=True, timeout=60
            ).stdout.strip()
        return answer
    except (OSError, subprocess.SubprocessError) as problem:
        strange = isinstance(problem, subprocess.CalledProcessError) and problem.returncode == 1  # not one of its files
        top = next((folder for folder in SOURCE.parents if (folder / ".git").exists()), None)
        if top is not None and not strange:
            why = str(getattr(problem, "stderr", None) or problem).strip()
            warnings.warn(
                f"git says nothing of the checkout {top} ({why}): records will not name the commit that produced them; "
                f"make `git -C {top} status` work first",
                stacklevel=3,
            )
        return None


def _precision(config: Any, device: str) -> str:
    """In which precision networks ran: bfloat16 where a recipe asks for it and the device computes in it.

    Records of runs before the first layers of all networks were kept in float32 say "bfloat16" alone.
    """
    from facelight.precision import computes_in_bfloat16

    def asks(value: Any) -> bool:
        if isinstance(value, dict):
            return value.get("bf16") is True or any(map(asks, value.values()))
        return isinstance(value, list) and any(map(asks, value))

    return "bfloat16, first layer float32" if asks(config) and computes_in_bfloat16(device) else "float32"


def _provenance(seconds: float, device: str, command: str | None) -> dict[str, Any]:
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "commit": commit(),
        "clean": clean(),
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {_machine.processors()} CPU cores",
        "device": device,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 3),
        "command": command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
    }
