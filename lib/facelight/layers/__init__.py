"""First layers that ignore the light: `light_stem` and `with_log_stem` put them into a network."""

from facelight.layers.contrast import ContrastNorm2d
from facelight.layers.level import LocalLevel, MeanLevel
from facelight.layers.log import LogConv2d, log_compress
from facelight.layers.noise import NoiseAware
from facelight.layers.stem import light_stem, with_log_stem

__all__ = [
    "ContrastNorm2d",
    "LocalLevel",
    "LogConv2d",
    "MeanLevel",
    "NoiseAware",
    "light_stem",
    "log_compress",
    "with_log_stem",
]
