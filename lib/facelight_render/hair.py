"""Geometry of hair and headwear: displacement of the scalp, and a curtain of loose hair. Decimetres, rest pose.

Everything is linear in a few coefficients, so hair costs no more than another row of the shape basis. The curtain's
vertices rest in one point behind the head, where its faces have no area, and the rows `bob` and `long` bring them out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

SKULL = (0.0, 7.5, 0.45)
STORE = (0.0, 7.5, -1.6)  # where the curtain waits: in the open, so that nothing occludes it there
# Hairline and lower edge of a woollen cap: height over the angle from the front, degrees.
LINE_ANGLES = (0.0, 25.0, 42.0, 55.0, 66.0, 78.0, 100.0, 125.0, 180.0)
HAIRLINE = (7.90, 7.88, 7.76, 7.50, 7.18, 7.08, 7.05, 6.80, 6.55)
CAP_LINE = (7.80, 7.78, 7.70, 7.60, 7.52, 7.48, 7.40, 7.10, 6.95)
COLUMNS, ROWS = 25, 8
FIRST_ANGLE = 68.0
THICKNESS = 0.10
RECESSION = 0.40


def above_line(points: Array, line: tuple[float, ...]) -> Array:
    """Height of points (..., 3) above a line that runs around the head, decimeters."""
    angle = np.degrees(np.abs(np.arctan2(points[..., 0], points[..., 2] - SKULL[2])))
    return points[..., 1] - np.interp(angle, LINE_ANGLES, line)


def in_front(points: Array) -> Array:
    """1 on the forehead, falling to 0 at the ears, for points (..., 3)."""
    angle = np.degrees(np.abs(np.arctan2(points[..., 0], points[..., 2] - SKULL[2])))
    return np.interp(angle, (25, 75), (1, 0))


def _smooth(x: Array) -> Array:
    t = x.clip(0, 1)
    return t * t * (3 - 2 * t)


def curtain_size() -> int:
    """Number of vertices of the curtain: an outer and an inner layer."""
    return 2 * COLUMNS * ROWS


def _angles() -> Array:
    return np.radians(np.linspace(FIRST_ANGLE, 360 - FIRST_ANGLE, COLUMNS))


def curtain_carriers(points: Array) -> Index:
    """Index of the scalp vertex that each curtain vertex moves with, for the head's vertices (V, 3)."""
    angle = _angles()
    wanted = np.stack([np.sin(angle) * 0.75, np.full(COLUMNS, 7.75), SKULL[2] + np.cos(angle) * 0.85], -1)
    nearest = ((points[None] - wanted[:, None]) ** 2).sum(-1).argmin(1)
    return np.tile(np.repeat(nearest, ROWS), 2)


def curtain_faces(start: int, patch: tuple[float, float, float, float]) -> tuple[Index, Array]:
    """Faces (F, 3) of the curtain, whose vertices begin at `start`, and texture coordinates (F, 3, 2) in `patch`."""
    grid = np.arange(2 * COLUMNS * ROWS).reshape(2, COLUMNS, ROWS)

    def quads(g: Index) -> Index:
        a, b, c, d = (part.ravel() for part in (g[:-1, :-1], g[1:, :-1], g[1:, 1:], g[:-1, 1:]))
        return np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)])

    inner = quads(grid[1])[:, ::-1]
    hem = quads(np.stack([grid[0, :, -1], grid[1, :, -1]], 1))[:, ::-1]
    front = quads(np.stack([grid[0, 0], grid[1, 0]], 1).T.reshape(2, ROWS))
    back = quads(np.stack([grid[0, -1], grid[1, -1]], 1).T.reshape(2, ROWS))[:, ::-1]
    faces = np.concatenate([quads(grid[0]), inner, hem, front, back])
    u = np.repeat(np.linspace(0, 1, COLUMNS), ROWS)
    v = np.tile(np.linspace(1, 0, ROWS), COLUMNS)
    place = np.tile(np.stack([patch[0] + patch[2] * u, patch[1] + patch[3] * v], 1), (2, 1))
    return faces + start, place[faces]


def _curtain(length: float) -> Array:
    """Vertices (2 * COLUMNS * ROWS, 3) of a curtain that ends at height `length`."""
    angle = _angles()
    down = np.linspace(0, 1, ROWS)
    height = 7.75 + (length - 7.75) * down
    layers = []
    ends = np.minimum(np.arange(COLUMNS), np.arange(COLUMNS)[::-1]) / 3
    for thickness in (0.0, 0.10):
        inset = thickness * np.minimum(ends, 1)[:, None]
        width = np.interp(height, (5.5, 6.0, 6.6, 7.1, 7.5, 7.75), (0.92, 1.0, 1.0, 1.01, 0.93, 0.60)) - inset
        depth = np.interp(height, (5.5, 6.0, 6.6, 7.1, 7.5, 7.75), (1.0, 1.0, 0.98, 0.97, 0.90, 0.62)) - inset
        wave = 1 + 0.02 * np.sin(7 * angle[:, None] + 4 * down[None])
        x = np.sin(angle)[:, None] * width * wave
        z = SKULL[2] + np.cos(angle)[:, None] * depth * wave
        layers.append(np.stack([x, np.broadcast_to(height, x.shape), z], -1).reshape(-1, 3))
    return np.concatenate(layers)


def hair_rows(points: Array, scalp: npt.NDArray[np.bool_]) -> dict[str, Array]:
    """Displacements (V + curtain, 3) for the head's vertices (V, 3) of which `scalp` may carry hair.

    Coefficient 1 of `top` and `sides` is a centimeter of hair, of which `recede` takes away what lies within
    `RECESSION` of the hairline in front; `cap` is a woollen cap; `bob` and `long` show the
    curtain to the chin and to the shoulders (their coefficients sum to 0 or 1).
    """
    outward = points - np.array(SKULL)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    height = above_line(points, HAIRLINE)
    grown, receded = (
        np.where(scalp, _smooth((height - back) / 0.22), 0) * THICKNESS for back in (0.0, RECESSION * in_front(points))
    )
    upper = _smooth((points[:, 1] - 7.75) / 0.5)
    cap = np.where(scalp, _smooth(above_line(points, CAP_LINE) / 0.10), 0) * THICKNESS * (1 + 0.6 * upper)
    nothing, hidden = np.zeros_like(points), np.tile(STORE, (curtain_size(), 1))
    rows = {"top": grown * upper, "sides": grown * (1 - upper), "recede": (receded - grown) * upper, "cap": cap}
    found = {name: np.concatenate([amount[:, None] * outward, np.zeros_like(hidden)]) for name, amount in rows.items()}
    for name, length in (("bob", 6.45), ("long", 5.75)):
        found[name] = np.concatenate([nothing, _curtain(length) - hidden])
    return found
