"""Chapters and notebooks: their form, that one generates the other, that they run, and that the comparison bites."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import notebooks as generator
import pytest
import yaml

from facelight_lab.claims.names import COLAB
from patience import python

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = generator.chapters(ROOT)  # and the executable pages of the appendix
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
REFERENCE = "main" if ".dev" in VERSION else f"v{VERSION}"
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def code_cells(chapter: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]


def tagged(chapter: Path, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(chapter) if tag in cell.metadata.get("tags", [])]


def set_up(chapter: Path) -> str:
    """What the set-up cell does in Colab."""
    (cell,) = tagged(chapter, "hide-cell")
    (found,) = COLAB.findall(cell.source)
    return found.rstrip()


def own_code(chapter: Path) -> list[str]:
    """The source of every cell, without what runs in Colab alone."""
    return [COLAB.sub("", cell.source).strip() for cell in code_cells(chapter)]


def of_appendix(chapter: Path) -> bool:
    """Whether a page belongs to a chapter's appendix, which may do with fewer parameters, figures and tables."""
    return chapter.stem.startswith("appendix_")


def test_there_are_chapters_and_pages_of_their_appendix_follow():
    names = [path.stem for path in CHAPTERS]
    assert len(names) >= 7
    assert names[0].startswith("01_")
    numbered = [name for name in names if re.match(r"\d\d_\w+$", name)]
    appended = [name for name in names if re.match(r"appendix_\d\d_\w+$", name)]
    assert names == numbered + appended
    assert {name[9:11] for name in appended} <= {name[:2] for name in numbered}


def test_a_page_with_a_kernel_is_a_chapter_and_no_other(tmp_path):
    (tmp_path / "book").mkdir()
    kernel = "---\njupytext:\n  formats: md\nkernelspec:\n  name: python3\n---\n\n# Page\n"
    pages = {
        "appendix_03_more.md": kernel,
        "01_first.md": kernel,
        "howto.md": "# Page\n\n---\nkernelspec: in prose\n---\n",
        "plain.md": "---\nhtml_meta: x\n---\n\nkernelspec:\n",
        "._01_first.md": kernel,
    }
    for name, text in pages.items():
        (tmp_path / "book" / name).write_text(text)
    assert [path.name for path in generator.chapters(tmp_path)] == ["01_first.md", "appendix_03_more.md"]


@each_chapter
def test_badge_opens_the_notebook_of_this_version(chapter):
    owner = REPOSITORY.removeprefix("https://github.com/")
    address = f"https://colab.research.google.com/github/{owner}/blob/{REFERENCE}/notebooks/{chapter.stem}.ipynb"
    assert f"[![Open in Colab](_static/colab-badge.svg)]({address})" in chapter.read_text()
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
    assert badge in (ROOT / "notebooks" / f"{chapter.stem}.ipynb").read_text()  # Colab shows no picture of its folder


@each_chapter
def test_a_chapter_begins_with_one_set_up_cell_and_its_parameters(chapter):
    first, second, *others = code_cells(chapter)
    assert first.metadata["tags"] == ["hide-cell"]
    assert second.metadata["tags"] == ["parameters"]
    assert not any("hide-cell" in cell.metadata.get("tags", []) for cell in others)
    assert generator.sets_up(nbformat.v4.new_code_cell(own_code(chapter)[0]))
    assert max(len(line) for line in second.source.splitlines() if "#" in line) <= 72  # read without scrolling


@each_chapter
def test_set_up_cell_is_the_same_everywhere_and_installs_this_version(chapter):
    source = set_up(chapter)
    assert source == set_up(CHAPTERS[0])
    assert f"--branch {REFERENCE} {REPOSITORY}" in source
    assert '"google.colab" in sys.modules' in source


def test_set_up_cell_lets_colab_see_what_pip_replaced():
    """Colab offers to restart when it reads "Successfully installed" in pip's output, which `--quiet` would hide."""
    (pip,) = [line for line in set_up(CHAPTERS[0]).splitlines() if "%pip install" in line]
    assert not re.search(r"--quiet|-q\b", pip)
    assert "restart" in set_up(CHAPTERS[0])


@each_chapter
def test_parameters_are_three_to_six_literals(chapter):
    (cell,) = tagged(chapter, "parameters")
    body = ast.parse(cell.source).body
    assert (1 if of_appendix(chapter) else 3) <= len(body) <= 6
    for statement in body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    assert "PROFILE" in cell.source


@each_chapter
def test_cells_are_short(chapter):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(chapter)]
    assert max(lengths) <= 40
    assert statistics.median(lengths) <= 8


