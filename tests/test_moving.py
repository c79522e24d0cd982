"""Figures that move: their data are those of the library, and who has no script and no mouse misses nothing."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from facelight import enhance, illumination
from facelight.layers import log_compress
from facelight_lab import moving, results
from facelight_lab.enhancement.nearest import Nearest
from facelight_lab.enhancement.preprocessing import Preprocessing
from facelight_lab.enhancers import FAMILY
from facelight_lab.landmarks import predictions
from facelight_lab.moving import clahe, enhancers, epsilon, hero, protocols
from facelight_lab.recognition import protocols as splits

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static" / "moving"
SHARED = {"frame", "chart", "pixels", "lit-html"}
NAMES = sorted({path.stem for path in STATIC.glob("*.js")} - SHARED)


class Elements(HTMLParser):
    """The elements of a text, each with its attributes; and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, Mapping[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)


def picture(uri: str) -> np.ndarray:
    """The pixels of a data URI."""
    kind, content = uri.split(",", 1)
    assert kind == "data:image/webp;base64"
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """Every figure, made once."""
    return {name: moving.figure(name) for name in NAMES}


def test_every_script_has_its_data() -> None:
    rooms = {path.stem for path in (ROOT / "lib" / "facelight_lab" / "moving").glob("*.py")}
    assert rooms - {"__init__", "frame", "faces"} == set(NAMES) == set(moving.FIGURES)


@pytest.mark.parametrize("name", NAMES)
def test_who_sees_no_movement_sees_a_picture(made: dict[str, Any], name: str) -> None:
    figure = made[name]
    page = Elements(figure._repr_html_())
    (outer,) = [at for tag, at in page.found if tag == "div"]
    assert outer["class"] == "moving-figure"
    assert (outer["id"], outer["data-figure"], outer["role"]) == (f"moving-{name}", name, "group")
    assert outer["aria-label"]
    (image,) = [at for tag, at in page.found if tag == "img"]
    pixels = picture(image["src"] or "")
    assert (str(pixels.shape[1]), str(pixels.shape[0])) == (image["width"], image["height"])
    assert pixels.std() > 10  # something is drawn
    assert len(image["alt"] or "") > 60
    (link,) = [at for tag, at in page.found if tag == "a"]
    assert (ROOT / "book" / f"{figure.page}.md").is_file()
    assert link["href"] == f"https://facelight-book.github.io/facelight/book/{figure.page}.html#moving-{name}"
    assert json.loads("".join(page.scripts)) == json.loads(json.dumps(figure.data))


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_light(made: dict[str, Any], name: str) -> None:
    assert len(made[name]._repr_html_()) < (400_000 if name == "hero" else 250_000)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_it(made: dict[str, Any], name: str) -> None:
    page = (ROOT / "book" / f"{made[name].page}.md").read_text()
    assert f'moving.figure("{name}")' in page or f"{{moving-figure}} {name}" in page


@pytest.mark.parametrize("name", NAMES)
def test_scripts_use_native_controls_with_labels(name: str) -> None:
    """The frame makes them: a range or a list, each with a label, and says the numbers."""
    script = (STATIC / f"{name}.js").read_text()
    for part in ("start", "controls", "view", "says"):
        assert re.search(rf"^export (const|function) {part}\b", script, re.M), part
    controls = re.findall(r'\{ name: "(\w+)", label: "[^"]+", kind: "(range|select)"', script)
    assert controls
    assert len(controls) == len(re.findall(r'kind: "', script))


def test_the_frame_labels_what_it_makes() -> None:
    frame = (STATIC / "frame.js").read_text()
    for kind in ('<input type="range"', "<select"):
        assert kind in frame
    assert frame.count("<label for=") == 2
    assert 'role="status" aria-live="polite" data-value=' in frame
    style = (STATIC / "moving.css").read_text()
    assert "prefers-reduced-motion" in style
    assert re.search(r"@media print \{\s*\.moving-live \{ display: none; \}", style)


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in STATIC.glob("*.js"):
        imports = re.findall(r"(?:from|import\()\s*[`\"']([^`\"']+)", path.read_text())
        assert all(name.startswith("./") for name in imports), path.name
    assert "Google" in (STATIC / "lit-html.LICENSE.txt").read_text()


