"""Enhancement of gray levels before a network sees them.

Functions, and `torch.nn.Module`s of the same, whose names begin with a capital. All take float images (*, C, H, W) in
[0, 1], return the same shape, type and range, and treat every channel by itself, or with `luminance_only` the luma.
Half precision is computed in float32. What rounding leaves outside [0, 1] counts as 0 or 1; other values are refused.
Where values cannot be looked at, under `torch.compile` and in exported programs, under `vmap` and on a GPU, they are
clamped instead.

Histogram methods (HE, BBHE, AHE, CLAHE, M-CLAHE) are computed on a CPU by loops that numba compiles, where it is
installed; see `histogram_path`.
"""

# ruff: noqa: F403

from facelight.enhance.adaptive import *
from facelight.enhance.clip_limits import *
from facelight.enhance.edges import *
from facelight.enhance.histogram import *
from facelight.enhance.paths import *
from facelight.enhance.pointwise import *
from facelight.enhance.preparation import *
from facelight.enhance.reflectance import *
from facelight.enhance.smoothing import *

__all__ = sorted(name for name, value in globals().items() if callable(value) and not name.startswith("_"))
