"""Solutions of exercises: their code runs, with the names of their page."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from facelight_lab.claims.names import Names

BOOK = Path(__file__).resolve().parents[1] / "book"
CODE = re.compile(r"^( *)```python\n(.*?)^\1```$", re.M | re.S)
SOLUTION = re.compile(r"^( *):::\{dropdown\} Solution\n(.*?)^\1:::$", re.M | re.S)


def solutions(source):
    """The Python of each solution of a page."""
    found = [CODE.findall(solution) for _, solution in SOLUTION.findall(source)]
    return ["\n".join(textwrap.dedent(code) for _, code in codes) for codes in found if codes]


PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(BOOK.glob("*.md"))}
EACH = [pytest.param(name, code, id=f"{name}-{i}") for name, s in PAGES.items() for i, code in enumerate(solutions(s))]


def test_there_are_solutions():
    assert len(EACH) >= 6


@pytest.mark.parametrize(("name", "code"), EACH)
def test_the_code_of_a_solution_runs(name, code):
    Names(PAGES[name]).run(code)


def test_code_is_found_and_a_fault_in_it_is_told():
    cell = "```{code-cell} ipython3\nx = 2\n```\n\n"
    page = f"{cell}1. Why?\n\n   :::{{dropdown}} Solution\n   So.\n\n   ```python\n{{code}}   ```\n   :::\n"
    good = page.replace("{code}", "   for i in (1, 2):\n       assert i <= x\n")
    (code,) = solutions(good)
    assert code == "for i in (1, 2):\n    assert i <= x\n"
    Names(good).run(code)
    (bad,) = solutions(page.replace("{code}", "   assert x == 3\n"))
    with pytest.raises(AssertionError):
        Names(good).run(bad)
