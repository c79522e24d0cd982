"""What all experiments share: measuring runs, one after the other, and recording them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from filelock import Timeout
from tqdm import tqdm

from facelight import _locks, distributed, train
from facelight_lab import results
from facelight_lab.results import Record

RECORDING = ("laptop", "full")  # the profiles whose runs are saved


class Config(Protocol):
    """The configuration of a run on a data set."""

    @property
    def dataset(self) -> str:
        """Name of the data set."""

    def __hash__(self) -> int: ...


class Data(Protocol):
    """A data set, and what it is called in records."""

    @property
    def source(self) -> str:
        """Name in records."""

    @property
    def sha256(self) -> str:
        """Hash of the content."""


T = TypeVar("T")
C = TypeVar("C", bound=Config)
Faces = TypeVar("Faces", bound=Data)
Measured: TypeAlias = tuple[Mapping[str, Any], str, int]


@dataclass(frozen=True)
class Experiment(Generic[C, Faces]):
    """What an experiment measures in one profile, and how.

    Args:
        name: as named on the command line.
        profile: as named on the command line.
        configs: one a run, in order.
        load: the pictures of a data set.
        measure: metrics of a run on them, the split that it used, and the number of pictures of the set. It is given a
            folder for what an interrupted run continues from, not made yet, or None where nothing is kept.
        same_as: what equal runs have in common, of which only one is measured; default: no two runs are equal.
        fingerprint: what stands for the numerics of a run, see `facelight_lab.fingerprints`; it is recorded with it.
    """

    name: str
    profile: str
    configs: Sequence[C]
    load: Callable[[str], Faces]
    measure: Callable[[C, Faces, Path | None], Measured]
    same_as: Callable[[C], Hashable] | None = None
    fingerprint: Callable[[C], Mapping[str, Any]] | None = None

    def runs(self) -> dict[str, C]:
        """The runs by the keys of their records, in order."""
        return {key_of(self.name, config): config for config in self.configs}

    def equals(self, config: C) -> list[C]:
        """The other runs that must come out as this one does."""
        if self.same_as is None:
            return []
        same = self.same_as(config)
        return [other for other in self.configs if other != config and self.same_as(other) == same]


def measure_all(experiment: Experiment[C, Faces], only: Collection[str] = (), save: bool | None = None) -> list[Record]:
    """Measure runs, one after the other, and return their records in order; see `facelight_lab.experiments.run`.

    A run that is recorded is not measured again, and a run that equals a recorded one copies its numbers. What another
    process is measuring at the moment is refused. Processes that train one network, see `distributed`, measure the same
    run together, and the first of them records it.

    Args:
        experiment: what there is to measure.
        only: keys of the runs that are wanted; default: all.
        save: whether to record; default: in the profiles `RECORDING`.

    Raises:
        ValueError: `only` has a key that the profile does not have.
        OSError: the folder of the records cannot be written, its file system has no locks, or a run is being measured
            by another process.
    """
    save = experiment.profile in RECORDING if save is None else save
    chosen = _chosen(experiment, only)
    experiment = experiment if save else dataclasses.replace(experiment, fingerprint=None)
    if save:
        results.commit()  # what is wrong with git is said now, not after hours
    load = functools.cache(experiment.load)
    unsaved: dict[C, Record] = {}
    found = []
    with distributed.process_group() as rank:
        what = f"{experiment.name}, {experiment.profile}"
        for config in tqdm(chosen, desc=what, unit="run", disable=rank > 0 or not save):
            if save:
                found.append(_recorded(experiment, config, load))
            else:
                same = next((unsaved[other] for other in experiment.equals(config) if other in unsaved), None)
                item = _copied(experiment, config, same) if same else _measured(experiment, config, load, None)
                unsaved[config] = item
                found.append(item)
    return found


def _chosen(experiment: Experiment[C, Faces], only: Collection[str]) -> list[C]:
    runs = experiment.runs()
    unknown = sorted(set(only) - set(runs))
    if unknown:
        name, profile = experiment.name, experiment.profile
        raise ValueError(
            f"only: {name} has no run {', '.join(unknown)} in profile {profile}: see facelight list {name} "
            f"--profile {profile}"
        )
    return [config for key, config in runs.items() if not only or key in only]


def _recorded(experiment: Experiment[C, Faces], config: C, load: Callable[[str], Faces]) -> Record:
    """The saved record of a run, which is measured if there is none."""
    place, first = workplace(experiment.name, config), distributed.rank() == 0
    item = distributed.broadcast(saved(experiment.name, config))
    if item is not None:
        if first and lock_of(place).exists():  # left by a process that died between saving and tidying up
            with contextlib.suppress(OSError), _alone(place):
                pass
        return item
    with _alone(place) if first else contextlib.nullcontext():
        item = distributed.broadcast(saved(experiment.name, config))  # another process may just have finished
        if item is None:
            same = distributed.broadcast(_equal(experiment, config))
            item = _copied(experiment, config, same) if same else _measured(experiment, config, load, place)
            item = distributed.broadcast(item)
            if first:
                results.save(item)
    return item


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep others from measuring a run; at its end remove what it would have continued from.

    The lock is the operating system's: that of a process which was killed is free again.
    """
    lock = lock_of(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        hold = _locks.lock(lock).acquire(timeout=0)
    except Timeout:
        raise OSError(
            f"another process is measuring run {place.name} of {place.parent.name} ({lock} is locked): wait for it, or "
            "choose other runs with --only; many at once are Snakemake's business, see book/reproduce.md"
        ) from None
    except OSError as error:
        raise OSError(
            f"cannot write to {place.parent} or lock it ({error}): set FACELIGHT_RESULTS to a folder on another disk"
        ) from error
    with hold:
        yield
        shutil.rmtree(place, ignore_errors=True)
        lock.unlink(missing_ok=True)  # last: a lock beside a record says that the folder may still be there


def key_of(name: str, config: Any) -> str:
    """The key of the record of a run."""
    return results.key(name, config, getattr(config, "seed", None))


def saved(name: str, config: Any) -> Record | None:
    """The record of a run, or None."""
    return results.find(name, config, getattr(config, "seed", None))


def workplace(name: str, config: Any) -> Path:
    """Folder for what an interrupted run continues from, beside the records."""
    return results.root() / ".unfinished" / name / key_of(name, config)


def lock_of(place: Path) -> Path:
    """The file that the process which measures a run keeps locked."""
    return Path(f"{place}.lock")


def in_hand(place: Path) -> bool:
    """Whether a process is measuring the run at this moment."""
    lock = lock_of(place)
    if not lock.exists():
        return False
    try:
        with _locks.lock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True


def continued(work: Callable[[], T], checkpoint: Path | None) -> T:
    """Result of work that continues from a checkpoint; one that it refuses, left by another version, is put aside."""
    try:
        return work()
    except train.CheckpointError as problem:  # what other code trained is not this run
        assert checkpoint is not None
        aside = checkpoint.with_name(f"{checkpoint.name}.refused")
        warnings.warn(f"{problem}\nuntil the run is done it is kept as {aside}; the run starts again", stacklevel=3)
        with contextlib.suppress(FileNotFoundError):  # of several processes one has moved it
            checkpoint.replace(aside)
        return work()


def _measured(experiment: Experiment[C, Faces], config: C, load: Callable[[str], Faces], place: Path | None) -> Record:
    """The record of a run that is measured here."""
    faces = load(config.dataset)
    start = time.perf_counter()
    metrics, split, count = experiment.measure(config, faces, place)
    data = {"name": faces.source, "sha256": faces.sha256, "split": split, "count": count}
    return _record(experiment, config, metrics, data, time.perf_counter() - start)


def _equal(experiment: Experiment[C, Faces], config: C) -> Record | None:
    """A record of a run that comes out as this one does, unless its numerics are others today."""
    for other in experiment.equals(config):
        item = saved(experiment.name, other)
        if item is not None and (experiment.fingerprint is None or _unchanged(item, experiment.fingerprint(other))):
            return item
    return None


def _unchanged(item: Record, today: Mapping[str, Any]) -> bool:
    return item.fingerprint is not None and not results.differences(item.fingerprint["values"], today)


def _copied(experiment: Experiment[C, Faces], config: C, same: Record) -> Record:
    """The record of a run that equals another one: its numbers, and where they come from."""
    item = _record(experiment, config, same.metrics, same.data, 0.0)
    return dataclasses.replace(item, provenance={**same.provenance, "seconds": 0.0})


def _record(
    experiment: Experiment[C, Faces], config: C, metrics: Mapping[str, Any], data: Mapping[str, Any], seconds: float
) -> Record:
    count = distributed.world_size()
    return results.record(
        experiment.name,
        config,
        metrics,
        data=data,
        seconds=seconds,
        seed=getattr(config, "seed", None),
        device=getattr(config, "device", "cpu") + (f", {count} processes" if count > 1 else ""),
        command=f"facelight run {experiment.name} --profile {experiment.profile}",
        fingerprint=None if experiment.fingerprint is None else experiment.fingerprint(config),
    )
