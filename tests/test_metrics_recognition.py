"""Nearest neighbors against a plain loop, and what happens to vectors that have no direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facelight.metrics import nearest_neighbor, recognition, recognition_rate


def features(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def slow(gallery, labels, probes, center):
    found = []
    for probe in probes.flatten(1).numpy():
        p = probe - probe.mean() if center else probe
        best = None
        for label, item in zip(labels.tolist(), gallery.flatten(1).numpy(), strict=True):
            g = item - item.mean() if center else item
            cosine = sum(a * b for a, b in zip(p, g, strict=True)) / math.sqrt(sum(p * p) * sum(g * g))
            if best is None or cosine > best[0]:
                best = cosine, label
        found.append(best[1])
    return torch.tensor(found)


@pytest.mark.parametrize("center", [False, True])
def test_against_a_plain_loop_in_any_number_of_parts(center, monkeypatch):
    gallery, probes = features(11, 1, 4, 5), features(23, 1, 4, 5, seed=1)
    labels = torch.arange(11) % 4 + 10
    expected = slow(gallery, labels, probes, center)
    assert len(expected.unique()) > 2
    assert torch.equal(nearest_neighbor(gallery, labels, probes, center=center), expected)
    monkeypatch.setattr(recognition, "_PROBES_AT_ONCE", 5)
    assert torch.equal(nearest_neighbor(gallery, labels, probes, center=center), expected)
    flat = nearest_neighbor(gallery.flatten(1), labels.int(), probes.flatten(1), center=center)
    assert torch.equal(flat, expected.int())
    assert flat.dtype == torch.int32


def test_correlation_against_numpy():
    gallery, probes = features(9, 30), features(9, 30, seed=1)
    expected = np.corrcoef(probes, gallery)[:9, 9:].argmax(1)
    found = nearest_neighbor(gallery, torch.arange(9), probes, center=True)
    np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-5, 5))
def test_light_scales_without_harm_and_centering_takes_a_shift_too(seed, gain, shift):
    gallery = features(6, 20, seed=seed)
    labels = torch.arange(6)
    assert torch.equal(nearest_neighbor(gallery, labels, gain * gallery, center=False), labels)
    assert torch.equal(nearest_neighbor(gallery, labels, gain * gallery + shift, center=True), labels)


def test_centering_decides():
    gallery = torch.tensor([[1.0, 1.0, 0.9], [0.0, 0.1, 0.0]])
    probe = torch.tensor([[0.8, 0.9, 0.8]])  # as bright as the first, of the pattern of the second
    labels = torch.tensor([1, 2])
    assert nearest_neighbor(gallery, labels, probe, center=False).tolist() == [1]
    assert nearest_neighbor(gallery, labels, probe, center=True).tolist() == [2]


def test_a_vector_without_direction_is_like_nothing():
    labels = torch.tensor([5, 6])
    black, gray = torch.zeros(1, 7), torch.full((1, 7), 0.7)
    gallery = torch.stack([-torch.arange(7.0), torch.zeros(7)])
    # Similarity 0 to both: the first. Rounding in 0.7 - mean(0.7) must not be taken for a pattern.
    assert nearest_neighbor(gallery, labels, black, center=False).tolist() == [5]
    assert nearest_neighbor(gallery, labels, gray, center=True).tolist() == [5]
    # The probe is unlike the first; the constant second one, of similarity 0, is nearer.
    assert nearest_neighbor(gallery, labels, torch.arange(7.0)[None], center=False).tolist() == [6]
    assert nearest_neighbor(gallery + 0.1, labels, torch.arange(7.0)[None], center=True).tolist() == [6]


def test_a_constant_item_of_the_gallery_does_not_attract_probes_that_are_like_another():
    ramp = torch.arange(7.0)
    labels = torch.tensor([5, 6])
    for center, constant in ((False, 0.0), (True, 0.3)):
        gallery = torch.stack([ramp, torch.full((7,), constant)])
        assert nearest_neighbor(gallery, labels, ramp[None], center=center).tolist() == [5]


def test_rounding_in_a_centerd_constant_is_no_pattern():
    gallery = features(20, 999, dtype=torch.float32)
    gray = torch.tensor([0.1, 0.3, 0.7, 0.9])[:, None].expand(4, 999)
    assert (gray - gray.mean(1, keepdim=True)).any()  # there is something to be fooled by
    assert nearest_neighbor(gallery, torch.arange(20), gray, center=True).tolist() == [0, 0, 0, 0]


def test_extreme_values_and_half_precision():
    gallery, labels = features(4, 50, dtype=torch.float32), torch.arange(4)
    for scale in (1e-30, 1e30):
        assert torch.equal(nearest_neighbor(gallery, labels, scale * gallery, center=False), labels)
    assert torch.equal(nearest_neighbor(gallery.bfloat16(), labels, gallery.bfloat16(), center=True), labels)
    assert nearest_neighbor(gallery, labels, gallery[:0], center=True).shape == (0,)


def test_a_rate_from_neighbors():
    gallery = features(5, 12)
    labels = torch.tensor([0, 0, 1, 1, 2])
    found = nearest_neighbor(gallery, labels, gallery, center=True)
    assert recognition_rate(found, labels) == 1.0


FOUR = torch.rand(4, 6)
IDS = torch.arange(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nearest_neighbor(FOUR.long(), IDS, FOUR, center=True), TypeError, "gallery: .*got torch.int64"),
        (lambda: nearest_neighbor(FOUR, IDS, FOUR.byte(), center=True), TypeError, "probes: .*got torch.uint8"),
        (lambda: nearest_neighbor(FOUR, FOUR[:, 0], FOUR, center=True), TypeError, "labels: expected integer"),
        (lambda: nearest_neighbor(FOUR * math.nan, IDS, FOUR, center=True), ValueError, "gallery: contains NaN"),
        (lambda: nearest_neighbor(FOUR, IDS, FOUR * math.nan, center=True), ValueError, "probes: contains NaN"),
        (lambda: nearest_neighbor(FOUR, IDS[:3], FOUR, center=True), ValueError, r"got \(4, 6\), \(3,\), \(4, 6\)"),
        (lambda: nearest_neighbor(FOUR, IDS, FOUR[:, :5], center=True), ValueError, r"got .*\(4, 5\)"),
        (lambda: nearest_neighbor(FOUR[:0], IDS[:0], FOUR, center=True), ValueError, "G > 0"),
        (lambda: nearest_neighbor(FOUR[:, :0], IDS, FOUR[:, :0], center=True), ValueError, "at least one value"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
