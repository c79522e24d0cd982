"""Enhancement of grey levels before a network sees them. No learning here."""

from facelight.enhance.adaptive import ahe, clahe
from facelight.enhance.clip_limits import clip_count, clip_limit_of, convert_clip_limit
from facelight.enhance.histogram import bbhe, equalize
from facelight.enhance.smoothing import gbie, modified_clahe

# fmt: off
__all__ = [
    "ahe", "bbhe", "clahe", "clip_count", "clip_limit_of", "convert_clip_limit", "equalize", "gbie", "modified_clahe",
]
# fmt: on
