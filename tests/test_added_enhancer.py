"""An enhancer is two files and no data: one is added to a copy of the repository, and the suite takes it up there."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from copies import copied
from pages import blocks
from patience import python

MODULE, LINE = blocks("howto.md")["Add an enhancer"]
LINE = LINE.splitlines()[1] + "\n"  # below the name of its file
CURVE = "torch.sigmoid(gain * (y - 0.5))"
# What asks for an enhancer by its name, and what asks whether all are there.
FILES = {
    "test_enhance": "s_curve or covered",
    "test_enhance_modules": "SCurve or one_for_each",
    "test_experiments_enhancers": "s_curve or family or signed",
    "test_half_precision": "s_curve",
    "test_networks_and_runtimes": "SCurve-fx or SCurve-compile or has_a_module",
    "test_precision": "s_curve",
    "test_ranges": "s_curve",
    "test_results": "profile_is_recorded or recorded_enhancer",
    "test_transforms": "SCurve",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with one more file and one more line."""
    there = copied(tmp_path_factory.mktemp("copy"))
    write(there)
    front = there / "lib" / "facelight" / "enhance" / "__init__.py"
    front.write_text(front.read_text().replace("\n__all__", f"{LINE}\n__all__"))
    return there


def write(root: Path, curve: str = CURVE) -> None:
    (root / "lib" / "facelight" / "enhance" / "s_curve.py").write_text(MODULE.replace(CURVE, curve))


def suite(root: Path, *files: str) -> dict[str, set[str]]:
    """Run the parts of the test files that see the new enhancer: file -> names of tests, those that failed marked !."""
    report, found = root / "report.xml", {}
    places = [str(root / "tests" / f"{name}.py") for name in files]
    chosen = " or ".join(f"({name} and ({FILES[name]}))" for name in files)
    options = ["-q", "-k", f"{chosen} or enhance.s_curve", f"--junitxml={report}", f"--rootdir={root}"]
    done = python(
        *("-m", "pytest", *options, *places, str(root / "lib" / "facelight" / "enhance" / "s_curve.py")),
        PYTHONPATH=str(root / "lib"),
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    for case in ElementTree.parse(report).iter("testcase"):
        failed = any(child.tag in ("failure", "error") for child in case)
        place = case.get("classname", "").rpartition(".")[2]
        found.setdefault(place, set()).add(("!" if failed else "") + case.get("name", ""))
    return found


@pytest.mark.slow
def test_it_is_taken_up_everywhere_and_no_data_are_asked_for(copy: Path) -> None:
    write(copy)
    found = suite(copy, *FILES)
    assert set(found) == {*FILES, "s_curve"}
    assert not [name for names in found.values() for name in names if name.startswith("!")]
    for place, names in found.items():
        assert place == "test_results" or any(re.search("s_?curve", name, re.IGNORECASE) for name in names), place


@pytest.mark.slow
def test_a_broken_one_is_caught(copy: Path) -> None:
    """It leaves [0, 1], depends on the other pictures of a batch, and passes no gradient on."""
    write(copy, "1.5 * torch.sigmoid(gain * (y - y.mean()).detach())")
    found = suite(copy, "test_enhance")["test_enhance"]
    assert {
        "!test_values_stay_in_range[s_curve]",
        "!test_batch_equals_loop[s_curve]",
        "!test_same_forward_with_and_without_gradient_and_a_finite_one[s_curve]",
    } <= found
    assert "test_autocast_does_not_matter[s_curve]" in found


@pytest.mark.slow
def test_the_documentation_lists_it(copy: Path) -> None:
    pytest.importorskip("sphinx")
    write(copy)
    directive = ".. automodule:: facelight.enhance\n   :members:\n"
    assert any(directive in page.read_text() for page in (copy / "book").rglob("*.md"))
    page = copy / "page"
    page.mkdir()
    (page / "index.rst").write_text(directive)
    options = ["-q", "-C", "-D", "extensions=sphinx.ext.autodoc", "-b", "text", str(page), str(page / "out")]
    done = python("-m", "sphinx", *options, PYTHONPATH=str(copy / "lib"))
    assert done.returncode == 0, done.stderr
    text = (page / "out" / "index.txt").read_text()
    assert re.search(r"^facelight\.enhance\.s_curve\(x: .*\n.*Spread the middle of the gray scale", text, re.M | re.S)
    assert re.search(r"^class facelight\.enhance\.SCurve\(gain: float = 8\.0, ", text, re.M)
