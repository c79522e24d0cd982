"""Three packages: which may import which, what each needs installed, and what it says when that is missing."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import notebooks
import pytest

from facelight._extras import MissingExtra, extra

ROOT = Path(__file__).resolve().parents[1]
LIB = ROOT / "lib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = ("facelight", "facelight_render", "facelight_lab")  # each may import those before it
IMPORTED_AS = {"opencv-python-headless": "cv2", "scikit-image": "skimage", "scikit-learn": "sklearn"}
IMPORTED_AS |= {
    "ipython": "IPython",
    "lazy-loader": "lazy_loader",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "warp-lang": "warp",
}


def packages(requirements: list[str]) -> set[str]:
    """The names under which requirements are imported, with those of the extras of ours that they name."""
    found = set()
    for text in requirements:
        if own := re.fullmatch(r"facelight\[(\w+)\]", text):
            found |= packages(PROJECT["optional-dependencies"][own[1]])
        else:
            name = re.match(r"[\w-]+", text)[0]
            found.add(IMPORTED_AS.get(name, name))
    return found


PLAIN = packages(PROJECT["dependencies"])
EXTRAS = {name: packages(texts) for name, texts in PROJECT["optional-dependencies"].items()}
ABSENT = EXTRAS["book"] - {"sympy"}  # of the plain installation; torch needs sympy, too
FILES = {}
for path in sorted(LIB.rglob("*.py")):
    parts = path.relative_to(LIB).with_suffix("").parts
    FILES[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path


def imports(node: ast.AST, inside: str = "") -> Iterator[tuple[str, str]]:
    """What code imports, each with the extra whose `with` it is in; what is for type checkers only is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, ast.unparse(child)
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield (whole if whole in FILES else child.module), inside
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            call = child.items[0].context_expr if isinstance(child, ast.With) else None
            named = isinstance(call, ast.Call) and ast.unparse(call.func) == "extra"
            yield from imports(child, call.args[0].value if named else inside)


def imports_of(module: str) -> list[tuple[str, str]]:
    return list(imports(ast.parse(FILES[module].read_text(encoding="utf-8"))))


def room(module: str) -> str:
    return module.partition(".")[0]


def test_a_package_imports_only_those_before_it():
    for module in FILES:
        for wanted, _ in imports_of(module):
            if room(wanted) in ROOMS:
                assert ROOMS.index(room(wanted)) <= ROOMS.index(room(module)), f"{module} imports {wanted}"


def test_no_module_imports_itself_by_a_detour():
    graph = {module: {name for name, _ in imports_of(module) if name in FILES} for module in FILES}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_a_circle_would_be_found():
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()
    code = "if TYPE_CHECKING:\n    import a\ndef f():\n    with extra('book'):\n        from facelight import detect, x"
    assert list(imports(ast.parse(code))) == [("facelight.detect", "book"), ("facelight", "book")]


def test_a_package_imports_what_its_installation_brings():
    """The library what comes with the plain one; the others may say which extra they need."""
    for module in FILES:
        there = PLAIN | EXTRAS["render"] if room(module) == "facelight_render" else PLAIN
        for wanted, named in imports_of(module):
            if room(wanted) not in {*ROOMS, *sys.stdlib_module_names}:
                assert room(wanted) in there | EXTRAS.get(named, set()), f"{module} imports {wanted}"


def test_files_are_short_and_the_library_is_thin():
    """Lines in all for a file; for the library those that are not blank."""
    texts = {module: path.read_text(encoding="utf-8").splitlines() for module, path in FILES.items()}
    assert {module: len(lines) for module, lines in texts.items() if len(lines) > 300} == {}
    library = [line for module, lines in texts.items() if room(module) == "facelight" for line in lines]
    assert sum(bool(line.strip()) for line in library) <= 8500


