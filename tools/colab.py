"""Ask pip what a chapter's set-up cell would replace of Colab's packages: `python tools/colab.py pip-freeze.txt`.

The list comes from github.com/googlecolab/backend-info. Nothing of it is installed: an empty virtual environment gets
the names and versions only, and pip says what it would do. Needs the package index. The exit status is 1 when a package
of Colab would be replaced, and the session in which it is in use would have to be restarted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def packages(freeze: str) -> dict[str, str]:
    """Version by name from the output of `pip freeze`; entries with an address instead of a version are left out."""
    pairs = re.findall(r"^([\w.-]+)==(\S+)$", freeze, re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def pretend(there: dict[str, str], site: Path) -> None:
    """Write metadata with name and version, and nothing else, for every package."""
    for name, version in there.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def changes(report: dict[str, list[dict[str, dict[str, str]]]], there: dict[str, str]) -> tuple[list[str], list[str]]:
    """What pip's report would add, and what it would replace, each as lines for the reader."""
    wanted = {re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"] for item in report["install"]}
    added = [f"{name} {item['version']}" for name, item in sorted(wanted.items()) if name not in there]
    replaced = [f"{name} {there[name]} -> {wanted[name]['version']}" for name in sorted(wanted) if name in there]
    return added, replaced


def main() -> int:
    """Print what would be added and replaced."""
    there = packages(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        (site,) = Path(folder).glob("lib/python*/site-packages")
        pretend({name: version for name, version in there.items() if name != "pip"}, site)
        pip = [
            f"{folder}/bin/python",
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--report",
            f"{folder}/report.json",
        ]
        subprocess.run([*pip, f"{ROOT}[book]"], check=True)
        added, replaced = changes(json.loads(Path(folder, "report.json").read_text()), there)
    print(f"{len(there)} packages of Colab; would be added:", *added, sep="\n  ")
    print("would be replaced:", *(replaced or ["none"]), sep="\n  ")
    return int(bool(replaced))


if __name__ == "__main__":
    sys.exit(main())
