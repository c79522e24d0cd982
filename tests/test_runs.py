"""Measuring the runs of an experiment: what is skipped, chosen, copied, resumed, refused and left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from torch import nn

from facelight import train
from facelight.data import LitFaces
from facelight_lab import results, runs
from facelight_lab.enhancers import Enhancer
from facelight_lab.results import Record, records
from facelight_lab.runs import Experiment, in_hand, lock_of, measure_all, workplace
from patience import PATIENCE, python, until


@dataclass(frozen=True)
class Toy:
    name: str = "a"
    dataset: str = "dots"
    enhancer: Enhancer = field(default_factory=Enhancer)
    seed: int = 0


TOYS = [Toy(name, seed=i) for i, name in enumerate("abcdefgh")]


def dots(dataset: str) -> LitFaces:
    zeros = torch.zeros(2)
    return LitFaces(
        torch.zeros((2, 1, 4, 4), dtype=torch.uint8),
        identity=zeros.long(),
        azimuth=zeros,
        elevation=zeros,
        subset=zeros.long() + 1,
        name=("x", "y"),
        source=dataset,
        sha256="0" * 64,
    )


class Log:
    """Lines that several processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __call__(self, line: str) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)

    def lines(self) -> list[str]:
        return self.path.read_text().split()


def stepwise(log: Log, steps: int, seconds: float, stuck: str = ""):
    """A measurement that keeps how far it came, and logs each step before it is kept; in step `stuck` it stays."""

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        assert place is not None
        place.mkdir(exist_ok=True)
        kept = place / "steps"
        for step in range(int(kept.read_text()) if kept.exists() else 0, steps):
            time.sleep(seconds)
            log(f"{config.name}{step}")
            if f"{config.name}{step}" == stuck:
                time.sleep(2 * PATIENCE)  # until it is killed
            (place / "part").write_text(str(step + 1))
            (place / "part").replace(kept)
        return {"score": float(config.seed)}, "all", len(faces)

    return measure


def toys(configs, measure, profile="laptop", same_as=None, load=dots) -> Experiment:
    return Experiment("toy", profile, configs, load, measure, same_as)


def names(log: list[str]):
    """A measurement that appends its name to the list."""

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        log.append(config.name)
        return {"score": float(config.seed)}, "all", len(faces)

    return measure


def scores(found: list[Record]) -> list[float]:
    return [item.metrics["score"] for item in found]


def left_behind(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in (root / ".unfinished").rglob("*") if path.name != "toy"]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(records, "_git", lambda *words: None)  # what git says is another test's business
    return tmp_path / "results"


# --- one process


def test_records_come_in_order_and_what_is_recorded_is_skipped(root: Path) -> None:
    log: list[str] = []
    loads: list[str] = []

    def load(dataset: str) -> LitFaces:
        loads.append(dataset)
        return dots(dataset)

    first = measure_all(toys(TOYS[2:4], names(log), load=load))
    assert (log, loads) == (["c", "d"], ["dots"])
    found = measure_all(toys([*TOYS[:5], Toy("z", dataset="more")], names(log), "full", load=load))
    assert (log, loads) == (["c", "d", "a", "b", "e", "z"], ["dots", "dots", "more"])
    assert found[2:4] == first
    assert [item.config["name"] for item in found] == list("abcdez")
    assert [item.data["name"] for item in found] == ["dots"] * 5 + ["more"]
    assert found[0].provenance["command"] == "facelight run toy --profile full"
    assert measure_all(toys(TOYS[:5], names(log), load=load)) == found[:5]
    assert (len(log), len(loads)) == (6, 3)
    assert left_behind(root) == []


def test_the_short_profile_keeps_nothing(root: Path) -> None:
    places: list[Path | None] = []

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        places.append(place)
        return {"score": float(config.seed)}, "all", len(faces)

    for _ in range(2):
        assert scores(measure_all(toys(TOYS, measure, "book"))) == list(range(8))
    assert places == [None] * 16
    assert not root.exists()


def test_of_equal_experiments_only_the_first_is_measured() -> None:
    log: list[str] = []
    for profile in ("book", "laptop"):
        found = measure_all(toys(TOYS[:5], names(log), profile, lambda config: config.seed % 2))
        assert scores(found) == [0, 1, 0, 1, 0]
        assert [item.seed for item in found] == [0, 1, 2, 3, 4]
    assert log == ["a", "b", "a", "b"]


