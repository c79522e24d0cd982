"""Figures that more than one chapter uses, and the one style they share. No measuring here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from torch import Tensor

from facelight._extras import extra
from facelight_lab import style

with extra("book"):
    import matplotlib.pyplot as plt
    import pandas as pd
    import textalloc
    from IPython.core.getipython import get_ipython
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from scipy.optimize import isotonic_regression

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


WIDTH = 4.9
"""Inches. A figure no wider has text of 9 pixels or more on a telephone: its letters are 9.8 points high."""


def use_style() -> None:
    """Apply the book's matplotlib style (`facelight.mplstyle`, package data) to all figures that follow.

    In a notebook, figures with pictures become PNG of two pixels for each of the page, all others SVG.
    """
    with as_file(files("facelight_lab") / "facelight.mplstyle") as path:
        plt.style.use(path)
    if (shell := get_ipython()) and shell.display_formatter:
        plt.switch_backend(plt.get_backend())  # now, for it sets formats, too
        for kind, drawn in {"image/svg+xml": _svg, "image/png": _png}.items():
            shell.display_formatter.formatters[kind].for_type(Figure, drawn)


def _has_pictures(figure: Figure) -> bool:
    return any(axes.images for axes in figure.axes)


def _svg(figure: Figure) -> str | None:
    """Without the time at which it was made, so that the same figure is the same file."""
    if _has_pictures(figure):
        return None
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _png(figure: Figure) -> tuple[bytes, dict[str, int]] | None:
    """With the width at which it is to be shown, in pixels of the page, of which an inch has 96."""
    if not _has_pictures(figure):
        return None
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * 96)
    return drawn.getvalue(), {"width": round(96 * figure.get_figwidth())}


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
        columns: images in a row; default: as many as `WIDTH` has room for.
        size: width of one image, inches, at most; no more than all columns have room for in `WIDTH`.
        landmarks: for each image (K, 2), x and y in pixels, drawn as dots.
    """
    columns = columns or min(len(images), max(1, int(WIDTH / size)))
    size = min(size, WIDTH / columns)
    rows = -(-len(images) // columns)
    pictures = [as_picture(image) for image in images]
    ratio = pictures[0].shape[0] / pictures[0].shape[1]
    lines = 1 + max((title.count("\n") for title in titles), default=-1)
    height = size * ratio + 0.06 + 0.19 * lines
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
        styles: label -> keywords of that line, such as `{"color": "black"}` or `style.layer("linear").as_line()`, which
            may have another label to be shown.
        markers: whether a mark stands at each point.
        legend: whether there is one; or how, as `Axes.legend` takes it: loc, title, ncols, ...
        settings: as `Axes.set` takes them: xlabel, ylim, xscale, ...

    >>> figure, axes = plt.subplots()
    >>> curves(axes, [0, 1], {"y = x": [0, 1]}, xlabel="x")
    >>> axes.get_legend().get_texts()[0].get_text()
    'y = x'
    """
    for label, y in lines.items():
        look = dict((styles or {}).get(str(label), {}))
        axes.plot(x, y, **({"label": label} | ({} if markers else {"marker": ""}) | look))
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


def ranges(axes: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    """For each light the first layers side by side: mean over seeds, with the range over them.

    Args:
        axes: to draw on.
        tables: name, see `style.layer` -> a row for each run and a column for each light, see `frames.wide`.
    """
    for place, (name, values) in enumerate(tables.items()):
        at = np.arange(values.shape[1]) + 0.8 / len(tables) * (place - (len(tables) - 1) / 2)
        mean = values.mean()
        reach = np.stack([mean - values.min(), values.max() - mean])
        axes.errorbar(at, mean, reach, elinewidth=1, **style.layer(name).as_points(ms=5))
        axes.set_xticks(range(values.shape[1]), labels=[str(light) for light in values])


def band(axes: Axes, at: Sequence[float], tables: Mapping[str, pd.DataFrame]) -> None:
    """For each first layer a curve, the mean over seeds, with the range over them shaded.

    Args:
        axes: to draw on.
        at: where each column belongs on the axis of x.
        tables: name, see `style.layer` -> a row for each run and a column for each light, see `frames.wide`.
    """
    for name, values in tables.items():
        look = style.layer(name)
        axes.plot(at, values.mean(), **look.as_line())
        axes.fill_between(at, values.min(), values.max(), color=look.color, alpha=0.2, lw=0)


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
    figure.legend(labeled.values(), labeled, loc="outside lower center", ncols=columns)


def label_ends(axes: Axes, *, gap: float = 1.15) -> None:
    """Write each line's label at its right end in its color, instead of a legend; labels do not cover each other.

    Call it last, when limits and scales stand. Lines whose label begins with "_" are left out.

    Args:
        axes: with labeled lines.
        gap: least distance of two labels, in heights of a letter.
    """
    axes.figure.canvas.figure.draw_without_rendering()
    to_axes = axes.transData + axes.transAxes.inverted()
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = {line: to_axes.transform(np.asarray(line.get_xydata())[-1]) for line in lines}
    lines.sort(key=lambda line: ends[line][1])
    apart = gap * plt.rcParams["font.size"] / 72 * axes.figure.canvas.figure.dpi / axes.bbox.height
    for line, up in zip(lines, _spread([ends[line][1] for line in lines], apart), strict=True):
        look: dict[str, Any] = {"color": line.get_color(), "transform": axes.transAxes, "clip_on": False}
        axes.plot([ends[line][0], 1.04], [ends[line][1], up], ls="-", lw=0.6, marker="", label="_", **look)
        axes.text(1.05, up, str(line.get_label()), va="center", **look)


def _spread(places: Sequence[float], apart: float) -> list[float]:
    """Rising places, moved together no more than is needed for each to be so far from the next."""
    free = isotonic_regression(np.asarray(places) - apart * np.arange(len(places))).x
    return (free + apart * np.arange(len(places))).tolist()


def label_points(
    axes: Axes, x: Sequence[float], y: Sequence[float], labels: Sequence[str], *, size: float = 9.5
) -> None:
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
