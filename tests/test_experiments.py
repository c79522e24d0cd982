"""The preprocessing experiment on a few small pictures: what is measured, recorded, skipped, resumed."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from facelight import enhance, experiments, metrics, results
from facelight.data import LitFaces
from facelight.experiments import Preprocessing, preprocessing


@pytest.fixture
def faces() -> LitFaces:
    """Eight small pictures with shadows, in two subsets."""
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.05, 0.9, 28).expand(8, 1, 24, 28)
    image = ramp * torch.rand((8, 1, 1, 1), generator=generator) + 0.1 * torch.rand((8, 1, 24, 28), generator=generator)
    return LitFaces(
        image=(255 * image).byte(),
        identity=torch.arange(8) // 4,
        azimuth=torch.zeros(8),
        elevation=torch.zeros(8),
        subset=torch.tensor([1, 2] * 4),
        name=tuple("abcdefgh"),
        source="test",
        sha256="0" * 64,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, faces: LitFaces, tmp_path: Path) -> Path:
    """Every profile measures three runs on the small pictures; records go to the returned folder."""
    base = Preprocessing("yaleb", grid_size=(2, 2))
    runs = [base, replace(base, enhancer="bbhe"), replace(base, clip_limit=0.0101), replace(base, enhancer="identity")]
    monkeypatch.setattr(preprocessing, "configs", lambda profile: runs)
    monkeypatch.setattr(preprocessing, "load", lambda dataset: faces)
    monkeypatch.setattr(preprocessing, "SIZES", {"yaleb": (24, 28)})
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    return tmp_path


def test_measure_against_a_plain_loop(faces: LitFaces) -> None:
    config = Preprocessing("synthetic", grid_size=(2, 2), clip_limit=0.05)
    measured = preprocessing.measure(config, faces)
    psnr, ambe, bound = [], [], []
    for image in faces.image:
        x = image.double() / 255
        y = enhance.clahe(x, 0.05, (2, 2))
        error = [255 * (a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)]
        psnr.append(10 * math.log10(255**2 / (sum(e * e for e in error) / len(error))))
        ambe.append(abs(sum(error) / len(error)))
        bound.append(20 * math.log10(255 / ambe[-1]))
    assert measured["psnr"] == pytest.approx(sum(psnr) / 8, abs=1e-3)
    assert measured["ambe"] == pytest.approx(sum(ambe) / 8, abs=1e-3)
    assert measured["bound"] == pytest.approx(sum(bound) / 8, abs=1e-3)
    assert measured["bound_of_means"] == pytest.approx(20 * math.log10(255 / (sum(ambe) / 8)), abs=1e-3)
    assert measured["psnr_sd"] == pytest.approx(torch.tensor(psnr).std().item(), abs=1e-3)
    assert measured["psnr_by_subset"][2] == pytest.approx(sum(psnr[1::2]) / 4, abs=1e-3)
    assert measured["ambe_by_subset"][1] == pytest.approx(sum(ambe[::2]) / 4, abs=1e-3)
    assert (measured["exceeded"], measured["unchanged"]) == (0, 0)


def test_identity_changes_nothing_and_has_no_finite_psnr(faces: LitFaces) -> None:
    measured = preprocessing.measure(Preprocessing("synthetic", "identity"), faces)
    assert measured["unchanged"] == 8
    assert measured["psnr"] is measured["psnr_sd"] is measured["bound"] is measured["bound_of_means"] is None
    assert measured["ambe"] == 0


@pytest.mark.parametrize("enhancer", preprocessing.ENHANCERS)
def test_every_enhancer_runs_and_obeys_the_bound(enhancer: str, faces: LitFaces) -> None:
    config = Preprocessing("synthetic", enhancer, grid_size=(2, 2))
    psnr, ambe = preprocessing.per_image(config, faces.image)
    assert psnr.shape == ambe.shape == (8,)
    assert (psnr <= metrics.psnr_bound(ambe) + 1e-3).all()
    x = faces.image.float() / 255
    expected = x if enhancer == "identity" else None
    if enhancer in ("equalize", "bbhe", "gbie"):
        expected = getattr(enhance, enhancer)(x)
    if expected is not None:
        assert torch.equal(preprocessing.apply(config, x), expected)


def test_parts_and_threads_do_not_change_the_result(faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Preprocessing("synthetic", grid_size=(2, 2))
    whole = preprocessing.per_image(config, faces.image)
    monkeypatch.setattr(preprocessing, "_PIXELS_AT_ONCE", 24 * 28 * 3)
    torch.set_num_threads(2)
    parts = preprocessing.per_image(config, faces.image)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for a, b in zip(whole, parts, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_size_resizes_first(faces: LitFaces) -> None:
    config = Preprocessing("synthetic", "bbhe", size=(12, 14))
    x = torch.nn.functional.interpolate(faces.image.float(), (12, 14), mode="bilinear", antialias=True).round() / 255
    expected = metrics.psnr(x, enhance.bbhe(x))
    assert torch.allclose(preprocessing.per_image(config, faces.image)[0], expected.double(), atol=1e-4)


def test_laptop_records_skips_and_resumes(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = preprocessing.measure

    def counted(config: Preprocessing, faces: LitFaces) -> dict[str, object]:
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(config, faces)

    monkeypatch.setattr(preprocessing, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        experiments.run("preprocessing", "laptop")
    assert len(results.load("preprocessing")) == 1  # what was measured before the interruption is kept
    records = experiments.run("preprocessing", "laptop")
    assert [c.enhancer for c in calls] == ["clahe", "bbhe", "bbhe", "identity"]  # 0.0101 leaves the same count as 0.01
    assert len(results.load("preprocessing")) == len(records) == 4
    again = experiments.run("preprocessing", "laptop")
    assert again == records
    assert len(calls) == 4
    one = results.find("preprocessing", Preprocessing("yaleb", grid_size=(2, 2)))
    assert one == records[0]
    assert one.data == {"name": "test", "sha256": "0" * 64, "split": "every 1", "count": 8}
    assert one.provenance["command"] == "facelight run preprocessing --profile laptop"
    assert records[2].metrics == records[0].metrics
    assert not list(small.rglob("*.tmp"))


def test_book_profile_saves_nothing(small: Path) -> None:
    assert len(experiments.run("preprocessing", "book")) == 4
    assert list(small.iterdir()) == []


def test_every_picture_or_every_third(small: Path, faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "configs", lambda p: [Preprocessing("yaleb", "bbhe", every=3)])
    (record,) = experiments.run("preprocessing", "book")
    assert record.data["count"] == 3
    expected = preprocessing.measure(Preprocessing("yaleb", "bbhe"), faces.select([0, 3, 6]))
    assert record.metrics == {
        k: ({str(s): x for s, x in v.items()} if isinstance(v, dict) else v) for k, v in expected.items()
    }


def test_the_same_count_is_the_same_experiment(faces: LitFaces) -> None:
    for convention, limits in (("matlab", (0.001, 0.0011, 0.2)), ("opencv", (16.0, 17.0, 40.0))):
        settings = [Preprocessing("yaleb", clip_limit=c, convention=convention) for c in limits]
        first, second, third = (preprocessing.same_as(s, 24, 28) for s in settings)
        assert first == second != third
        a, b = (preprocessing.per_image(s, faces.image)[0] for s in (settings[0], first))
        assert torch.equal(a, b)
    bbhe = Preprocessing("yaleb", "bbhe", clip_limit=0.5)
    assert preprocessing.same_as(bbhe, 24, 28) == bbhe


def test_the_laptop_profile_covers_the_paper() -> None:
    runs = preprocessing.configs("laptop")
    assert len(runs) == len(set(runs)) == len({results.key("preprocessing", asdict(c)) for c in runs})
    for dataset in ("yaleb", "pie"):
        for enhancer in preprocessing.ENHANCERS:
            assert Preprocessing(dataset, enhancer) in runs
        for limit in (0.0, *preprocessing.CLIP_LIMITS):
            assert Preprocessing(dataset, "modified_clahe", limit) in runs
    assert {c.dataset for c in preprocessing.configs("book")} == {"synthetic"}


def test_both_readings_of_the_block_size() -> None:
    grids = preprocessing.grids(192, 168)
    assert grids["tiles", 128] == (128, 128)
    assert grids["pixels", 128] == (2, 2)
    assert grids["pixels", 8] == (24, 21)
    assert set(preprocessing.grids(32, 32)) == {(r, n) for r in ("tiles", "pixels") for n in (2, 4, 8, 16, 32)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: experiments.run("recognition", "book"), "experiment: expected one of 'preprocessing'"),
        (
            lambda: experiments.run("preprocessing", "fast"),
            "profile: expected one of 'smoke', 'book', 'laptop', 'full'",
        ),
        (lambda: Preprocessing("yale"), "dataset: expected one of 'yaleb', 'pie', 'synthetic'"),
        (lambda: Preprocessing("pie", "he"), "enhancer: expected one of 'identity', 'equalize'"),
        (lambda: Preprocessing("pie", every=0), "every: expected at least 1, got 0"),
    ],
)
def test_bad_requests(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.realdata
def test_bbhe_keeps_the_brightness_as_the_paper_says(yaleb_root: Path) -> None:
    """AMBE of BBHE on Extended Yale B: 18.79 in the paper's Table 1; every 20th picture is enough to see it."""
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root)
    measured = preprocessing.measure(Preprocessing("yaleb", "bbhe"), faces.select(range(0, len(faces), 20)))
    assert measured["ambe"] == pytest.approx(18.79, abs=1.5)
