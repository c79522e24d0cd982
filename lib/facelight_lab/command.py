"""The `facelight` command: pictures and networks of one's own, data sets, experiments.

Thin: all work is done by the modules it calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import io
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from facelight._extras import MissingExtra

EXITS = """exit status:
  0  done; a picture in which no face was found is an answer, too
  1  something could not be read, written or found, or an extra is missing: the message says what to do
  2  the command line is wrong"""
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
        prog="facelight",
        description="Faces under changing light: pictures and networks of your own, data sets, experiments.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"facelight {version('facelight')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    _add_own(commands)
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


def _add_own(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is for pictures and networks of one's own."""

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, epilog=EXITS, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    predict = command("predict", "find faces and their landmarks in photographs and videos")
    predict.add_argument("photos", nargs="+", metavar="PHOTO", help="picture, video or folder")
    predict.add_argument(
        "-o", "--output", type=Path, help="folder for drawings and JSON, or a file for one (landmarks/)"
    )
    predict.add_argument("--model", metavar="FILE", help="network; default: the one that comes with facelight")
    predict.add_argument("--darken", type=float, default=1.0, metavar="6", help="divide gray levels by this first")
    predict.add_argument("--compare", action="store_true", help="draw two networks side by side as the light falls")
    predict.add_argument("--against", metavar="FILE", help="the other network of --compare; default: the plain one")
    predict.add_argument("--finder", default="viola-jones", help="viola-jones, or the .onnx file of a YuNet network")
    predict.add_argument("--json", action="store_true", help="print a line of JSON a file; writes nothing without -o")
    predict.add_argument("--quiet", action="store_true", help="print no progress and no summary")

    enhance = command(
        "enhance", "draw every enhancer side by side, or write one of them: --method clahe --clip-limit 2"
    )
    enhance.add_argument("photo", metavar="PHOTO")
    enhance.add_argument("-o", "--output", type=Path, help="file, or folder for it; default: here")
    enhance.add_argument("--method", help="a function of facelight.enhance; its settings follow, --clip-limit 2")

    trains = command("train", "train a network of your own").add_subparsers(dest="what", required=True)
    about = "train a small network that finds landmarks; goes on where it stopped, deterministic by --seed"
    train = trains.add_parser("landmarks", help=about, description=about)
    train.add_argument(
        "--data", default="rendered", help="rendered, w300, wflw, or a folder of pictures with .pts files"
    )
    train.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="file that is written")
    train.add_argument("--points", type=int, choices=(98, 68), help="default: as many as the data have")
    train.add_argument("--stem", default="light", choices=("light", "linear"), help="first layer: light_stem, or plain")
    train.add_argument("--faces", type=int, default=30_000, help="rendered faces")
    train.add_argument("--epochs", type=int, default=20)
    train.add_argument("--batch", type=int, default=64)
    train.add_argument("--size", type=int, default=96, help="side of the crops in pixels")
    train.add_argument("--seed", type=int, default=0)
    for name, text in (("light", "half of the faces in less light"), ("noise", "half behind a camera with noise")):
        train.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=True, help=text)
    train.add_argument("--darkest", type=float, default=25.0, help="gray levels are divided by this at most")
    train.add_argument("--quiet", action="store_true", help="print no progress and no summary")

    measure = command("measure", "measure a network on test faces, under several lights")
    measure.add_argument("model", nargs="?", metavar="MODEL", help="default: the one that comes with facelight")
    measure.add_argument(
        "--data", nargs="+", default=["rendered"], choices=("rendered", "w300", "wflw_crops", "net7876")
    )
    measure.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th face")
    measure.add_argument("--json", action="store_true", help="print JSON")

    export = command("export", "write a network as ONNX, compared with PyTorch by onnxruntime; needs the extra [onnx]")
    export.add_argument("model", nargs="?", metavar="MODEL", help="default: the one that comes with facelight")
    export.add_argument("--onnx", type=Path, required=True, metavar="OUT", help="file that is written")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 1 when data are incomplete a request cannot be met, or an extra is missing."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    if rest and options.command != "enhance":
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8, nor the terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        return globals()[f"_{options.command}"](options)
    except (ValueError, OSError, ArithmeticError, MissingExtra) as error:
        print(f"facelight: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("facelight: stopped", file=sys.stderr)
        return 130


def _predict(options: argparse.Namespace) -> int:
    from facelight_lab.commands import predicting

    names = ("output", "model", "against", "darken", "compare", "finder", "json", "quiet")
    given = {name: getattr(options, name) for name in names}
    return predicting.run(predicting.Request(tuple(options.photos), **given))


def _enhance(options: argparse.Namespace) -> int:
    from facelight_lab.commands import enhancing

    print(enhancing.run(options.photo, options.output, options.method, enhancing.settings(options.rest)))
    return 0


def _train(options: argparse.Namespace) -> int:
    from facelight_lab.commands import training

    names = [field.name for field in dataclasses.fields(training.Plan) if field.name != "network"]
    plan = training.Plan(**{name: getattr(options, name) for name in names})
    options_given = " ".join(f"--{name} {getattr(plan, name)}" for name in ("data", "stem", "faces", "epochs", "seed"))
    card, digest = training.run(
        plan, options.output, command=f"facelight train landmarks {options_given}", progress=not options.quiet
    )
    if not options.quiet:
        print(
            f"{options.output}: {len(card.points)} landmarks, first layer {card.stem}, {card.errors}, sha256 {digest}"
        )
    return 0


def _measure(options: argparse.Namespace) -> int:
    from facelight_lab.commands import measuring

    found = measuring.measure(options.model, options.data, every=options.every)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    print("mean error of the landmarks that network and set share, in per cent of the distance of the eyes")
    for name, errors in found.items():
        print(f"{name:12}" + "".join(f"{light:>16}" for light in errors))
        print(f"{'':12}" + "".join(f"{100 * value:16.2f}" for value in errors.values()))
    return 0


def _export(options: argparse.Namespace) -> int:
    from facelight_lab.commands import exporting

    off = exporting.run(options.model, options.onnx)
    print(f"{options.onnx}: differs from PyTorch by at most {off:.2g} of the crop's side")
    return 0


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
