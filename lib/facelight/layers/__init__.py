"""The logarithmic first layer: `log_compress`, `LogConv2d`, and `with_log_stem`, which puts it into a network."""

from facelight.layers.contrast import ContrastNorm2d
from facelight.layers.log import LogConv2d, log_compress
from facelight.layers.stem import with_log_stem

__all__ = ["ContrastNorm2d", "LogConv2d", "log_compress", "with_log_stem"]
