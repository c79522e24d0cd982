"""Install the pinned packages into the virtual environment that runs this script, and say how far it is.

`python tools/install.py [cpu|default]` chooses the build of PyTorch: `cpu` is its CPU build, from PyTorch's own index;
`default` is the one that pip takes. Without an argument the build that is installed stays. `make` calls it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton")  # the default build pins these itself, where they exist
REPORT_EVERY = 10.0  # seconds
TESTED = ((3, 11), (3, 12), (3, 13))


def progress(output: str, total: int, megabytes: float, new: int) -> str:
    """One line for the reader from what pip has printed; `total` pins are wanted, `new` packages were put in place."""
    if names := re.search(r"^Installing collected packages: (.+)", output, re.M):
        count = len(names[1].split(","))
        return f"unpacking: {min(new, count)} of {count} packages"
    found = len(re.findall(r"^(?:Collecting|Processing|Requirement already satisfied:) ", output, re.M))
    of = f" of about {total}" if found < total else ""
    files = re.findall(r"^\s*(?:Downloading|Using cached) (\S+\.whl \(.+\))", output, re.M)
    return f"looked up {found}{of} packages, {megabytes:,.0f} MB fetched" + (f"; now {files[-1]}" if files else "")


def pins() -> dict[str, str]:
    """The versions of `requirements.txt` by name, without what only another Python needs."""
    python = f'"{sys.version_info.major}.{sys.version_info.minor}"'
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)(.*)$", (ROOT / "requirements.txt").read_text(), re.M)
    return {name: version for name, version, marker in lines if not marker or python in marker}


def commands(build: str, installed: str) -> list[list[str]]:
    """The pip commands that lead from the `installed` build of PyTorch ("" for none) to `build`, in order."""
    pip, first, last = [sys.executable, "-m", "pip"], [], []
    install = [*pip, "install", "--progress-bar", "off"]
    names, options = [f"{name}=={pins()[name]}" for name in ("torch", "torchvision")], ["--no-deps"]
    if changed := installed not in ("", build):
        options.append("--force-reinstall")  # pip takes the one build for the other
    if build == "cpu":
        options += ["--index-url", CPU_INDEX]
        if platform.machine() in ("x86_64", "AMD64") and sys.platform != "darwin":
            names = [f"{name}+cpu" for name in names]  # so that a configured index cannot hand out another build
        left = sorted(str(dist.metadata["Name"]) for dist in metadata.distributions())
        left = [name for name in left if name.lower().startswith(LEFT_TO_TORCH)]
        last = [[*pip, "uninstall", "--yes", *left]] if changed and left else []
    if build == "cpu" or changed:
        first = [[*install, *options, *names]]
    return [*first, [*install, "--requirement", "requirements.txt"], [*install, "--no-deps", "--editable", "."], *last]


def installed_build() -> str:
    """The build of PyTorch in this environment: `cpu`, `default`, or "" for none."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""
    marker = Path(sys.prefix) / ".installed"
    return "cpu" if version.endswith("+cpu") or (marker.exists() and "torch=cpu" in marker.read_text()) else "default"


def run(command: list[str], folder: Path) -> int:
    """Run pip with its temporary files in `folder`; report every few seconds; show all its errors when it fails."""
    print("+ pip " + " ".join(command[3:]), flush=True)
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    output, errors, packages = folder / "output.txt", folder / "errors.txt", Path(sysconfig.get_path("purelib"))
    before, start = len(list(packages.glob("*.dist-info"))), time.monotonic()
    with output.open("w") as out, errors.open("w") as err:
        pip = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
        while True:
            try:
                pip.wait(timeout=REPORT_EVERY)
                break
            except subprocess.TimeoutExpired:
                megabytes = 0.0
                with suppress(FileNotFoundError):  # pip may move a file meanwhile
                    megabytes = sum(path.stat().st_size for path in folder.glob("pip-*/*.whl")) / 1e6
                new = len(list(packages.glob("*.dist-info"))) - before
                total = len(pins()) if "--requirement" in command else 0
                line = progress(output.read_text("utf-8", "replace"), total, megabytes, new)
                print(f"  {time.monotonic() - start:4.0f} s: {line}", flush=True)
    if pip.returncode:
        last = output.read_text("utf-8", "replace").splitlines()[-20:]
        print("\n".join(last), errors.read_text("utf-8", "replace"), sep="\n", file=sys.stderr)
        print(f"== pip failed with exit status {pip.returncode}: {' '.join(command)}", file=sys.stderr)
    return pip.returncode


def main() -> int:
    """Install; the exit status is pip's."""
    installed = installed_build()
    build = sys.argv[1] if len(sys.argv) > 1 else installed or "default"
    size = "2.5" if build == "cpu" else "7"
    print(f"== Installing {len(pins())} pinned packages into {sys.prefix}", flush=True)
    print(f"   the first time several minutes, about {size} GB; later calls skip this", flush=True)
    marker = Path(sys.prefix) / ".installed"
    marker.unlink(missing_ok=True)  # until all is done
    folder = Path(sys.prefix) / "tmp"  # not the machine's, which may be too small for PyTorch
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for command in commands(build, installed):
            if status := run(command, folder):
                if build == "cpu":
                    print(f"   TORCH=cpu needs {CPU_INDEX}; without TORCH the default index is enough", file=sys.stderr)
                if sys.version_info[:2] not in TESTED:
                    print(f"   tested with Python 3.11 to 3.13; this is {platform.python_version()}", file=sys.stderr)
                return status
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    marker.write_text(f"python={python} torch={build}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
