"""Recognition without training on made-up faces: what is right, how it is counted, what is recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from facelight.data import LitFaces
from facelight_lab import experiments, results
from facelight_lab.enhancement import nearest
from facelight_lab.enhancement.nearest import Nearest
from facelight_lab.enhancers import FAMILY, SIGNED, Enhancer

SUBSETS = (1, 1, 2, 2, 2, 3, 4, 5, 5)


@pytest.fixture
def faces() -> LitFaces:
    """Three patterns under nine lights: noise grows and the light turns with the subset."""
    generator = torch.Generator().manual_seed(0)
    pattern = torch.rand((3, 1, 1, 24, 28), generator=generator)
    subset = torch.tensor(SUBSETS).view(1, -1, 1, 1, 1)
    light = 1 - (subset - 1) / 5 * torch.linspace(0, 1, 28)
    noise = 0.25 * (subset - 1) * torch.randn((3, len(SUBSETS), 1, 24, 28), generator=generator)
    image = ((0.3 + 0.3 * pattern) * light + 0.3 * noise).clamp(0, 1)
    return LitFaces(
        image=(255 * image).round().byte().flatten(0, 1),
        identity=torch.arange(3).repeat_interleave(len(SUBSETS)),
        azimuth=torch.zeros(3 * len(SUBSETS)),
        elevation=torch.zeros(3 * len(SUBSETS)),
        subset=torch.tensor(SUBSETS * 3),
        name=tuple(str(i) for i in range(3 * len(SUBSETS))),
        source="test",
        sha256="0" * 64,
    )


def slow(config: Nearest, faces: LitFaces, shift: float, center: bool) -> list[bool]:
    x = torch.nn.functional.interpolate(faces.image.float() / 255, config.size, mode="bilinear", antialias=True)
    y = (config.enhancer(((255 * x).round() / 255).clamp(0, 1)) - shift).flatten(1).double().numpy()
    y = y - y.mean(1, keepdims=True) if center else y
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    known = [i for i in range(len(faces)) if faces.subset[i] == 1]
    found = []
    for i in range(len(faces)):
        if i not in known:
            best = max(known, key=lambda g: float(y[i] @ y[g]))
            found.append(bool(faces.identity[best] == faces.identity[i]))
    return found


@pytest.mark.parametrize("enhancer", [Enhancer(), Enhancer("equalize"), Enhancer("gbie")])
@pytest.mark.parametrize("center", nearest.CENTERS)
def test_who_is_recognized_against_a_plain_loop(enhancer: Enhancer, center: str, faces: LitFaces) -> None:
    config = Nearest("synthetic", enhancer, (14, 12), center)
    expected = slow(config, faces, 0.0, center == "mean")
    assert nearest.recognized(config, faces).tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("name", SIGNED)
def test_neutral_is_one_half_for_signed_enhancers(name: str, faces: LitFaces) -> None:
    config = Nearest("synthetic", Enhancer(name), (24, 28), "neutral")
    assert nearest.recognized(config, faces).tolist() == slow(config, faces, 0.5, False)


def wilson(count: int, total: int) -> tuple[float, float]:
    z, p = norm.ppf(0.975), count / total
    half = z * (p * (1 - p) / total + z**2 / (4 * total**2)) ** 0.5
    return tuple((p + z**2 / (2 * total) + s * half) / (1 + z**2 / total) for s in (-1, 1))


def test_rates_counts_means_and_intervals(faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    subset = faces.subset[faces.subset != 1]
    right = subset <= 3
    right[0] = False  # one of the nine of subset 2
    monkeypatch.setattr(nearest, "recognized", lambda config, faces: right)
    measured = nearest.measure(Nearest("synthetic"), faces)
    assert measured["rate_by_subset"] == {2: pytest.approx(8 / 9), 3: 1.0, 4: 0.0, 5: 0.0}
    assert measured["n_by_subset"] == {2: 9, 3: 3, 4: 3, 5: 6}
    assert (measured["n"], measured["rate"]) == (21, pytest.approx(11 / 21))
    assert measured["rate_of_subsets"] == pytest.approx((8 / 9 + 1) / 4)
    assert (measured["low"], measured["high"]) == pytest.approx(wilson(11, 21))
    for s, (count, total) in {2: (8, 9), 4: (0, 3)}.items():
        assert (measured["low_by_subset"][s], measured["high_by_subset"][s]) == pytest.approx(wilson(count, total))


def test_laptop_records_and_skips(faces: LitFaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = [Nearest("yaleb", Enhancer("equalize"), (14, 12)), Nearest("yaleb", Enhancer(), (14, 12), "none")]
    monkeypatch.setattr(nearest, "configs", lambda profile: runs)
    monkeypatch.setattr(nearest, "load", lambda dataset: faces)
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    assert len(experiments.run("nearest", "book")) == 2
    assert list(tmp_path.iterdir()) == []
    records = experiments.run("nearest", "laptop")
    assert len(list(tmp_path.rglob("*.json"))) == 2
    monkeypatch.setattr(nearest, "load", lambda dataset: pytest.fail("loaded again"))
    assert experiments.run("nearest", "laptop") == records
    assert results.find("nearest", runs[1]) == records[1]
    assert records[1].config == {
        "dataset": "yaleb",
        "enhancer": {"name": "identity", "settings": {}},
        "size": [14, 12],
        "center": "none",
    }
    assert records[0].data["count"] == len(faces)
    assert records[0].data["split"] == "gallery: subset 1, probes: subsets 2 to 5"
    assert records[0].provenance["command"] == "facelight run nearest --profile laptop"


def test_profiles() -> None:
    laptop = nearest.configs("laptop")
    assert len(laptop) == len(set(laptop))
    for enhancer in FAMILY.values():
        assert {Nearest("yaleb", enhancer), Nearest("yaleb", enhancer, center="none")} <= set(laptop)
    assert {c.enhancer.name for c in laptop if c.center == "neutral"} == set(SIGNED)
    assert nearest.configs("book") == [Nearest("synthetic", e) for e in FAMILY.values()]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Nearest("pie"), ValueError, "dataset: expected one of 'yaleb', 'synthetic', got 'pie'"),
        (lambda: Nearest(center="half"), ValueError, "center: expected one of 'mean', 'none', 'neutral'"),
        (lambda: Nearest(enhancer="gbie"), TypeError, r"expected an Enhancer, got 'gbie'"),
    ],
)
def test_bad_requests(call: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


@pytest.mark.realdata
def test_local_contrast_recognizes_what_raw_pixels_do_not(yaleb_root: Path) -> None:
    """Ten people of Extended Yale B: in subset 5 raw pixels name few, pixels less their local mean nearly all."""
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root)
    some = faces.select(faces.identity < 10)
    raw, local = (nearest.measure(Nearest("yaleb", FAMILY[k]), some) for k in ("Input", "ln minus local mean"))
    assert raw["rate_by_subset"][5] < 0.3
    assert local["rate_by_subset"][5] > 0.9
