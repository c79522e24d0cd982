"""Installation: what make refuses, when it makes .venv again, which pip commands run, which kernel chapters get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import colab
import install
import lock
import nbformat
import notebooks
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Colab's packages in June 2026 (Python 3.12; github.com/googlecolab/backend-info); `weekly.yml` asks the newest list.
COLAB = {
    "filelock": "3.29.0",
    "ipython": "7.34.0",
    "matplotlib": "3.10.0",
    "numpy": "2.0.2",
    "opencv-python-headless": "4.13.0.92",
    "pandas": "2.2.2",
    "platformdirs": "4.10.0",
    "pooch": "1.9.0",
    "pyyaml": "6.0.3",
    "scikit-image": "0.25.2",
    "scikit-learn": "1.6.1",
    "scipy": "1.16.3",
    "sympy": "1.14.0",
    "torch": "2.11.0+cu128",
    "torchvision": "0.26.0+cu128",
    "tqdm": "4.67.3",
}
# A Python of some version for which everything is quick: it makes an environment of itself and notes what is installed.
PRETENDER = """#!/bin/sh
case "$1 $2" in
  -c*%d.%d*) echo {version};;
  -V*) echo Python {version}.9;;
  "-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
  tools/install.py*) echo "installing $2"; echo "python={version} torch=${{2:-default}}" > .venv/.installed;;
