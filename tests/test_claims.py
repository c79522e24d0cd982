"""Numbers in the prose of the book: each agrees with the records, and a record that changes names its sentence."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import facelight_lab
from facelight_lab import claims, frames
from facelight_lab.claims.names import Names, flat
from facelight_lab.claims.prose import masked
from facelight_lab.results import records

BOOK = Path(__file__).resolve().parents[1] / "book"
PAGES = claims.pages(BOOK)


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.claims or page.stale])
def test_every_claim_of_a_page_agrees(name):
    assert claims.check(PAGES[name]) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_number_without_a_claim(name):
    assert claims.unclaimed(PAGES[name]) == []


def test_every_pattern_that_is_allowed_is_needed_and_explained():
    given = yaml.safe_load((BOOK / "claims" / "allowed.yml").read_text())
    texts = [masked(page.text) for page in PAGES.values()]
    unused = [one["pattern"] for one in given if not any(re.search(one["pattern"], text) for text in texts)]
    assert unused == []
    assert all(len(one["why"]) > 3 for one in given)


def scrambled(item):
    """A record of which every number is another one, by up to a factor of two either way."""
    chance = np.random.default_rng(int(item.key, 16) % 2**32)

    def other(value):
        if isinstance(value, dict):
            return {key: other(one) for key, one in value.items()}
        if isinstance(value, list):
            return [other(one) for one in value]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return type(value)(value * 2 ** chance.uniform(-1, 1) + chance.integers(1, 9)) if number else value

    seconds = {"seconds": other(item.provenance["seconds"])}
    return dataclasses.replace(item, metrics=other(item.metrics), provenance=item.provenance | seconds)


@pytest.mark.parametrize("name", [n for n, p in PAGES.items() if any(c.source == "records" for c in p.claims)])
def test_a_changed_record_names_the_sentence(name, monkeypatch):
    """With every number of the records changed, and some runs left out, no claim keeps its values."""
    page, load, read = PAGES[name], frames.load, records._read
    texts = [(c.text, one) for c in page.claims if c.source == "records" for one in c.expressions]
    before = [flat(page.names.evaluate(one)) for _, one in texts]

    def stays(item):  # without odd seeds; of runs that have no seed two in three
        seed = item.config.get("seed") if item.seed is None else item.seed
        return int(item.key, 16) % 3 > 0 if seed is None else seed % 2 == 0

    monkeypatch.setattr(records, "_read", lambda path: scrambled(read(path)))
    monkeypatch.setattr(frames, "load", lambda *given: [item for item in load(*given) if stays(item)])
    names, kept = Names(page.source, page.define), []
    for (text, one), values in zip(texts, before, strict=True):
        try:
            kept += [f"{text}: {one}"] if np.allclose(flat(names.evaluate(one)), values, rtol=1e-9) else []
        except (ValueError, KeyError, IndexError):  # a run is missing
            continue
    assert kept == [], "these do not depend on records: `computed` is for mathematics, `allowed` for settings"


def page_of(tmp_path, prose, entries, cells="", lang="en"):
    folder = tmp_path / "book" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# Title\n\n{prose}\n\n```{{code-cell}} ipython3\n{cells}\n```\n"
    (tmp_path / "book" / "page.md").write_text(text if lang == "en" else f"---\nlang: {lang}\n---\n\n{text}")
    (folder / "page.yml").write_text(yaml.safe_dump({"page": "page.md", **entries}))
    return claims.read(folder / "page.yml")


def one(text, **source):
    return {"claims": [{"text": text, **source}]}


@pytest.mark.parametrize(
    ("text", "value", "agrees"),
    [
        ("loses 3.5 %", 3.46, True),
        ("loses 3.5 %", 3.44, False),
        ("loses 3.5 %", -3.5, False),
        ("by +0.30 dB", 0.301, True),
        ("by −2 per cent", -2.4, True),
        ("by -2 per cent", 2.0, False),
        ("of 1,811 faces", 1811, True),
        ("a rate of 1.5e-4", 0.000149, True),
        ("more than 60 %", 63.2, True),
        ("more than 60 %", 59.9, False),
        ("within 1 %", -0.96, True),
        ("within 1 %", -1.04, False),
        ("about 40 levels", 43, True),
        ("about 40 levels", 45, False),
        ("handsome 40 levels", 43, False),
        ("no more than 40 levels", 39, True),
        ("no more than 40 levels", 41, False),
        ("not above 40 levels", 39, True),
        ("not below 40 levels", 39, False),
        ("loses a third", 0.35, True),
        ("loses a third", 0.38, False),
        ("two fifths of it", 0.41, True),
        ("half of it", 0.47, True),
        ("half of it", 0.6, False),
        ("twice as many", 2.1, True),
        ("three times the error", 3.4, False),
        ("one face, one in sixteen", 0.065, True),
        ("six seeds", 6, True),
        ("two per cent", 2.6, False),
    ],
)
def test_a_number_of_the_text_and_a_value(tmp_path, text, value, agrees):
    page = page_of(tmp_path, text, one(text, computed=repr(value)))
    assert claims.unclaimed(page) == []
    faults = claims.check(page)
    assert bool(faults) != agrees, faults
    assert all(text in fault for fault in faults)


def test_what_is_no_prose_is_not_looked_at():
    source = (BOOK / "06_landmarks.md").read_text()
    assert "FACTORS" not in claims.prose(source)
    text = "The `x = 3` of {cite:p}`li2020` at $7x$ in ResNet-18, conv4, 64x64 ([8](page_9.md)) <https://a.b/5>"
    assert [n.text for n in claims.numbers(masked(text))] == ["8"]
    cell = "```{code-cell} ipython3\n---\nmystnb:\n  figure:\n    caption: Falls by 4 %.\ntags: [a]\n---\nx = 5\n```\n"
    assert claims.prose(cell) == "Falls by 4 %."
    folded = ":::{dropdown} Solution\n:open:\nIt is 7.\n:::\n\n```{dropdown} Solution\nIt is 8.\n```\n"
    assert claims.prose(folded) == "It is 7. Solution It is 8."
    item = (
        "1. Why?\n\n   :::{dropdown} Solution\n   It is 7.\n\n   ```python\n   x = 5\n   ```\n   :::\n\n2. It is 8.\n"
    )
    assert claims.prose(item) == "1. Why? It is 7. 2. It is 8."


def test_numbers_without_a_claim_are_found_and_allowed_ones_are_not(tmp_path):
    text = "Two of 7 networks lose 3.5 %, one a third, with 64 channels."
    allowed = [{"text": "64 channels", "why": "a setting"}, {"text": "gone", "why": "it was there"}]
    page = page_of(tmp_path, text, one("of 7 networks", computed="len('abcdefg')") | {"allowed": allowed})
    assert [line.partition(" in:")[0] for line in claims.unclaimed(page)] == ["3.5", "a third"]
    assert claims.check(page) == ["'gone' is allowed but not on the page"]


def test_expressions_know_what_the_cells_define_and_refuse_what_is_ambiguous(tmp_path):
    cells = (
        "import math\nBASE = 2\nrate = 3\nrate = rate + BASE\nother = 1\nother = 2\n\ndef power(k):\n    return rate**k"
    )
    entries = one("It is 25.", computed="power(2)")
    assert claims.check(page_of(tmp_path, "It is 25.", entries, cells)) == []
    entries = one("It is 25.", computed="other + 23")
    assert "several values" in claims.check(page_of(tmp_path, "It is 25.", entries, cells))[0]
    assert claims.check(page_of(tmp_path, "It is 25.", entries | {"define": "other = 2"}, cells)) == []
    for change in ("BASE.append(1)", "for k in (1, 2):\n    BASE.setdefault(k, []).append(k)", "BASE[0] = 3"):
        page = page_of(tmp_path, "It is 2.", one("It is 2.", computed="len(BASE)"), f"BASE = []\n{change}")
        assert "change what BASE holds" in claims.check(page)[0]
    with pytest.raises(SyntaxError, match="imports"):
        Names("", "import os")
    with pytest.raises(SyntaxError, match="imports"):
        Names("", "from os import path")
    assert Names("", "from facelight_lab.stems import OURS").evaluate("OURS") == "zero-mean ln(1 + 255x)"
    assert "no name" in claims.check(page_of(tmp_path, "It is 25.", one("It is 25.", computed="nothing"), cells))[0]


@pytest.mark.parametrize(
    ("text", "value", "agrees"),
    [
        ("втрачає 3,5 %", 3.46, True),
        ("втрачає 3,5 %", 3.56, False),
        ("на +0,04 [-0,11; +0,19]", [0.04, -0.11, 0.19], True),
        ("на +0,04 [-0,11; +0,19]", [0.04, -0.12, 0.19], False),
        ("понад 60 %", 63.2, True),
        ("понад 60 %", 59.9, False),
        ("не більш ніж 4,3 %", 4.1, True),
        ("не більш ніж 4,3 %", 4.31, False),
        ("приблизно в 52 рази", 51.5, True),
        ("приблизно в 52 рази", 46.0, False),
    ],
)
def test_a_page_in_ukrainian_has_decimal_commas_and_bounds_of_its_own(tmp_path, text, value, agrees):
    page = page_of(tmp_path, text, one(text, computed=repr(value)), lang="uk")
    assert claims.unclaimed(page) == []
    assert bool(claims.check(page)) != agrees


@pytest.mark.parametrize("text", ["третину похибки", "удвічі більше", "шести пар", "Чверть", "п’ять запусків"])
def test_numbers_in_ukrainian_words_cannot_be_claimed(tmp_path, text):
    page = page_of(tmp_path, f"Це {text}.", one(f"Це {text}.", holds="True"), lang="uk")
    assert len(claims.unclaimed(page)) == 1
    assert claims.unclaimed(page_of(tmp_path, f"Це {text}.", {})) == []


def test_a_text_that_is_gone_or_stands_twice_is_named(tmp_path):
    page = page_of(tmp_path, "It is 5. And it is 5.", one("it is 6", computed="6"))
    assert "is not on the page" in claims.check(page)[0]
    page = page_of(tmp_path, "It is 5. It is 5.", one("It is 5", computed="5"))
    assert "2 times" in claims.check(page)[0]


def test_a_statement_without_a_number_holds_or_does_not(tmp_path):
    assert claims.check(page_of(tmp_path, "The order stays.", one("order stays", holds="1 < 2"))) == []
    assert "does not hold" in claims.check(page_of(tmp_path, "The order stays.", one("order stays", holds="2 < 1")))[0]
    assert "proves no number" in claims.check(page_of(tmp_path, "It is 5.", one("It is 5", holds="1 < 2")))[0]


def test_what_a_cell_printed_is_compared_with_its_rounding(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "page.ipynb").write_text('{"cells": [{"outputs": [{"text": ["change:\\n", " 0.834"]}]}]}')
    assert claims.check(page_of(tmp_path, "It is 0.83.", one("is 0.83", printed="change: 0.834"))) == []
    assert "0.83" in claims.check(page_of(tmp_path, "It is 0.84.", one("is 0.84", printed="change: 0.834")))[0]
    assert "no stored output" in claims.check(page_of(tmp_path, "It is 0.8.", one("is 0.8", printed="of 0.834")))[0]


def test_an_interval_is_three_numbers():
    pairs = facelight_lab.versus(*(facelight_lab.statistics.pd.Series(v) for v in ([1.0, 2.0], [0.5, 1.0])))
    assert flat([pairs, 2]) == [pairs.mean, pairs.low, pairs.high, 2]
    assert flat(["2.20±0.02", "-2 [-15, +11]"]) == [2.2, 0.02, -2, -15, 11]
    with pytest.raises(TypeError, match="expected numbers"):
        flat(None)
