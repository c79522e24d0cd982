"""Many runs at once under Snakemake: what becomes a job, kills, retries; on SLURM the records of the plain way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slurm
from patience import PATIENCE, python, until

pytest.importorskip("snakemake", reason="Snakemake is not there: pip install 'facelight[cluster]'")
ROOT = Path(__file__).resolve().parents[1]
KEYS = [f"{i:x}" * 12 for i in range(1, 5)]

# Stands for `facelight`, which takes seconds to import PyTorch. A run logs its start, ends badly while there is a file
# KEY.bad, lasts while there is a file KEY.long, and is in hand while the process that it wrote into KEY.pid lives.
STUB = """
import json, os, sys, time
from pathlib import Path
root = Path(os.environ["FACELIGHT_RESULTS"])
if sys.argv[1] == "list":
    runs = json.loads((root / "plan.json").read_text())
    for run in runs:
        pid = root / f"{run['key']}.pid"
        alive = pid.exists() and Path("/proc", pid.read_text()).exists()
        run["state"] = "in hand" if alive else "missing"
    missing = [run for run in runs if not (root / "toy" / f"{run['key']}.json").exists()]
    print(json.dumps({"folder": str(root), "runs": missing}))
else:
    key = sys.argv[sys.argv.index("--only") + 1]
    with (root / "log").open("a") as log:
        log.write(f"{key} {os.environ['OMP_NUM_THREADS']} {os.environ['LOKY_MAX_CPU_COUNT']}\\n")
    (root / f"{key}.pid").write_text(str(os.getpid()))
    while (root / f"{key}.long").exists():
        time.sleep(0.01)
    if (root / f"{key}.bad").exists():
        (root / f"{key}.bad").unlink()
        sys.exit("no luck")
    (root / "toy" / f"{key}.json").write_text(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs of a toy, the fourth equal to the first; the last two train networks."""
    (tmp_path / "facelight.py").write_text(STUB)
    folder = tmp_path / "results"
    (folder / "toy").mkdir(parents=True)
    runs = [
        {"experiment": "toy", "key": key, "after": None, "trains": i > 1, "minutes": i} for i, key in enumerate(KEYS)
    ]
    runs[3]["after"], runs[3]["minutes"] = KEYS[0], None
    (folder / "plan.json").write_text(json.dumps(runs))
    monkeypatch.setenv("FACELIGHT_RESULTS", str(folder))
    return folder


def command(folder: Path, *words: str, **config: object) -> list[str]:
    """The command line of Snakemake in a folder of its own."""
    settings = [f"{key}={value}" for key, value in config.items()]
    start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*start, *words, *(["--config", *settings] if settings else [])]


def snakemake(folder: Path, *words: str, **config: object) -> str:
    """What Snakemake says when all goes well."""
    config.setdefault("command", f"'{sys.executable} {folder.parent / 'facelight.py'}'")
    done = subprocess.run(
        command(folder.parent, *words, **config), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def started(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "log").read_text().splitlines()]


def test_what_is_missing_is_listed_with_what_it_needs(folder: Path) -> None:
    (folder / "toy" / f"{KEYS[1]}.json").write_text("recorded")
    said = snakemake(folder, "--dry-run", profile="full", gpus=2)
    jobs = {re.search(r"key=(\w+)", part)[1]: part for part in re.split(r"\nrule ", said) if "key=" in part}
    assert jobs.keys() == {KEYS[0], KEYS[2], KEYS[3]}
    assert f"input: results/toy/{KEYS[0]}.json" in jobs[KEYS[3]]  # the equal run comes first
    assert "input:" not in jobs[KEYS[2]]
    for key, gpus in ((KEYS[0], 0), (KEYS[2], 2)):
        assert re.search(rf"mem_mb=4000, .*runtime=240, gpu={gpus}, gpu_manufacturer=nvidia", jobs[key])
        assert f"run toy --profile full --only {key} --save" in jobs[key]
        assert ("-m torch.distributed.run --standalone --nproc_per_node 2" in jobs[key]) == (gpus > 1)
    assert not (folder / "log").exists()


def test_each_run_is_a_job_and_one_that_fails_is_tried_again(folder: Path) -> None:
    (folder / f"{KEYS[1]}.bad").touch()
    said = snakemake(folder, "--cores", "2", threads=1)
    assert sorted(started(folder)) == sorted([*KEYS, KEYS[1]])
    assert started(folder).index(KEYS[0]) < started(folder).index(KEYS[3])
    assert (folder / "log").read_text().splitlines()[0].endswith(" 1 1")  # threads, of PyTorch and of ours
    times = re.findall(rf"key={KEYS[1]}\n +resources: .*mem_mb=(\d+),.* runtime=(\d+)", said)
    assert times == [("4000", "12"), ("8000", "24")]
    for key in KEYS:
        assert (folder / "toy" / f"{key}.json").read_text() == f"run toy --profile laptop --only {key} --save"
    assert "gpu" not in said
    assert "rule run" not in snakemake(folder, "--cores", "2", profile="full")  # whatever the command is now
    assert len(started(folder)) == 5


def test_an_engine_that_was_killed_starts_again_and_leaves_to_its_jobs_what_they_have_in_hand(folder: Path) -> None:
    (folder / f"{KEYS[0]}.long").touch()
    stub = f"'{sys.executable} {folder.parent / 'facelight.py'}'"
    engine = subprocess.Popen(command(folder.parent, "--cores", "1", command=stub), stderr=subprocess.DEVNULL)
    until(lambda: (folder / f"{KEYS[0]}.pid").exists() or engine.poll() is not None)
    engine.kill()
    assert engine.wait() == -signal.SIGKILL
    said = snakemake(folder, "--cores", "1")
    assert f"left to other processes, which have them in hand: {KEYS[0]} {KEYS[3]}\n" in said  # the last would copy it
    assert sorted(started(folder)) == KEYS[:3]
    (folder / f"{KEYS[0]}.long").unlink()
    until((folder / "toy" / f"{KEYS[0]}.json").exists)
    snakemake(folder, "--cores", "1")
    assert sorted(started(folder)) == KEYS


# --- a real SLURM

SMALL = "learned,recognition"  # in profile book, eight runs together
CLUSTER = ["--executor", "slurm", "--jobs", "4", "--slurm-status-command", "squeue", "--slurm-no-account"]
QUICK = ["--slurm-init-seconds-before-status-checks", "5", "--slurm-keep-successful-logs"]  # for a test


def lab(*words: str, **environment: str) -> str:
    """What the command `facelight` prints."""
    done = python("-m", "facelight_lab.command", *words, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_times(path: Path) -> dict:
    """A record without what may differ between two measurements of a run."""
    item = json.loads(path.read_text())
    return item | {"provenance": {k: v for k, v in item["provenance"].items() if k not in ("seconds", "date")}}


class Story:
    """Engines that work on one folder of records, one after the other, and what became of their jobs."""

    def __init__(self, folder: Path, records: Path) -> None:
        self.folder, self.records = folder, records
        self.logs: list[Path] = []
        self.engines: list[subprocess.Popen[bytes]] = []

    def engine(self) -> subprocess.Popen[bytes]:
        words = command(self.folder, *CLUSTER, *QUICK, profile="book", experiments=SMALL, memory=2000)
        self.logs.append(self.folder / f"engine{len(self.logs)}.log")
        with self.logs[-1].open("w") as log:
            return subprocess.Popen(
                words,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=os.environ | {"FACELIGHT_RESULTS": str(self.records)},
            )

    def __enter__(self) -> Story:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.kill()  # one that still runs, because the test has failed
            engine.wait()

    def said(self, pattern: str) -> list[str]:
        return re.findall(pattern, "".join(log.read_text() for log in self.logs))

    def kill_a_job(self) -> str:
        """Kill a job that has begun to measure and has not recorded yet; its key."""
        killed = []

        def hit() -> bool:
            for lock in self.records.glob(".unfinished/*/*.lock"):
                for job, comment in queue("RUNNING"):
                    if comment.endswith(lock.stem):
                        slurm.said("scancel", "--signal=KILL", "--full", job)
                        until(lambda job=job: job not in [number for number, _ in queue()])
                        killed.extend([lock.stem] if not list(self.records.glob(f"*/{lock.stem}.json")) else [])
            return bool(killed)

        until(hit)
        return killed[0]


def queue(states: str = "PENDING,RUNNING,COMPLETING") -> list[tuple[str, str]]:
    """Number and comment of the jobs in these states."""
    lines = slurm.said("squeue", "--noheader", f"--states={states}", "--format=%i %k").splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


@pytest.mark.slurm
@pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not())
def test_on_slurm_through_kills_of_a_job_and_of_the_engine_the_records_are_those_of_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):  # what Snakefile gives to each job
        monkeypatch.setenv(name, "1")
    start = time.monotonic()
    for name in SMALL.split(","):
        lab("run", name, "--profile", "book", "--save", FACELIGHT_RESULTS=str(tmp_path / "plain"))
    plain = {path.name: without_times(path) for path in (tmp_path / "plain").glob("*/*.json")}
    assert len(plain) == 8
    times = {"plain": time.monotonic() - start}
    story = Story(tmp_path, tmp_path / "cluster")
    with slurm.cluster(), story:
        start = time.monotonic()
        engine = story.engine()
        killed = story.kill_a_job()
        until(lambda: bool(story.said("Trying to restart job")) and len(queue()) > 1)
        engine.kill()
        engine.wait()
        finished = len(list(story.records.glob("*/*.json")))
        assert finished < 8
        assert story.engine().wait() == 0  # takes what the jobs of the first have not in hand
        (left,) = story.said("left to other processes, which have them in hand: (.*)")
        until(lambda: queue() == [])
        assert story.engine().wait() == 0
        times["SLURM"] = time.monotonic() - start
        ends = slurm.said("squeue", "--noheader", "--states=all", "--format=%T").split()  # of all jobs there were
    found = {path.name: without_times(path) for path in story.records.glob("*/*.json")}
    assert found == plain
    assert len(ends) == 9  # each run once, but the one that was killed
    assert ends.count("COMPLETED") == 8
    assert not list(story.records.glob(".unfinished/*/*"))
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in times.items())
    print(
        f"{len(ends)} jobs for 8 runs; killed: {killed}, and the engine when {finished} were recorded and "
        f"{len(left.split())} in hand; {seconds}"
    )
