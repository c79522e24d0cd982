"""Data sets: one module each. Every loader returns `LitFaces` or `LandmarkFaces` (see `samples`)."""

from facelight.data.samples import (
    WFLW_ATTRIBUTES,
    LandmarkFace,
    LandmarkFaces,
    LitFace,
    LitFaces,
    light_angle,
)

__all__ = ["WFLW_ATTRIBUTES", "LandmarkFace", "LandmarkFaces", "LitFace", "LitFaces", "light_angle"]
