"""Records: provenance, atomic files, statistics; and the records that the repository itself carries."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facelight.data import ar, pie, yaleb
from facelight_lab import experiments, fingerprints, results
from facelight_lab.enhancement import nearest, preprocessing
from facelight_lab.enhancement.nearest import Nearest
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.results import records

W300 = "6378992f27b770d7cf6d374808eeb5f30cd6552eaf382d57819d12eebd8d038c"  # `face_sets.load("w300").sha256`
NET7876 = "639de8e7f6d3298f37aa86d016629fbfd375fc69b9591e5c641b3cba1085ef87"  # and those of these sets
W300_ON_WFLW = "4e5d02a3759a666e8489ca96801b82b7f0b5e2d8617911b78709603154ffe26b"
DATA = {"name": "toy", "sha256": "0" * 64, "split": "all", "count": 3}


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 3
    rate: float = 0.1


def toy(metrics=None, **options) -> results.Record:
    return results.record("toy", Config(), metrics or {"score": 1.5}, data=DATA, seconds=0.25, **options)


def test_record_carries_what_produced_it(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the working directory does not matter
    item = toy(seed=4, command="facelight run toy")
    assert item.config == {"width": 3, "rate": 0.1}
    head = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True).strip()
    assert item.provenance["commit"] == head
    assert item.provenance["versions"]["torch"]
    assert item.provenance["command"] == "facelight run toy"
    assert item.provenance["seconds"] == 0.25
    assert isinstance(item.provenance["clean"], bool)


def test_installed_without_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)  # somebody else's repository around the installation
    (tmp_path / "records.py").write_text("")
    monkeypatch.setattr(records, "SOURCE", tmp_path / "records.py")
    assert toy().provenance["commit"] is None
    assert toy().provenance["clean"] is None


def test_clean_ignores_fresh_records_but_not_changed_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "SOURCE", tmp_path / "code.py")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q"], check=True)
    Path("code.py").write_text("a = 1\n")
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "start"], check=True)
    folder = tmp_path / "book" / "results"
    results.save(toy(), folder)
    assert toy().provenance["clean"] is True
    Path("code.py").write_text("a = 2\n")
    assert toy().provenance["clean"] is False


def test_round_trip_and_find(tmp_path):
    item = toy({"score": 1.5, "per_subset": {"1": [1, 2], "2": math.nan}, "n": np.int64(3)}, seed=1)
    path = results.save(item, tmp_path)
    assert path == tmp_path / "toy" / f"{item.key}.json"
    assert results.load("toy", tmp_path) == [item]
    assert results.find("toy", Config(), 1, tmp_path) == item
    assert results.find("toy", Config(width=4), 1, tmp_path) is None
    assert item.metrics["per_subset"]["2"] is None
    assert results.load("nothing", tmp_path) == []


def test_lists_of_numbers_take_one_line_and_come_back_the_same(tmp_path):
    values = [1, -2.5, 3e-9, 4e20]
    item = toy({"curve": values, "table": [values, []], "said": ["[\n1,\n2]", "a"]})
    text = results.save(item, tmp_path).read_text()
    assert '"curve": [1, -2.5, 3e-09, 4e+20]' in text
    assert results.load("toy", tmp_path) == [item]


def test_a_fingerprint_is_kept_with_the_commit_that_computed_it(repository, tmp_path):
    item = toy(fingerprint={"steps": [np.float64(2.5), None]})
    head = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True).strip()
    assert item.fingerprint == {"values": {"steps": [2.5, None]}, "commit": head}
    results.save(item, tmp_path)
    assert results.load("toy", tmp_path) == [item]
    assert toy().fingerprint is None


@pytest.mark.parametrize(
    ("today", "parts"),
    [
        ({"steps": [1.0 + 9e-7, 2e9], "enhancer": [100.04]}, []),
        ({"steps": [1.0 + 3e-6, 2e9], "enhancer": [100.06]}, ["enhancer", "steps"]),
        ({"steps": [1.0, 2e9 + 3e3], "enhancer": [100.0]}, ["steps"]),
        ({"steps": [1.0, None], "enhancer": [100.0]}, ["steps"]),
        ({"steps": [1.0], "enhancer": [100.0]}, ["steps"]),
        ({"steps": [1.0, 2e9]}, ["enhancer"]),
        ({"steps": [1.0, 2e9], "enhancer": [100.0], "names": [1.0]}, ["names"]),
    ],
)
def test_fingerprints_differ_beyond_what_processors_do(today, parts):
    assert results.differences({"steps": [1.0, 2e9], "enhancer": [100.0]}, today) == parts


def test_interrupted_save_leaves_the_old_record(tmp_path, monkeypatch):
    results.save(toy({"score": 1.0}), tmp_path)

    def stop(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        results.save(toy({"score": 2.0}), tmp_path)
    monkeypatch.undo()
    assert [item.metrics["score"] for item in results.load("toy", tmp_path)] == [1.0]


def test_a_folder_that_cannot_be_made_is_named_and_so_is_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write records to .*file.*set FACELIGHT_RESULTS"):
        results.save(toy(), tmp_path / "file")


def test_a_record_is_refused_when_it_was_changed_or_cut(tmp_path):
    path = results.save(toy(), tmp_path)
    content = json.loads(path.read_text())
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r"is not a record .* delete .* run the experiment again"):
        results.load("toy", tmp_path)
    path.write_text(json.dumps(content | {"config": {"width": 9, "rate": 0.1}}))
    with pytest.raises(ValueError, match="changed by hand"):
        results.load("toy", tmp_path)
    path.write_text(json.dumps(content | {"schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        results.load("toy", tmp_path)


def test_bad_records_are_refused():
    with pytest.raises(ValueError, match="letters, digits and _"):
        results.record("../escape", {}, {}, data=DATA, seconds=0)
    with pytest.raises(ValueError, match="'sha256'"):
        results.record("toy", {}, {}, data={"name": "x"}, seconds=0)
    with pytest.raises(ValueError, match="infinite"):
        toy({"psnr": math.inf})
    with pytest.raises(TypeError, match="convert it first"):
        toy({"object": object()})


def test_root_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("FACELIGHT_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="set FACELIGHT_RESULTS"):
        results.root()
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path / "elsewhere"))
    assert results.root() == tmp_path / "elsewhere"


# --- the records that the repository carries

RESULTS = Path(__file__).resolve().parents[1] / "book" / "results"
MODULES = {name: experiments.module(name) for name in experiments.EXPERIMENTS}
CARRIED = {name: results.load(name, RESULTS) for name in MODULES}
CONFIGS = {name: module.configs("laptop") for name, module in MODULES.items()}
PENDING: dict[str, Callable[[Any], bool]] = {  # experiment -> which of its runs need not be recorded yet
    "map": lambda config: True,
    "elsewhere": lambda config: True,
    "recognition": lambda config: config in ADDED,
}
ADDED = [  # the network on AR, plain on CMU PIE, and behind Tan-Triggs where lights are held out
    config
    for config in CONFIGS["recognition"]
    if config.network is not None
    and (
        config.dataset == "ar"
        or (config.dataset, config.protocol, config.enhancer, config.network.variant)
        in (
            ("pie", "random", Enhancer(), "linear"),
            ("yaleb", "held-out lights", FAMILY["Tan-Triggs"], "linear"),
        )
    )
]
every_experiment = pytest.mark.parametrize("experiment", MODULES)


def test_every_folder_of_records_belongs_to_an_experiment():
    found = {folder.name for folder in RESULTS.iterdir() if not folder.name.startswith(".")}
    assert found - {"speed"} <= {*MODULES}
    assert {*MODULES} - found <= {*PENDING}


@every_experiment
def test_every_run_of_today_s_profile_is_recorded_and_no_other(experiment):
    runs = {results.key(experiment, config, getattr(config, "seed", None)): config for config in CONFIGS[experiment]}
    found = {item.key for item in CARRIED[experiment]}
    excused = {key for key, config in runs.items() if experiment in PENDING and PENDING[experiment](config)}
    assert runs.keys() - excused <= found <= runs.keys(), (
        f"stale: rerun `facelight run {experiment} --profile laptop` and commit the records"
    )
    assert not excused or excused - found, f"all runs of {experiment} are recorded: take it out of PENDING"


def test_what_is_excused_are_runs_that_there_are():
    assert {*PENDING} <= {*MODULES}
    assert len(ADDED) == 18 + 3 + 3


@every_experiment
def test_records_come_from_unchanged_code_and_name_what_produced_them(experiment):
    for item in CARRIED[experiment]:
        assert item.provenance["clean"] is True, item.key
        assert re.fullmatch(r"[0-9a-f]{40}", item.provenance["commit"])
        assert item.provenance["command"] == f"facelight run {experiment} --profile laptop"
        assert item.provenance["seconds"] >= 0
        assert {"torch", "opencv-python-headless", "numpy"} <= set(item.provenance["versions"])


def test_every_commit_that_a_record_names_is_in_the_history():
    """Else nobody can look at the code that measured it, or that computed its fingerprint."""

    def git(*words: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(RESULTS), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        shallow = git("rev-parse", "--is-shallow-repository") == "true"
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no history to look into: {error}")
    if shallow:
        pytest.skip("this checkout has a part of the history only: git fetch --unshallow")
    history = {*git("rev-list", "HEAD").split()}  # all ancestors of HEAD, and itself
    lost = []
    for path in sorted(RESULTS.glob("*/*.json")):
        content = json.loads(path.read_text())
        named = {content["provenance"]["commit"], (content["fingerprint"] or content["provenance"])["commit"]}
        lost += [f"{path.parent.name}/{path.name}"] if named - history else []
    assert not lost, f"delete these files and measure their runs again, from a commit of the history: {lost}"


def test_records_were_measured_on_the_complete_sets():
    known = {"yaleb": (yaleb.SHA256, 2414), "pie": (pie.SHA256, 11554), "w300": (W300, 2012 + 554)}
    known |= {"ar": (ar.SHA256, 1386), "net7876": (NET7876, 7876), "w300 on wflw_crops": (W300_ON_WFLW, 2012 + 200)}
    for item in itertools.chain(*CARRIED.values()):
        if item.config["dataset"] == "scenes" or item.config["dataset"].startswith(
            "synthetic"
        ):  # rendered; other processors round other last bits
            assert item.data["name"].startswith("synthetic")
            assert re.fullmatch(r"[0-9a-f]{64}", item.data["sha256"])
            continue
        sha256, count = known[item.config["dataset"]]
        assert item.data["sha256"] == sha256
        every = item.config["every"] if item.experiment in ("preprocessing", "detection") else 1
        assert item.data["count"] == -(-count // every)


@every_experiment
def test_today_s_code_has_the_numerics_of_every_record(experiment):
    """Each variant is computed once: most records differ from another one in seed or data only."""
    runs = {results.key(experiment, c, getattr(c, "seed", None)): c for c in CONFIGS[experiment]}
    stale = {}
    for item in CARRIED[experiment]:
        assert item.fingerprint is not None, item.key
        assert re.fullmatch(r"[0-9a-f]{40}", item.fingerprint["commit"])
        recorded, today = item.fingerprint["values"], fingerprints.of(experiment, runs[item.key])
        differing = results.differences(recorded, today)
        if differing:  # as far as processors can agree
            differing = results.differences(recorded, today, fingerprints.doubt(experiment, runs[item.key]))
        stale |= {f"{item.key}.json": differing} if differing else {}
    assert not stale, (
        f"the code computes something else than what these runs of {experiment} were measured with: {stale}: delete "
        f"the files from book/results/{experiment} and run `facelight run {experiment} --profile laptop`"
    )


def test_records_are_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*.json")) < 8e6


def test_no_recorded_picture_exceeds_its_bound():
    assert sum(item.metrics["exceeded"] for item in CARRIED["preprocessing"]) == 0


@pytest.mark.realdata
@pytest.mark.parametrize("label", ["BBHE", "CLAHE 0.01, MATLAB"])
def test_a_record_is_measured_again(label, pie_root):
    config = preprocessing.Preprocessing("pie", FAMILY[label])
    recorded = results.find("preprocessing", config, folder=RESULTS)
    again = preprocessing.measure(config, pie.load(pie_root))
    for score in ("psnr", "ambe", "ssim", "contrast", "entropy", "noise_amplification"):
        assert again[score] == pytest.approx(recorded.metrics[score], abs=1e-3)


@pytest.mark.realdata
@pytest.mark.parametrize("label", ["Input", "Tan-Triggs"])
def test_recognition_is_measured_again(label, yaleb_root):
    config = Nearest("yaleb", FAMILY[label])
    recorded = results.find("nearest", config, folder=RESULTS)
    again = nearest.measure(config, yaleb.load(yaleb_root))
    assert again["rate_by_subset"] == pytest.approx(
        {int(k): v for k, v in recorded.metrics["rate_by_subset"].items()}, abs=0.003
    )
