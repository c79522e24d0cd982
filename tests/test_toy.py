"""The toy regressor of chapter 2: where it starts, what a factor in the loss does, and what noise leaves."""

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
