"""The map, read from records and drawn: who loses how much where, and where one network overtakes another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facelight._extras import extra
from facelight_lab.landmarks.grid import CAMERAS, CELLS, FACTORS, SHAPES, SPACES, Cell, errors_of
from facelight_lab.statistics import PairedDifference, holm, versus_faces

with extra("book"):
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

ROWS = tuple((space, shape) for space in SPACES for shape in SHAPES)
WORST = 25.0  # per cent at which the colors of a heat map end


@dataclass(frozen=True)
class Errors:
    """What one network loses on the map.

    Args:
        seeds: of its runs.
        values: image-size NME, (seeds, cells, groups of faces), see `grid.by_group`.
    """

    seeds: tuple[int, ...]
    values: npt.NDArray[np.float64]

    def at(self, cells: Iterable[Cell] = CELLS) -> pd.DataFrame:
        """The mean over cells, a row a seed and a column a group: what `statistics.versus_faces` takes."""
        places = [CELLS.index(cell) for cell in cells]
        return pd.DataFrame(self.values[:, places].mean(1), index=list(self.seeds))

    def means(self) -> pd.Series:
        """The mean over seeds and faces of each cell."""
        return pd.Series(self.values.mean((0, 2)), index=list(CELLS))


def errors(runs: pd.DataFrame, label: str = "variant") -> dict[str, Errors]:
    """What networks lose on the map, by the values of a column, from rows of `frames.recorded`.

    Raises:
        ValueError: two runs of one label and seed, or runs that were measured under other cells.
    """
    found = {}
    for name, some in runs.groupby(label, sort=False):
        if some["seed"].duplicated().any():
            raise ValueError(f"{label} {name}: several runs of one seed: choose one kind of run")
        tables = [errors_of(metrics) for metrics in some["metrics"]]
        found[str(name)] = Errors(tuple(some["seed"]), np.stack(tables))
    return found


def losses(found: Mapping[str, Errors], among: Sequence[str] | None = None) -> pd.DataFrame:
    """How many per cent each network is above the best of each cell: a row a network, a column a cell.

    Args:
        found: label -> errors.
        among: labels of the networks of which the best is taken; default: all.
    """
    table = pd.DataFrame({name: one.means() for name, one in found.items()}).T
    return 100 * (table / table.loc[list(among or found)].min() - 1)


def within(found: Mapping[str, Errors], ours: str, per_cent: float) -> float:
    """In which share of the cells a network is at most so far above the best of all, itself among them."""
    return float(np.mean(losses(found).loc[ours].to_numpy() <= per_cent))


def versus_everywhere(ours: Errors, base: Errors, *, relative: bool = True) -> dict[Cell, PairedDifference]:
    """Ours against a base cell by cell, over seeds and faces, adjusted for the number of cells by `holm`.

    Args:
        ours, base: what is compared.
        relative: per cent, see `statistics.versus_faces`.
    """
    return holm({cell: versus_faces(ours.at([cell]), base.at([cell]), relative=relative) for cell in CELLS})


def tally(found: Mapping[Cell, PairedDifference]) -> dict[str, int]:
    """In how many cells ours is better, level and worse, see `PairedDifference.verdict`."""
    said = [one.verdict() for one in found.values()]
    return {verdict: said.count(verdict) for verdict in ("better", "level", "worse")}


def spread_out(values: pd.Series) -> npt.NDArray[np.float64]:
    """Values by cell as a table: rows of `ROWS`, and for each camera the factors side by side."""

    def cell(space: str, shape: str, camera: str, factor: float) -> Cell:
        return Cell(SPACES[0], 1, SHAPES[0], camera) if factor == 1 else Cell(space, factor, shape, camera)

    places = [[cell(*row, camera, factor) for camera in CAMERAS for factor in FACTORS] for row in ROWS]
    by_cell = dict(zip(values.index, values.to_numpy(), strict=True))
    return np.array([[float(by_cell[place]) for place in row] for row in places])


def heat(axes: Axes, loss: pd.Series, *, ahead: pd.Series | None = None, worst: float = WORST) -> AxesImage:
    """Draw what a network loses: dark is good. A line runs where it overtakes a rival, or the rival it.

    Args:
        axes: to draw on.
        loss: per cent by cell, a row of `losses`.
        ahead: whether the network is ahead of the rival, by cell; None: no line.
        worst: per cent at which the colors end.

    Returns:
        The picture, for a color bar.
    """
    table = spread_out(loss)
    picture = axes.imshow(table, cmap="cividis", vmin=0, vmax=worst, aspect="auto")
    width = len(FACTORS)
    axes.set_xticks(range(table.shape[1]), labels=[f"{factor:g}" for _ in CAMERAS for factor in FACTORS])
    axes.set_yticks(range(len(ROWS)), labels=[f"{shape}, {space}" for space, shape in ROWS])
    axes.tick_params(length=0, labelsize=6)
    axes.set_xlabel(f"divided by, {'; '.join(CAMERAS)}")
    axes.grid(False)
    for place in range(1, len(CAMERAS)):
        axes.axvline(place * width - 0.5, color="white", lw=2.5)
    if ahead is not None:
        _border(axes, spread_out(ahead) > 0.5, width)
    return picture


def _border(axes: Axes, ahead: npt.NDArray[np.bool_], width: int) -> None:
    """A line between neighbors, within a camera, of which one is ahead and one is not."""
    rows, columns = ahead.shape
    for row in range(rows):
        for column in range(columns):
            if column % width and ahead[row, column] != ahead[row, column - 1]:
                axes.plot([column - 0.5] * 2, [row - 0.5, row + 0.5], color="#D55E00", lw=1.8, marker="")
            if row and ahead[row, column] != ahead[row - 1, column]:
                axes.plot([column - 0.5, column + 0.5], [row - 0.5] * 2, color="#D55E00", lw=1.8, marker="")
