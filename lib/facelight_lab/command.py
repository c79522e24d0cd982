"""The `facelight` command: look at data sets, run experiments. Thin: all work is done by the modules it calls."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import io
import json
import sys
from collections.abc import Sequence

from facelight._extras import MissingExtra

PROFILE = "book, laptop (default) or full"
FOLDERS = {
    "yaleb": "CroppedYale",
    "pie": "PIE",
    "ar": "AR",
    "w300": "300w",
    "wflw": "WFLW",
    "wflw_crops": "WFLW_crops",
    "net7876": "net7876",
}
"""Data set -> its folder in the data root; the module `facelight.data.<data set>` looks after it."""


def parser() -> argparse.ArgumentParser:
    """The command line, in one place."""
    top = argparse.ArgumentParser(
        prog="facelight", description="Faces under changing light: data sets and experiments."
    )
    commands = top.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="look at the data sets").add_subparsers(dest="action", required=True)
    data.add_parser("list", help="which data sets are there, and where they are looked for")
    verify = data.add_parser("verify", help="count the files of a data set and compare their hash")
    verify.add_argument("name", choices=[*FOLDERS])
    verify.add_argument("--root", help="folder that holds the data set (default: FACELIGHT_DATA)")
    download = data.add_parser("download", help="fetch and unpack a data set; continues where it stopped")
    download.add_argument("name", choices=["wflw"])
    download.add_argument("--root", help="folder in which the data set is put (default: FACELIGHT_DATA)")
    run = commands.add_parser("run", help="run an experiment and record what was measured; resumes where it stopped")
    names = [
        "preprocessing",
        "nearest",
        "learned",
        "detection",
        "recognition",
        "embedding",
        "landmarks",
        "beyond",
        "tone",
        "predictions",
        "map",
        "elsewhere",
    ]
    run.add_argument("experiment", choices=names)
    run.add_argument("--profile", default="laptop", help=PROFILE)
    run.add_argument("--only", nargs="+", default=[], metavar="KEY", help="measure these runs, see `facelight list`")
    run.add_argument("--save", action="store_true", help="record in book, too: set FACELIGHT_RESULTS first")
    shown = commands.add_parser("list", help="which runs there are, what is recorded, and what the others may take")
    shown.add_argument("experiments", nargs="*", metavar="experiment", help="default: a summary of all")
    shown.add_argument("--profile", default="laptop", help=PROFILE)
    shown.add_argument("--missing", action="store_true", help="only the runs that are not recorded")
    shown.add_argument("--json", action="store_true", help="for programs, such as Snakemake")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 1 when data are incomplete a request cannot be met, or an extra is missing."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8, nor the terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        return {"data": _data, "run": _run, "list": _list}[options.command](options)
    except (ValueError, OSError, MissingExtra) as error:
        print(f"facelight: {error}", file=sys.stderr)
        return 1


def _data(options: argparse.Namespace) -> int:
    from facelight.data import wflw
    from facelight.data.sources import data_root

    if options.action == "download":
        print(f"{wflw.download(options.root)} is there: next, facelight data verify wflw")
        return 0
    if options.action == "verify":
        report = importlib.import_module(f"facelight.data.{options.name}").verify(options.root)
        print(report)
        return int(not report.complete)
    print(f"data sets are looked for in {data_root()} (FACELIGHT_DATA)")
    for name, folder in FOLDERS.items():
        state = "there" if (data_root() / folder).is_dir() else "not there"
        print(f"  {name:10} {folder:12} {state:10} card: book/data/{name}.md")
    print(f"  {'synthetic':10} {'-':12} {'rendered':10} card: book/data/synthetic.md")
    return 0


def _run(options: argparse.Namespace) -> int:
    from facelight_lab import results
    from facelight_lab.experiments import run
    from facelight_lab.runs import RECORDING

    records = run(options.experiment, options.profile, only=options.only, save=options.save or None)
    print(f"{len(records)} runs of {options.experiment} in profile {options.profile}")
    if options.save or options.profile in RECORDING:
        print(f"recorded in {results.root() / options.experiment}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from facelight_lab import plan, results
    from facelight_lab.experiments import EXPERIMENTS

    names = options.experiments or EXPERIMENTS
    found = {name: plan.runs(name, options.profile) for name in names}
    if options.missing:
        found = {name: [run for run in runs if run.state != plan.RECORDED] for name, runs in found.items()}
    if options.json:
        every = [dataclasses.asdict(run) for runs in found.values() for run in runs]
        print(json.dumps({"folder": str(results.root().absolute()), "runs": every}, indent=1))
        return 0
    print(f"profile {options.profile}, records in {results.root()}")
    for name, runs in found.items():
        print(f"{name:14} {plan.summary(runs)}")
        for run in runs if options.experiments or options.missing else ():
            print(f"  {run.key}  {run.state:8}  {plan.duration(run.minutes):>8}  {run.settings}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
