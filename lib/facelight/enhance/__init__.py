"""Enhancement of gray levels before a network sees them.

Functions, and `torch.nn.Module`s of the same, whose names begin with a capital. All take float images (*, C, H, W) in
[0, 1], return the same shape, type and range, and treat every channel by itself, or with `luminance_only` the luma.
Half precision is computed in float32. What rounding leaves outside [0, 1] counts as 0 or 1; other values are refused.
Where values cannot be looked at, under `torch.compile` and in exported programs, under `vmap` and on a GPU, they are
clamped instead.
"""

from facelight.enhance.adaptive import ahe, clahe
from facelight.enhance.clip_limits import clip_count, clip_limit_of, convert_clip_limit
from facelight.enhance.edges import gradientface, tan_triggs
from facelight.enhance.histogram import bbhe, equalize
from facelight.enhance.modules import (
    AHE,
    BBHE,
    CLAHE,
    GBIE,
    Equalize,
    Gamma,
    Gradientface,
    LocalContrastNormalize,
    LogContrast,
    LogStretch,
    ModifiedCLAHE,
    MultiScaleRetinex,
    TanTriggs,
    Weberface,
)
from facelight.enhance.pointwise import gamma, log_stretch
from facelight.enhance.reflectance import local_contrast_normalize, log_contrast, multi_scale_retinex, weberface
from facelight.enhance.smoothing import gbie, modified_clahe

# fmt: off
__all__ = [
    "AHE", "BBHE", "CLAHE", "GBIE", "Equalize", "Gamma", "Gradientface", "LocalContrastNormalize", "LogContrast",
    "LogStretch", "ModifiedCLAHE", "MultiScaleRetinex", "TanTriggs", "Weberface",
    "ahe", "bbhe", "clahe", "clip_count", "clip_limit_of", "convert_clip_limit", "equalize", "gamma", "gbie",
    "gradientface", "local_contrast_normalize", "log_contrast", "log_stretch", "modified_clahe", "multi_scale_retinex",
    "tan_triggs", "weberface",
]
# fmt: on
