"""How near the mean synthetic face is to the mean of real near-frontal faces. Printed in the data card."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facelight.data.landmarks import REGIONS_98, mean_shape
from facelight_render.head import sample_parameters, shapes


def mean_synthetic_shape(count: int = 200, distance: float | None = None) -> npt.NDArray[np.float64]:
    """Mean frontal neutral shape (98, 2) of the first `count` identities, in the frame of `mean_shape`.

    Args:
        count: number of identities, at least 1; seeds 0 to `count` - 1.
        distance: of the camera from the eyes in meters; none: orthographic.

    Raises:
        ValueError: count below 1, or a distance that is not positive.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1 identity, got {count}")
    if distance is not None and not distance > 0.2:
        raise ValueError(f"distance: expected more than 0.2 meters, got {distance}")
    total = np.zeros((98, 2))
    for seed in range(count):
        points = shapes([sample_parameters(seed)])[1][0].double().numpy()
        flat = points[:, :2] if distance is None else points[:, :2] / (distance - points[:, 2:]) * distance
        left, right = flat[60], flat[72]
        across = (right - left) / np.linalg.norm(right - left) ** 2
        centered = flat - (left + right) / 2
        upright = np.stack([centered @ across, centered @ np.array([across[1], -across[0]])], 1)
        total += upright
    return total / count


def mean_shape_error(count: int = 200, distance: float | None = None) -> dict[str, tuple[float, float]]:
    """Distance of the mean synthetic shape from the mean of real near-frontal WFLW faces, by region.

    Args:
        count: number of identities.
        distance: of the camera in meters; none: orthographic.

    Returns:
        Mean and largest distance of each of the regions of `REGIONS_98` and of "all", in units of the distance of the
        outer eye corners.
    """
    error = np.linalg.norm(mean_synthetic_shape(count, distance) - mean_shape("wflw98"), axis=1)
    regions = {**REGIONS_98, "all": tuple(range(98))}
    return {name: (float(error[list(k)].mean()), float(error[list(k)].max())) for name, k in regions.items()}