def test_nothing_is_installed_that_nothing_imports():
    used = {(room(module), room(wanted)) for module in FILES for wanted, _ in imports_of(module)}
    chapters = "".join(path.read_text(encoding="utf-8") for path in notebooks.chapters(ROOT))
    used |= {("facelight_lab", name) for name in re.findall(r"^(?:import|from) (\w+)", chapters, re.M)}
    looked_for = re.search(r'extra\("render", (.*)\)', FILES["facelight_render"].read_text())[1]
    used |= {("facelight_render", name) for name in ast.literal_eval(looked_for)}
    assert {name for by, name in used if by == "facelight"} >= PLAIN
    assert EXTRAS["render"] <= {name for by, name in used if by == "facelight_render"}
    assert {name for by, name in used if by == "facelight"} >= EXTRAS["fast"]
    others = EXTRAS["book"] - EXTRAS["render"] - EXTRAS["fast"]
    assert others <= {name for by, name in used if by == "facelight_lab"}


# A Python in which the packages named first are not installed. It says what came of importing the modules named next.
WITHOUT = """
import importlib, json, sys
missing, modules = (set(text.split(",")) for text in sys.argv[1:3])

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in missing else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
said = {}
for name in sorted(modules):
    try:
        importlib.import_module(name)
        said[name] = ""
    except ModuleNotFoundError as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""
AND_RUN = """
from facelight_lab import command
sys.exit(command.main(sys.argv[3:]))
"""


def without(missing: set[str], modules: set[str], *command: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT + (AND_RUN if command else "")
    given = [",".join(sorted(missing)), ",".join(sorted(modules)), *command]
    return subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)


def test_the_plain_installation_is_enough_for_the_library_and_the_rest_names_its_extra():
    done = without(ABSENT, set(FILES))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    fast = {name: text for name, text in said.items() if room(name) == "facelight" and text}
    assert set(fast) == {f"facelight.enhance.{name}" for name in ("_loops", "_levels_numba", "_clipping_numba")}
    assert all(
        re.fullmatch(r'MissingExtra: numba is not .*: pip install "facelight\[fast\]"', t) for t in fast.values()
    )
    for name, text in said.items():
        if room(name) == "facelight_render":
            assert re.fullmatch(r'MissingExtra: \w+ is not .*: pip install "facelight\[render\]"', text), (name, text)
        elif text and name not in fast:
            assert re.fullmatch(r'MissingExtra: \w+ is not .*: pip install "facelight\[(book|render)\]"', text)
    assert "facelight[book]" in said["facelight_lab.plot"]
    assert said["facelight_lab"] == said["facelight_lab.command"] == ""


def test_the_renderer_alone_needs_its_extra_only():
    done = without(ABSENT - EXTRAS["render"], {"facelight_render.sets", "facelight_lab.tables"})
    said = json.loads(done.stdout)
    assert said["facelight_render.sets"] == ""
    assert said["facelight_lab.tables"].endswith('pip install "facelight[book]"')


def test_the_command_lists_data_without_an_extra_and_names_the_one_that_runs_need(tmp_path):
    done = without(ABSENT, {"facelight"}, "data", "list")
    assert done.returncode == 0, done.stderr
    assert "yaleb" in done.stdout
    done = without(ABSENT, {"facelight"}, "run", "nearest", "--profile", "book")
    assert done.returncode == 1
    assert re.fullmatch(r'facelight: \w+ is not installed; .* pip install "facelight\[(book|render)\]"\n', done.stderr)


def test_a_mistake_of_ours_is_not_taken_for_a_missing_extra():
    with pytest.raises(ModuleNotFoundError) as caught, extra("book"):
        import facelight.not_there  # noqa: F401
    assert not isinstance(caught.value, MissingExtra)
    with pytest.raises(MissingExtra, match=r"not_there is not installed; it comes with: .*\[render\]"), extra("book"):  # noqa: SIM117
        with extra("render", "not_there"):
            raise AssertionError("the package is looked for first")