def test_epsilon_tables_are_those_of_the_library() -> None:
    found = epsilon.data(np.arange(256, dtype=np.uint8).reshape(16, 16))
    gray = torch.arange(256, dtype=torch.float64) / 255
    for name, row in zip(found["epsilons"], found["response"], strict=True):
        value = float(eval(name))  # "1/255"
        white = log_compress(torch.ones(1, dtype=torch.float64), 2.0, value)
        assert row == pytest.approx((log_compress(gray, 2.0, value) / white).tolist(), abs=5.1e-5)
    for factor, row in zip(found["factors"], found["darkened"], strict=True):
        dark = illumination.darken(gray.view(1, 1, 1, -1), factor)
        assert row == (255 * dark).round().flatten().tolist()


def test_the_share_of_an_edge_that_is_kept() -> None:
    found = epsilon.data(np.zeros((4, 4), np.uint8))
    high, low = (level / 255 for level in found["edge"])
    for name, row in zip(found["epsilons"], found["kept"], strict=True):
        e = float(eval(name))
        assert row[0] == 1
        for factor, kept in zip(found["factors"], row, strict=True):
            bright, dark = (np.log((high / k + e) / (low / k + e)) for k in (1, factor))
            assert kept == pytest.approx(dark / bright, abs=1e-4)


def test_clahe_tables_make_its_pictures() -> None:
    """The blend of four tables by hand, without OpenCV and without the library's, and OpenCV's own picture."""
    generator = np.random.default_rng(0)
    face = np.clip(generator.normal(60, 40, clahe.SIZE), 0, 255).astype(np.uint8)
    found = clahe.data(face)
    pictures = picture(found["enhanced"])[..., 0].reshape(len(clahe.LIMITS), *clahe.SIZE)
    rows, columns = clahe.GRID
    height, width = clahe.SIZE[0] // rows, clahe.SIZE[1] // columns
    y, x = np.mgrid[: clahe.SIZE[0], : clahe.SIZE[1]]
    down, across = y / height - 0.5, x / width - 0.5
    top, left = np.floor(down).astype(int), np.floor(across).astype(int)
    u, v = down - top, across - left
    for number, limit in enumerate(clahe.LIMITS):
        tables = np.array(found["tables"][number], float).reshape(rows, columns, 256)

        def read(r: np.ndarray, c: np.ndarray, tables: np.ndarray = tables) -> np.ndarray:
            found: np.ndarray = tables[r.clip(0, rows - 1), c.clip(0, columns - 1), face]
            return found

        blend = (1 - u) * ((1 - v) * read(top, left) + v * read(top, left + 1))
        blend += u * ((1 - v) * read(top + 1, left) + v * read(top + 1, left + 1))
        assert np.abs(blend - pictures[number]).max() <= 0.51
        theirs = cv2.createCLAHE(limit, (columns, rows)).apply(face)
        assert (theirs == pictures[number]).all()
        assert found["counts"][number] == enhance.clip_count(limit, height * width, "opencv")
        assert found["slopes"][number] == np.diff(tables.reshape(-1, 256)).max(1).tolist()
    tile = face[height : 2 * height, :width]
    assert found["histograms"][columns] == np.bincount(tile.flatten(), minlength=256).tolist()


def test_enhancers_are_those_of_the_records_and_of_the_library(made: dict[str, Any]) -> None:
    found = made["enhancers"].data
    family = list(FAMILY)
    assert len(found["points"]) == len(family)
    for point, (label, enhancer) in zip(found["points"], FAMILY.items(), strict=True):
        rate = results.find("nearest", Nearest("yaleb", enhancer), folder=ROOT / "book" / "results")
        assert rate is not None
        n, right = (rate.metrics[f"{part}_by_subset"] for part in ("n", "rate"))
        share = sum(n[s] * right[s] for s in "45") / sum(n[s] for s in "45")
        assert point["recognized"] == pytest.approx(100 * share, abs=0.051), label
        quality = results.find("preprocessing", Preprocessing("yaleb", enhancer), folder=ROOT / "book" / "results")
        assert quality is not None
        if label == "Input":
            assert point["psnr"] is None
        else:
            assert point["psnr"] == pytest.approx(quality.metrics["psnr"], abs=0.0051), label
    pictures = picture(found["enhanced"])[..., 0].reshape(len(family), *enhancers.SIZE)
    face = torch.from_numpy(picture(found["face"])[..., 0].copy())[None, None] / 255
    y = FAMILY["HE"](face)[0, 0] * 255
    off = np.abs(pictures[family.index("HE")] - y.numpy()).mean()
    others = [np.abs(p - y.numpy()).mean() for i, p in enumerate(pictures) if i != family.index("HE")]
    assert off < 4 < min(others)  # the pictures lost a little on the way