@each_chapter
def test_cells_keep_to_what_a_chapter_may_do(chapter):
    for source in own_code(chapter):
        for word in ("sys.path", "argparse", "warnings.filterwarnings", "simplefilter", "urlopen", "requests.get"):
            assert word not in source
        assert not source.endswith(";")


@each_chapter
def test_there_are_about_ten_words_of_prose_for_a_line_of_code(chapter):
    notebook = jupytext.read(chapter)
    words = sum(len(re.findall(r"\w+", cell.source)) for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.splitlines()) for cell in code_cells(chapter))
    assert 5 <= words / lines <= 25


@each_chapter
def test_every_figure_has_a_caption_and_an_alternative_text(chapter):
    drawing = [cell for cell in code_cells(chapter) if "plt.show()" in cell.source]
    assert drawing or of_appendix(chapter)
    for cell in drawing:
        shown = cell.metadata.get("mystnb", {})
        assert len(shown["figure"]["caption"]) > 20, cell.source
        assert shown["figure"]["name"].startswith("fig-")
        assert len(shown["image"]["alt"]) > 20, cell.source


@each_chapter
def test_two_to_four_tables_are_compared(chapter):
    checked = tagged(chapter, "nbval-check-output")
    assert (1 if of_appendix(chapter) else 2) <= len(checked) <= 4
    assert [cell.source for cell in checked] == [cell.source for cell in tagged(chapter, "keep_output")]


@each_chapter
def test_notebook_is_what_the_chapter_generates(chapter):
    assert generator.problems(chapter, ROOT / "notebooks" / f"{chapter.stem}.ipynb") == []


@pytest.fixture
def doctored(tmp_path):
    """A chapter, and a copy of its notebook to spoil."""
    target = tmp_path / f"{CHAPTERS[0].stem}.ipynb"
    shutil.copy(ROOT / "notebooks" / target.name, target)
    return CHAPTERS[0], target, nbformat.read(target, as_version=4)


def test_a_notebook_without_execution_counts_is_refused(doctored):
    chapter, target, notebook = doctored
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
    nbformat.write(notebook, target)
    assert "without an execution count" in str(generator.problems(chapter, target))


def test_a_notebook_without_its_checked_outputs_is_refused(doctored):
    chapter, target, notebook = doctored
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(notebook, target)
    assert "checked cell without a stored output" in str(generator.problems(chapter, target))


def test_a_notebook_edited_by_hand_is_refused(doctored):
    chapter, target, notebook = doctored
    notebook.cells[-1].source += " edited"
    nbformat.write(notebook, target)
    assert "differs from" in str(generator.problems(chapter, target))


def validate(tree: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Compare a notebook's stored outputs, with the library of that tree and not the installed one."""
    options = ["-q", "--exitfirst", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, f"notebooks/{name}.ipynb"]
    environment = os.environ | {"PYTHONPATH": str(tree / "lib"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "constant", "changed", "notebook"),
    [
        ("layers/log.py", "torch.log1p(", "1.02 * torch.log1p(", "01_theory"),
        ("losses.py", "width: float = 10.0", "width: float = 9.0", "02_losses_metrics"),
    ],
)
def test_a_changed_constant_makes_the_comparison_fail(tmp_path, module, constant, changed, notebook):
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("lib", "notebooks", "book/results"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    path = tmp_path / "lib" / "facelight" / module
    text = path.read_text()
    assert constant in text
    path.write_text(text.replace(constant, changed))
    run = validate(tmp_path, notebook)
    assert run.returncode == 1, run.stdout[-2000:]
    assert re.search(r"\d+ failed", run.stdout)


def of_long_profiles(statement: ast.stmt) -> bool:
    """Whether it is `if PROFILE != "book":` without an else."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "PROFILE != 'book'" and not statement.orelse


@each_chapter
def test_longer_profiles_only_measure_first(chapter):
    """So that the comparison of the stored outputs, which is in the profile "book", runs every other line."""
    (parameters,) = tagged(chapter, "parameters")
    for source in own_code(chapter):
        if source != parameters.source:
            always = [line for line in ast.parse(source).body if not of_long_profiles(line)]
            assert "PROFILE" not in ast.unparse(ast.Module(always, []))


@pytest.mark.slow
def test_a_chapter_runs_with_parameters_from_outside(tmp_path):
    files = [str(ROOT / "notebooks" / f"{CHAPTERS[0].stem}.ipynb"), str(tmp_path / "out.ipynb")]
    options = ["--cwd", str(ROOT / "notebooks"), "-p", "PROFILE", "book", "--no-progress-bar"]
    own_kernel = {"JUPYTER_PATH": "", "JUPYTER_PREFER_ENV_PATH": "1"}  # as the Makefile has it
    run = python("-m", "papermill", *files, *options, **own_kernel)
    assert run.returncode == 0, run.stderr[-3000:]
    cells = [cell for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells if cell.cell_type == "code"]
    assert 'PROFILE = "book"' in "".join(cell.source for cell in cells if "injected-parameters" in cell.metadata.tags)


# --- the code of chapters


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a chapter of one cell and return its place."""
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(generator, "ROOT", tmp_path)

    def write(code, options=""):
        chapter = tmp_path / "book" / "99_toy.md"
        chapter.write_text(f"# Toy\n\n```{{code-cell}} ipython3\n{options}{code}\n```\n\nsome prose,with( a comma\n")
        return chapter

    return write


COMPLEX = "def f(x):\n" + "".join(f"    if x == {i}:\n        return {i}\n" for i in range(11))


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("x = 1\nx == 1  and  2", "would be laid out otherwise"),
        ("print(undefined)", "F821"),
        (f"x = '{'a' * 100}'", "E501"),
        (COMPLEX, "C901"),
        ("import matplotlib.pyplot as plt\n\nplt.plot([1])\nplt.show()", "only plots, tabulates or imports"),
        ("import os", "only plots, tabulates or imports"),
    ],
)
def test_faults_of_a_cell_are_found(written, code, fault):
    assert fault in str(generator.faults(written(code)))