def test_the_place_of_a_run_is_its_own(root: Path) -> None:
    measure_all(toys(TOYS[:1], names([])))
    (record,) = results.load("toy")
    assert workplace("toy", TOYS[0]) == root / ".unfinished" / "toy" / record.key
    assert len({workplace("toy", toy) for toy in TOYS}) == 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, Timeout("another lock")])
def test_an_interrupted_run_goes_on_and_ends_as_a_straight_one(root: Path, error: BaseException) -> None:
    x = torch.linspace(-1, 1, 12)[:, None]
    recipe = train.Recipe(6, 4, bf16=False)
    epochs: list[int] = []

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        train.seed_everything(config.seed)
        model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.2), nn.Linear(4, 1))

        def watch(model: nn.Module) -> dict[str, float]:
            epochs.append(config.seed)
            if len(epochs) == 10:  # in the fourth epoch of the second run
                raise error
            return {}

        kept = None if place is None else place / "checkpoint.pt"
        options = {"checkpoint": kept, "on_epoch_end": watch, "seconds_between_saves": 0.0}
        curve = train.fit(model, lambda i, _: (x[i], x[i].cos()), 12, F.mse_loss, recipe, seed=config.seed, **options)
        return {"score": curve["loss"][-1]}, "all", len(faces)

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        measure_all(toys(TOYS[:3], measure))
    assert len(results.load("toy")) == 1
    place = workplace("toy", TOYS[1])
    assert (place / "checkpoint.pt").exists()
    resumed = measure_all(toys(TOYS[:3], measure))
    assert Counter(epochs) == {0: 6, 1: 7, 2: 6}
    assert left_behind(root) == []
    assert scores(resumed) == scores(measure_all(toys(TOYS[:3], measure, "book")))


