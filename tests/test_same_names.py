"""What other libraries offer under the names of our enhancers, as the docstrings say: their "Elsewhere"."""

from __future__ import annotations

import cv2
import kornia.enhance as theirs
import numpy as np
import torch
from skimage import data, exposure
from torch import Tensor
from torchvision.transforms import v2

from facelight import enhance

CLIP_LIMIT, GRID = 2.0, (8, 8)


def picture(height: int, width: int) -> Tensor:
    """A piece of the astronaut's photograph at 8-bit levels, (1, 1, H, W)."""
    gray = torch.from_numpy(data.astronaut()).float().mean(-1).round() / 255
    return gray[None, None, :height, 100 : 100 + width]


def levels(x: Tensor) -> np.ndarray:
    return (255 * x[0, 0]).round().byte().numpy()


def gap(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_clahe_is_opencvs_and_kornias_is_another() -> None:
    for size in ((96, 96), (96, 84), (50, 50)):  # the grid divides both axes, one, neither
        x = picture(*size)
        opencv = cv2.createCLAHE(CLIP_LIMIT, GRID).apply(levels(x))
        assert gap(levels(enhance.clahe(x, CLIP_LIMIT, GRID)), opencv) == 0
        assert gap(levels(theirs.equalize_clahe(x, CLIP_LIMIT, GRID)), opencv) > 2


def test_kornias_clahe_has_hardly_a_gradient_at_whole_levels() -> None:
    x = picture(48, 48).requires_grad_()
    (ours,) = torch.autograd.grad(enhance.clahe(x, CLIP_LIMIT, (2, 2)).square().sum(), x)
    y = theirs.equalize_clahe(x, CLIP_LIMIT, (2, 2), slow_and_differentiable=True)
    (others,) = torch.autograd.grad(y.square().sum(), x)
    assert others.norm() < 0.05 * ours.norm()


def test_equalize_is_opencvs_and_kornias_and_torchvisions_are_pillows() -> None:
    x = picture(96, 84).requires_grad_()
    opencv = cv2.equalizeHist(levels(x.detach()))
    assert gap(levels(enhance.equalize(x).detach()), opencv) == 0
    kornias = theirs.equalize(x)
    assert gap(levels(kornias.detach()), opencv) > 2
    torchvisions = v2.functional.equalize(torch.from_numpy(levels(x.detach()))[None])[0].numpy()
    assert gap(torchvisions, levels(kornias.detach())) == 0
    assert torch.autograd.grad(kornias.square().sum(), x)[0].count_nonzero() == 0


def test_scikit_images_equalization_is_the_papers() -> None:
    x = picture(96, 84)
    cumulative = exposure.equalize_hist(levels(x))
    np.testing.assert_allclose(enhance.equalize(x, exact=False)[0, 0], cumulative, atol=1e-5)


def test_kornias_gamma_has_no_gradient_in_black() -> None:
    x = torch.tensor([[[[0.0, 0.25]]]], requires_grad=True)
    torch.testing.assert_close(enhance.gamma(x, 0.5), theirs.adjust_gamma(x, 0.5))
    assert torch.autograd.grad(enhance.gamma(x, 0.5).sum(), x)[0].tolist() == [[[[0.0, 1.0]]]]
    assert torch.autograd.grad(theirs.adjust_gamma(x, 0.5).sum(), x)[0][..., 0].isnan().all()


def test_kornias_logarithm_is_ours_for_epsilon_1() -> None:
    x = picture(8, 8)
    torch.testing.assert_close(enhance.log_stretch(x, 1.0), theirs.adjust_log(x))
