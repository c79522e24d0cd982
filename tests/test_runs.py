"""Measuring a list of runs: what is skipped, resumed and left behind, alone and with several processes at once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from torch import nn

from facelight import train
from facelight.data import LitFaces
from facelight_lab import results
from facelight_lab.enhancers import Enhancer
from facelight_lab.results import Record, records
from facelight_lab.runs import measure_all, workplace
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

    first = measure_all("toy", "laptop", TOYS[2:4], load, names(log))
    assert (log, loads) == (["c", "d"], ["dots"])
    found = measure_all("toy", "full", [*TOYS[:5], Toy("z", dataset="more")], load, names(log))
    assert (log, loads) == (["c", "d", "a", "b", "e", "z"], ["dots", "dots", "more"])
    assert found[2:4] == first
    assert [item.config["name"] for item in found] == list("abcdez")
    assert [item.data["name"] for item in found] == ["dots"] * 5 + ["more"]
    assert found[0].provenance["command"] == "facelight run toy --profile full"
    assert measure_all("toy", "laptop", TOYS[:5], load, names(log)) == found[:5]
    assert (len(log), len(loads)) == (6, 3)
    assert left_behind(root) == []


@pytest.mark.parametrize("profile", ["smoke", "book"])
def test_short_profiles_keep_nothing(root: Path, profile: str) -> None:
    places: list[Path | None] = []

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        places.append(place)
        return {"score": float(config.seed)}, "all", len(faces)

    for _ in range(2):
        assert scores(measure_all("toy", profile, TOYS, dots, measure)) == list(range(8))
    assert places == [None] * 16
    assert not root.exists()


def test_of_equal_experiments_only_the_first_is_measured() -> None:
    log: list[str] = []
    for profile in ("book", "laptop"):
        found = measure_all("toy", profile, TOYS[:5], dots, names(log), lambda config: config.seed % 2)
        assert scores(found) == [0, 1, 0, 1, 0]
        assert [item.seed for item in found] == [0, 1, 2, 3, 4]
    assert log == ["a", "b", "a", "b"]


def test_the_place_of_a_run_is_its_own(root: Path) -> None:
    measure_all("toy", "laptop", TOYS[:1], dots, names([]))
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
        options = {"checkpoint": kept, "watch": watch, "seconds_between_saves": 0.0}
        curve = train.fit(model, lambda i, _: (x[i], x[i].cos()), 12, F.mse_loss, recipe, seed=config.seed, **options)
        return {"score": curve["loss"][-1]}, "all", len(faces)

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        measure_all("toy", "laptop", TOYS[:3], dots, measure)
    assert len(results.load("toy")) == 1
    place = workplace("toy", TOYS[1])
    assert (place / "checkpoint.pt").exists()
    resumed = measure_all("toy", "laptop", TOYS[:3], dots, measure)
    assert Counter(epochs) == {0: 6, 1: 7, 2: 6}
    assert left_behind(root) == []
    assert scores(resumed) == scores(measure_all("toy", "book", TOYS[:3], dots, measure))


def test_what_a_process_left_that_died_after_saving_is_cleared_away(root: Path, monkeypatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    log = Log(root.parent / "log")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            measure_all("toy", "laptop", TOYS[:1], dots, stepwise(log, 2, 0))
    key = workplace("toy", TOYS[0]).name
    assert sorted(left_behind(root)) == [f".unfinished/toy/{key}{end}" for end in ("", ".lock", "/steps")]
    assert scores(measure_all("toy", "laptop", TOYS[:1], dots, stepwise(log, 2, 0))) == [0]
    assert left_behind(root) == []
    assert log.lines() == ["a0", "a1"]


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_measured(root: Path) -> None:
    root.write_text("")
    log: list[str] = []
    with pytest.raises(OSError, match=r"cannot write to .*results/\.unfinished/toy .*: set FACELIGHT_RESULTS"):
        measure_all("toy", "laptop", TOYS, dots, names(log))
    assert log == []


# --- a run that is in somebody else's hands; the locks are those of the operating system, so threads will do


class Elsewhere:
    """Holds the lock of a run like another process; records the run when told."""

    def __init__(self, config: Toy) -> None:
        self.config, self.lock = config, FileLock(f"{workplace('toy', config)}.lock")
        Path(self.lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        self.lock.acquire()

    def finish(self) -> None:
        data = {"name": "dots", "sha256": "0" * 64, "split": "all", "count": 2}
        results.save(results.record("toy", self.config, {"score": 9.0}, data=data, seconds=0, seed=self.config.seed))


def in_threads(count: int, work: Callable[[], list[Record]]) -> tuple[list[threading.Thread], list[list[Record]]]:
    found: list[list[Record]] = []
    threads = [threading.Thread(target=lambda: found.append(work()), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def test_a_run_in_hand_elsewhere_is_left_for_last_and_so_is_its_equal(root: Path) -> None:
    other = Elsewhere(TOYS[0])
    log: list[str] = []
    threads, found = in_threads(
        1, lambda: measure_all("toy", "laptop", TOYS[:4], dots, names(log), lambda config: config.seed % 2)
    )
    until(lambda: len(results.load("toy")) == 2)
    time.sleep(0.1)  # for what must not happen
    assert (log, found) == (["b"], [])  # c equals a, d equals b
    other.finish()
    other.lock.release()
    threads[0].join(PATIENCE)
    assert scores(found[0]) == [9, 1, 9, 1]
    assert log == ["b"]
    assert left_behind(root) == []


def test_nobody_who_waits_measures_when_the_lock_file_is_gone(root: Path) -> None:
    """The record is saved before the file goes, so that no holder of the old file or of a new one finds work."""
    other = Elsewhere(TOYS[0])
    log: list[str] = []

    def work() -> list[Record]:
        return measure_all("toy", "laptop", TOYS[:1], dots, names(log))

    waiting, found = in_threads(3, work)
    time.sleep(0.2)  # most of them wait by now; what is asserted holds for those that do not, too
    other.finish()
    Path(other.lock.lock_file).unlink()
    late, more = in_threads(3, work)
    other.lock.release()
    for thread in (*waiting, *late):
        thread.join(PATIENCE)
    assert [scores(item) for item in found + more] == [[9]] * 6
    assert log == []
    assert left_behind(root) == []


def test_who_waited_for_a_run_that_failed_measures_it(root: Path) -> None:
    other = Elsewhere(TOYS[0])
    log: list[str] = []
    threads, found = in_threads(1, lambda: measure_all("toy", "laptop", TOYS[:2], dots, names(log)))
    until(lambda: log == ["b"])
    other.lock.release()
    threads[0].join(PATIENCE)
    assert log == ["b", "a"]
    assert scores(found[0]) == [0, 1]
    assert left_behind(root) == []


# --- several processes

SHARED = """
import json, multiprocessing, os, random, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_runs
from facelight_lab.results import records
from patience import until
from test_runs import Log, TOYS, dots, left_behind, measure_all, scores, stepwise

