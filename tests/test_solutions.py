"""Solutions of exercises: their code runs, with the names of their page."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import torch

from facelight_lab.claims.names import Names

BOOK = Path(__file__).resolve().parents[1] / "book"
CODE = re.compile(r"^( *)```python\n(.*?)^\1```$(?:\n\n^\1```text\n(.*?)^\1```$)?", re.M | re.S)
SOLUTION = re.compile(r"^( *):::\{dropdown\} Solution\n(.*?)^\1:::$", re.M | re.S)


def solutions(source):
    """The Python of each solution of a page, and what it prints if the page tells that."""
    found = [CODE.findall(solution) for _, solution in SOLUTION.findall(source)]
    return [
        tuple("\n".join(map(textwrap.dedent, part)) for part in zip(*codes, strict=True))[1:]
        for codes in found
        if codes
    ]


PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(BOOK.glob("*.md"))}
EACH = [pytest.param(name, *both, id=f"{name}-{i}") for name, s in PAGES.items() for i, both in enumerate(solutions(s))]


def test_there_are_solutions():
    assert len(EACH) >= 6


@pytest.fixture
def precision():
    """Set the default precision that a page sets, until the test ends."""
    before = torch.get_default_dtype()

    def as_on(source):
        if "torch.set_default_dtype(torch.float64)" in source:
            torch.set_default_dtype(torch.float64)

    yield as_on
    torch.set_default_dtype(before)


@pytest.mark.parametrize(("name", "code", "output"), EACH)
def test_the_code_of_a_solution_runs_and_prints_what_the_page_says(name, code, output, capsys, precision):
    precision(PAGES[name])
    Names(PAGES[name]).run(code)
    if output:
        assert capsys.readouterr().out == output


def test_code_is_found_and_a_fault_in_it_is_told():
    cell = "```{code-cell} ipython3\nx = 2\n```\n\n"
    page = f"{cell}1. Why?\n\n   :::{{dropdown}} Solution\n   So.\n\n   ```python\n{{code}}   ```\n   :::\n"
    good = page.replace("{code}", "   for i in (1, 2):\n       assert i <= x\n")
    ((code, output),) = solutions(good)
    assert not output
    assert code == "for i in (1, 2):\n    assert i <= x\n"
    Names(good).run(code)
    ((bad, _),) = solutions(page.replace("{code}", "   assert x == 3\n"))
    with pytest.raises(AssertionError):
        Names(good).run(bad)