def test_a_cell_of_the_argument_is_not_hidden(written):
    assert "part of the argument" in str(generator.faults(written("x = 1", ":tags: [hide-input]\n\n")))
    shown = 'for x in (1, 2):\n    print(x)\n    lab.show({}, "empty")'
    lab = f"import facelight_lab as lab\n\n{shown}"
    assert generator.faults(written(lab, ":tags: [hide-input]\n\n")) == []
    assert generator.faults(written(f"{lab}\nassert x")) == []


def test_what_a_page_sets_up_is_hidden_with_its_imports(written):
    assert "tag it hide-input" in str(generator.faults(written("import os\n\nplace = os.sep")))
    assert generator.faults(written("import os\n\nplace = os.sep", ":tags: [hide-input]\n\n")) == []
    checks = "import os\n\nassert os.sep"
    assert "part of the argument" in str(generator.faults(written(checks, ":tags: [hide-input]\n\n")))


def test_the_code_of_a_cell_is_laid_out_and_nothing_else_is_touched(written):
    chapter = written("x = [1,\n  2,]\nprint( x )", ":tags: [hide-output]\n\n")
    before = chapter.read_text()
    after = generator.laid_out(chapter)
    assert after == before.replace("x = [1,\n  2,]\nprint( x )", "x = [1, 2]\nprint(x)")
    chapter.write_text(after)
    assert generator.faults(chapter) == []


@each_chapter
def test_ruff_finds_no_fault(chapter):
    assert generator.faults(chapter) == []


# --- numbers of tables and figures


def prose_of(chapter: Path) -> str:
    return "\n".join(cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "markdown")


def told(prose: str) -> set[str]:
    """The numbers of tables that a text cites: "Table 3.2", "Tables 3.2 and 3.4", "Tables 3.2 to 3.4"."""
    number, found = r"(A?\d*\.)(\d+)", set()
    for mention in re.findall(rf"Tables? ({number}(?:(?:, | and |, and | to )(?:Table )?{number})*)", prose):
        found |= {"".join(one) for one in re.findall(number, mention[0])}
        for part, first, _, last in re.findall(rf"{number} to (?:Table )?{number}", mention[0]):
            found |= {f"{part}{k}" for k in range(int(first), int(last) + 1)}
    return found


def test_what_a_text_cites():
    assert told("Table 3.2 has, in Tables A3.10 and A3.12") == {"3.2", "A3.10", "A3.12"}
    assert told("Tables 3.8, 3.9 and 3.12.") == {"3.8", "3.9", "3.12"}
    assert told("Tables 3.8 to 3.10 (see below)") == {"3.8", "3.9", "3.10"}


@each_chapter
def test_tables_are_numbered_in_order_and_cited(chapter):
    code = "\n".join(cell.source for cell in code_cells(chapter))
    titles = [part + number for part, number in re.findall(r'"Table (A?\d*\.)(\d+)\. ', code)]
    assert len({title.rpartition(".")[0] for title in titles}) <= 1
    numbers = [int(title.rpartition(".")[2]) for title in titles]
    assert numbers == sorted(set(numbers))
    assert sorted(set(titles) - told(prose_of(chapter))) == []


@each_chapter
def test_every_figure_is_cited_by_its_number(chapter):
    names = re.findall(r"^ +name: (fig-\S+)$", chapter.read_text(), re.M)
    assert [name for name in names if f"{{numref}}`{name}`" not in prose_of(chapter)] == []
