"""The disk cache: made once, verified on reading, never half-written, safe for two processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelight.data import cache
from patience import PATIENCE

CONFIG = {"n": 3, "name": "x", "bounds": [0.5, 1.0], "flag": True, "none": None}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> cache.Arrays:
        self.calls += 1
        return {"x": np.arange(6, dtype=np.uint8).reshape(2, 3), "flag": np.array([True, False])}


def place(root: Path) -> Path:
    return root / "things" / cache.key(CONFIG)[:32]


def test_made_once_and_equal() -> None:
    make = Maker()
    first, second = cache.cached("things", CONFIG, make), cache.cached("things", CONFIG, make)
    assert make.calls == 1
    assert first.sha256 == second.sha256
    assert second.arrays["x"].dtype == np.uint8
    np.testing.assert_array_equal(second.arrays["x"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(second.arrays["flag"], [True, False])


def test_another_configuration_is_another_entry() -> None:
    make = Maker()
    cache.cached("things", CONFIG, make)
    cache.cached("things", {**CONFIG, "n": 4}, make)
    assert make.calls == 2


def test_key_by_hand() -> None:
    # printf '{"a":[0.5],"b":1}' | sha256sum
    assert cache.key({"b": 1, "a": [0.5]}) == "1c6e9e1e92b8d1d5246b5ebb3591fcd42716c42b8323a237d3ebd430be8cc8ff"


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=5)
)
def test_key_ignores_order(config: dict[str, float]) -> None:
    assert cache.key(config) == cache.key(dict(reversed(config.items())))


def test_key_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        cache.key({"x": float("nan")})


@pytest.mark.parametrize("damage", ["flip", "cut", "no record", "no array", "record", "other configuration"])
def test_damaged_entry_is_made_again(root: Path, damage: str) -> None:
    make = Maker()
    good = cache.cached("things", CONFIG, make)
    array, record = place(root) / "x.npy", place(root) / "entry.json"
    content = array.read_bytes()
    if damage == "flip":
        array.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if damage == "cut":
        array.write_bytes(content[:-3])
    if damage == "no record":
        record.unlink()
    if damage == "no array":
        array.unlink()
    if damage == "record":
        record.write_text("{")
    if damage == "other configuration":
        record.write_text(record.read_text().replace('"n": 3', '"n": 4'))
    again = cache.cached("things", CONFIG, make)
    assert make.calls == 2
    assert again.sha256 == good.sha256
    assert cache.cached("things", CONFIG, make).sha256 == good.sha256
    assert make.calls == 2


def test_nothing_unfinished_stays(root: Path) -> None:
    def fail() -> cache.Arrays:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.cached("things", CONFIG, fail)
    cache.cached("things", CONFIG, Maker())
    names = {path.name for path in (root / "things").iterdir()}
    assert {name for name in names if not name.endswith(".lock")} == {place(root).name}


def test_changing_an_array_leaves_the_file_alone() -> None:
    make = Maker()
    cache.cached("things", CONFIG, make)
    cache.cached("things", CONFIG, make).arrays["x"][:] = 9
    assert cache.cached("things", CONFIG, make).arrays["x"][0, 1] == 1
    assert make.calls == 1


def test_unwritable_cache_keeps_in_memory_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    make = Maker()
    good = cache.cached("things", CONFIG, make)
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="set FACELIGHT_CACHE to a directory that can be written"):
        entry = cache.cached("things", CONFIG, make)
    assert make.calls == 2
    assert entry.sha256 == good.sha256


def test_two_processes_make_one_entry(root: Path, tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, pathlib, sys, time
        import numpy as np
        from facelight.data import cache

        sys.path.insert(0, sys.argv[2])
        from patience import until
        log = pathlib.Path(sys.argv[1])

        def make():
            until(lambda: len(list(log.parent.glob("started-*"))) == 2)
            time.sleep(0.2)  # for the other one to ask for the same
            with log.open("a") as stream:
                stream.write("made\\n")
            return {"x": np.arange(1000)}

        (log.parent / f"started-{os.getpid()}").touch()
        print(cache.cached("things", {"n": 1}, make).sha256)
    """)
    log = tmp_path / "log"
    command = [sys.executable, "-c", script, str(log), str(Path(__file__).parent)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {run.communicate(timeout=PATIENCE)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(printed) == 1
    assert log.read_text() == "made\n"
