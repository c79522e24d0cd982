"""Machines that are shared: permissions, locks, other owners, no home directory, hidden files, fewer processors."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pwd
import re
import stat
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import notebooks
import numpy as np
import platformdirs
import pytest
import torch

from facelight import _files, _locks, _machine, checkpoints
from facelight.data import LitFaces, cache, crops, sources, w300
from facelight.data.samples import Annotations
from facelight_lab import _code, pictures, results
from facelight_lab import command as cli
from facelight_lab import runs as _runs
from facelight_lab.results import records
from facelight_render import sets, warp_start

DATA = {"name": "toy", "sha256": "0" * 64, "split": "all", "count": 2}
SIDECAR = bytes.fromhex("00051607000200004d6163204f532058") + bytes(60)  # what macOS keeps in `._name`


@dataclass(frozen=True)
class Toy:
    seed: int = 0
    dataset: str = "dots"


def arrays() -> cache.Arrays:
    return {"x": np.arange(3)}


def record(**options) -> results.Record:
    return results.record("toy", Toy(), {"score": 1.0}, data=DATA, seconds=0.0, seed=0, **options)


def dots(dataset: str) -> LitFaces:
    x = torch.zeros(2)
    image = torch.zeros((2, 1, 4, 4), dtype=torch.uint8)
    return LitFaces(image, x.long(), x, x, x.long(), ("a", "b"), dataset, "0" * 64)


@pytest.fixture(autouse=True)
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CACHE", "RESULTS"):
        monkeypatch.setenv(f"FACELIGHT_{name}", str(tmp_path / "top" / name.lower()))
    monkeypatch.delenv("FACELIGHT_DATA", raising=False)
    return tmp_path / "top"


# --- permissions


@pytest.mark.parametrize("umask", [0o002, 0o027, 0o077])
def test_everything_that_is_written_follows_the_umask(top: Path, umask: int) -> None:
    model = torch.nn.Linear(1, 1)
    old = os.umask(umask)
    try:
        top.mkdir()
        cache.cached("toy", {"n": 1}, arrays)
        results.save(record())
        checkpoints.save(top / "runs" / "a.pt", "a", model, torch.optim.SGD(model.parameters(), 0.1), 1, {})
        sources._record(top, "http://localhost/x", "0" * 64)
        notebooks.write(nbformat.v4.new_notebook(), top / "a.ipynb")
        with zipfile.ZipFile(top / "a.zip", "w") as archive:
            archive.writestr("in/x.txt", "x")
        with tarfile.open(top / "a.tar", "w") as archive:
            member = tarfile.TarInfo("in/x.txt")
            member.mode, member.size = 0o600, 1  # as its author kept it
            archive.addfile(member, io.BytesIO(b"x"))
        for kind in ("zip", "tar"):
            sources.extract(top / f"a.{kind}", top / kind)
    finally:
        os.umask(old)
    found = sorted(top.rglob("*"))
    modes = {path.relative_to(top).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in found}
    folders = {path.relative_to(top).as_posix() for path in found if path.is_dir()}
    assert {"zip/in/x.txt", "tar/in/x.txt", "sha256.json", "runs/a.pt", "a.ipynb", "cache/toy"} <= modes.keys()
    assert sum(name.startswith("cache/toy/") for name in modes) == 4  # the entry, two files in it, the lock
    assert {name: mode for name, mode in modes.items() if mode != (0o777 if name in folders else 0o666) & ~umask} == {}


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_is_whole_or_as_it_was(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "x"
    if old is not None:
        path.write_bytes(old)

    def interrupted() -> None:
        with _files.whole(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == ([("x", old)] if old else [])
    with _files.whole(path) as stream:
        stream.write(b"whole")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"whole")]


# --- file systems without locks

NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP]


def without_locks(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("code", NO_LOCKS)
def test_the_cache_serves_without_locks_and_says_so_once(top: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    without_locks(monkeypatch, code)
    (top / "cache/toy").mkdir(parents=True)
    (top / "cache/toy" / f"{cache.key({'n': 1})[:32]}.lock").write_text("left by a process that was killed")
    with pytest.warns(UserWarning, match=r"toy has no locks .*set FACELIGHT_CACHE to a directory on another") as said:
        assert cache.cached("toy", {"n": 1}, arrays).arrays["x"].tolist() == [0, 1, 2]
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = cache.cached("toy", {"n": 1}, lambda: pytest.fail("made again"))
    assert again.arrays["x"].tolist() == [0, 1, 2]


def test_of_two_that_make_an_entry_without_locks_one_stays(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch, errno.ENOLCK)
    place = top / "cache/toy" / cache.key({"n": 1})[:32]
    faster, made = [], []

    def make() -> cache.Arrays:
        if not faster:
            faster.append(None)
            faster[0] = cache.cached("toy", {"n": 1}, make)
            made.append(place.stat().st_ino)
        return arrays()

    with pytest.warns(UserWarning, match="no locks") as said:
        slower = cache.cached("toy", {"n": 1}, make)
    assert all("no locks" in str(warning.message) for warning in said)
    assert slower.sha256 == faster[0].sha256
    assert isinstance(slower.arrays["x"], np.memmap)
    assert [path.stat().st_ino for path in place.parent.iterdir()] == made  # the entry of the faster one


def test_a_lock_that_belongs_to_a_colleague_does_not_stop_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "x.lock")

    monkeypatch.setattr(_locks.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match="no locks for us .Permission denied."):
        assert cache.cached("toy", {"n": 1}, arrays).arrays["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("code", NO_LOCKS)
def test_a_run_without_locks_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    without_locks(monkeypatch, code)
    lock = _runs.lock_of(_runs.workplace("toy", Toy()))
    lock.parent.mkdir(parents=True)
    lock.write_text("left by a process that was killed")
    experiment = _runs.Experiment("toy", "laptop", [Toy()], dots, lambda *_: pytest.fail("measured"))
    with pytest.raises(OSError, match=r"or lock it .*: set FACELIGHT_RESULTS to a folder on another disk"):
        _runs.measure_all(experiment)


# --- a checkout that git refuses


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, which holds the file that records are made by."""
    place = tmp_path / "checkout"
    git = ["git", "-C", str(place), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q", place], check=True)
    (place / "code.py").write_text("")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "start"], check=True)
    monkeypatch.setattr(records, "SOURCE", place / "code.py")
    return place


