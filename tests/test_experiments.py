"""The preprocessing experiment on a few small pictures: what is measured, recorded, skipped, resumed."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from facelight import enhance, metrics
from facelight.data import LitFaces
from facelight_lab import experiments, pictures, results
from facelight_lab.enhancement import preprocessing
from facelight_lab.enhancement.preprocessing import Preprocessing
from facelight_lab.enhancers import FAMILY, Enhancer, clahe, modified_clahe

SMALL_CLAHE = clahe(grid_size=(2, 2))


def on_small_grid(enhancer: Enhancer) -> Enhancer:
    """The enhancer with tiles that a picture of 24x28 pixels has room for."""
    return enhancer.but(grid_size=(2, 2)) if "grid_size" in enhancer.settings else enhancer


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
    chosen = (SMALL_CLAHE, Enhancer("bbhe"), SMALL_CLAHE.but(clip_limit=0.0101), Enhancer())
    runs = [Preprocessing("yaleb", enhancer) for enhancer in chosen]
    monkeypatch.setattr(preprocessing, "configs", lambda profile: runs)
    monkeypatch.setattr(preprocessing, "load", lambda dataset: faces)
    monkeypatch.setattr(preprocessing, "SIZES", {"yaleb": (24, 28)})
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    return tmp_path


def test_measure_against_a_plain_loop(faces: LitFaces) -> None:
    measured = preprocessing.measure(Preprocessing("synthetic", SMALL_CLAHE.but(clip_limit=0.05)), faces)
    psnr, ambe, bound, contrast = [], [], [], []
    for image in faces.image:
        x = image.double() / 255
        y = enhance.clahe(x, 0.05, (2, 2), convention="matlab")
        error = [255 * (a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)]
        psnr.append(10 * math.log10(255**2 / (sum(e * e for e in error) / len(error))))
        ambe.append(abs(sum(error) / len(error)))
        bound.append(20 * math.log10(255 / ambe[-1]))
        contrast.append(255 * y.numpy().std())
    assert measured["psnr"] == pytest.approx(sum(psnr) / 8, abs=1e-3)
    assert measured["ambe"] == pytest.approx(sum(ambe) / 8, abs=1e-3)
    assert measured["bound"] == pytest.approx(sum(bound) / 8, abs=1e-3)
    assert measured["bound_of_means"] == pytest.approx(20 * math.log10(255 / (sum(ambe) / 8)), abs=1e-3)
    assert measured["contrast"] == pytest.approx(sum(contrast) / 8, abs=1e-3)
    assert measured["psnr_sd"] == pytest.approx(torch.tensor(psnr).std().item(), abs=1e-3)
    assert measured["psnr_by_subset"][2] == pytest.approx(sum(psnr[1::2]) / 4, abs=1e-3)
    assert measured["ambe_by_subset"][1] == pytest.approx(sum(ambe[::2]) / 4, abs=1e-3)
    assert measured["contrast_sd"] == pytest.approx(torch.tensor(contrast).std().item(), abs=1e-3)
    assert (measured["exceeded"], measured["unchanged"], measured["busy"]) == (0, 0, 0)


def test_scores_are_those_of_the_library_in_the_right_order(faces: LitFaces) -> None:
    x = faces.image.float() / 255
    y = enhance.bbhe(x)
    expected = {
        "psnr": metrics.psnr(x, y),
        "ambe": metrics.ambe(x, y),
        "ssim": metrics.ssim(x, y),
        "contrast": metrics.rms_contrast(y),
        "entropy": metrics.entropy(y),
        "noise_amplification": metrics.noise_amplification(x, y),
    }
    found = preprocessing.per_image(Preprocessing("synthetic", Enhancer("bbhe")), faces.image)
    assert tuple(found) == tuple(expected) == preprocessing.SCORES
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name].double(), rtol=1e-4, atol=1e-4)
        assert values.dtype == torch.float64


def test_identity_changes_nothing_and_has_no_finite_psnr(faces: LitFaces) -> None:
    measured = preprocessing.measure(Preprocessing("synthetic"), faces)
    assert measured["unchanged"] == 8
    assert measured["psnr"] is measured["psnr_sd"] is measured["bound"] is measured["bound_of_means"] is None
    assert measured["ambe"] == 0
    assert measured["ssim"] == pytest.approx(1, abs=1e-6)
    assert measured["noise_amplification"] == pytest.approx(1, abs=1e-6)
    assert measured["contrast"] == pytest.approx(
        metrics.rms_contrast(faces.image.float() / 255).mean().item(), abs=1e-3
    )


def test_images_without_a_flat_region_are_counted_and_left_out(faces: LitFaces) -> None:
    steep = torch.linspace(0, 255, 28).expand(1, 24, 28).byte()
    mixed = replace(faces, image=torch.cat([steep[None], faces.image[1:]]))
    measured = preprocessing.measure(Preprocessing("synthetic", Enhancer("bbhe")), mixed)
    rest = preprocessing.measure(Preprocessing("synthetic", Enhancer("bbhe")), faces.select(range(1, 8)))
    assert (measured["busy"], rest["busy"]) == (1, 0)
    assert measured["noise_amplification"] == pytest.approx(rest["noise_amplification"])


@pytest.mark.parametrize("label", FAMILY)
def test_every_enhancer_runs_and_obeys_the_bound(label: str, faces: LitFaces) -> None:
    config = Preprocessing("synthetic", on_small_grid(FAMILY[label]))
    scores = preprocessing.per_image(config, faces.image)
    assert all(values.shape == (8,) for values in scores.values())
    assert (scores["psnr"] <= metrics.psnr_bound(scores["ambe"]) + 1e-3).all()
    assert not any(values.isnan().any() for values in scores.values())


def test_parts_and_threads_do_not_change_the_result(faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Preprocessing("synthetic", SMALL_CLAHE)
    whole = preprocessing.per_image(config, faces.image)
    monkeypatch.setattr(pictures, "PIXELS_AT_ONCE", 24 * 28 * 3)
    torch.set_num_threads(2)
    try:
        parts = preprocessing.per_image(config, faces.image)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    for name, values in whole.items():
        assert torch.allclose(values, parts[name], atol=1e-5), name


def test_size_resizes_first(faces: LitFaces) -> None:
    config = Preprocessing("synthetic", Enhancer("bbhe"), size=(12, 14))
    x = torch.nn.functional.interpolate(faces.image.float() / 255, (12, 14), mode="bilinear", antialias=True)
    x = (255 * x).round() / 255  # in this order: whether a value halfway between two levels goes up is in its last bit
    expected = metrics.psnr(x, enhance.bbhe(x))
    assert torch.allclose(preprocessing.per_image(config, faces.image)["psnr"], expected.double(), atol=1e-4)


def test_laptop_records_skips_and_resumes(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = preprocessing.measure

    def counted(config: Preprocessing, faces: LitFaces) -> dict[str, object]:
        if faces.source == "noise":  # for the fingerprint
            return real(config, faces)
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(config, faces)

    monkeypatch.setattr(preprocessing, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        experiments.run("preprocessing", "laptop")
    assert len(results.load("preprocessing")) == 1  # what was measured before the interruption is kept
    records = experiments.run("preprocessing", "laptop")
    # 0.0101 leaves the same count as 0.01, so it is not measured again.
    assert [c.enhancer.name for c in calls] == ["clahe", "bbhe", "bbhe", "identity"]
    assert len(results.load("preprocessing")) == len(records) == 4
    again = experiments.run("preprocessing", "laptop")
    assert again == records
    assert len(calls) == 4
    one = results.find("preprocessing", Preprocessing("yaleb", SMALL_CLAHE))
    assert one == records[0]
    assert one.config["enhancer"] == {"name": "clahe", "settings": results.settings(SMALL_CLAHE.settings)}
    assert one.data == {"name": "test", "sha256": "0" * 64, "split": "every 1", "count": 8}
    assert one.provenance["command"] == "facelight run preprocessing --profile laptop"
    assert records[2].metrics == records[0].metrics
    assert not list(small.rglob("*.tmp"))


def test_book_profile_saves_nothing(small: Path) -> None:
    assert len(experiments.run("preprocessing", "book")) == 4
    assert list(small.iterdir()) == []


def test_every_picture_or_every_third(small: Path, faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "configs", lambda p: [Preprocessing("yaleb", Enhancer("bbhe"), every=3)])
    (record,) = experiments.run("preprocessing", "book")
    assert record.data["count"] == 3
    expected = preprocessing.measure(Preprocessing("yaleb", Enhancer("bbhe")), faces.select([0, 3, 6]))
    assert record.metrics == {
        k: ({str(s): x for s, x in v.items()} if isinstance(v, dict) else v) for k, v in expected.items()
    }


def test_the_same_count_is_the_same_experiment(faces: LitFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "SIZES", {"yaleb": (24, 28)})
    for convention, limits in (("matlab", (0.001, 0.0011, 0.2)), ("opencv", (1.5, 1.6, 40.0))):
        settings = [Preprocessing("yaleb", clahe(c, convention=convention, grid_size=(2, 3))) for c in limits]
        first, second, third = (preprocessing.same_as(s) for s in settings)
        assert first == second != third
        for before, after in ((settings[0], first), (settings[2], third)):
            a, b = (preprocessing.per_image(c, faces.image)["psnr"] for c in (before, after))
            assert torch.equal(a, b)
    for other in (Preprocessing("yaleb", Enhancer("bbhe")), Preprocessing("yaleb", clahe(0.0, convention="opencv"))):
        assert preprocessing.same_as(other) == other


@pytest.mark.parametrize(
    ("shape", "grid", "convention", "tile"),
    [
        ((192, 168), (8, 8), "matlab", [24, 22]),  # 21 is odd
        ((192, 168), (128, 128), "matlab", [2, 2]),
        ((192, 168), (8, 8), "opencv", [24, 21]),
        ((96, 84), (8, 8), "opencv", [13, 11]),  # 84 does not divide, so both axes are extended
    ],
)
def test_tile_of_each_convention(shape: tuple, grid: tuple, convention: str, tile: list) -> None:
    assert preprocessing._tile(shape, grid, convention) == tile


def test_the_laptop_profile_covers_the_paper() -> None:
    runs = preprocessing.configs("laptop")
    assert len(runs) == len(set(runs)) == len({results.key("preprocessing", asdict(c)) for c in runs})
    for dataset in ("yaleb", "pie"):
        for enhancer in FAMILY.values():
            assert Preprocessing(dataset, enhancer) in runs
        for limit in (0.0, *preprocessing.CLIP_LIMITS):
            assert Preprocessing(dataset, modified_clahe(limit)) in runs
        for grid in preprocessing.grids(*preprocessing.SIZES[dataset]).values():
            assert any(c.enhancer == clahe(grid_size=grid) and c.dataset == dataset for c in runs)
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
        (lambda: experiments.run("astrology", "book"), "experiment: expected one of 'preprocessing', 'nearest'"),
        (
            lambda: experiments.run("preprocessing", "fast"),
            "profile: expected one of 'book', 'laptop', 'full'",
        ),
        (lambda: Preprocessing("yale"), "dataset: expected one of 'yaleb', 'pie', 'synthetic'"),
        (lambda: Preprocessing("pie", every=0), "every: expected at least 1, got 0"),
    ],
)
def test_bad_requests(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_name_is_not_an_enhancer() -> None:
    with pytest.raises(TypeError, match=r"expected an Enhancer, got 'bbhe': write Enhancer\('bbhe'\)"):
        Preprocessing("pie", "bbhe")  # type: ignore[arg-type]


@pytest.mark.realdata
def test_bbhe_keeps_the_brightness_as_the_paper_says(yaleb_root: Path) -> None:
    """AMBE of BBHE on Extended Yale B: 18.79 in the paper's Table 1; every 20th picture is enough to see it."""
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root)
    measured = preprocessing.measure(Preprocessing("yaleb", Enhancer("bbhe")), faces.select(range(0, len(faces), 20)))
    assert measured["ambe"] == pytest.approx(18.79, abs=1.5)
