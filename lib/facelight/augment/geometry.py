"""Moves of training faces, image and landmarks together: mirror, turn, scale and shift by one warp of Kornia."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facelight import _check
from facelight.data.landmarks import FLIP_5, FLIP_68, FLIP_98

__all__ = ["Augmentation", "augment_faces", "mirror"]

_FLIPS = {5: FLIP_5, 68: FLIP_68, 98: FLIP_98}


@dataclass(frozen=True)
class Augmentation:
    """How far training faces are moved; zeros leave them as they are.

    Args:
        flip: share of faces that are mirrored left to right.
        rotation: largest angle, degrees; uniform in [-rotation, rotation], about the center of the crop.
        scale: largest relative change of size, < 1; the factor is uniform in [1 - scale, 1 + scale].
        shift: largest shift to each side, a fraction of the crop's side; uniform.
    """

    flip: float = 0.5
    rotation: float = 15.0
    scale: float = 0.1
    shift: float = 0.04

    def __post_init__(self) -> None:
        for name, top in (("flip", 1.0), ("rotation", 180.0), ("scale", 0.99), ("shift", 1.0)):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name}: expected a number in [0, {top:g}], got {getattr(self, name)}")


def mirror(landmarks: Tensor) -> Tensor:
    """Landmarks of the mirrored picture, in their own order: x becomes 1 - x, left and right points change places.

    Args:
        landmarks: (B, K, 2), coordinates in [0, 1], K = 68 (300-W), 98 (WFLW) or 5 (`net7876`).

    Returns:
        (B, K, 2).

    Raises:
        ValueError: for another K.
    """
    if landmarks.ndim != 3 or landmarks.shape[1] not in _FLIPS or landmarks.shape[2] != 2:
        raise ValueError(f"landmarks: expected shape (B, 5, 2), (B, 68, 2) or (B, 98, 2), got {tuple(landmarks.shape)}")
    swapped = landmarks[:, torch.tensor(_FLIPS[landmarks.shape[1]], device=landmarks.device)]
    return torch.stack([1 - swapped[..., 0], swapped[..., 1]], dim=-1)


@torch.no_grad()
def augment_faces(x: Tensor, landmarks: Tensor, how: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror, turn, scale and shift each image and its landmarks by an amount of its own.

    One bilinear warp; beyond the border its pixels are repeated. Five numbers are drawn per image whatever `how` says,
    from the generator only, so that equal generators give equal changes and the global random state is left alone.

    Args:
        x: images (B, C, H, W), float in [0, 1].
        landmarks: (B, K, 2), coordinates in [0, 1], edge to edge, see `facelight.data.crops`; K = 5, 68 or 98.
        how: how far.
        generator: on the CPU, or on any device.

    Returns:
        Images and landmarks of the same shapes and dtypes. Landmarks may lie outside [0, 1]: they stay where they are
        in the plane of the picture.

    Raises:
        TypeError, ValueError: x or landmarks are not as above.
    """
    from kornia.geometry.linalg import transform_points
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    x = _check.images(x)
    _check.floating(landmarks, "landmarks")
    source, target = _check.precise(x), _check.precise(landmarks)
    mirrored = mirror(target)
    if x.ndim != 4 or len(x) != len(landmarks):
        raise ValueError(f"expected as many landmarks as images, got {tuple(landmarks.shape)} for {tuple(x.shape)}")
    height, width = x.shape[-2:]
    size = target.new_tensor([width, height])
    drawn = torch.rand(len(x), 5, generator=generator, device=generator.device).to(target)
    flipped, amount = drawn[:, 0] < how.flip, 2 * drawn[:, 1:] - 1
    matrix = get_affine_matrix2d(
        translations=how.shift * amount[:, 2:] * size,
        center=((size - 1) / 2).expand(len(x), 2),
        scale=(1 + how.scale * amount[:, 1:2]).expand(-1, 2),
        angle=how.rotation * amount[:, 0],
    )
    points = torch.where(flipped[:, None, None], mirrored, target) * size - 0.5
    moved = (transform_points(matrix, points) + 0.5) / size
    source = torch.where(flipped[:, None, None, None], source.flip(-1), source)
    warped = warp_affine(source, matrix[:, :2].to(source), (height, width), padding_mode="border")
    return warped.clamp(0, 1).to(x.dtype), moved.to(landmarks.dtype)
