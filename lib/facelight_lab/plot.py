"""Figures that more than one chapter uses, and the one style they share. No measuring here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from torch import Tensor

from facelight._extras import extra

with extra("book"):
    import matplotlib.pyplot as plt
    import pandas as pd
    import textalloc
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

# Okabe and Ito (2008): eight colors that readers with any color vision can tell apart.
COLORS = {
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
    with as_file(files("facelight_lab") / "facelight.mplstyle") as path:
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
    """Images side by side without axes, gray images on the full scale from 0 to 1.

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
            axis.plot(points[:, 0], points[:, 1], ".", color=COLORS["orange"], markersize=2)
    return figure


def outline(axes: Axes, box: Tensor, color: str, line: str = "-") -> None:
    """Draw a box (4,), x_min, y_min, x_max, y_max in pixels, in one of `COLORS` or in any other color."""
    x0, y0, x1, y1 = box.tolist()
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], line, color=COLORS.get(color, color), marker="", lw=1.3)


def curves(
    axes: Axes,
    x: ArrayLike,
    lines: Mapping[str, ArrayLike] | pd.DataFrame,
    *,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
    markers: bool = False,
    legend: bool | Mapping[str, Any] = True,
    **settings: Any,
) -> None:
    """Draw labeled lines over one x, and say what the axes are.

    Args:
        axes: to draw on.
        x: (N,), of every line.
        lines: label -> y, (N,); a frame's columns are such.
        styles: label -> keywords of that line, such as `{"color": "black"}`.
        markers: whether a mark stands at each point.
        legend: whether there is one; or how, as `Axes.legend` takes it: loc, title, ncols, ...
        settings: as `Axes.set` takes them: xlabel, ylim, xscale, ...

    >>> figure, axes = plt.subplots()
    >>> curves(axes, [0, 1], {"y = x": [0, 1]}, xlabel="x")
    >>> axes.get_legend().get_texts()[0].get_text()
    'y = x'
    """
    for label, y in lines.items():
        style = dict((styles or {}).get(str(label), {}))
        axes.plot(x, y, label=label, **(style if markers else {"marker": "", **style}))
    axes.set(**settings)
    if legend:
        axes.legend(**(legend if isinstance(legend, Mapping) else {}))


def factor_axis(axes: Axes, factors: Sequence[float]) -> None:
    """Make x logarithmic, with ticks at these factors and nowhere else.

    >>> figure, axes = plt.subplots()
    >>> factor_axis(axes, (1.5, 6, 25))
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['1.5', '6', '25']
    """
    axes.set_xscale("log")
    axes.set_xticks(factors, labels=[f"{factor:g}" for factor in factors])
    axes.minorticks_off()


def ranges(axes: Axes, tables: Mapping[str, pd.DataFrame], marks: Mapping[str, str] | None = None) -> None:
    """For each light the methods side by side: mean over seeds, with the range over them.

    Args:
        axes: to draw on.
        tables: label -> a row for each run and a column for each light, see `frames.wide`.
        marks: label -> marker; default: a disc.
    """
    for place, (label, values) in enumerate(tables.items()):
        at = np.arange(values.shape[1]) + 0.8 / len(tables) * (place - (len(tables) - 1) / 2)
        mean = values.mean()
        reach = np.stack([mean - values.min(), values.max() - mean])
        axes.errorbar(at, mean, reach, fmt=(marks or {}).get(label, "o"), ms=4, lw=1, label=label)
        axes.set_xticks(range(values.shape[1]), labels=[str(name) for name in values])


def band(axes: Axes, at: Sequence[float], tables: Mapping[str, pd.DataFrame]) -> None:
    """For each method a curve, the mean over seeds, with the range over them shaded.

    Args:
        axes: to draw on.
        at: where each column belongs on the axis of x.
        tables: label -> a row for each run and a column for each light, see `frames.wide`.
    """
    for label, values in tables.items():
        axes.plot(at, values.mean(), marker="", label=label)
        axes.fill_between(at, values.min(), values.max(), alpha=0.2, lw=0)


def legend_below(figure: Figure, columns: int) -> None:
    """Write one legend for all panels below them: each label once, in a figure with constrained layout.

    Args:
        figure: with labeled curves.
        columns: of the legend.
    """
    labeled: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            labeled.setdefault(label, handle)
    figure.legend(labeled.values(), labeled, loc="outside lower center", ncols=columns, fontsize=7)


def label_points(axes: Axes, x: Sequence[float], y: Sequence[float], labels: Sequence[str], *, size: float = 8) -> None:
    """Write each label near its point where it covers neither points nor labels, with a thin line to it if it is far.

    Call it last: the limits of the axes must stand.

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
    placed = [i for i, label in enumerate(labels) if label]
    textalloc.allocate(
        axes,
        [x[i] for i in placed],
        [y[i] for i in placed],
        [labels[i] for i in placed],
        x_scatter=list(x),
        y_scatter=list(y),
        textsize=size,
        linecolor="#888888",
        linewidth=0.6,
        min_distance=0.014,
        max_distance=0.12,
        margin=0.008,
        nbr_candidates=800,
        plot_kwargs={"marker": ""},
    )
