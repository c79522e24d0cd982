"""Generate `notebooks/` from `book/`, one way: convert, execute, normalize. Only this script writes there.

Every `book/*.md` whose front matter names a kernel has a notebook: chapters `NN_name.md`, and the pages
`appendix_NN_name.md` of their appendix. All are called chapters below.

`generate` handles the chapters whose notebook is missing, out of date or never executed (`--all`: every chapter). Where
only text, captions or what a set-up cell does in Colab have changed, the stored outputs are kept.
The text is converted to plain Markdown (`plain_markdown`).
`check` changes nothing and fails when a notebook is not what its chapter would generate, or Ruff finds fault with the
code of a chapter: with its style, its layout or its complexity.
`format` lays out the code of the chapters as Ruff does, and mends what Ruff can mend.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import plain_markdown
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbstripout import strip_output

from facelight import _files
from facelight.enhance import prepare_histograms
from facelight_lab.claims.names import COLAB

ROOT = Path(__file__).resolve().parents[1]
WIDTH = "--line-length=100"  # of the code of chapters: what a page shows without scrolling
LAYOUT = ("--config", "format.skip-magic-trailing-comma=true")  # a list takes as few lines as it can
BADGE = "](_static/colab-badge.svg)", "](https://colab.research.google.com/assets/colab-badge.svg)"  # book, notebook
KERNEL = re.compile(r"---\n(?:(?!---\n).*\n)*?kernelspec:")  # in a front matter
SHOWING = ("plt.show", "plot.image_grid", "lab.show", "lab.say", "moving.figure", "show", "display")


def chapters(root: Path) -> list[Path]:
    """The executable pages of the book, chapters first: those whose front matter names a kernel."""
    return [path for path in sorted((root / "book").glob("[!.]*.md")) if KERNEL.match(path.read_text(encoding="utf-8"))]


def cells_of(chapter: Path) -> nbformat.NotebookNode:
    """The chapter as a notebook in MyST, without outputs, with cell names that do not change from run to run."""
    notebook = jupytext.read(chapter)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
        if cell.cell_type == "markdown":  # Colab shows no picture beside a notebook
            cell.source = cell.source.replace(*BADGE)
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def convert(chapter: Path) -> nbformat.NotebookNode:
    """The notebook of a chapter without outputs: its text in plain Markdown, the caption of a figure below it."""
    notebook, root = cells_of(chapter), chapter.parents[1]
    plain_markdown.plain(notebook, root, chapter.relative_to(root).with_suffix("").as_posix())
    return notebook


def ruff(notebook: nbformat.NotebookNode, chapter: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Let Ruff read a notebook as if it lay beside its chapter, with the rules of `pyproject.toml` for it."""
    command = [sys.executable, "-m", "ruff", *words, WIDTH, "--stdin-filename", f"book/{chapter.stem}.ipynb", "-"]
    return subprocess.run(command, cwd=ROOT, input=nbformat.writes(notebook), capture_output=True, text=True)


