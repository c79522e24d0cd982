"""Recognizers without a network: each against an independent implementation, on faces that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from facelight import enhance, metrics
from facelight_lab.recognition import competitors
from facelight_lab.recognition.competitors import METHODS, recognize
from facelight_lab.recognition.patterns import lbp_histograms, nearest_by_chi_square

SHAPE = (14, 16)
LABELS = torch.tensor([4, 4, 4, 9, 9, 2, 2, 2, 2, 7, 7, 7])


def pictures(people, *, seed, noise, light=0.15):
    """A fixed random pattern of each person, under noise and a random ramp of light, float32 in [0, 1]."""
    patterns = torch.rand((10, 1, *SHAPE), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn((len(people), 1, 1, 1), generator=generator)
    ramp = light * slope * torch.linspace(-1, 1, SHAPE[1])
    grain = noise * torch.randn((len(people), 1, *SHAPE), generator=generator)
    return (0.3 + 0.4 * patterns[people] + ramp + grain).clamp(0, 1)


def hard(seed=0):
    """Gallery, labels, probes and their people with so much noise that every method makes mistakes of its own."""
    people = torch.tensor([4, 9, 2, 7]).repeat(10)
    return pictures(LABELS, seed=seed, noise=0.3), LABELS, pictures(people, seed=seed + 1, noise=0.45), people


def rows(x):
    return x.flatten(1).double().numpy()


def unit(x):
    x = rows(x) - rows(x).mean(1, keepdims=True)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_cosine(gallery, labels, probes):
    found = []
    for p in probes:
        cosines = [p @ g / math.sqrt((p @ p) * (g @ g)) for g in gallery]
        found.append(int(labels[int(np.argmax(cosines))]))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_known_people_under_little_noise(method):
    people = torch.tensor([7, 2, 9, 4, 4, 2])
    found = recognize(method, pictures(LABELS, seed=1, noise=0.03), LABELS, pictures(people, seed=2, noise=0.03))
    assert found.dtype == torch.int64
    assert found.tolist() == people.tolist()


def test_nearest_is_the_correlation():
    gallery, labels, probes, _ = hard()
    expected = np.corrcoef(rows(probes), rows(gallery))[: len(probes), len(probes) :].argmax(1)
    assert recognize("nearest", gallery, labels, probes).tolist() == labels[expected].tolist()


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_shifted_nearest_against_a_loop(reach):
    gallery, labels, probes, _ = hard()
    probes, (height, width) = probes[:16], SHAPE
    found = []
    for p in probes[:, 0].double().numpy():
        best = (-2.0, -1)
        for g, label in zip(gallery[:, 0].double().numpy(), labels.tolist(), strict=True):
            for y in range(-reach, reach + 1):
                for x in range(-reach, reach + 1):
                    inner = p[reach : height - reach, reach : width - reach]
                    moved = g[reach + y : height - reach + y, reach + x : width - reach + x]
                    best = max(best, (np.corrcoef(inner.ravel(), moved.ravel())[0, 1], label))
        found.append(best[1])
    assert competitors.shifted_nearest(gallery, labels, probes, reach=reach).tolist() == found
    if reach == 0:
        assert recognize("nearest", gallery, labels, probes).tolist() == found


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -1), (-1, 1), (2, -2)])
def test_a_shift_within_reach_does_no_harm(dy, dx):
    labels = torch.arange(10)
    scene = torch.rand((10, 1, 20, 20), generator=torch.Generator().manual_seed(0))
    gallery, probes = scene[..., 4:16, 4:16], scene[..., 4 + dy : 16 + dy, 4 + dx : 16 + dx]
    assert metrics.recognition_rate(competitors.nearest(gallery, labels, probes), labels) < 0.5
    assert torch.equal(competitors.shifted_nearest(gallery, labels, probes, reach=2), labels)
    within = max(abs(dy), abs(dx)) <= 1
    assert torch.equal(competitors.shifted_nearest(gallery, labels, probes), labels) == within


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("variance", [0.5, 0.98, 1.0])
def test_pca_against_the_eigenvectors_of_the_covariance(variance, whiten):
    gallery, labels, probes, _ = hard()
    x, mean = rows(gallery), rows(gallery).mean(0)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = next((k for k in range(1, len(x)) if values[:k].sum() > variance * values.sum()), len(x) - 1)
    assert 1 < count < len(x)  # the gallery has no variance in another direction
    space = vectors[:, :count] / (np.sqrt(values[:count]) if whiten else 1)
    expected = by_cosine((x - mean) @ space, labels, (rows(probes) - mean) @ space)
    assert competitors.pca(gallery, labels, probes, variance=variance, whiten=whiten).tolist() == expected


def scatter(x, labels):
    """Scatter within and between people."""
    within, between = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1],) * 2)
    for label in np.unique(labels):
        mine = x[labels == label]
        d = mine.mean(0) - x.mean(0)
        within += (mine - mine.mean(0)).T @ (mine - mine.mean(0))
        between += len(mine) * np.outer(d, d)
    return within, between


@pytest.mark.parametrize(("variance", "count"), [(0.5, 4), (1.0, 8), (0.98, 8)])
def test_lda_against_the_generalized_eigenproblem(variance, count):
    gallery, labels, probes, _ = hard()
    x, mean = rows(gallery), rows(gallery).mean(0)
    _, strength, components = np.linalg.svd(x - mean, full_matrices=False)
    kept = int((np.cumsum(strength**2) / (strength**2).sum() <= variance - 1e-9).sum()) + 1
    assert min(kept, len(x) - 4) == count
    components = components[:count].T
    y = (x - mean) @ components
    within, between = scatter(y, labels.numpy())
    directions = scipy.linalg.eigh(between, within)[1][:, -3:]  # of within-scatter 1
    expected = by_cosine(y @ directions, labels, (rows(probes) - mean) @ components @ directions)
    assert competitors.lda(gallery, labels, probes, variance=variance).tolist() == expected
    if variance == 0.98:
        assert recognize("lda", gallery, labels, probes).tolist() == expected


def primal(gallery, labels, alpha):
    """Weights (D, people) of the regression with as many unknowns as pixels, the mean face, and a."""
    x = unit(gallery)
    mean = x.mean(0)
    target = (labels[:, None] == labels.unique()).double().numpy()
    a = alpha * np.trace((x - mean) @ (x - mean).T) / len(x)
    normal = (x - mean).T @ (x - mean) + a * np.eye(x.shape[1])
    return np.linalg.solve(normal, (x - mean).T @ target), mean, target.mean(0), a


@pytest.mark.parametrize("contrast", [1, 0.1])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 10.0])
def test_ridge_against_the_normal_equations(alpha, contrast):
    gallery, labels, probes, _ = hard()
    face = gallery.mean(0)
    gallery, probes = face + contrast * (gallery - face), face + contrast * (probes - face)
    weights, mean, offset, _ = primal(gallery, labels, alpha)
    expected = labels.unique()[((unit(probes) - mean) @ weights + offset).argmax(1)]
    found = competitors.ridge(gallery, labels, probes, alpha=alpha)
    assert found.tolist() == expected.tolist()
    if alpha == 0.1:
        assert torch.equal(recognize("ridge", gallery, labels, probes), found)
        assert not torch.equal(competitors.ridge(gallery, labels, probes, alpha=10.0), found)


def test_ridge_spans_the_discriminant_space_of_lda_with_shrinkage():
    gallery, labels, _, _ = hard()
    weights, _, _, a = primal(gallery, labels, 0.1)
    within, between = scatter(unit(gallery), labels.numpy())
    directions = scipy.linalg.eigh(between, within + a * np.eye(len(within)))[1][:, -3:]
    assert np.linalg.matrix_rank(weights, tol=1e-8) == 3
    assert scipy.linalg.subspace_angles(scipy.linalg.orth(weights, rcond=1e-8), directions).max() < 1e-5


def chi_square(a, b):
    return sum((x - y) ** 2 / (x + y) for x, y in zip(a.tolist(), b.tolist(), strict=True) if x + y > 0)


def test_chi_square_by_hand_and_against_a_loop():
    gallery = torch.tensor([[4.0, 0.0, 0.0], [0.0, 2.0, 2.0], [2.0, 2.0, 0.0]])
    probe = torch.tensor([[3.0, 1.0, 0.0]])
    assert [chi_square(g, probe[0]) for g in gallery] == pytest.approx([1 / 7 + 1, 3 + 1 / 3 + 2, 1 / 5 + 1 / 3])
    assert nearest_by_chi_square(gallery, probe).tolist() == [2]
    gallery, labels, probes, _ = hard()
    known, asked = lbp_histograms(gallery, cell=5), lbp_histograms(probes, cell=5)
    nearest = [int(np.argmin([chi_square(p, g) for g in known])) for p in asked]
    assert nearest_by_chi_square(known, asked).tolist() == nearest
    assert competitors.lbp(gallery, labels, probes, cell=5).tolist() == labels[nearest].tolist()
    default = competitors.lbp(gallery, labels, probes, cell=10)
    assert recognize("lbp", gallery, labels, probes).tolist() == default.tolist() != labels[nearest].tolist()


def test_shares_of_uniform_patterns_against_plain_interpolation():
    x = (255 * torch.rand((1, 1, 21, 16), generator=torch.Generator().manual_seed(3))).round() / 255
    gray = (255 * x[0, 0]).round().double().numpy()
    angle = 2 * np.pi * np.arange(8) / 8
    y0, x0 = np.mgrid[:21, :16]
    points = [
        map_coordinates(
            gray, [y0 + round(-2 * math.sin(t), 5), x0 + round(2 * math.cos(t), 5)], order=1, mode="nearest"
        )
        for t in angle
    ]
    bits = np.stack(points) >= gray
    changes = (bits != np.roll(bits, 1, 0)).sum(0)
    histograms = lbp_histograms(x, cell=8).view(3, 2, 59)  # 21 rows in cells of 7, 16 columns in cells of 8
    for r in range(3):
        for c in range(2):
            cell = np.s_[7 * r : 7 * r + 7, 8 * c : 8 * c + 8]
            assert histograms[r, c, 58] == pytest.approx((changes[cell] > 2).mean())
            assert histograms[r, c, 57] == pytest.approx(bits[:, *cell].all(0).mean())
            assert histograms[r, c, 0] == pytest.approx((~bits[:, *cell]).all(0).mean())
            assert histograms[r, c].sum() == pytest.approx(1)


def test_histograms_of_sizes_colors_and_flat_pictures():
    flat = torch.full((2, 3, 9, 25), 0.4)
    assert lbp_histograms(flat).shape == (2, 3 * 1 * 2 * 59)
    expected = torch.zeros(6, 59)
    expected[:, 57] = 1  # every point as bright as the pixel
    assert torch.equal(lbp_histograms(flat)[1].view(6, 59), expected)
    assert lbp_histograms(flat[..., :1, :1]).shape == (2, 3 * 59)  # one pixel is one cell
    colors = torch.rand((2, 3, 12, 12), generator=torch.Generator().manual_seed(0))
    each = [lbp_histograms(colors[:, c : c + 1], cell=6) for c in range(3)]
    assert torch.equal(lbp_histograms(colors, cell=6), torch.cat(each, 1))


def test_noise_of_rounding_makes_no_patterns():
    x = pictures(LABELS, seed=0, noise=0.1)
    x[..., :8] = 0.4  # a flat half
    x = (255 * x).round() / 255
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    assert torch.equal(lbp_histograms((x + 1e-4 * noise).clamp(0, 1)), lbp_histograms(x))


def test_histograms_at_another_radius_are_scikit_images() -> None:
    from skimage.feature import local_binary_pattern

    x = torch.rand((1, 1, 16, 16), generator=torch.Generator().manual_seed(1))
    gray = np.pad((x[0, 0] * 255).round().byte().numpy(), 3, mode="edge")
    pattern = local_binary_pattern(gray, 8, 3, "nri_uniform")[3:-3, 3:-3].astype(int)
    expected = np.bincount(pattern.ravel(), minlength=59) / 256
    np.testing.assert_allclose(lbp_histograms(x, cell=16, radius=3)[0].numpy(), expected, atol=1e-7)
    assert not torch.equal(lbp_histograms(x, cell=16, radius=3), lbp_histograms(x, cell=16))


def test_kernel_ridge_solves_its_equations() -> None:
    """The largest value of f by the formula, one pair of pictures after the other; identities have gaps."""
    generator = torch.Generator().manual_seed(2)
    x = torch.rand((9, 1, 20, 20), generator=generator)
    gallery, labels, probes = x[:6], torch.tensor([3, 9, 3, 9, 4, 4]), x[6:]
    options = {"cell": 10, "gamma": 3.0, "alpha": 0.2}

    def h(picture: torch.Tensor) -> np.ndarray:
        parts = [lbp_histograms(picture[None], cell=10, radius=radius)[0].double().numpy() ** 0.5 for radius in (2, 3)]
        joined = np.concatenate(parts)
        return joined / np.linalg.norm(joined)

    known = [h(picture) for picture in (*gallery, *gallery.flip(-1))]
    kernel = np.array([[np.exp(-3.0 * ((a - b) ** 2).sum()) for b in known] for a in known])
    expected, by_hand = [], []
    for probe in probes:
        row = np.array([np.exp(-3.0 * ((h(probe) - b) ** 2).sum()) for b in known])
        values = {}
        for person in (3, 4, 9):
            y = np.array([1.0 if label == person else -1.0 for label in labels.tolist() * 2])
            values[person] = row @ np.linalg.solve(kernel + 0.2 * np.eye(12), y)
        expected.append(max(values, key=lambda person: values[person]))
        by_hand.append(list(values.values()))
    values = competitors.kernel_ridge_values(gallery, labels, probes, **options)
    np.testing.assert_allclose(values.numpy(), by_hand, atol=1e-6)  # histograms are in float32
    assert competitors.kernel_ridge_values(gallery, labels, probes[:0]).shape == (0, 3)
    found = competitors.kernel_ridge(gallery, labels, probes, **options)
    assert found.tolist() == expected
    mirrored = competitors.kernel_ridge(gallery, labels, gallery.flip(-1), **options)
    assert torch.equal(mirrored, labels)
    for wrong in ({"gamma": 0.0}, {"alpha": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            competitors.kernel_ridge(gallery, labels, probes, **wrong)


def test_lbp_keeps_its_answer_when_the_light_gets_weaker():
    gallery = (200 * pictures(LABELS, seed=1, noise=0.05)).round() / 255
    assert torch.equal(lbp_histograms(gallery), lbp_histograms(gallery + 50 / 255))
    weak = enhance.gamma(gallery, 0.8)
    assert torch.equal(competitors.lbp(gallery, LABELS, weak), LABELS)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_a_probe_is_named_alone(method, seed):
    gallery, labels, probes, people = hard(seed)
    some = probes[:8]
    found = recognize(method, gallery, labels, some)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(recognize(method, gallery, labels, some[order]), found[order])
    assert recognize(method, gallery, labels, some[3:4]).tolist() == found[3:4].tolist()
    assert set(found.tolist()) <= set(people.tolist())


@pytest.mark.parametrize("method", METHODS)
def test_the_names_of_people_do_not_matter(method):
    gallery, labels, probes, _ = hard()
    found = recognize(method, gallery, labels, probes)
    renamed = recognize(method, gallery, labels.int() - 100, probes)
    assert renamed.dtype == torch.int64
    assert torch.equal(renamed, found - 100)


@pytest.mark.parametrize("method", METHODS)
def test_few_pictures(method):
    gallery, labels, probes, people = hard()
    assert recognize(method, gallery, labels, probes[:0]).shape == (0,)
    assert recognize(method, gallery, labels, probes[:0]).dtype == torch.int64
    pair = torch.tensor([0, 1, 3, 4])  # two people, two pictures each
    assert set(recognize(method, gallery[pair], labels[pair], probes).tolist()) <= {4, 9}
    single = torch.tensor([0, 3, 5, 9])
    if method == "lda":
        with pytest.raises(
            ValueError, match=r"two pictures or more of someone, got 4 pictures and 4 identities: .*'ridge'"
        ):
            recognize(method, gallery[single], labels[single], probes)
        with pytest.raises(ValueError, match=r"two people or more.*got 3 pictures and 1 identities"):
            recognize(method, gallery[:3], labels[:3], probes)
        return
    clean = pictures(people, seed=5, noise=0.02, light=0)
    found = recognize(method, pictures(labels[single], seed=6, noise=0.02, light=0), labels[single], clean)
    assert torch.equal(found, people)
    assert recognize(method, gallery[:2], labels[:2], probes[:3]).tolist() == [4, 4, 4]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("pca", "lda")])
def test_pictures_without_contrast(method):
    flat = torch.full((3, 1, *SHAPE), 0.7)
    assert recognize(method, flat, torch.tensor([5, 6, 7]), flat).tolist() == [5, 5, 5]


@pytest.mark.parametrize("method", ["nearest", "shifted nearest"])
def test_rounding_in_a_flat_picture_is_no_pattern(method):
    gray = torch.tensor([0.1, 0.3, 0.7, 0.9]).view(4, 1, 1, 1).expand(4, 1, 27, 37)
    gallery = torch.rand((20, 1, 27, 37), generator=torch.Generator().manual_seed(0))
    assert recognize(method, gallery, torch.arange(20), gray).tolist() == [0, 0, 0, 0]


GALLERY, PROBES = pictures(LABELS, seed=0, noise=0.1), pictures(LABELS[:2], seed=1, noise=0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((255 * GALLERY).byte(), LABELS, PROBES), TypeError, "gallery: .*got torch.uint8"),
        ((GALLERY, LABELS, 255 * PROBES), ValueError, r"probes: expected values in \[0, 1\]"),
        ((GALLERY * math.nan, LABELS, PROBES), ValueError, "gallery: contains NaN"),
        ((GALLERY, LABELS.float(), PROBES), TypeError, "labels: expected integer identities, got torch.float32"),
        ((GALLERY, LABELS[1:], PROBES), ValueError, r"got \(12, 1, 14, 16\), \(11,\), \(2, 1, 14, 16\)"),
        ((GALLERY, LABELS, PROBES[..., 1:]), ValueError, r"got .*\(2, 1, 14, 15\)"),
        ((GALLERY[:, 0], LABELS, PROBES[:, 0]), ValueError, r"expected gallery \(G, C, H, W\)"),
        ((GALLERY[:0], LABELS[:0], PROBES), ValueError, "G > 0"),
    ],
)
def test_bad_pictures(method, arguments, error, message):
    with pytest.raises(error, match=message):
        recognize(method, *arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda *a: recognize("svm", *a), "method: expected one of 'nearest', 'shifted nearest', .*got 'svm'"),
        (lambda *a: competitors.shifted_nearest(*a, reach=7), "reach: expected 0 to 6 for pictures of 14x16, got 7"),
        (lambda *a: competitors.shifted_nearest(*a, reach=-1), "reach: expected 0 to 6"),
        (lambda *a: competitors.pca(*a, variance=1.1), r"variance: expected a share in \(0, 1\], got 1.1"),
        (lambda *a: competitors.lda(*a, variance=0.0), r"variance: expected a share in \(0, 1\], got 0.0"),
        (lambda g, y, p: competitors.lda(g[:1].expand_as(g), y, p), "gallery: all pictures are equal"),
        (lambda g, y, p: competitors.pca(g[:1].expand_as(g), y, p), "gallery: all pictures are equal"),
        (lambda *a: competitors.ridge(*a, alpha=0.0), "alpha: expected a positive finite number, got 0.0"),
        (lambda g, y, p: lbp_histograms(g[0]), r"expected x \(N, C, H, W\), .*got \(1, 14, 16\)"),
        (lambda *a: competitors.lbp(*a, cell=0), r"cell >= 1 .*got \(12, 1, 14, 16\), 0 and 2"),
        (lambda g, y, p: lbp_histograms(g, radius=0), r"radius >= 1 pixel; got \(12, 1, 14, 16\), 10 and 0"),
    ],
)
def test_bad_settings(call, message):
    with pytest.raises(ValueError, match=message):
        call(GALLERY, LABELS, PROBES)


@pytest.mark.realdata
def test_ridge_after_local_contrast_names_nearly_everyone(yaleb_root):
    """Ten people of Extended Yale B, subset 1 and every ninth other picture known."""
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root, size=(48, 42))
    faces = faces.select(faces.identity < 10)
    x = enhance.local_contrast_normalize(faces.image.float() / 255)
    known = (faces.subset == 1) | (torch.arange(len(faces)) % 9 == 0)
    found = recognize("ridge", x[known], faces.identity[known], x[~known])
    assert metrics.recognition_rate(found, faces.identity[~known]) > 0.98
