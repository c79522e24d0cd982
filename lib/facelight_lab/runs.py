"""What all experiments share: measure a list of runs and record them; take pictures in parts over all processors."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from filelock import Timeout
from torch import Tensor
from tqdm import tqdm

from facelight import _locks, _machine, distributed, train
from facelight.data import pie, yaleb
from facelight.data.samples import LitFaces
from facelight_lab import results
from facelight_lab.enhancers import fingerprint
from facelight_lab.results import Record

PIXELS_AT_ONCE = 2**20
RECORDING = ("laptop", "full")  # the profiles whose runs are saved


class Config(Protocol):
    """The configuration of a run on a data set; where it has an `enhancer`, its fingerprint is recorded."""

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


def measure_all(
    experiment: str,
    profile: str,
    configs: Sequence[C],
    load: Callable[[str], Faces],
    measure: Callable[[C, Faces, Path | None], Measured],
    same_as: Callable[[C], Hashable] | None = None,
) -> list[Record]:
    """Measure the runs and return their records in order; see `facelight_lab.experiments.run`.

    Several processes may call this at the same time: a run that another one has in hand is left to it, and waited for
    at the end. The lock of a process that was killed is free again. Processes that train one network, see
    `distributed`, take the same run, and the first of them records it.

    Args:
        experiment, profile: as named on the command line.
        configs: one a run.
        load: the pictures of a data set; called once for each set that is needed.
        measure: metrics of a run on them, the split that it used, and the number of pictures of the set. It is given a
            folder for what an interrupted run continues from, not made yet, or None where nothing is kept.
        same_as: what equal experiments have in common, of which only the first is measured; default: the configuration.

    Raises:
        OSError: the folder of the records cannot be written, or its file system has no locks.
    """
    if profile in RECORDING:
        results.commit()  # what is wrong with git is said now, not after hours
    same_as = same_as or (lambda config: config)
    loaded: dict[str, Faces] = {}
    measured: dict[Hashable, Record] = {}
    found: dict[int, Record] = {}

    def record(config: C, place: Path | None) -> Record:
        if config.dataset not in loaded:
            loaded[config.dataset] = load(config.dataset)
        same = measured.get(same_as(config))
        return _record(experiment, profile, config, loaded[config.dataset], measure, same, place)

    hidden = profile not in RECORDING or distributed.rank() > 0
    bar = tqdm(desc=f"{experiment}, {profile}", total=len(configs), unit="run", disable=hidden)
    with bar:
        for patient in (False, True):  # what another process has in hand comes last
            elsewhere: set[Hashable] = set()
            for i, config in enumerate(configs):
                same = same_as(config)
                if i in found or same in elsewhere:
                    continue
                item = _together(experiment, config, record, patient) if profile in RECORDING else record(config, None)
                if item is None:
                    elsewhere.add(same)
                else:
                    found[i] = measured[same] = item
                    bar.update()
    return [found[i] for i in range(len(configs))]


def _together(experiment: str, config: C, measure: Callable[[C, Path | None], Record], patient: bool) -> Record | None:
    """`_once`, also where several processes train one network: the first decides, locks and saves, all measure."""
    if distributed.world_size() == 1:
        return _once(experiment, config, measure, patient)
    item, asked = None, []

    def announced(config: C, place: Path | None) -> Record:
        asked.append(distributed.broadcast(True))
        return measure(config, place)

    if distributed.rank() == 0:
        item = _once(experiment, config, announced, patient)
        if not asked:
            distributed.broadcast(False)
    elif distributed.broadcast(False):
        measure(config, workplace(experiment, config))
    return distributed.broadcast(item)


def _once(experiment: str, config: C, measure: Callable[[C, Path | None], Record], patient: bool) -> Record | None:
    """The saved record of a run, measured now if nobody has; None while another process does, unless patient."""
    seed = getattr(config, "seed", None)
    place = workplace(experiment, config)
    lock = Path(f"{place}.lock")
    item = results.find(experiment, config, seed)
    if item is not None and not lock.exists():
        return item
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        hold = _locks.lock(lock).acquire(timeout=-1 if patient else 0)
    except Timeout:
        return None
    except OSError as error:
        raise OSError(
            f"cannot write to {place.parent} or lock it ({error}): set FACELIGHT_RESULTS to a folder on another disk"
        ) from error
    with hold:
        item = results.find(experiment, config, seed)  # the other process may just have finished
        if item is None:
            item = measure(config, place)
            results.save(item)
        shutil.rmtree(place, ignore_errors=True)
        lock.unlink(missing_ok=True)  # last: a lock beside a record says that the folder may still be there
    return item


def workplace(experiment: str, config: Any) -> Path:
    """Folder for what an interrupted run continues from, beside the records; with `.lock`, who has it in hand."""
    name = results.key(experiment, dataclasses.asdict(config), getattr(config, "seed", None))
    return results.root() / ".unfinished" / experiment / name


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


def _record(
    experiment: str,
    profile: str,
    config: C,
    faces: Faces,
    measure: Callable[[C, Faces, Path | None], Measured],
    same: Record | None,
    place: Path | None,
) -> Record:
    start = time.perf_counter()
    if same is None:
        metrics, split, count = measure(config, faces, place)
    else:
        metrics, split, count = same.metrics, same.data["split"], same.data["count"]
    enhancer = getattr(config, "enhancer", None)
    count_of_processes = distributed.world_size()
    shared = "" if count_of_processes == 1 else f", {count_of_processes} processes"
    return results.record(
        experiment,
        config,
        {**metrics} if enhancer is None else {**metrics, "fingerprint": fingerprint(enhancer)},
        data={"name": faces.source, "sha256": faces.sha256, "split": split, "count": count},
        seconds=time.perf_counter() - start,
        seed=getattr(config, "seed", None),
        device=getattr(config, "device", "cpu") + shared,
        command=f"facelight run {experiment} --profile {profile}",
    )


def in_parts(work: Callable[[Tensor], Tensor], images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """`work` on images (N, C, H, W), uint8, a part at a time on every processor, and its results side by side.

    Each part is resized to (H, W), bilinearly with antialiasing, rounded to gray levels and given to `work` as float32
    in [0, 1]; what comes back has the images along the last axis.
    """
    height, width = size or images.shape[-2:]
    parts = images.split(max(1, PIXELS_AT_ONCE // (height * width)))
    threads = torch.get_num_threads()

    @torch.no_grad()
    def one(part: Tensor) -> Tensor:
        return work(_resized(part, size))

    with ThreadPoolExecutor(_machine.processors()) as pool:  # torch's own threads would only compete
        torch.set_num_threads(1)
        try:
            return torch.cat(list(pool.map(one, parts)), dim=-1)
        finally:
            torch.set_num_threads(threads)


def _resized(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    x = images.float() / 255
    if size is None:
        return x
    x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return (x * 255).round().clamp(0, 255) / 255


def read(dataset: str) -> LitFaces:
    """Extended Yale B ("yaleb") or CMU PIE ("pie")."""
    return {"yaleb": yaleb, "pie": pie}[dataset].load()