def shows(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell only plots or tabulates: it ends by showing, and neither defines functions nor asserts."""
    body = ast.parse(cell.source).body
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assert)) for node in body):
        return False
    last: ast.AST = body[-1]
    while isinstance(last, (ast.For, ast.If, ast.With)):
        last = last.body[-1]
    call = last.value if isinstance(last, (ast.Expr, ast.Assign)) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) in SHOWING


def sets_up(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell imports first and then at most sets what the page needs, without a function or an assertion."""
    first, *rest = ast.parse(cell.source).body
    of_argument = (ast.FunctionDef, ast.ClassDef, ast.Assert, ast.For)
    return isinstance(first, (ast.Import, ast.ImportFrom)) and not any(isinstance(node, of_argument) for node in rest)


def folded(notebook: nbformat.NotebookNode) -> list[str]:
    """What is wrong with `hide-input`: cells that only plot, tabulate or import have it, and no others."""
    wrong = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "hide-cell" in tags:
            continue
        first = cell.source.splitlines()[0]
        imports = sets_up(cell)
        if (shows(cell) or imports) and "hide-input" not in tags:
            wrong.append(f"the cell that begins with {first!r} only plots, tabulates or imports: tag it hide-input")
        if "hide-input" in tags and not (shows(cell) or imports):
            wrong.append(f"the cell that begins with {first!r} is part of the argument: do not tag it hide-input")
    return wrong


def faults(chapter: Path) -> list[str]:
    """What Ruff says of the code of a chapter; an empty list when nothing."""
    notebook = cells_of(chapter)
    checked = ruff(notebook, chapter, "check", "--quiet", "--output-format=concise", "--extend-select=C901")
    found = [line.replace(".ipynb", ".md") for line in (checked.stdout + checked.stderr).splitlines()]
    if ruff(notebook, chapter, "format", "--check", *LAYOUT).returncode:
        found.append(f"book/{chapter.name}: would be laid out otherwise: python tools/notebooks.py format")
    return found + [f"book/{chapter.name}: {line}" for line in folded(notebook)]


def laid_out(chapter: Path) -> str:
    """The text of a chapter, its code mended and laid out by Ruff.

    Raises:
        ValueError: Ruff cannot read it.
    """
    old = cells_of(chapter)
    mended = ruff(old, chapter, "check", "--quiet", "--fix", "--exit-zero")
    done = ruff(nbformat.reads(mended.stdout, as_version=4), chapter, "format", "--quiet", *LAYOUT)
    if done.returncode:
        raise ValueError(f"{chapter.relative_to(ROOT)}: {done.stderr}")
    text, after = chapter.read_text(encoding="utf-8"), 0
    for before, cell in zip(old.cells, nbformat.reads(done.stdout, as_version=4).cells, strict=True):
        if cell.cell_type == "code":
            place = text.index(before.source, after)
            text = text[:place] + cell.source + text[place + len(before.source) :]
            after = place + len(cell.source)
    return text


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells from the folder of the notebooks; keep the outputs that are compared, and all execution counts."""
    prepare_histograms()  # or the notebook would say that something is compiled
    own = KernelSpecManager(kernel_dirs=[f"{sys.prefix}/share/jupyter/kernels"])  # no other kernel of the same name
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=own)
    resources = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=600, km=kernel, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("text/html", None)  # tables are kept and compared as text
    notebook.metadata["language_info"] = {"name": "python"}
    stripped = strip_output(notebook, keep_output=False, keep_count=True, keep_id=True)
    nbformat.validate(stripped)
    return stripped


def compared(notebook: nbformat.NotebookNode) -> list[tuple[str, object]]:
    """Source and tags of every cell whose outputs may change what is stored, without what runs in Colab alone."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(COLAB.sub("", cell.source), cell.metadata.get("tags", [])) for cell in cells]


def lacking(notebook: nbformat.NotebookNode) -> list[str]:
    """What is wrong with the stored outputs of a notebook, whatever its chapter says."""
    wrong = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    checked = [cell for cell in code if "nbval-check-output" in cell.metadata.get("tags", [])]
    if any(cell.execution_count is None for cell in code):
        wrong.append("has cells without an execution count, which would be compared with nothing")
    if any(not cell.outputs for cell in checked):
        wrong.append("has a checked cell without a stored output")
    if any("text/html" in output.get("data", {}) for cell in checked for output in cell.outputs):
        wrong.append("stores tables as HTML, which nothing compares")
    if any(cell.outputs for cell in code if cell not in checked):
        wrong.append("stores outputs that nothing checks")
    return wrong


def keep_outputs(notebook: nbformat.NotebookNode, target: Path) -> bool:
    """Give `notebook` the outputs and counts of `target` when its code is the same; say whether nothing lacks then."""
    if not target.is_file():
        return False
    found = nbformat.read(target, as_version=4)
    if compared(notebook) != compared(found):
        return False
    code = [[cell for cell in each.cells if cell.cell_type == "code"] for each in (notebook, found)]
    for new, old in zip(*code, strict=True):
        new["outputs"], new["execution_count"] = old.outputs, old.execution_count
    return not lacking(notebook)


def write(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Put a notebook in its place in one step."""
    text = nbformat.writes(notebook, version=4)
    with _files.whole(target) as part:
        part.write((text.rstrip("\n") + "\n").encode())


def problems(chapter: Path, target: Path) -> list[str]:
    """What is wrong with a committed notebook; an empty list when nothing is."""
    if not target.is_file():
        return ["is missing"]
    wrong, wanted, found = [], convert(chapter), nbformat.read(target, as_version=4)
    if [(c.cell_type, c.source, c.metadata) for c in wanted.cells] != [
        (c.cell_type, c.source, c.metadata) for c in found.cells
    ]:
        wrong.append(f"differs from {chapter.relative_to(ROOT)}")
    return wrong + lacking(found)


def main() -> int:
    """Generate, check or format; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["generate", "check", "format"])
    parser.add_argument("--all", action="store_true", help="execute every chapter again")
    options = parser.parse_args()
    failed = False
    for chapter in chapters(ROOT):
        target = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
        if options.action == "format":
            with _files.whole(chapter) as part:
                part.write(laid_out(chapter).encode())
            continue
        wrong = problems(chapter, target)
        if options.action == "check":
            said = [f"{target.relative_to(ROOT)} {problem}: make notebooks" for problem in wrong]
            said += faults(chapter)
            print("".join(f"{line}\n" for line in said), end="")
            failed |= bool(said)
        elif wrong or options.all:
            notebook = convert(chapter)
            if options.all or not keep_outputs(notebook, target):
                print(f"{target.relative_to(ROOT)}: executing", flush=True)
                notebook = execute(notebook)
            write(notebook, target)
    there = _files.visible((ROOT / "notebooks").glob("*.ipynb"), ROOT)
    strays = {p.stem for p in there} - {p.stem for p in chapters(ROOT)}
    for stray in sorted(strays):
        print(f"notebooks/{stray}.ipynb has no chapter: delete it")
    return int(failed or bool(strays))


if __name__ == "__main__":
    sys.exit(main())
