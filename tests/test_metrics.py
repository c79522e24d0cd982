"""Landmark errors, recognition rates and image quality against hand computation and independent versions."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from facelight.metrics import ambe, ced_auc, ced_curve, failure_rate, nme, psnr, psnr_bound, recognition_rate


def points(batch, count, dtype=torch.float64, seed=0):
    return torch.rand((batch, count, 2), dtype=dtype, generator=torch.Generator().manual_seed(seed))


errors_strategy = st.lists(st.floats(0, 0.3), min_size=1, max_size=30)

# nme


def slow_nme(pred, target, lengths):
    out = []
    for p, t, length in zip(pred, target, lengths, strict=True):
        out.append(sum(math.hypot(*(a - b)) for a, b in zip(p, t, strict=True)) / len(p) / length)
    return out


def eyes(t, normalizer):
    if t.shape[1] == 98:
        return (t[:, 60], t[:, 72]) if normalizer == "inter-ocular" else (t[:, 96], t[:, 97])
    if t.shape[1] == 5:
        return t[:, 0], t[:, 1]
    if normalizer == "inter-ocular":
        return t[:, 36], t[:, 45]
    return t[:, 36:42].mean(1), t[:, 42:48].mean(1)


@pytest.mark.parametrize(
    ("count", "normalizer"),
    [*product((68, 98), ("image-size", "inter-ocular", "inter-pupil", "box-diagonal")), (5, "inter-pupil")],
)
def test_nme_against_a_slow_version(count, normalizer):
    pred, target = points(4, count), points(4, count, seed=1)
    boxes = torch.tensor([[0.0, 0.0, 3.0, 4.0]] * 4, dtype=torch.float64)
    t = target.numpy()
    if normalizer == "image-size":
        lengths = [2.0] * 4
    elif normalizer == "box-diagonal":
        lengths = [5.0] * 4
    else:
        left, right = eyes(t, normalizer)
        lengths = np.hypot(*(left - right).T)
    error = nme(pred, target, normalizer=normalizer, image_size=2, boxes=boxes)
    assert error.shape == (4,)
    np.testing.assert_allclose(error, slow_nme(pred.numpy(), t, lengths))
    one_by_one = [
        nme(pred[i : i + 1], target[i : i + 1], normalizer=normalizer, image_size=2, boxes=boxes[i : i + 1])
        for i in range(4)
    ]
    torch.testing.assert_close(error, torch.cat(one_by_one))


def test_nme_by_hand_three_four_five():
    target = torch.zeros(1, 2, 2)
    pred = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    assert nme(pred, target, normalizer="image-size", image_size=10).item() == 0.25


def test_nme_image_size_per_image_and_unit_free():
    pred, target = points(3, 7), points(3, 7, seed=1)
    one = nme(pred, target, normalizer="image-size", image_size=1)
    pixels = nme(224 * pred, 224 * target, normalizer="image-size", image_size=torch.tensor([224.0, 224.0, 448.0]))
    torch.testing.assert_close(pixels, one * torch.tensor([1, 1, 0.5]))


@pytest.mark.parametrize("normalizer", ["inter-ocular", "inter-pupil"])
def test_nme_by_eyes_ignores_scale_and_shift_and_depends_on_the_target_only(normalizer):
    pred, target = points(2, 98), points(2, 98, seed=1)
    error = nme(pred, target, normalizer=normalizer)
    torch.testing.assert_close(nme(7 * pred + 3, 7 * target + 3, normalizer=normalizer), error)
    assert (nme(target, target, normalizer=normalizer) == 0).all()


def test_nme_gradcheck():
    pred, target = points(2, 98), points(2, 98, seed=1)
    assert torch.autograd.gradcheck(lambda p: nme(p, target, normalizer="inter-ocular"), (pred.requires_grad_(),))
    assert nme(pred.float(), target.float(), normalizer="inter-pupil").dtype == torch.float32


FIVE, FOUR = torch.rand(2, 5, 2), torch.rand(2, 4, 2)
SAME_EYES = torch.zeros(2, 98, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nme(FIVE, FIVE, normalizer="eyes"), ValueError, "normalizer: expected one of 'image-size'"),
        (lambda: nme(FIVE, FIVE, normalizer="image-size"), ValueError, r"image_size: .*1 for coordinates in \[0, 1\]"),
        (
            lambda: nme(FIVE, FIVE, normalizer="inter-ocular"),
            ValueError,
            "98, 68 landmarks, got 5: .* or 'inter-pupil'",
        ),
        (
            lambda: nme(FOUR, FOUR, normalizer="inter-pupil"),
            ValueError,
            "98, 68, 5 landmarks, got 4: use 'im.*diagonal'$",
        ),
        (lambda: nme(FIVE, FIVE, normalizer="box-diagonal"), ValueError, r"boxes: expected shape \(2, 4\).*None"),
        (
            lambda: nme(FIVE, FIVE, normalizer="box-diagonal", boxes=torch.tensor([[0.0, 0, 1, 1], [2, 0, 1, 1]])),
            ValueError,
            r"reference length is not positive for samples \[1\]",
        ),
        (
            lambda: nme(SAME_EYES, SAME_EYES, normalizer="inter-ocular"),
            ValueError,
            r"not positive for samples \[0, 1\]",
        ),
        (lambda: nme(FIVE, FIVE, normalizer="image-size", image_size=0), ValueError, "not positive"),
        (
            lambda: nme(FIVE, FIVE, normalizer="image-size", image_size=torch.ones(3)),
            ValueError,
            r"image_size: expected a number or shape \(2,\), got \(3,\)",
        ),
        (lambda: nme(FIVE[0], FIVE[0], normalizer="image-size", image_size=1), ValueError, r"pred: .*pred\[None\]"),
        (lambda: nme(FIVE, FIVE[:1], normalizer="image-size", image_size=1), ValueError, "expected one shape"),
        (lambda: nme(FIVE.long(), FIVE, normalizer="image-size", image_size=1), TypeError, "got torch.int64"),
        (lambda: nme(FIVE * math.nan, FIVE, normalizer="image-size", image_size=1), ValueError, "pred: contains NaN"),
    ],
)
def test_nme_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# failure rate, cumulative error distribution


def test_failure_rate_and_auc_by_hand():
    errors = torch.tensor([0.0, 0.05, 0.10, 0.2, math.inf])
    assert failure_rate(errors) == pytest.approx(2 / 5)  # 0.10 itself is no failure
    assert ced_auc(errors) == pytest.approx((1 + 0.5) / 5)
    assert failure_rate(errors, 0.04) == pytest.approx(4 / 5)
    assert ced_auc(errors, 0.2) == pytest.approx((1 + 0.75 + 0.5) / 5)


@given(errors_strategy, st.floats(0.01, 0.3))
def test_auc_is_the_area_of_the_step_curve(errors, threshold):
    errors = torch.tensor(errors, dtype=torch.float64)
    grid = (np.arange(20_000) + 0.5) / 20_000 * threshold
    share = (errors.numpy()[None, :] <= grid[:, None]).mean(1) if len(errors) < 5 else None
    if share is None:
        ordered, reached = ced_curve(errors)
        index = np.searchsorted(ordered.numpy(), grid, side="right")
        share = np.concatenate([[0.0], reached.numpy()])[index]
    assert ced_auc(errors, threshold) == pytest.approx(share.mean(), abs=1e-4)


@given(errors_strategy)
def test_auc_falls_with_errors_and_is_bounded_by_the_success_rate(errors):
    errors = torch.tensor(errors, dtype=torch.float64)
    assert 0 <= ced_auc(errors) <= 1 - failure_rate(errors) + 1e-12
    assert ced_auc(errors + 0.01) <= ced_auc(errors)
    assert ced_auc(0 * errors) == 1


def test_ced_curve_counts_images_at_or_below_each_error():
    errors = torch.tensor([[0.3, 0.1], [0.2, 0.2]])
    ordered, share = ced_curve(errors)
    torch.testing.assert_close(ordered, torch.tensor([0.1, 0.2, 0.2, 0.3]))
    torch.testing.assert_close(share, torch.tensor([0.25, 0.5, 0.75, 1.0]))


@pytest.mark.parametrize("function", [failure_rate, ced_auc, ced_curve])
@pytest.mark.parametrize(
    ("errors", "error", "message"),
    [
        (torch.tensor([]), ValueError, "errors: expected at least one error"),
        (torch.tensor([-0.1]), ValueError, "errors: expected values >= 0"),
        (torch.tensor([math.nan]), ValueError, "infinity for a missed face"),
        (torch.tensor([1]), TypeError, "errors: expected a floating-point tensor, got torch.int64"),
        ([0.1], TypeError, "errors: expected a floating-point tensor, got list"),
    ],
)
def test_error_statistics_errors(function, errors, error, message):
    with pytest.raises(error, match=message):
        function(errors)


HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


@HALVES
def test_the_shares_of_many_faces_in_half_precision_are_exact(dtype):
    errors = (torch.rand(2500, generator=torch.Generator().manual_seed(0)) * 0.2).to(dtype)
    ordered, share = ced_curve(errors)
    assert ordered.dtype == share.dtype == torch.float32
    assert (share.double() * 2500 - torch.arange(1, 2501)).abs().max() < 1e-3
    assert torch.equal(ordered, errors.float().sort().values)
    assert failure_rate(errors, 0.1) == failure_rate(errors.float(), 0.1)
    assert ced_auc(errors) == ced_auc(errors.double())


@HALVES
@pytest.mark.parametrize("normalizer", ["image-size", "inter-ocular", "inter-pupil", "box-diagonal"])
def test_nme_of_half_precision_is_that_of_the_same_values_in_double(dtype, normalizer):
    pred, target = (4000 * points(6, 98, seed=seed).to(dtype) for seed in (0, 1))  # squares beyond float16
    boxes = torch.cat([target.amin(1), target.amax(1)], 1)
    found = nme(pred, target, normalizer=normalizer, image_size=300, boxes=boxes)
    exact = nme(pred.double(), target.double(), normalizer=normalizer, image_size=300, boxes=boxes.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


@HALVES
@pytest.mark.parametrize("function", [psnr, ambe])
def test_psnr_and_ambe_of_half_precision_are_those_of_the_same_values_in_double(dtype, function):
    x, y = (torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(s)).to(dtype) for s in (0, 1))
    found = function(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), function(x.double(), y.double()), rtol=1e-4, atol=1e-4)


@HALVES
def test_psnr_bound_of_half_precision(dtype):
    value = torch.tensor([4.19, 0.1]).to(dtype)
    torch.testing.assert_close(psnr_bound(value).double(), psnr_bound(value.double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("function", [failure_rate, ced_auc])
def test_threshold_must_be_positive(function):
    with pytest.raises(ValueError, match="threshold: expected a positive"):
        function(torch.ones(2), 0)


# recognition_rate


def test_recognition_rate_from_labels_and_scores():
    target = torch.tensor([0, 1, 2, 1])
    scores = torch.eye(3)[[0, 1, 1, 1]]
    assert recognition_rate(torch.tensor([0, 1, 1, 1]), target) == 0.75
    assert recognition_rate(scores, target) == 0.75
    assert recognition_rate(target, target) == 1.0


@pytest.mark.parametrize(
    ("pred", "target", "error", "message"),
    [
        (torch.zeros(3), torch.zeros(3), TypeError, "target: expected integer identities, got torch.float32"),
        (torch.zeros(3), torch.zeros(2).long(), ValueError, r"got torch.Size\(\[3\]\) and torch.Size\(\[2\]\)"),
        (torch.zeros(0), torch.zeros(0).long(), ValueError, "N > 0"),
        (torch.full((2, 3), math.nan), torch.zeros(2).long(), ValueError, "pred: contains NaN"),
    ],
)
def test_recognition_rate_errors(pred, target, error, message):
    with pytest.raises(error, match=message):
        recognition_rate(pred, target)


# psnr, ambe


def pictures(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_psnr_and_ambe_against_independent_versions():
    x, y = pictures(3, 1, 9, 7), pictures(3, 1, 9, 7, seed=1)
    expected = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(psnr(x, y), expected)
    np.testing.assert_allclose(psnr(255 * x, 255 * y, peak=255), expected)
    means = [255 * abs(a.numpy().mean() - b.numpy().mean()) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ambe(x, y), means)
    np.testing.assert_allclose(ambe(x, y, peak=1), np.array(means) / 255)


def test_psnr_of_identical_images_is_infinite_and_their_ambe_zero():
    x = pictures(2, 3, 4, 4)
    assert (psnr(x, x) == math.inf).all()
    assert (ambe(x, x) == 0).all()
    assert psnr(x[0], x[0]).shape == ()


def test_psnr_gradcheck_and_batch_equals_loop():
    x, y = pictures(2, 1, 4, 4), pictures(2, 1, 4, 4, seed=1)
    torch.testing.assert_close(psnr(x, y), torch.stack([psnr(a, b) for a, b in zip(x, y, strict=True)]))
    torch.testing.assert_close(ambe(x, y), torch.stack([ambe(a, b) for a, b in zip(x, y, strict=True)]))
    assert torch.autograd.gradcheck(lambda y: psnr(x, y), (y.clone().requires_grad_(),))
    assert torch.autograd.gradcheck(lambda y: ambe(x, y), (y.clone().requires_grad_(),))


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_psnr_never_exceeds_its_bound(seed, mix):
    x, y = pictures(1, 1, 4, 5, seed=seed), pictures(1, 1, 4, 5, seed=seed + 1)
    y = (1 - mix) * x + mix * y**2
    assert (psnr(x, y) <= psnr_bound(ambe(x, y)) + 1e-9).all()


def test_the_bound_is_reached_by_a_constant_shift():
    x = 0.5 * pictures(2, 3, 5, 5)
    torch.testing.assert_close(psnr(x, x + 0.2), psnr_bound(ambe(x, x + 0.2)))


def test_bound_of_the_paper_s_mean_brightness_errors():
    values = psnr_bound(torch.tensor([4.19, 4.07, 18.79, 34.42]))
    torch.testing.assert_close(values, torch.tensor([35.7, 35.9, 22.7, 17.4]), atol=0.06, rtol=0)
    assert psnr_bound(0).item() == math.inf
    assert psnr_bound(255).item() == 0


@pytest.mark.parametrize("function", [psnr, ambe])
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (torch.zeros(1, 4, 4), torch.zeros(1, 4, 5), ValueError, "expected one shape"),
        (torch.zeros(1, 4, 4).byte(), torch.zeros(1, 4, 4).byte(), TypeError, "x: .*got torch.uint8"),
        (torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2.0), ValueError, r"y: expected values in \[0, 1\]"),
        (torch.zeros(1, 4, 4), torch.full((1, 4, 4), math.nan), ValueError, "y: contains NaN"),
        (torch.zeros(4, 4), torch.zeros(4, 4), ValueError, r"x: expected shape \(\*, C, H, W\)"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), TypeError, "x: expected a floating-point tensor, got ndarray"),
    ],
)
def test_image_metric_errors(function, x, y, error, message):
    with pytest.raises(error, match=message):
        function(x, y)


def test_values_beyond_the_peak_are_named():
    with pytest.raises(ValueError, match=r"x / 255: expected values in \[0, 1\]"):
        psnr(torch.full((1, 2, 2), 300.0), torch.zeros(1, 2, 2), peak=255)


def test_bound_errors():
    with pytest.raises(ValueError, match="ambe: expected finite values >= 0"):
        psnr_bound(-1.0)
    with pytest.raises(ValueError, match="peak: expected a positive"):
        psnr_bound(1.0, peak=0)


def test_image_size_is_not_taken_for_height_and_width():
    points = torch.rand(2, 5, 2)
    with pytest.raises(ValueError, match="image_size: the normalizer needs it: 1 for coordinates"):
        nme(points, points, normalizer="image-size", image_size=(192, 168))
