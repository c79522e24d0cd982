"""Print what is installed as requirements with exact versions, for `requirements.txt`.

One file serves every Python of `install.TESTED`. A package that only some of them need has a marker. When such a
package is not installed here, its line of the present file is kept; `make PYTHON=python3.12 lock` writes a new one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata

from install import LEFT_TO_TORCH, ROOT, TESTED
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

HEADING = "# Exact versions for CI and the published book; written by `make lock`. Lower bounds are in pyproject.toml."
NOT_NEEDED = {"facelight", "pip"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PYTHONS = [f"{major}.{minor}" for major, minor in TESTED]


def needed(python: str) -> set[str]:
    """Names of all packages that facelight with its extras needs on one Python, as far as their metadata are here."""
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    found: set[tuple[str, str]] = set()
    left = [("facelight", extra) for extra in ("", *EXTRAS)]
    while left:
        name, extra = left.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:  # its own needs are unknown here; its line and theirs are kept
            continue
        for wanted in requirements:
            if wanted.marker is None or wanted.marker.evaluate({**environment, "extra": extra}):
                left += [(canonicalize_name(wanted.name), option) for option in ("", *wanted.extras)]
    return {name for name, _ in found}


def marker(name: str) -> str:
    """The marker of a package that some Pythons need and others do not; else nothing."""
    pythons = [python for python in PYTHONS if name in NEEDED[python]]
    return "" if len(pythons) in (0, len(PYTHONS)) else " ; " + " or ".join(f'python_version == "{p}"' for p in pythons)


def refuse(name: str, python: str) -> None:
    """End with a message when a pinned version does not support one of the Pythons."""
    for wanted in PYTHONS:
        if f"{wanted}.9" not in SpecifierSet(python):
            sys.exit(f"{name} asks for Python {python}, which leaves out {wanted}: install another version of it")


def main() -> None:
    """Print the file."""
    lines, here = {}, set()
    for dist in metadata.distributions():
        name = dist.metadata["Name"]
        here.add(canonicalize_name(name))
        if not name.lower().startswith(LEFT_TO_TORCH) and name.lower() not in NOT_NEEDED:
            refuse(name, str(dist.metadata.json.get("requires_python", "")))
            lines[name.lower()] = f"{name}=={dist.version.split('+')[0]}{marker(canonicalize_name(name))}"
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        name = re.split("==", line)[0]
        if " ; " in line and canonicalize_name(name) not in here:
            lines[name.lower()] = line
    missing = set.union(*NEEDED.values()) - here - {canonicalize_name(name) for name in lines}
    for name in sorted(missing):
        if not name.startswith(LEFT_TO_TORCH):
            python = next(python for python in PYTHONS if name in NEEDED[python])
            sys.exit(f"{name} is needed on Python {python} and is not installed here: make PYTHON=python{python} lock")
    print(HEADING, *(line for _, line in sorted(lines.items())), sep="\n")


NEEDED = {python: needed(python) for python in PYTHONS}

if __name__ == "__main__":
    main()
