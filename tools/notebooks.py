"""Generate `notebooks/` from `book/`, one way: convert, execute, normalise. Only this script writes there.

`generate` handles the chapters whose notebook is missing, out of date or never executed (`--all`: every chapter);
`check` changes nothing and fails when a notebook is not what its chapter would generate.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbstripout import strip_output

ROOT = Path(__file__).resolve().parents[1]


def convert(chapter: Path) -> nbformat.NotebookNode:
    """The chapter as a notebook without outputs, with cell names that do not change from run to run."""
    notebook = jupytext.read(chapter)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells from the folder of the notebooks; keep the outputs that are compared, and all execution counts."""
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    stripped = strip_output(notebook, keep_output=False, keep_count=True, keep_id=True)
    nbformat.validate(stripped)
    return stripped


def problems(chapter: Path, target: Path) -> list[str]:
    """What is wrong with a committed notebook; an empty list when nothing is."""
    if not target.is_file():
        return ["is missing"]
    wrong, wanted, found = [], convert(chapter), nbformat.read(target, as_version=4)
    if [(c.cell_type, c.source, c.metadata) for c in wanted.cells] != [
        (c.cell_type, c.source, c.metadata) for c in found.cells
    ]:
        wrong.append(f"differs from {chapter.relative_to(ROOT)}")
    code = [cell for cell in found.cells if cell.cell_type == "code" and cell.source.strip()]
    checked = [cell for cell in code if "nbval-check-output" in cell.metadata.get("tags", [])]
    if any(cell.execution_count is None for cell in code):
        wrong.append("has cells without an execution count, which would be compared with nothing")
    if any(not cell.outputs for cell in checked):
        wrong.append("has a checked cell without a stored output")
    if any(cell.outputs for cell in code if cell not in checked):
        wrong.append("stores outputs that nothing checks")
    return wrong


def main() -> int:
    """Generate or check; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["generate", "check"])
    parser.add_argument("--all", action="store_true", help="execute every chapter again")
    options = parser.parse_args()
    failed = False
    for chapter in sorted((ROOT / "book").glob("[0-9][0-9]_*.md")):
        target = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
        wrong = problems(chapter, target)
        if options.action == "check":
            for problem in wrong:
                print(f"{target.relative_to(ROOT)} {problem}: make notebooks")
            failed |= bool(wrong)
        elif wrong or options.all:
            print(f"{target.relative_to(ROOT)}: executing", flush=True)
            text = nbformat.writes(execute(convert(chapter)), version=4)
            with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as part:
                part.write(text.rstrip("\n") + "\n")
            Path(part.name).chmod(0o644)
            Path(part.name).replace(target)
    strays = {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} - {p.stem for p in (ROOT / "book").glob("*.md")}
    for stray in sorted(strays):
        print(f"notebooks/{stray}.ipynb has no chapter: delete it")
    return int(failed or bool(strays))


if __name__ == "__main__":
    sys.exit(main())