def test_lights_train_and_test_as_the_protocols_say() -> None:
    faces = protocols.everybody()
    assert np.bincount(faces.subset.numpy()[:64]).tolist() == [0, 7, 12, 12, 14, 19]
    found = protocols.data(np.zeros((64, *protocols.SIZE), np.uint8))
    light = np.radians(np.array(found["lights"], float)).T
    vectors = np.stack([np.sin(light[0]) * np.cos(light[1]), np.sin(light[1]), np.cos(light[0]) * np.cos(light[1])], 1)
    counts = {}
    for name, some, angles in zip(protocols.PROTOCOLS, found["roles"], found["angles"], strict=True):
        for seed, (roles, angle) in enumerate(zip(some, angles, strict=True)):
            parts = splits.split(faces, name, seed)
            own = {int(i) for i in parts.train if int(faces.identity[i]) == 0}
            assert {i for i, role in enumerate(roles) if role == protocols.TRAINED} == own
            others = {int(i) % 64 for i in parts.train}
            assert {i for i, role in enumerate(roles) if role != protocols.UNSEEN} == others
            nearest = np.degrees(np.arccos((vectors @ vectors[sorted(own)].T).clip(-1, 1).max(1)))
            assert angle == pytest.approx(nearest.tolist(), abs=0.051)
        counts[name] = len(own)
    assert counts == {"random": 13, "subset 1": 7, "held-out lights": 13, "one image": 1}
    assert set(found["roles"][2][0]) == {protocols.TRAINED, protocols.UNSEEN}  # no light is on both sides


def test_the_cover_shows_the_recorded_points(made: dict[str, Any]) -> None:
    found, truth = made["hero"].data, np.array(made["hero"].data["truth"])
    assert [network["name"] for network in found["networks"]] == [
        "plain network", "log layer", "contrast-normalized log layer",
    ]  # fmt: skip
    for number, item in enumerate(hero.recorded()):
        for k, kind in enumerate(hero.KINDS):
            for s, strength in enumerate(found["strengths"]):
                points = truth + np.array(found["off"][number][k][s])
                assert points.tolist() == item.metrics["points"][kind][s], (kind, strength)
                at = points.reshape(-1, 98, 2) / 1000
                true = truth.reshape(-1, 98, 2) / 1000
                eyes = np.linalg.norm(true[:, 60] - true[:, 72], axis=1)
                error = np.linalg.norm(at - true, axis=2).mean(1) / eyes
                assert found["errors"][number][k][s] == pytest.approx(error.tolist(), abs=0.004)
        assert found["mean"][number][0][0] == item.metrics["mean"]["even"][0]


def test_the_cover_darkens_as_the_lights_do(made: dict[str, Any]) -> None:
    white = torch.ones((1, 1, 1, hero.SHOWN))
    for kind, steps in zip(("even", "half"), made["hero"].data["factors"], strict=True):
        for strength, factors in zip(predictions.STRENGTHS, steps, strict=True):
            levels = 255 * predictions.KINDS[kind](white, factor=strength).flatten()
            assert torch.tensor(factors).mul(255).sub(levels).abs().max() <= 0.52
    sprite = picture(made["hero"].data["noise"])
    assert sprite.shape == (4 * 64, 6 * 64, 3)
    brightness = sprite.reshape(4, 64, 6, 64, 3).mean((0, 1, 3, 4))
    assert (np.diff(brightness) < 0).all()
