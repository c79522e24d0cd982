"""Tables as text and as HTML: the same cells, headings that say what they head, and a fold where they are long."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import notebooks as generator
import pandas as pd
import pytest

from facelight_lab.markup import FOLDED, Table
from patience import python

ROOT = Path(__file__).resolve().parents[1]
SMALL = pd.DataFrame(
    {"error, %": ["2.0±0.1", "–"], "difference": ["-1.6 [-2.7, -0.6]", "+2"], "verdict": ["better", "a & <b>"]},
    index=["plain network", "log layer"],
)


def parsed(table):
    return ElementTree.fromstring(table._repr_html_().replace("&nbsp;", "&#160;"))


def cells(row):
    return ["".join(cell.itertext()).replace("\xa0", " ") for cell in row]


def test_html_and_text_have_the_same_title_headings_and_cells():
    table = Table(SMALL, "Table 3.2. What & why")
    html = parsed(table)
    assert "".join(html.find(".//caption").itertext()) == "Table 3.2. What & why"
    head, *rows = html.iterfind(".//tr")
    assert cells(head) == ["", *SMALL.columns]
    assert [cells(row) for row in rows] == [[name, *SMALL.loc[name]] for name in SMALL.index]
    lines = repr(table).splitlines()
    assert lines[0] == "Table 3.2. What & why"
    assert [line.split()[-1] for line in lines[1:]] == ["verdict", "better", "<b>"]
    assert not any(line.endswith(" ") for line in lines)


def test_headings_have_a_scope_and_the_corner_is_none():
    head, first, _ = parsed(Table(SMALL, "what")).iterfind(".//tr")
    assert [(cell.tag, cell.get("scope")) for cell in head] == [("td", None), *[("th", "col")] * 3]
    assert [(cell.tag, cell.get("scope")) for cell in first] == [("th", "row"), *[("td", None)] * 3]


def test_numbers_stand_at_the_right_and_words_at_the_left():
    for row in parsed(Table(SMALL, "what")).iterfind(".//tr"):
        assert [cell.get("class") for cell in row] == [None, None, None, "lab-text"]
    dashes = SMALL[["error, %"]].assign(nothing="–", some=[1.5, float("nan")], name="Input")
    (first, *_) = parsed(Table(dashes, "what")).iterfind(".//tbody/tr")
    assert [cell.get("class") for cell in first] == [None, None, "lab-text", None, "lab-text"]


def test_levels_of_rows_and_columns_are_groups():
    names = pd.MultiIndex.from_product([["a", "b"], ["p", "q"]], names=["letter", "other"])
    html = parsed(Table(pd.DataFrame([[1, 2, 3, 4]] * 4, names, names), "what"))
    assert html.find(".//table").get("class") == "dataframe lab-levels"
    groups = [(c.text, c.get("colspan")) for c in html.iterfind(".//th[@scope='colgroup']")]
    assert groups == [("a", "2"), ("b", "2")]
    assert [(c.text, c.get("rowspan")) for c in html.iterfind(".//th[@scope='rowgroup']")] == [("a", "2"), ("b", "2")]
    assert [c.text for c in html.iterfind(".//th[@scope='row']")] == ["p", "q"] * 2
    assert "letter" not in Table(pd.DataFrame([[1] * 4] * 4, names, names), "what")._repr_html_()


def test_long_tables_are_folded_below_their_title_and_have_all_rows():
    long = pd.DataFrame({"x": range(FOLDED + 1)})
    html = parsed(Table(long, "Table 3.2. Long"))
    assert html.tag == "details"
    assert html.get("open") is None
    assert "".join(html.find("summary").itertext()) == f"Table 3.2. Long ({FOLDED + 1} rows)"
    assert "".join(html.find(".//caption").itertext()) == "Table 3.2. Long"
    assert len(list(html.iterfind(".//tbody/tr"))) == FOLDED + 1
    assert parsed(Table(long[:FOLDED], "short")).tag == "div"


def test_a_number_makes_an_anchor():
    assert parsed(Table(SMALL, "Table 3.12. What")).get("id") == "table-3-12"
    assert parsed(Table(SMALL, "What Table 3.1. is")).get("id") is None


def test_no_text_is_cut_short():
    long = "word " * 40
    assert long.strip() in Table(pd.DataFrame({"x": [long]}), "what")._repr_html_()


def test_an_interval_is_not_broken():
    assert "-1.6 [-2.7,&nbsp;-0.6]" in Table(SMALL, "what")._repr_html_()


CODE = """
import pandas as pd

import facelight_lab as lab

lab.show(pd.DataFrame({"x": [1.25, 2.5]}, index=["one", "other"]), "Table 1.1. What")
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with one checked table as the generator leaves it, in a folder with the conftest of the notebooks."""
    folder = tmp_path_factory.mktemp("project") / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    cell = nbformat.v4.new_code_cell(CODE.strip(), metadata={"tags": ["nbval-check-output", "keep_output"]})
    notebook = generator.execute(nbformat.v4.new_notebook(cells=[cell]))
    nbformat.write(notebook, folder / "toy.ipynb")
    return folder / "toy.ipynb"


def compared(notebook):
    options = ["-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", str(notebook)]
    return python("-m", "pytest", *options)


def test_a_stored_table_is_text_alone_and_is_compared(executed):
    (output,) = nbformat.read(executed, as_version=4).cells[0].outputs
    assert output.data == {"text/plain": "Table 1.1. What\n          x\none    1.25\nother  2.50"}
    assert generator.lacking(nbformat.read(executed, as_version=4)) == []
    run = compared(executed)
    assert run.returncode == 0, run.stdout[-2000:]


def test_a_changed_number_in_a_table_is_caught(executed, tmp_path):
    text = executed.read_text()
    assert text.count("1.25") == 2  # in the code, in the table
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(executed.parent / "conftest.py", folder)
    (folder / "toy.ipynb").write_text(re.sub(r"one    1\.25", "one    1.26", text))
    run = compared(folder / "toy.ipynb")
    assert run.returncode == 1
    assert "1.26" in run.stdout


def test_a_table_that_is_stored_as_html_is_refused(executed):
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells[0].outputs[0].data["text/html"] = "<table></table>"
    assert "stores tables as HTML" in str(generator.lacking(notebook))


def test_a_wide_table_has_smaller_letters_and_breaks_before_a_scatter():
    wide, narrow = (Table(pd.DataFrame([["67.14±1.27"] * n]), "Right, %")._repr_html_() for n in (8, 7))
    assert ('class="dataframe lab-dense"' in wide, "lab-dense" in narrow) == (True, False)
    assert wide.count("67.14<wbr/>±1.27</td>") == 8
