"""A first layer is two files and no data: one is added to a copy of the repository, and the suite takes it up there."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from copies import copied
from pages import blocks
from patience import python

MODULE, LINE, _ = blocks("howto.md")["Add a first layer"]
LINE = LINE.partition("\n")[2]  # below the name of its file
FORMULA = "torch.sqrt(_check.non_negative(x) + 1 / 255)"
IMPORT = "from facelight.layers.square_root import SquareRoot\n"
# What asks for a first layer by its name, and what asks whether all are there.
FILES = {
    "test_stems": "square",
    "test_beyond": "laptop",
    "test_recognition": "laptop_has",
    "test_results": "profile_is_recorded",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with one more file and two more lines in another."""
    there = copied(tmp_path_factory.mktemp("copy"))
    table = there / "lib" / "facelight_lab" / "stems.py"
    text = table.read_text().replace("from facelight_lab.first_layers", IMPORT + "from facelight_lab.first_layers", 1)
    table.write_text(text.replace('    "linear": Variant(),\n', '    "linear": Variant(),\n' + LINE))
    assert LINE in table.read_text()
    return there


def suite(root: Path, formula: str, *files: str) -> dict[str, set[str]]:
    """Run the parts of the test files that see the new layer: file -> names of tests, those that failed marked !."""
    module = root / "lib" / "facelight" / "layers" / "square_root.py"
    module.write_text(MODULE.replace(FORMULA, formula))
    report, found = root / "report.xml", {}
    places = [str(root / "tests" / f"{name}.py") for name in files]
    chosen = " or ".join(f"({name} and ({FILES[name]}))" for name in files)
    done = python(
        *("-m", "pytest", "-q", "-k", f"{chosen} or layers.square_root", f"--junitxml={report}", f"--rootdir={root}"),
        *places,
        str(module),
        PYTHONPATH=str(root / "lib"),
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    for case in ElementTree.parse(report).iter("testcase"):
        failed = any(child.tag in ("failure", "error") for child in case)
        place = case.get("classname", "").rpartition(".")[2]
        found.setdefault(place, set()).add(("!" if failed else "") + case.get("name", ""))
    return found


@pytest.mark.slow
def test_it_is_taken_up_and_no_data_are_asked_for(copy: Path) -> None:
    found = suite(copy, FORMULA, *FILES)
    assert set(found) == {*FILES, "square_root"}
    assert not [name for names in found.values() for name in names if name.startswith("!")]
    assert {
        "test_a_variant_can_be_trained_and_survives_black[square root]",
        "test_the_output_keeps_float32_under_autocast[square root]",
        "test_weights_in_common_are_the_same_for_one_seed[square root]",
    } <= found["test_stems"]


@pytest.mark.slow
def test_a_broken_one_is_caught(copy: Path) -> None:
    """In black the mean has no square root to divide by."""
    found = suite(copy, "x.sqrt() / x.mean().sqrt() + 0 * torch.log(x)", "test_stems")["test_stems"]
    assert "!test_a_variant_can_be_trained_and_survives_black[square root]" in found
    assert "test_weights_in_common_are_the_same_for_one_seed[square root]" in found
