"""Where the 98 landmarks sit on the mesh: three vertices and their weights each, kept in `anchors_98.csv`.

The anchors were found on the mean head, seen from the front:

- eyes: the edge between skin and eyeball, divided evenly between the corners; pupils: the middle of the eyeball;
- lips: the edge of the lips' color and the line where they part, at the places across the mouth where real faces have
  them; 88 to 95 coincide in pairs while the mouth is shut and part with it;
- contour, nose, and the mean brow: the skin point that lies at, or nearest to, the mean of real near-frontal faces. The
  contour is thus a fixed curve from ear to ear along the jaw. WFLW's annotators followed the visible outline instead,
  so on turned heads the far side differs, and the near side lies on the cheek rather than on its edge;
- the points 33 to 50 of one head are taken from the edges of its painted brows, see `appearance.brow_edges`.

All are mirror images left to right.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facelight_render.mesh import DECIMETER, mesh, unroll


@functools.cache
def anchors() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Vertices (98, 3) of the head's mesh and weights (98, 3) that sum to one."""
    table = np.loadtxt(Path(__file__).with_name("anchors_98.csv"), delimiter=",", comments="#")
    return np.searchsorted(mesh().source[: mesh().body], table[:, :3].astype(np.int64)), table[:, 3:].astype(np.float32)


@functools.cache
def anchor_uv() -> npt.NDArray[np.float64]:
    """Texture coordinates (98, 2) of the landmarks on the skin's map; the pupils' lie between their lids."""
    corners, share = anchors()
    return unroll((mesh().rest[corners] * share[..., None]).sum(1) / DECIMETER)


@functools.cache
def _brow_triangles() -> tuple[npt.NDArray[np.int64], tuple[npt.NDArray[np.float64], ...]]:
    """Faces (N, 3) of the skin around the brows, and their first corner and edges in the texture.

    These are u, v of the corner; u, v of the edge from it to the second corner, divided by twice the face's area; the
    same of the edge to the third; each (N,).
    """
    uv, brows = mesh().uv, anchor_uv()[33:51]
    low, high = brows.min(0) - 0.03, brows.max(0) + 0.03
    near = (mesh().part == 0) & ((uv > low) & (uv < high)).all(-1).any(-1)
    origin, a, b = uv[near, 0], uv[near, 1] - uv[near, 0], uv[near, 2] - uv[near, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    large = np.abs(area) >= 1e-12
    a, b = a[large] / area[large, None], b[large] / area[large, None]
    return mesh().faces[near][large], tuple(np.ascontiguousarray(x) for x in (*origin[large].T, *a.T, *b.T))


def surface_points(uv: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Vertices (N, 3) and weights (N, 3) of the skin points near the brows that have texture coordinates (N, 2)."""
    faces, (u, v, a_u, a_v, b_u, b_v) = _brow_triangles()
    x, y = uv[:, :1] - u, uv[:, 1:] - v
    first, second = x * b_v - y * b_u, a_u * y - a_v * x
    rest = 1 - first - second
    best = np.minimum(np.minimum(first, second), rest).argmax(1)
    weights = np.stack([rest, first, second], -1)[np.arange(len(uv)), best]
    return faces[best], weights.astype(np.float32)
