"""The cover: its five lines run, and its findings lead to their pictures."""

from __future__ import annotations

import re
from pathlib import Path

import torch

BOOK = Path(__file__).resolve().parents[1] / "book"
COVER = (BOOK / "index.md").read_text()


def test_five_lines_put_the_layer_into_a_network() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", COVER, re.M | re.S)
    assert len([line for line in code.splitlines() if line]) == 5
    names: dict[str, object] = {}
    exec(compile(code, "index.md", "exec"), names)
    landmarks = names["landmarks"]
    assert isinstance(landmarks, torch.Tensor)
    assert landmarks.shape == (1, 98, 2)
    model = names["model"]
    assert isinstance(model, torch.nn.Module)
    x = torch.rand(1, 3, 112, 112)
    with torch.no_grad():
        bright, dark = (model.eval()(light * x) for light in (1.0, 0.5))
    assert (bright - dark).abs().max() < 0.05 * bright.abs().max()  # the light is out of the first layer


def test_every_finding_leads_to_its_picture() -> None:
    found = re.search(r"^## What was found\n(.*?)^## ", COVER, re.M | re.S)
    assert found is not None
    findings = re.split(r"^- ", found[1], flags=re.M)[1:]
    assert len(findings) == 5
    pictures = [re.findall(r"\(\{numref\}`(fig-[\w-]+)`\)", text) for text in findings]
    assert [len(names) for names in pictures] == [1] * 5
    chapters = "\n".join(path.read_text() for path in BOOK.glob("[0-9]*.md"))
    assert all(re.search(rf"^\s*:?name: {name}$", chapters, re.M) for (name,) in pictures)
