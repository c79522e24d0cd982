"""What is to be reached was said before the runs that decide it: commits of `book/targets.yml` and of records."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from facelight_lab import results, targets
from facelight_lab.landmarks import map as lab_map
from facelight_lab.landmarks.grid import CAMERAS, CELLS, SHAPES, SPACES

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def git(top: Path, *words: str) -> str:
    command = ["git", "-c", "safe.directory=*", "-C", str(top), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def is_ancestor(top: Path, old: str, new: str) -> bool:
    command = ["git", "-c", "safe.directory=*", "-C", str(top), "merge-base", "--is-ancestor", old, new]
    return subprocess.run(command, capture_output=True).returncode == 0


def too_early(top: Path, records: list[results.Record]) -> list[str]:
    """Keys of records whose commit does not come after the last change of the file."""
    said = git(top, "log", "-1", "--format=%H", "--", targets.FILE)
    return [item.key for item in records if not said or not is_ancestor(top, said, item.provenance["commit"])]


def test_targets_come_before_the_runs_that_decide_them(repository: Path) -> None:
    try:
        if git(repository, "rev-parse", "--is-shallow-repository") == "true":
            pytest.skip("this checkout has a part of the history only: git fetch --unshallow")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no history to look into: {error}")
    asked = targets.read(repository / targets.FILE)
    judged = targets.judged(results.load(asked["experiment"], repository / "book/results"), asked["judges"])
    early = too_early(repository, judged)
    assert not early, f"these runs were measured before {targets.FILE} was committed, or it changed since: {early}"


def test_the_file_asks_for_runs_and_cells_that_there_are(repository: Path) -> None:
    asked = targets.read(repository / targets.FILE)
    assert asked["experiment"] == lab_map.NAME
    runs = [record(results.settings(config)) for config in lab_map.configs("laptop")]
    judged = targets.judged(runs, asked["judges"])
    assert {item.config["variant"] for item in judged} >= {*lab_map.HEADLINE, *lab_map.CONTROLS}
    assert {item.config["seed"] for item in judged} == {*range(asked["seeds"])}
    assert len(judged) < len(runs)  # not those of faces held out
    known = {"space": SPACES, "shape": SHAPES, "camera": CAMERAS, "factor": {cell.factor for cell in CELLS}}
    for target in asked["targets"]:
        for name, values in target["cells"].items() if target["cells"] != "all" else ():
            assert {*(values if isinstance(values, list) else [values])} <= {*known[name]}, target["name"]


def record(config: dict[str, Any], commit: str = "0" * 40) -> results.Record:
    return results.Record("map", config, {}, {}, 0, {"commit": commit})


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, list[str]]:
    """A repository in which the file came with the second of three commits."""
    git(tmp_path.parent, "init", "-q", str(tmp_path))
    (tmp_path / "book").mkdir()
    commits = []
    for number in range(3):
        (tmp_path / "code.py").write_text(f"a = {number}\n")
        if number == 1:
            (tmp_path / targets.FILE).write_text("date: 2026-11-30\n")
        git(tmp_path, "add", ".")
        git(tmp_path, *IDENTITY, "commit", "-qm", f"step {number}")
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    return tmp_path, commits


def test_a_record_of_a_commit_before_the_file_is_found(history: tuple[Path, list[str]]) -> None:
    top, commits = history
    runs = [record({"seed": number}, commit) for number, commit in enumerate(commits)]
    assert too_early(top, runs) == [runs[0].key]
    (top / targets.FILE).write_text("date: 2026-12-01\n")  # changed after the runs: all of them come too early
    git(top, *IDENTITY, "commit", "-qam", "other targets")
    assert too_early(top, runs) == [item.key for item in runs]


def test_records_are_chosen_by_settings() -> None:
    runs = [record({"part": part, "recipe": {"epochs": n}}) for part in ("test", "validation") for n in (10, 25)]
    assert targets.judged(runs, {"part": "test", "recipe.epochs": 25}) == [runs[1]]
    assert targets.judged(runs, {"recipe.epochs.more": 25}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected date, experiment, judges, seeds and targets"),
        ("{date: 1, experiment: map, judges: {}, seeds: 6, targets: [{name: a}]}", "target 'a' lacks ours, base"),
        (
            "{date: 1, experiment: map, judges: {}, seeds: 6, targets: "
            "[{name: a, ours: x, base: y, cells: all, at_most: 2, share: 90}]}",
            r"target 'a': share: expected a number in \(0, 1\], got 90",
        ),
    ],
)
def test_a_file_that_says_too_little_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "targets.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        targets.read(tmp_path / "targets.yml")