esac
"""


@pytest.fixture
def desk(tmp_path) -> Path:
    """A checkout, under a name with a space and a letter outside ASCII, beside Pythons 3.12 and 3.13 and an old one."""
    root = tmp_path / "facé light" / "x"
    root.mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for version in ("3.12", "3.13"):
        (root.parent / f"python{version}").write_text(PRETENDER.format(version=version))
    (root.parent / "old").write_text('#!/bin/sh\ncase "$1" in -V) echo Python 3.8.1;; *) exit 1;; esac\n')
    for path in root.parent.glob("*"):
        path.chmod(0o755)
    return root


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "TORCH", "MAKEFLAGS")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=given | environment)


def made_with(desk: Path) -> str:
    return (desk / ".venv" / ".installed").read_text().strip()


def test_make_names_what_is_missing(desk):
    for python, message in (
        (f"{desk.parent}/old", "Python 3.11.5 or newer is needed; "),
        ("no-such-python", "is missing: apt install python3"),
    ):
        run = make(desk, "test", f"PYTHON={python}")
        assert run.returncode != 0
        assert message in run.stdout + run.stderr


def test_another_python_makes_the_environment_again_and_nothing_else_does(desk):
    first, second = (f"PYTHON={desk.parent}/python{version}" for version in ("3.12", "3.13"))
    assert "again" not in make(desk, "setup", first).stdout
    assert made_with(desk) == "python=3.12 torch=default"
    (desk / ".venv" / "mine").touch()
    for arguments in ([], [first], ["TORCH=default"]):
        assert "install" not in make(desk, "setup", *arguments).stdout
    run = make(desk, "setup", second)
    assert "Making .venv again: it has python=3.12 torch=default; asked for: python=3.13" in run.stdout
    assert made_with(desk) == "python=3.13 torch=default"
    assert not (desk / ".venv" / "mine").exists()
    assert "install" not in make(desk, "setup").stdout  # whatever `python3` is here
    run = make(desk, "setup", PYTHON=f"{desk.parent}/python3.12")  # an environment variable says it, too
    assert made_with(desk) == "python=3.12 torch=default"


def test_an_interrupted_installation_of_another_python_is_not_kept(desk):
    make(desk, "setup", f"PYTHON={desk.parent}/python3.12")
    (desk / ".venv" / ".installed").unlink()
    assert "it has no finished installation" in make(desk, "setup", f"PYTHON={desk.parent}/python3.13").stdout
    assert made_with(desk) == "python=3.13 torch=default"


def test_an_environment_whose_python_is_gone_is_made_again(desk):
    (desk.parent / "python3").symlink_to("python3.12")
    path = f"{desk.parent}:{os.environ['PATH']}"
    make(desk, "setup", PATH=path)
    python = desk / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    assert "asked for: a Python that starts" in make(desk, "setup", PATH=path).stdout
    assert python.is_file()


def test_a_python_that_is_too_old_removes_nothing(desk):
    make(desk, "setup", f"PYTHON={desk.parent}/python3.12")
    assert make(desk, "setup", f"PYTHON={desk.parent}/old").returncode != 0
    assert made_with(desk) == "python=3.12 torch=default"


def test_another_build_of_pytorch_is_noticed_and_stays(desk):
    make(desk, "setup", f"PYTHON={desk.parent}/python3.12")
    assert "installing cpu" in make(desk, "setup", "TORCH=cpu").stdout
    assert made_with(desk) == "python=3.12 torch=cpu"
    assert "install" not in make(desk, "setup").stdout
    assert "installing default" in make(desk, "setup", "TORCH=default").stdout


def test_an_unknown_build_of_pytorch_is_refused(desk):
    run = make(desk, "book", "TORCH=gpu")
    assert run.returncode != 0
    assert "TORCH is cpu (PyTorch's CPU build) or default; got gpu" in run.stderr


def test_the_cpu_build_has_the_same_pins_and_comes_from_pytorchs_own_index(monkeypatch):
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(install.sys, "platform", "linux")
    cpu, rest, own = install.commands("cpu", "")
    assert cpu[cpu.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    pins = install.pins()
    assert cpu[-2:] == [f"torch=={pins['torch']}+cpu", f"torchvision=={pins['torchvision']}+cpu"]
    assert "--no-deps" in cpu
    assert rest[-2:] == ["--requirement", "requirements.txt"]
    assert own[-2:] == ["--editable", "."]
    assert install.commands("default", "") == [rest, own]
    assert install.commands("cpu", "cpu") == [cpu, rest, own]
    monkeypatch.setattr(install.sys, "platform", "darwin")
    assert install.commands("cpu", "")[0][-2] == f"torch=={pins['torch']}"


def test_the_other_build_of_pytorch_is_replaced_although_its_version_is_the_same(monkeypatch):
    """Pip would keep it, since `2.14.1+cpu` satisfies `==2.14.1`."""
    pins = install.pins()
    replacing = install.commands("default", "cpu")[0]
    assert "--force-reinstall" in replacing
    assert "--index-url" not in replacing
    assert replacing[-2:] == [f"torch=={pins['torch']}", f"torchvision=={pins['torchvision']}"]

    class Package:
        def __init__(self, name: str):
            self.metadata = {"Name": name}

    names = ("nvidia-cublas", "numpy", "torch", "triton", "torchcodec")
    monkeypatch.setattr(install.metadata, "distributions", lambda: map(Package, names))
    replacing, *_, removal = install.commands("cpu", "default")
    assert "--force-reinstall" in replacing
    assert removal[3:] == ["uninstall", "--yes", "nvidia-cublas", "triton"]  # last: pip may fail before


def test_a_failed_installation_leaves_no_mark_of_a_finished_one(tmp_path, monkeypatch):
    (tmp_path / ".installed").write_text("python=3.12 torch=default\n")
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(install.sys, "argv", ["install.py", "cpu"])
    monkeypatch.setattr(install, "run", lambda command, folder: 7)
    assert install.main() == 7
    assert not (tmp_path / ".installed").exists()
    monkeypatch.setattr(install, "run", lambda command, folder: 0)
    assert install.main() == 0
    assert "torch=cpu" in (tmp_path / ".installed").read_text()


def test_progress_says_what_and_of_how_much():
    looking = "Processing /x.whl\nCollecting torch==2.14.1\n  Downloading torch-2.14.1.whl (554.6 MB)\nCollecting x\n"
    assert install.progress(looking, 176, 12.3, 0) == (
        "looked up 3 of about 176 packages, 12 MB fetched; now torch-2.14.1.whl (554.6 MB)"
    )
    assert install.progress(looking, 1, 0, 0).startswith("looked up 3 packages")
    assert install.progress(f"{looking}Installing collected packages: a, b, c\n", 176, 12.3, 2) == (
        "unpacking: 2 of 3 packages"
    )


def test_a_running_installation_reports_and_a_failed_one_shows_the_error(tmp_path, monkeypatch, capfd):
    """In the place of pip something that waits for the first report."""
    monkeypatch.setattr(install, "REPORT_EVERY", 0.1)
    reported = tmp_path / "reported"

    def progress(output: str, *_: object) -> str:
        if "Collecting" in output:
            reported.touch()
        return f"so far: {output}"

    monkeypatch.setattr(install, "progress", progress)
    code = f"""if True:
        import pathlib, sys, time
        print("Collecting a", flush=True)
        while not pathlib.Path({str(reported)!r}).exists():
            time.sleep(0.01)
        sys.exit("ERROR: why")"""
    assert install.run([sys.executable, "-c", code], tmp_path) == 1
    shown = capfd.readouterr()
    assert "so far: Collecting a" in shown.out
    assert "ERROR: why" in shown.err
    assert "pip failed with exit status 1" in shown.err


def test_a_package_that_some_pythons_need_has_a_marker(monkeypatch):
    """`aiohttp` of papermill is such a one."""
    requires = {
        "facelight": ["plain", 'some>=1; python_version == "3.12"', 'tool[extra]; extra == "dev"'],
        "some": ["behind"],
        "tool": ['more; extra == "extra"'],
    }
    monkeypatch.setattr(lock.metadata, "requires", lambda name: requires.get(name, []))
    needed = {python: lock.needed(python) for python in lock.PYTHONS}
    assert needed["3.11"] == needed["3.13"] == {"facelight", "plain", "tool", "more"}
    assert needed["3.12"] == needed["3.11"] | {"some", "behind"}
    monkeypatch.setattr(lock, "NEEDED", needed)
    assert lock.marker("behind") == ' ; python_version == "3.12"'
    assert lock.marker("plain") == lock.marker("unknown") == ""
    with pytest.raises(SystemExit, match=r"leaves out 3\.13"):
        lock.refuse("plain", ">=3.9,<3.13")


def test_every_python_gets_one_pin_of_a_package():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    for python in lock.PYTHONS:
        wanted = [Requirement(line) for line in lines]
        names = [w.name.lower() for w in wanted if not w.marker or w.marker.evaluate({"python_version": python})]
        assert len(names) == len(set(names))
        assert ("aiohttp" in names) == (python == "3.12")


def test_installation_beside_colabs_packages_replaces_none():
    extras = PROJECT["optional-dependencies"]
    assert '"..[book]"' in (ROOT / "book" / "01_theory.md").read_text()  # the same set-up cell everywhere
    wanted = [Requirement(text) for text in (*PROJECT["dependencies"], *extras["render"], *extras["book"])]
    known = {requirement.name: requirement.specifier for requirement in wanted if requirement.name != "facelight"}
    # Colab's scikit-learn 1.6.1, scikit-image 0.25.2 and pooch ask for them, so it has such ones.
    for name, bound in {"joblib": ">=1.2", "lazy-loader": ">=0.4", "pillow": ">=10", "requests": ">=2.19"}.items():
        assert str(known.pop(name)) == bound
    assert set(known) - set(COLAB) == {"anny", "kornia", "textalloc", "warp-lang"}  # what Colab lacks
    for name, version in COLAB.items():
        assert version in known[name], f"{name} {version} of Colab would be replaced: {known[name]}"


def test_the_comparison_with_colabs_list_tells_added_from_replaced():
    there = colab.packages("# note\nnumpy==2.0.2\nPy_YAML==6.0\nabc @ file:///x\ntorch==2.11.0+cu128\n")
    assert there == {"numpy": "2.0.2", "py-yaml": "6.0", "torch": "2.11.0+cu128"}
    report = {"install": [{"metadata": {"name": n, "version": "9"}} for n in ("NumPy", "kornia")]}
    assert colab.changes(report, there) == (["kornia 9"], ["numpy 2.0.2 -> 9"])


@pytest.fixture
def foreign(tmp_path) -> dict[str, str]:
    """Kernels called `python3` that start nothing, where a hub, a user, and an option of Jupyter's would have them."""
    home, hub = tmp_path / "home", tmp_path / "hub"
    for folder in (home / ".local/share/jupyter", hub, home / "Library/Jupyter"):
        (folder / "kernels" / "python3").mkdir(parents=True)
        spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
        (folder / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    return {"HOME": str(home), "JUPYTER_PATH": str(hub), "JUPYTER_PREFER_ENV_PATH": "0"}


def test_under_make_the_kernel_is_that_of_the_environment(foreign, tmp_path):
    ask = "from jupyter_client.kernelspec import KernelSpecManager as K; print(K().get_kernel_spec('python3').argv[0])"
    (tmp_path / "ask.mk").write_text(f'ask:\n\t@"$(BIN)/python" -c "{ask}"\n')
    command = ["make", "--no-print-directory", "-f", "Makefile", "-f", str(tmp_path / "ask.mk"), "ask"]
    run = subprocess.run(
        [*command, f"BIN={sys.prefix}/bin"], cwd=ROOT, env=os.environ | foreign, capture_output=True, text=True
    )
    assert run.stdout.strip() in ("python", f"{sys.prefix}/bin/python", sys.executable), run.stdout + run.stderr


def test_notebooks_are_executed_by_the_kernel_of_the_environment(foreign, monkeypatch):
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    cell = nbformat.v4.new_code_cell("import sys; print(sys.prefix)")
    cell.metadata["tags"] = ["keep_output"]
    done = notebooks.execute(nbformat.v4.new_notebook(cells=[cell]))
    assert done.cells[0].outputs[0].text.strip() == sys.prefix


def test_a_change_of_text_keeps_the_outputs_and_a_change_of_code_does_not(tmp_path):
    chapter = ROOT / "book" / "01_theory.md"
    target = shutil.copy(ROOT / "notebooks" / "01_theory.ipynb", tmp_path)
    stored = nbformat.read(target, as_version=4)
    text = notebooks.convert(chapter)
    text.cells[0].source += " More."
    (set_up,) = [cell for cell in text.cells if "hide-cell" in cell.metadata.get("tags", [])]
    set_up.source = set_up.source.replace("    %cd", "    # more\n    %cd")
    assert notebooks.keep_outputs(text, Path(target))
    assert [cell.get("outputs") for cell in text.cells] == [cell.get("outputs") for cell in stored.cells]
    assert any(cell.get("outputs") for cell in text.cells)
    code = notebooks.convert(chapter)
    [cell for cell in code.cells if cell.cell_type == "code"][-1].source += "\n1 + 1"
    assert not notebooks.keep_outputs(code, Path(target))
    imports = notebooks.convert(chapter)
    (set_up,) = [cell for cell in imports.cells if "hide-cell" in cell.metadata.get("tags", [])]
    set_up.source += "\nimport os"
    assert not notebooks.keep_outputs(imports, Path(target))
    for cell in stored.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(stored, target)
    assert not notebooks.keep_outputs(notebooks.convert(chapter), Path(target))
