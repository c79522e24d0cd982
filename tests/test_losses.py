"""Wing, Rectified Wing and Adaptive Wing against slow NumPy versions, calculus and autograd."""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from facelight.losses import (
    AdaptiveWingLoss,
    RectifiedWingLoss,
    WingLoss,
    adaptive_wing_loss,
    large_margin_cosine_loss,
    rectified_wing_loss,
    wing_loss,
)


def slow_rectified_wing(pred, target, r, w, e):
    out = []
    for p, t in zip(np.ravel(pred), np.ravel(target), strict=True):
        d = abs(p - t)
        if d < r:
            out.append(0.0)
        elif d < w:
            out.append(w * math.log(1 + (d - r) / e))
        else:
            out.append(d - (w - w * math.log(1 + (w - r) / e)))
    return np.reshape(out, np.shape(pred))


def slow_adaptive_wing(pred, target, omega, theta, e, alpha):
    out = []
    for p, y in zip(np.ravel(pred), np.ravel(target), strict=True):
        d, n = abs(y - p), alpha - y
        a = omega * (1 / (1 + (theta / e) ** n)) * n * (theta / e) ** (n - 1) / e
        c = theta * a - omega * math.log(1 + (theta / e) ** n)
        out.append(omega * math.log(1 + (d / e) ** n) if d < theta else a * d - c)
    return np.reshape(out, np.shape(pred))


def pair(scale, shape=(4, 5, 2)):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.rand(shape, dtype=torch.float64, generator=generator)  # noqa: E731
    return scale * (draw() - 0.5), draw()


def slope(function, d, **constants):
    """Derivative of the loss at the error d, by autograd."""
    x = torch.tensor([d], dtype=torch.float64, requires_grad=True)
    target = constants.pop("target", 0.0)
    function(x + target, torch.full_like(x, target), **constants, reduction="sum").backward()
    return x.grad.item()


CASES = [
    (wing_loss, {"width": 10.0, "curvature": 2.0}, lambda p, t: slow_rectified_wing(p, t, 0, 10.0, 2.0)),
    (wing_loss, {"width": 0.3, "curvature": 0.05}, lambda p, t: slow_rectified_wing(p, t, 0, 0.3, 0.05)),
    (
        rectified_wing_loss,
        {"inner": 3.0, "width": 9.0, "curvature": 0.5},  # inner > curvature: the logarithm must not see 1 - 6
        lambda p, t: slow_rectified_wing(p, t, 3.0, 9.0, 0.5),
    ),
    (
        adaptive_wing_loss,
        {"omega": 14.0, "theta": 0.5, "epsilon": 1.0, "alpha": 2.1},
        lambda p, t: slow_adaptive_wing(p, t, 14.0, 0.5, 1.0, 2.1),
    ),
    (
        adaptive_wing_loss,
        {"omega": 3.0, "theta": 0.2, "epsilon": 0.4, "alpha": 2.5},
        lambda p, t: slow_adaptive_wing(p, t, 3.0, 0.2, 0.4, 2.5),
    ),
]


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 60.0])
def test_against_a_slow_version(function, constants, slow, scale):
    pred, target = pair(scale)
    expected = slow(pred.numpy(), target.numpy())
    before = pred.clone(), target.clone()
    each = function(pred, target, **constants, reduction="none")
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert function(pred, target, **constants).item() == pytest.approx(expected.mean())
    assert function(pred, target, **constants, reduction="sum").item() == pytest.approx(expected.sum())
    assert torch.equal(pred, before[0])  # nothing in place
    assert torch.equal(target, before[1])
    assert each.shape == pred.shape
    assert function(pred.float(), target.float(), **constants).dtype == torch.float32


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
def test_modules_are_the_functions(function, constants, slow):
    module = {wing_loss: WingLoss, rectified_wing_loss: RectifiedWingLoss, adaptive_wing_loss: AdaptiveWingLoss}
    loss = module[function](**constants, reduction="sum")
    pred, target = pair(1.0)
    assert torch.equal(loss(pred, target), function(pred, target, **constants, reduction="sum"))
    assert all(f"{name}={value}" in repr(loss) for name, value in constants.items())


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
def test_batch_equals_loop(function, constants, slow):
    pred, target = pair(5.0)
    one_by_one = torch.stack([function(p, t, **constants) for p, t in zip(pred, target, strict=True)])
    torch.testing.assert_close(function(pred, target, **constants), one_by_one.mean())


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
@pytest.mark.parametrize("scale", [0.5, 50.0])
def test_gradcheck(function, constants, slow, scale):
    pred, target = pair(scale, (3, 4))
    run = lambda p: function(p, target, **constants)  # noqa: E731
    assert torch.autograd.gradcheck(run, (pred.requires_grad_(),))


