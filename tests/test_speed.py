"""Records of benchmarks: which processor, one for each kind, none of changed files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facelight_lab import results, speed

ROOT = Path(__file__).resolve().parents[1]
XEON = (
    "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f amx_bf16\n\nprocessor\t: 1\nmodel name\t: Other\n"
)
DATA = {"name": "noise", "sha256": "none", "split": "none", "count": 1}


def test_the_first_core_names_the_processor():
    assert speed.processor(XEON) == {"processor": "Xeon", "instructions": ["AVX2", "AVX-512", "AMX BF16"]}
    arm = speed.processor("processor\t: 0\nFeatures\t: fp asimd\n")
    assert arm["instructions"] == ["NEON"]
    assert speed.processor("")["instructions"] == []


def test_this_processor_is_named():
    found = speed.processor()
    assert found["processor"]
    assert speed.kind(found).endswith(", ".join(found["instructions"]))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of records, and what saves one for a processor of this name."""
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))

    def save(name: str, what: str = "clahe", **config: object) -> Path:
        monkeypatch.setattr(speed, "processor", lambda: {"processor": name, "instructions": ["AVX2"]})
        metrics = {"milliseconds": {"ours": 2.0, "theirs": 4.0}}
        return speed.save(what, {"threads": 2, **config}, metrics, data=DATA, seconds=1)

    return save


def test_a_new_record_replaces_that_of_its_kind_alone(kept):
    one, other, recognition = kept("one"), kept("other"), kept("one", "recognition")
    single, half = kept("one", "landmarks", bf16=False), kept("one", "landmarks", bf16=True)
    again = kept("one", threads=4)
    assert not one.exists()
    assert all(path.exists() for path in (other, recognition, single, half, again))
    assert kept("one", threads=4) == again
    assert len(results.load("speed")) == 5


def test_a_table_tells_processors_apart_and_says_where_none_is_named(kept):
    kept("one"), kept("other"), kept("one", "recognition")
    old = results.record("speed", {"clip_limit": 2.0}, {"milliseconds": {"ours": 9.0}}, data=DATA, seconds=1)
    results.save(old)
    found = speed.times("clahe", ms="milliseconds/{operation}").query("operation == 'ours'")
    told = dict(zip(found["processor"], found["ms"], strict=True))
    assert told == {"one, AVX2": 2.0, "other, AVX2": 2.0, "not named": 9.0}


@pytest.mark.parametrize("clean", [False, None])
def test_changed_files_are_refused_before_the_work(monkeypatch, clean):
    monkeypatch.setattr(results, "clean", lambda: clean)
    speed.check_saving(False)
    with pytest.raises(SystemExit, match="commit or undo your changes"):
        speed.check_saving(True)
    monkeypatch.setattr(results, "clean", lambda: True)
    speed.check_saving(True)


def test_make_bench_runs_every_benchmark():
    recipe = re.search(r"^bench:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe
    saved = set(re.findall(r"(benchmarks/\w+\.py) .*--save", recipe[1]))
    assert saved == {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")}
