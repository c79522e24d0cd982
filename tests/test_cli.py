"""The `facelight` command: what it prints, and its exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

from facelight_lab import command as cli
from facelight_lab.experiments import EXPERIMENTS


def test_list_says_where_it_looks(tmp_path, monkeypatch, capsys):
    (tmp_path / "PIE").mkdir()
    monkeypatch.setenv("FACELIGHT_DATA", str(tmp_path))
    assert cli.main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(tmp_path) in lines[0]
    assert [line.split()[:3] for line in lines if "pie" in line] == [["pie", "PIE", "there"]]
    assert any("yaleb" in line and "not there" in line for line in lines)


def test_verify_reports_a_missing_set_without_a_traceback(tmp_path, capsys):
    assert cli.main(["data", "verify", "yaleb", "--root", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("facelight: yaleb: expected the data set in")
    assert "FACELIGHT_DATA" in printed


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["yaleb", "pie"])
def test_verify_accepts_the_real_sets(name, yaleb_root, pie_root, capsys):
    assert cli.main(["data", "verify", name]) == 0
    assert "complete" in capsys.readouterr().out


def test_unknown_experiment_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "nothing"])
    printed = capsys.readouterr().err
    assert "preprocessing" in printed
    assert "nearest" in printed


def test_the_choices_are_the_experiments():
    for name in EXPERIMENTS:
        assert cli.parser().parse_args(["run", name]).experiment == name


def test_the_installed_command_starts():
    run = subprocess.run(
        [sys.executable, "-m", "facelight_lab.command", "--help"], capture_output=True, text=True, check=True
    )
    assert "data" in run.stdout