def test_gradients_also_flow_to_the_target():
    pred, target = pair(1.0)
    target.requires_grad_()
    adaptive_wing_loss(pred, target).backward()
    assert target.grad.isfinite().all()


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
@pytest.mark.parametrize("y", [0.0, 0.5, 1.0])
def test_zero_error_costs_nothing_and_has_gradient_zero(function, constants, slow, y):
    x = torch.tensor([y], requires_grad=True)
    loss = function(x, torch.tensor([y]), **constants)
    loss.backward()
    assert loss.item() == 0
    assert x.grad.item() == 0


@pytest.mark.parametrize(("function", "constants", "slow"), CASES)
def test_gradient_is_finite_everywhere(function, constants, slow):
    d = torch.cat([torch.linspace(-20, 20, 2001), torch.tensor([1e-30, -1e-30, 1e-8, 1e6])])
    for y in (0.0, 0.3, 1.0):
        x = (d + y).requires_grad_()
        function(x, torch.full_like(x, y), **constants, reduction="sum").backward()
        assert x.grad.isfinite().all()


@given(st.floats(-40, 40), st.floats(-1, 1))
def test_wing_is_even_in_the_error(d, target):
    """Taken literally, the printed `d < w` would keep every negative error in the logarithm."""
    zero = torch.zeros(1, dtype=torch.float64)
    plus, minus = wing_loss(zero + d, zero), wing_loss(zero - d, zero)
    assert plus.item() == minus.item()
    assert plus.item() == pytest.approx(wing_loss(zero + d + target, zero + target).item(), abs=1e-9)


@given(st.floats(0.1, 20), st.floats(0.05, 5), st.floats(0, 0.9))
def test_rectified_wing_is_continuous_with_the_documented_slopes(width, curvature, share):
    inner, step = share * width, 1e-9 * width
    constants = {"inner": inner, "width": width, "curvature": curvature}
    value = lambda d: rectified_wing_loss(  # noqa: E731
        torch.tensor([d], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), **constants
    ).item()
    scale = 1 + width / curvature
    assert value(width + step) == pytest.approx(value(width - step), abs=1e-7 * scale)
    if inner > 0:
        assert value(inner * (1 - 1e-9)) == 0
        assert slope(rectified_wing_loss, inner * 0.99, **constants) == 0
    assert slope(rectified_wing_loss, inner + step, **constants) == pytest.approx(width / curvature, rel=1e-4)
    before_width = width / (curvature + width - inner)
    assert slope(rectified_wing_loss, width - step, **constants) == pytest.approx(before_width, rel=1e-4)
    assert slope(rectified_wing_loss, width + step, **constants) == 1


def test_rectified_wing_with_inner_zero_is_wing():
    pred, target = pair(40.0)
    assert torch.equal(
        rectified_wing_loss(pred, target, 0.0, 8.0, 3.0, "none"), wing_loss(pred, target, 8.0, 3.0, "none")
    )


def test_wing_in_unit_coordinates_is_five_times_l1_within_two_and_a_half_percent():
    d = torch.linspace(1e-3, 0.1, 100, dtype=torch.float64)
    ratio = wing_loss(d, torch.zeros_like(d), reduction="none") / (5 * d)
    assert 0.975 < ratio.min() < ratio.max() < 1


def test_wing_scales_with_its_unit():
    pred, target = pair(30.0)
    pixels = wing_loss(pred, target, 10, 2)
    torch.testing.assert_close(224 * wing_loss(pred / 224, target / 224, 10 / 224, 2 / 224), pixels)


def test_wing_far_away_is_l1_minus_a_constant():
    d = torch.tensor([50.0, 100.0], dtype=torch.float64)
    constant = 10 - 10 * math.log(6)
    torch.testing.assert_close(wing_loss(d, 0 * d, reduction="none"), d - constant)
    torch.testing.assert_close(F.l1_loss(d, 0 * d) - wing_loss(d, 0 * d), torch.tensor(constant).double())


def test_adaptive_wing_constants_by_calculus():
    """A is the slope of the curved branch at theta, C what makes the values meet, as SymPy derives them."""
    d, omega, theta, e, p = sympy.symbols("d omega theta epsilon p", positive=True)
    curved = omega * sympy.log(1 + (d / e) ** p)
    a = sympy.diff(curved, d).subs(d, theta)
    c = theta * a - curved.subs(d, theta)
    q = (theta / e) ** p
    assert sympy.simplify(a - omega * p * q / (theta * (1 + q))) == 0
    numbers = {omega: 14.0, theta: 0.5, e: 1.0, p: 2.1 - 0.7}
    expected = float(a.subs(numbers)) * 0.8 - float(c.subs(numbers))
    ours = adaptive_wing_loss(torch.tensor([1.5]).double(), torch.tensor([0.7]).double())
    assert ours.item() == pytest.approx(expected)


