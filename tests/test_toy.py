"""The toy regressor of chapter 2: where it starts, what a factor in the loss does, and what noise leaves."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelight_lab.landmarks import toy


def test_the_mean_face_lies_in_the_middle_with_its_margin():
    shape = toy.unit_shape(margin=1.25)
    assert (shape.amax(0) + shape.amin(0)).tolist() == pytest.approx([1, 1])
    assert (shape.amax(0) - shape.amin(0)).max().item() == pytest.approx(1 / 1.25)


def test_without_features_landmarks_are_the_mean_face_and_laplace_noise():
    generator = torch.Generator().manual_seed(0)
    _, landmarks = toy.faces(2000, torch.zeros(32, 196, dtype=torch.float64), generator)
    assert (landmarks - toy.unit_shape()).abs().mean().item() == pytest.approx(0.008, rel=0.01)


def test_a_loss_without_slope_leaves_landmarks_in_the_center():
    (first, last) = toy.train(lambda p, t: 0 * F.l1_loss(p, t), 0, steps=20)
    assert first == last
    assert first == pytest.approx((toy.unit_shape() - 0.5).norm(dim=1).mean().item(), rel=0.02)


def test_a_factor_in_the_loss_is_a_factor_in_the_rate():
    doubled = toy.train(lambda p, t: 2 * F.mse_loss(p, t), 1, steps=40)
    assert doubled == pytest.approx(toy.train(F.mse_loss, 1, steps=40, rate=1.0))
    assert doubled[-1] < doubled[0]


def test_a_quadratic_loss_pulls_at_large_errors():
    errors = torch.tensor([[[1.0, -1.0], [1.0, 2.0], [3.0, -4.0]]])
    mean, share = toy.pull(F.mse_loss, errors)
    assert mean == pytest.approx(2 * 12 / 6)
    assert share == 0  # the median, 1, is not below itself
    errors[0, 0] = torch.tensor([0.5, -0.25])
    assert toy.pull(F.mse_loss, errors)[1] == pytest.approx(0.75 / 10.75)


def test_a_summary_tells_the_end_and_the_distance():
    curves = np.array([[8.0, 4.0, 2.0, 1.0, 1.0], [8.0, 4.0, 2.0, 1.0, 3.0]]) / 100
    reference = curves * [[2, 1, 1, 1, 1], [2, 1, 1, 0.5, 1]]
    found = toy.summary(curves, reference)
    assert found == {"half-way": 2.0, "at the end": 2.0, "sd of seeds": 1.414, "largest distance": "100.0%"}
