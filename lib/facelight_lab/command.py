"""The `facelight` command: look at data sets, run experiments. Thin: all work is done by the modules it calls."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """The command line, in one place."""
    top = argparse.ArgumentParser(
        prog="facelight", description="Faces under changing light: data sets and experiments."
    )
    commands = top.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="look at the data sets").add_subparsers(dest="action", required=True)
    data.add_parser("list", help="which data sets are there, and where they are looked for")
    verify = data.add_parser("verify", help="count the files of a data set and compare their hash")
    verify.add_argument("name", choices=["yaleb", "pie", "w300", "wflw"])
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
    ]
    run.add_argument("experiment", choices=names)
    run.add_argument("--profile", default="laptop", help="smoke, book, laptop (default) or full")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 1 when data are incomplete or a request cannot be met."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8, nor the terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        return _data(options) if options.command == "data" else _run(options)
    except (ValueError, OSError) as error:
        print(f"facelight: {error}", file=sys.stderr)
        return 1


def _data(options: argparse.Namespace) -> int:
    from facelight.data import pie, w300, wflw, yaleb
    from facelight.data.sources import data_root

    if options.action == "download":
        print(f"{wflw.download(options.root)} is there: next, facelight data verify wflw")
        return 0
    if options.action == "verify":
        report = {"yaleb": yaleb, "pie": pie, "w300": w300, "wflw": wflw}[options.name].verify(options.root)
        print(report)
        return int(not report.complete)
    print(f"data sets are looked for in {data_root()} (FACELIGHT_DATA)")
    for name, folder in {"yaleb": "CroppedYale", "pie": "PIE", "w300": "300w", "wflw": "WFLW"}.items():
        state = "there" if (data_root() / folder).is_dir() else "not there"
        print(f"  {name:10} {folder:12} {state:10} card: book/data/{name}.md")
    print(f"  {'synthetic':10} {'-':12} {'rendered':10} card: book/data/synthetic.md")
    return 0


def _run(options: argparse.Namespace) -> int:
    from facelight_lab import results
    from facelight_lab.experiments import run

    records = run(options.experiment, options.profile)
    print(f"{len(records)} runs of {options.experiment} in profile {options.profile}")
    if options.profile in ("laptop", "full"):
        print(f"recorded in {results.root() / options.experiment}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
