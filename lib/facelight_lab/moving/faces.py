"""The rendered faces of the figures that move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import facelight_render

Levels = npt.NDArray[np.uint8]


def lit(azimuth: int, elevation: int = 20, size: tuple[int, int] = (128, 112)) -> Levels:
    """Gray levels (H, W) of a rendered face under one distant light, cropped as Extended Yale B is.

    Args:
        azimuth: of the light, degrees from the camera.
        elevation: of the light, degrees.
        size: height and width in pixels.
    """
    pictures: Levels = facelight_render.lights(1, size=size, directions=((azimuth, elevation),)).image[0, 0].numpy()
    return pictures
