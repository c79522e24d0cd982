"""The page of claims: its tables come from the records, its links lead somewhere, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import claims_page
import pytest
import yaml

from facelight_lab import claims, experiments
from facelight_lab.claims import papers
from facelight_lab.statistics import PairedDifference

ROOT = Path(__file__).resolve().parents[1]
GIVEN = [one for some in yaml.safe_load((ROOT / "book" / "claims" / "papers.yml").read_text()).values() for one in some]
VERDICTS = ("confirmed", "not confirmed", "contradicted", "no difference seen", "not reached")


@pytest.fixture(scope="module")
def page() -> str:
    """The source of the page as Sphinx reads it."""
    source = [(ROOT / "book" / "claims.md").read_text()]
    claims_page.fill(SimpleNamespace(srcdir=ROOT), "book/claims", source)
    return source[0]


def test_every_claim_has_a_row_with_its_verdict(page):
    rows = [[cell.strip() for cell in line.split(" | ")] for line in page.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0] != "| claim"]
    assert len(rows) == len(GIVEN) > 10
    for row, given in zip(rows, GIVEN, strict=True):
        assert row[0].startswith(f"| {given['claim']}")
        assert row[2] in VERDICTS
        assert "{" not in row[1]
    assert claims_page.MARK not in page


def test_evidence_is_there_and_commands_exist():
    for given in GIVEN:
        file, label = re.fullmatch(r"\[chapter 0\d\]\(([\w.]+)(?:#([\w-]+))?\)", given["evidence"]).groups()
        text = (ROOT / "book" / file).read_text()
        assert not label or re.search(rf"name: {label}$", text, re.M), given["evidence"]
        words = given["command"].split()
        assert words[:2] == ["make", "run"] or words[-1] in experiments.EXPERIMENTS or (ROOT / words[1]).is_file()


@pytest.mark.parametrize(
    ("low", "high", "says", "verdict"),
    [
        (-2.0, -1.0, -1, "confirmed"),
        (-2.0, -1.0, 1, "contradicted"),
        (-2.0, 1.0, -1, "not confirmed"),
        (-2.0, 1.0, 0, "no difference seen"),
        (1.0, 2.0, 0, "contradicted"),
    ],
)
def test_one_rule_gives_the_verdicts(low, high, says, verdict):
    found = PairedDifference((low + high) / 2, low, high, 2.0, 0.05, 0.05, 6)
    assert papers.verdict(found, says) == verdict


def test_a_row_says_what_does_not_fit():
    there = {"page.md": claims.Page(Path("page.md"), "")}
    given = {"claim": "c", "page": "page.md", "measured": "{:.1f} dB", "evidence": "e", "command": "make run CH=01"}
    row = papers.row(given | {"values": "1.25", "holds": "True"}, there)
    assert row == "| c | 1.2 dB | confirmed | e | `make run CH=01` |"
    assert "not reached" in papers.row(given | {"values": "1.25", "holds": "False", "else": "not reached"}, there)
    with pytest.raises(ValueError, match="1 places in `measured`, 2 values"):
        papers.row(given | {"values": "1, 2", "holds": "True"}, there)
    with pytest.raises(ValueError, match="unknown verdict"):
        papers.row(given | {"values": "1", "verdict": "fine"}, there)