def test_a_checkout_of_another_owner_has_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.check_output(["git", "-C", checkout, "rev-parse", "HEAD"], text=True).strip()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for this situation
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        place = record().provenance
    version = subprocess.check_output(["git", "--version"], text=True)
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 38):  # which may not listen to the option, but is named
        assert place["commit"] in (None, head)
        assert (place["commit"] is None) == bool(said)
        assert all("git says nothing of the checkout" in str(warning.message) for warning in said)
    else:
        assert (place["commit"], place["clean"], said) == (head, True, [])


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (subprocess.CalledProcessError(128, "git", stderr="fatal: detected dubious ownership"), "dubious ownership"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "git"), "No such file or directory: 'git'"),
        (subprocess.TimeoutExpired("git", 60), "timed out"),
    ],
)
def test_a_refusal_of_git_is_said_before_anything_is_measured(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, why: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise problem

    def measure(config: Toy, faces: LitFaces, place: Path | None) -> tuple[dict[str, float], str, int]:
        before.extend(str(warning.message) for warning in said)
        return {"score": 1.0}, "all", 2

    before: list[str] = []
    monkeypatch.setattr(subprocess, "run", refuse)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (item,) = _runs.measure_all(_runs.Experiment("toy", "laptop", [Toy()], dots, measure))
    assert item.provenance["commit"] is None
    assert any(f"git says nothing of the checkout {checkout}" in text and why in text for text in before)


def test_an_installation_without_a_checkout_is_nothing_to_warn_of(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (checkout / "venv").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder in (tmp_path / "elsewhere", checkout / "venv"):
            (folder / "records.py").write_text("")
            monkeypatch.setattr(records, "SOURCE", folder / "records.py")
            assert results.commit() is None


# --- processors


def test_the_processors_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {7}, raising=False)
    assert _machine.processors() == 1
    assert record().provenance["machine"].endswith(", 1 CPU cores")


def test_there_are_as_many_threads_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Pool(pictures.ThreadPoolExecutor):
        def __init__(self, workers: int, **options) -> None:
            asked.append(workers)
            super().__init__(workers, **options)

    for module in (pictures, crops, sets):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(_machine, "processors", lambda: 3)
    monkeypatch.setattr(sets, "new_stage", lambda device: None)
    x = torch.zeros(0)
    none = Annotations((), x.view(0, 68, 2), x.view(0, 4), x.view(0, 6).bool(), (), "nothing", "0" * 64)
    crops.crop_faces(none, 8, crops.BoxRule("annotation"))
    pictures.in_parts(lambda images: images.mean((1, 2, 3)), torch.zeros((1, 1, 2, 2), dtype=torch.uint8), None)
    with sets.Crew():
        pass
    assert asked == [3, 3, 3]


# --- `~` where no shell has looked at it


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_a_tilde_is_the_home_directory(home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for name, root in (("CACHE", sources.cache_root), ("DATA", sources.data_root), ("RESULTS", results.root)):
        monkeypatch.setenv(f"FACELIGHT_{name}", f"~/a {name}")
        assert root() == home / f"a {name}"
    assert sources.data_root("~/other") == home / "other"
    saved = results.save(record(), Path("~/results"))
    assert saved.parent == home / "results" / "toy"
    assert results.find("toy", Toy(), 0, Path("~/results")) == results.load("toy", Path("~/results"))[0]
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    checkpoints.save(Path("~/a.pt"), "a", model, optimizer, 4, {})
    assert checkpoints.resume(Path("~/a.pt"), "a", model, optimizer)[0] == 4
    with zipfile.ZipFile(home / "a.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    assert (sources.extract("~/a.zip", "~/out") / "x.txt").is_file()
    monkeypatch.setenv("WARP_CACHE_PATH", "~/warp")
    assert warp_start._kernel_folder() == home / "warp"
    (home / "PIE").mkdir()
    assert cli.main(["data", "verify", "pie", "--root=~"]) == 1
    assert f"0 of 11554 images, sha256 e3b0c44298fc1c14, {home / 'PIE'}" in capsys.readouterr().out
    assert list((home.parent / "here").iterdir()) == []


# --- a user without a home directory


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that the machine does not know, as after `docker run --user 12345`."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "FACELIGHT_CACHE", "WARP_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
def test_without_a_home_directory_the_way_out_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    with pytest.warns(UserWarning, match="keeping toy in memory only.*set FACELIGHT_CACHE to a directory"):
        assert cache.cached("toy", {"n": 1}, arrays).arrays["x"].tolist() == [0, 1, 2]
    for ask in (sources.cache_root, sources.data_root, lambda: sources.fetch("http://localhost/x")):
        with pytest.raises(FileNotFoundError, match="no home directory: set FACELIGHT_CACHE"):
            ask()
    assert cli.main(["data", "list"]) == 1
    assert capsys.readouterr().err.startswith("facelight: this user has no home directory: set FACELIGHT_CACHE")
    monkeypatch.setenv("FACELIGHT_DATA", "~/data")
    with pytest.raises(FileNotFoundError, match="FACELIGHT_DATA: expected a folder, got '~/data', but that home"):
        sources.data_root()
    assert sources.data_root(tmp_path) == tmp_path


@pytest.mark.usefixtures("nobody")
def test_without_a_home_directory_the_cache_directory_is_enough(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="Warp cannot keep its compiled kernels .*set WARP_CACHE_PATH"):
        private = warp_start._kernel_folder()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700  # what lies there is run
    monkeypatch.setenv("FACELIGHT_CACHE", str(top))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warp_start._kernel_folder() == top / "warp"
        assert cache.cached("toy", {"n": 1}, arrays).arrays["x"].tolist() == [0, 1, 2]
    assert (top / "toy").is_dir()


def test_a_cache_directory_that_is_not_a_whole_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: "~/.cache/facelight")  # as older versions say it
    assert _files.user_cache("facelight") is None


# --- hidden files are not data


def hide(folder: Path, name: str) -> None:
    """Leave beside a file what macOS and Jupyter leave."""
    (folder / f"._{name}").write_bytes(SIDECAR)
    (folder / ".ipynb_checkpoints").mkdir(exist_ok=True)
    (folder / ".ipynb_checkpoints" / name).write_bytes(b"old")


def test_hidden_files_are_no_records() -> None:
    path = results.save(record())
    hide(path.parent, path.name)
    assert [item.key for item in results.load("toy")] == [path.stem]


def test_hidden_files_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / ".venv" / "facelight"  # the library itself may lie in a hidden folder
    (library / "data").mkdir(parents=True)
    monkeypatch.setattr(_code, "LIBRARY", library.parent)
    monkeypatch.setattr(sets, "__file__", str(library / "sets.py"))
    digests: tuple[Callable[[], str], ...] = (_code.code.__wrapped__, lambda: sets._origin("cpu")["code"])
    for name in ("train.py", "sets.py"):
        (library / name).write_text("x = 1\n")
    before = [digest() for digest in digests]
    for folder, name in ((library, "train.py"), (library, "sets.py"), (library / "data", "cache.py")):
        hide(folder, name)
    assert [digest() for digest in digests] == before
    (library / "sets.py").write_text("x = 2\n")
    assert all(digest() != old for digest, old in zip(digests, before, strict=True))


def test_hidden_folders_above_hide_nothing(tmp_path: Path) -> None:
    top = tmp_path / ".cache"
    paths = [top / name for name in ("b", "a/x", ".a", "a/._x", "a/.b/x")]
    assert _files.visible(paths, top) == [top / "a/x", top / "b"]


# --- files of other accounts, names of other systems


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is played."""
    folder = tmp_path / "300w/afw"
    folder.mkdir(parents=True)
    for name in ("a.pts", "b.pts", "b.png"):
        (folder / name).write_text("version: 1\nn_points: 68\n{\n" + "1 2\n" * 68 + "}\n")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name in ("a.pts", "b.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    report = w300.verify(tmp_path)
    assert report.damaged == (
        f"{folder / 'a.pts'}: Permission denied",
        f"{folder / 'b.png'}: damaged, cut short, or not a picture",
    )


def test_names_that_are_not_utf8_are_hashed_and_printed(tmp_path: Path) -> None:
    name = os.fsdecode(b"Bj\xf6rn.pts")  # from a zip archive of a Windows machine
    assert sources.sha256_of({name: b"1"}) != sources.sha256_of({"Bj.pts": b"1"})
    code = "import sys; from facelight_lab import command; sys.exit(command.main(['data', 'list']))"
    environment = os.environ | {"FACELIGHT_DATA": f"{tmp_path}/{name}", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Bj\\udcf6rn.pts" in done.stdout