records._git = lambda *words: None
fork = multiprocessing.get_context("fork")


def work(together, answers, *options):
    together.wait()
    answers.put(scores(measure_all("toy", "laptop", TOYS, dots, stepwise(*options))))


def start(count, *options):
    answers, together = fork.SimpleQueue(), fork.Barrier(count)
    children = [fork.Process(target=work, args=(together, answers, *options)) for _ in range(count)]
    for child in children:
        child.start()
    return children, answers


def place(name):
    root = Path(sys.argv[2]) / name
    os.environ["FACELIGHT_RESULTS"] = str(root)
    return root, Log(root.parent / f"{name}.log")


def told(root, log, **more):
    return {"log": log.lines(), "left": left_behind(root), **more}


def shared(name, count, seconds):
    root, log = place(name)
    children, answers = start(count, log, 1, seconds)
    for child in children:
        child.join()
    return told(root, log, answers=[answers.get() for child in children if child.exitcode == 0])


def killed():
    "Two share the work; one of them is killed five times, in the middle of a run, and started again."
    root, log = place("killed")
    (steady,), answers = start(1, log, 4, 0.02)
    draw, kills = random.Random(0), 0
    while kills < 5:
        (child,), _ = start(1, log, 4, 0.02)
        end = time.monotonic() + draw.uniform(0.02, 0.15)
        while time.monotonic() < end and child.is_alive():
            time.sleep(0.001)
        child.kill()
        child.join()
        kills += 1
    steady.join()
    return told(root, log, answers=[answers.get()], kills=kills)


def alone():
    "One process is killed in the third step of the third run; the next one finishes."
    root, log = place("alone")
    (child,), _ = start(1, log, 4, 0, "c2")
    until(lambda: "c2" in log.lines() or not child.is_alive())
    child.kill()
    child.join()
    before, finished, left = log.lines(), len(list(root.glob("toy/*.json"))), len(left_behind(root))
    (child,), answers = start(1, log, 4, 0)
    child.join()
    return told(root, log, answers=[answers.get()], before=before, finished=finished, left_before=left)


print(json.dumps({
    "together": shared("together", 3, 0.03),
    "rushed": [shared(f"rushed{i}", 3, 0) for i in range(6)],
    "killed": killed(),
    "alone": alone(),
}))
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What happened when several processes did the same work; PyTorch is imported once, they are forks."""
    done = python("-c", SHARED, str(Path(__file__).parent), str(tmp_path_factory.mktemp("shared")))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_three_processes_measure_each_run_once_and_each_returns_all(story: dict) -> None:
    for happened in (story["together"], *story["rushed"]):
        assert sorted(happened["log"]) == [f"{name}0" for name in "abcdefgh"]
        assert happened["answers"] == [list(range(8))] * 3
        assert happened["left"] == []


def test_a_killed_process_frees_its_run_and_the_next_one_goes_on_with_it(story: dict) -> None:
    happened = story["alone"]
    steps = [f"{name}{step}" for name in "abcdefgh" for step in range(4)]
    before = happened["before"]
    assert before == steps[:11]
    assert happened["finished"] == 2
    assert happened["left_before"] >= 2  # the lock and the folder
    assert happened["log"][len(before) :] == steps[10:]  # the step that was logged had not been kept
    assert happened["answers"] == [list(range(8))]
    assert happened["left"] == []


def test_of_what_killed_processes_did_nothing_is_lost(story: dict) -> None:
    happened = story["killed"]
    steps = Counter(happened["log"])
    assert steps.keys() == {f"{name}{step}" for name in "abcdefgh" for step in range(4)}
    assert steps.total() - len(steps) <= happened["kills"]  # one step a kill
    assert happened["answers"] == [list(range(8))]
    assert happened["left"] == []
