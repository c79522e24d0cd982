"""Figures that more than one chapter uses, and the one style they share. No measuring here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

# Okabe and Ito (2008): eight colours that readers with any colour vision can tell apart.
COLOURS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "red": "#D55E00",
    "purple": "#CC79A7",
}


def use_style() -> None:
    """Apply the book's matplotlib style (`facelight.mplstyle`, package data) to all figures that follow."""
    with as_file(files("facelight") / "facelight.mplstyle") as path:
        plt.style.use(path)


def as_picture(image: Tensor | np.ndarray) -> np.ndarray:
    """Image (C, H, W) or (H, W), uint8 or float in [0, 1], as an array that matplotlib draws: (H, W) or (H, W, 3)."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.ndim == 3:
        if array.shape[0] not in (1, 3):
            raise ValueError(f"image: expected shape (1 or 3, H, W) or (H, W), got {array.shape}")
        array = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    return array if array.dtype == np.uint8 else array.clip(0, 1)


def image_grid(
    images: Sequence[Tensor | np.ndarray],
    titles: Sequence[str] = (),
    *,
    columns: int | None = None,
    size: float = 1.6,
    landmarks: Sequence[Tensor | np.ndarray] | None = None,
) -> Figure:
    """Images side by side without axes, grey images on the full scale from 0 to 1.

    Args:
        images: each (C, H, W) or (H, W), uint8 or float in [0, 1].
        titles: one for each image, or none.
        columns: images in a row; default: all of them.
        size: width of one image, inches.
        landmarks: for each image (K, 2), x and y in pixels, drawn as dots.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    pictures = [as_picture(image) for image in images]
    ratio = pictures[0].shape[0] / pictures[0].shape[1]
    height = size * ratio + (0.28 if titles else 0.04)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * height), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255 if picture.dtype == np.uint8 else 1)
        if titles:
            axis.set_title(titles[i])
        if landmarks is not None:
            points = np.asarray(landmarks[i])
            axis.plot(points[:, 0], points[:, 1], ".", color=COLOURS["orange"], markersize=2)
    return figure


def label_points(axes: Axes, x: Sequence[float], y: Sequence[float], labels: Sequence[str], *, size: float = 8) -> None:
    """Write each label near its point where it covers no other label and no point, with a thin line to it if it is far.

    A label without a line lies nearest to its own point. Where there is no room for all this, the place with the
    fewest collisions is taken. Call it last: the limits of the axes must stand, and the layout is settled first.

    Args:
        axes: with the points drawn.
        x, y: coordinates of the points, finite, in the units of the axes.
        labels: one a point; an empty one is not written, but its point is kept free.
        size: of the letters, in points (1/72 inch).

    Raises:
        ValueError: x, y and labels are not equally many.
    """
    if not len(x) == len(y) == len(labels):
        raise ValueError(f"expected as many x and y as labels, got {len(x)}, {len(y)} and {len(labels)}")
    axes.figure.canvas.figure.draw_without_rendering()
    unit = axes.figure.dpi / 72  # pixels of a point
    points = axes.transData.transform(np.column_stack([x, y]))
    taken = [_box(point, 7 * unit, 7 * unit) for point in points]
    crowd = [(np.hypot(*(points - point).T) < 60 * unit).sum() for point in points]
    for i in sorted(range(len(labels)), key=lambda i: (-crowd[i], len(labels[i]))):
        if not labels[i]:
            continue
        note = axes.annotate(
            labels[i], (x[i], y[i]), (0, 0), textcoords="offset points", ha="center", va="center", fontsize=size
        )
        extent = note.get_window_extent()
        others = np.array([box for j, box in enumerate(taken) if j != i])
        room = np.array(axes.bbox.extents)
        far, occupied = _free_place(points, i, extent.width, extent.height, others, room, unit)
        centre, end = ((box[:2] + box[2:]) / 2 - points[i] for box in occupied[:2])
        note.set_position(centre / unit)
        note.set_in_layout(False)
        taken += list(occupied)
        if far:
            line = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            note = axes.annotate("", (x[i], y[i]), end / unit, textcoords="offset points", arrowprops=line)
            note.set_in_layout(False)


def _free_place(
    points: np.ndarray, i: int, width: float, height: float, others: np.ndarray, inside: np.ndarray, unit: float
) -> tuple[bool, np.ndarray]:
    """The best place for label i: whether it is far, and the boxes of the label and of pieces of a line to it."""
    point, best = points[i], None
    for gap in (5, 10, 16, 24, 34, 46, 60):
        for angle in np.deg2rad((0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 240, 300)):
            away = np.array([np.cos(angle), np.sin(angle)])
            box = _box(point + away * (gap * unit + 0.5 * np.array([width, height])), width + 2 * unit, height)
            near = np.clip(points, box[:2], box[2:])  # where lines to the points would end
            line = [_box(near[i] + t * (point - near[i]), 1, 1) for t in np.linspace(0, 0.8, 9)]
            parts = np.array([box, *(line if gap > 10 else line[:1])])
            outside = (box[:2] < inside[:2]).sum() + (box[2:] > inside[2:]).sum()
            not_its_own = gap <= 10 and np.hypot(*(points - near).T).argmin() != i
            cost = 500 * outside + 100 * _collisions(parts, others) + 50 * not_its_own + gap
            if best is None or cost < best[0]:
                best = cost, gap > 10, parts
        if best is not None and best[0] <= gap:  # a larger gap is no better
            break
    assert best is not None
    return best[1:]


def _box(centre: np.ndarray, width: float, height: float) -> np.ndarray:
    """Left, lower, right and upper edge."""
    half = np.array([width, height]) / 2
    return np.concatenate([centre - half, centre + half])


def _collisions(boxes: np.ndarray, others: np.ndarray) -> int:
    """How many pairs of boxes (N, 4) and (M, 4) overlap."""
    if not len(others):
        return 0
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return int((low < high).all(-1).sum())
