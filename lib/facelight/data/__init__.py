"""Data sets: one module each. Loaders return `LitFaces`, `LandmarkFaces` or `Annotations` (see `samples`)."""

from facelight.data.samples import (
    WFLW_ATTRIBUTES,
    Annotation,
    Annotations,
    LandmarkFace,
    LandmarkFaces,
    LitFace,
    LitFaces,
    light_angle,
)

__all__ = [
    "WFLW_ATTRIBUTES",
    "Annotation",
    "Annotations",
    "LandmarkFace",
    "LandmarkFaces",
    "LitFace",
    "LitFaces",
    "light_angle",
]
