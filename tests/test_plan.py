"""Which runs there are and how far they are: the list that people and Snakemake read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from filelock import FileLock

from facelight_lab import command, plan, results
from facelight_lab.enhancement import preprocessing
from facelight_lab.enhancement.nearest import Nearest
from facelight_lab.enhancers import Enhancer
from facelight_lab.experiments import EXPERIMENTS, named
from facelight_lab.results import records
from facelight_lab.runs import RECORDING, key_of, lock_of, measure_all, workplace

RUNS = [Nearest("synthetic", size=(12, 12)), Nearest("synthetic", Enhancer("equalize"), (12, 12)), Nearest("yaleb")]
DATA = {"name": "faces", "sha256": "0" * 64, "split": "all", "count": 2}


@pytest.fixture(autouse=True)
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of three runs, records elsewhere than in the book, no time known but what the test records."""
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    monkeypatch.setattr("facelight_lab.enhancement.nearest.configs", lambda profile: RUNS)
    monkeypatch.setattr(records, "_git", lambda *words: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(config: Nearest, seconds: float) -> None:
    results.save(results.record("nearest", config, {"rate": 1.0}, data=DATA, seconds=seconds))


def test_states_are_those_of_records_and_locks(three: Path) -> None:
    save(RUNS[0], 90.0)
    lock = lock_of(workplace("nearest", RUNS[1]))
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        found = plan.runs("nearest", "laptop")
    assert [run.state for run in found] == ["recorded", "in hand", "missing"]
    assert [run.state for run in plan.runs("nearest", "laptop")] == ["recorded", "missing", "missing"]
    assert [run.key for run in found] == [key_of("nearest", config) for config in RUNS]
    assert [run.minutes for run in found] == [1.5, 1.5, None]  # itself; its data set; nothing like it
    assert [run.settings for run in found][1:] == [
        "dataset='synthetic', enhancer.name='equalize', size=(12, 12)",
        "",
    ]
    assert not any(run.trains or run.after for run in found)
    assert plan.summary(found) == "3 runs: 1 recorded, 1 in hand, 1 missing, up to 2 min"


def test_minutes_are_those_of_other_seeds_before_those_of_the_data_set() -> None:
    @dataclasses.dataclass(frozen=True)
    class Seeded:
        dataset: str = "dots"
        size: int = 1
        seed: int = 0

    def took(config: Seeded, seconds: float) -> results.Record:
        return results.record("toy", config, {"x": 1.0}, data=DATA, seconds=seconds, seed=config.seed)

    known = [took(Seeded(), 60.0), took(Seeded(seed=1), 120.0), took(Seeded(size=2), 600.0)]
    assert plan.minutes(Seeded(seed=2), known) == 2
    assert plan.minutes(Seeded(size=3), known) == 10
    assert plan.minutes(Seeded("more"), known) is None


def test_a_run_that_equals_another_comes_after_it() -> None:
    runs = plan.runs("preprocessing", "laptop")
    configs = named("preprocessing", "laptop").runs()
    later = {run.key: run.after for run in runs if run.after}
    assert len(later) == len(configs) - len({preprocessing.same_as(config) for config in configs.values()}) > 10
    assert all(
        preprocessing.same_as(configs[key]) == preprocessing.same_as(configs[first]) for key, first in later.items()
    )
    assert not set(later) & set(later.values())  # the first of all, so that no run waits for one that waits


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_of_every_experiment_has_a_key_of_its_own(name: str) -> None:
    for profile in RECORDING:
        experiment = named(name, profile)
        assert (experiment.name, experiment.profile) == (name, profile)
        assert len(experiment.runs()) == len(experiment.configs) > 0


def test_networks_are_trained_where_they_are() -> None:
    assert all(run.trains for run in plan.runs("tone", "full"))
    trains = {run.trains for run in plan.runs("recognition", "laptop")}
    assert trains == {True, False}  # classical methods need no GPU


def test_the_list_in_words_and_for_programs(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(RUNS[0], 90.0)
    keys = [key_of("nearest", config) for config in RUNS]
    assert command.main(["list", "nearest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"profile laptop, records in {three}"
    assert lines[1].split(maxsplit=1) == ["nearest", "3 runs: 1 recorded, 2 missing, up to 2 min"]
    assert [line.split()[:2] for line in lines[2:]] == [[keys[0], "recorded"], *([key, "missing"] for key in keys[1:])]
    assert command.main(["list", "nearest", "--missing", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(three)
    assert [run["key"] for run in told["runs"]] == keys[1:]
    assert told["runs"][0].keys() == {"experiment", "key", "state", "after", "trains", "minutes", "settings"}
    assert command.main(["list", "astrology"]) == 1
    assert "experiment: expected one of 'preprocessing'" in capsys.readouterr().err


def test_one_run_is_measured_and_saved_where_it_is_asked_for(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_of("nearest", RUNS[1])
    assert command.main(["run", "nearest", "--profile", "book", "--only", key, "--save"]) == 0
    assert f"recorded in {three}/nearest" in capsys.readouterr().out
    (record,) = results.load("nearest")
    assert record.key == key
    (again,) = measure_all(named("nearest", "book"), only=[key], save=False)
    assert again.metrics == record.metrics
    assert command.main(["run", "nearest", "--only", "0f"]) == 1
    assert "only: nearest has no run 0f in profile laptop: see facelight list" in capsys.readouterr().err


def test_short_profiles_are_not_saved_in_the_book(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("FACELIGHT_RESULTS")
    assert command.main(["run", "nearest", "--profile", "book", "--save"]) == 1
    assert "save: records of profile book do not belong in the book: set FACELIGHT_RESULTS" in capsys.readouterr().err