def test_what_a_process_left_that_died_after_saving_is_cleared_away(root: Path, monkeypatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    log = Log(root.parent / "log")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            measure_all(toys(TOYS[:1], stepwise(log, 2, 0)))
    key = workplace("toy", TOYS[0]).name
    assert sorted(left_behind(root)) == [f".unfinished/toy/{key}{end}" for end in ("", ".lock", "/steps")]
    assert scores(measure_all(toys(TOYS[:1], stepwise(log, 2, 0)))) == [0]
    assert left_behind(root) == []
    assert log.lines() == ["a0", "a1"]


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_measured(root: Path) -> None:
    root.write_text("")
    log: list[str] = []
    with pytest.raises(OSError, match=r"cannot write to .*results/\.unfinished/toy .*: set FACELIGHT_RESULTS"):
        measure_all(toys(TOYS, names(log)))
    assert log == []


@pytest.mark.parametrize("profile", ["laptop", "book"])
def test_of_all_runs_only_those_that_are_asked_for_are_measured(root: Path, profile: str) -> None:
    log: list[str] = []
    experiment = toys(TOYS, names(log), profile)
    keys = list(experiment.runs())
    assert keys == [workplace("toy", toy).name for toy in TOYS]
    found = measure_all(experiment, only=[keys[5], keys[2]], save=True)
    assert log == ["c", "f"]
    assert [item.key for item in found] == [keys[2], keys[5]]
    assert sorted(path.stem for path in (root / "toy").iterdir()) == sorted([keys[2], keys[5]])
    with pytest.raises(ValueError, match=r"only: toy has no run 123, abc in profile .*: see facelight list toy --prof"):
        measure_all(experiment, only=["abc", keys[0], "123"])
    assert log == ["c", "f"]


def test_what_is_measured_need_not_be_saved(root: Path) -> None:
    assert scores(measure_all(toys(TOYS, names([])), save=False)) == list(range(8))
    assert not root.exists()


def test_a_run_copies_the_record_of_its_equal_and_says_where_it_was_measured(root: Path) -> None:
    log: list[str] = []
    experiment = toys(TOYS[:4], names(log), same_as=lambda config: config.seed % 2)
    experiment = replace(experiment, fingerprint=lambda config: {"steps": [float(config.seed)]})
    keys = list(experiment.runs())
    (later,) = measure_all(experiment, only=keys[2:3])
    path = root / "toy" / f"{later.key}.json"
    text = json.loads(path.read_text())
    text["provenance"] |= {"commit": "0" * 40, "seconds": 9.0}
    path.write_text(json.dumps(text))
    (first,) = measure_all(experiment, only=keys[:1])
    assert log == ["c"]
    assert (first.config["name"], first.seed, first.metrics["score"]) == ("a", 0, 2)
    assert (first.data, first.provenance["commit"], first.provenance["seconds"]) == (later.data, "0" * 40, 0)
    assert first.fingerprint == {"values": {"steps": [0.0]}, "commit": None}


def test_nothing_is_copied_from_a_record_of_other_numerics(root: Path) -> None:
    log: list[str] = []
    experiment = toys(TOYS[:3], names(log), same_as=lambda config: config.seed % 2)
    experiment = replace(experiment, fingerprint=lambda config: {"enhancer": [1.25 + config.seed]})
    (first,) = measure_all(experiment, only=list(experiment.runs())[:1])
    path = root / "toy" / f"{first.key}.json"
    path.write_text(path.read_text().replace("1.25", "1.5"))
    assert results.load("toy")[0].fingerprint == {"values": {"enhancer": [1.5]}, "commit": None}
    assert scores(measure_all(experiment)) == [0, 1, 2]
    assert log == ["a", "b", "c"]


# --- other processes; the locks are those of the operating system


def test_a_run_that_is_being_measured_is_refused(root: Path) -> None:
    lock = lock_of(workplace("toy", TOYS[0]))
    lock.parent.mkdir(parents=True)
    log: list[str] = []
    experiment = toys(TOYS[:2], names(log))
    with FileLock(lock):
        assert in_hand(workplace("toy", TOYS[0]))
        assert not in_hand(workplace("toy", TOYS[1]))
        with pytest.raises(OSError, match=r"another process is measuring run \w+ of toy .*: wait for it, or choose"):
            measure_all(experiment)
        assert scores(measure_all(experiment, only=list(experiment.runs())[1:])) == [1]
    assert lock.exists()  # left behind, it stands in nobody's way
    assert not in_hand(workplace("toy", TOYS[0]))
    assert scores(measure_all(experiment)) == [0, 1]
    assert log == ["b", "a"]
    assert left_behind(root) == []


def test_a_record_is_returned_even_while_its_process_tidies_up(root: Path) -> None:
    measure_all(toys(TOYS[:1], names([])))
    place = workplace("toy", TOYS[0])
    place.mkdir()
    with FileLock(lock_of(place)):
        assert scores(measure_all(toys(TOYS[:1], names([])))) == [0]
        assert place.exists()


def test_a_run_that_was_finished_meanwhile_is_not_measured_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process saves it after this one has looked and before this one holds the lock."""
    log: list[str] = []
    lock = runs._locks.lock

    def slow(path: Path) -> FileLock:
        data = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 2}
        results.save(results.record("toy", TOYS[0], {"score": 9.0}, data=data, seconds=0, seed=0))
        return lock(path)

    monkeypatch.setattr(runs._locks, "lock", slow)
    assert scores(measure_all(toys(TOYS[:1], names(log)))) == [9]
    assert log == []
    assert left_behind(root) == []


def killed_and_resumed(folder: Path) -> None:
    """Run by `test_a_killed_process_...` in a process of its own: PyTorch is imported once, the others are forks."""
    torch.set_num_threads(1)
    records._git = lambda *words: None
    os.environ["FACELIGHT_RESULTS"] = str(folder / "results")
    log, fork = Log(folder / "log"), multiprocessing.get_context("fork")

    def start(stuck: str = ""):
        child = fork.Process(target=lambda: measure_all(toys(TOYS, stepwise(log, 4, 0, stuck))))
        child.start()
        return child

    child = start("c2")
    until(lambda: "c2" in log.lines() or not child.is_alive())
    held = in_hand(workplace("toy", TOYS[2]))
    child.kill()
    child.join()
    told = {"exit": child.exitcode, "held": held, "then": in_hand(workplace("toy", TOYS[2])), "before": log.lines()}
    told["finished"] = len(list((folder / "results").glob("toy/*.json")))
    child = start()
    child.join()
    print(json.dumps(told | {"last": child.exitcode, "log": log.lines(), "left": left_behind(folder / "results")}))


def test_a_killed_process_frees_its_run_and_the_next_one_goes_on_with_it(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_runs; from pathlib import Path; "
    )
    done = python("-c", f"{code}test_runs.killed_and_resumed(Path({str(tmp_path)!r}))")
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout)
    steps = [f"{name}{step}" for name in "abcdefgh" for step in range(4)]
    assert (happened["exit"], happened["held"], happened["then"], happened["last"]) == (-9, True, False, 0)
    assert happened["before"] == steps[:11]
    assert happened["finished"] == 2
    assert happened["log"][11:] == steps[10:]  # the step that was logged had not been kept
    assert happened["left"] == []