@given(st.floats(0, 1), st.floats(0.05, 1), st.floats(0.3, 2))
def test_adaptive_wing_has_continuous_value_and_slope(y, theta, epsilon):
    constants = {"theta": theta, "epsilon": epsilon}
    target = torch.tensor([y], dtype=torch.float64)
    below, above = theta * (1 - 1e-7), theta * (1 + 1e-7)
    values = [adaptive_wing_loss(target + d, target, **constants).item() for d in (below, above)]
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    slopes = [slope(adaptive_wing_loss, d, target=y, **constants) for d in (below, above)]
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-5)


def test_adaptive_wing_weighs_the_foreground_more():
    """Near the true value a pixel of the peak (y = 1) pulls much harder than one of the background (y = 0)."""
    assert slope(adaptive_wing_loss, 0.05, target=1.0) > 10 * slope(adaptive_wing_loss, 0.05, target=0.0)


@pytest.mark.parametrize("module", [WingLoss(), RectifiedWingLoss(), AdaptiveWingLoss()])
def test_compiles_in_one_graph(module):
    pred, target = pair(1.0)
    torch.testing.assert_close(
        torch.compile(module, backend="aot_eager", fullgraph=True)(pred, target), module(pred, target)
    )


POINTS = torch.zeros(2, 5, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wing_loss(POINTS, POINTS[:1]), ValueError, r"\(2, 5, 2\) and \(1, 5, 2\).*broadcasting"),
        (
            lambda: wing_loss(POINTS.long(), POINTS),
            TypeError,
            "pred: expected a floating-point tensor, got torch.int64",
        ),
        (lambda: wing_loss(POINTS, None), TypeError, "target: expected a floating-point tensor, got NoneType"),
        (lambda: wing_loss(POINTS, POINTS, width=0), ValueError, "width: expected a positive"),
        (lambda: wing_loss(POINTS, POINTS, curvature=-2), ValueError, "curvature: expected a positive"),
        (lambda: wing_loss(POINTS, POINTS, reduction="avg"), ValueError, "reduction: expected one of 'mean', 'sum'"),
        (lambda: rectified_wing_loss(POINTS, POINTS, inner=10), ValueError, "0 <= inner < width, got inner=10"),
        (lambda: rectified_wing_loss(POINTS, POINTS, inner=-1), ValueError, "0 <= inner < width, got inner=-1"),
        (lambda: adaptive_wing_loss(POINTS, POINTS + 2), ValueError, r"target: expected values in \[0, 1\]"),
        (lambda: adaptive_wing_loss(POINTS, POINTS, alpha=1.5), ValueError, "alpha: expected at least 2"),
        (lambda: adaptive_wing_loss(POINTS, POINTS, theta=0), ValueError, "theta: expected a positive"),
        (lambda: adaptive_wing_loss(POINTS, POINTS * float("nan")), ValueError, "target: contains NaN"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# large margin cosine


def test_large_margin_cosine_against_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    cosines = 2 * torch.rand((5, 4), generator=generator, dtype=torch.float64) - 1
    target = torch.tensor([0, 3, 1, 1, 2])
    total = 0.0
    for row, t in zip(cosines.tolist(), target.tolist(), strict=True):
        powers = [math.exp(12 * (c - (0.35 if k == t else 0))) for k, c in enumerate(row)]
        total -= math.log(powers[t] / sum(powers))
    found = large_margin_cosine_loss(cosines, target, margin=0.35, scale=12)
    assert found.item() == pytest.approx(total / 5, rel=1e-12)
    plain = F.cross_entropy(12 * cosines, target, label_smoothing=0.1)
    torch.testing.assert_close(
        large_margin_cosine_loss(cosines, target, margin=0, scale=12, label_smoothing=0.1), plain
    )


@pytest.mark.parametrize(
    ("cosines", "target", "options", "error", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3).long(), {}, ValueError, r"got \(2, 3\) and \(3,\)"),
        (torch.zeros(2, 3).long(), torch.zeros(2).long(), {}, TypeError, "cosines"),
        (torch.zeros(2, 3), torch.zeros(2).long(), {"scale": 0.0}, ValueError, "scale"),
        (
            torch.zeros(2, 3),
            torch.zeros(2).long(),
            {"margin": -0.1},
            ValueError,
            "margin: expected a number",
        ),
    ],
)
def test_large_margin_cosine_refuses(cosines, target, options, error, message):
    with pytest.raises(error, match=message):
        large_margin_cosine_loss(cosines, target, **options)
