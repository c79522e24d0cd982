"""Records as pandas frames: a row for every run, or for every run, light and score. No statistics here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facelight._extras import extra
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.results import Record, load, records

with extra("book"):
    import pandas as pd

LIGHTS = "lights/{light}/{score}"
"""Where the experiments on landmarks keep their scores."""


def recorded(*experiments: str, folder: Path | None = None) -> pd.DataFrame:
    """A row for every recorded run, in the order of their keys.

    Columns: `experiment`; `run`, its key; `seed`; `data`, the name of what was measured; `seconds` it took; `metrics`,
    as they were recorded; and each setting. A setting inside another is called by the last part of its dotted path,
    such as `momentum`, or by as many of the last parts as tell it from all others, such as `recipe.epochs`. A list of
    words becomes one text, any other a tuple. An enhancer is called as in the book's tables, see `enhancers.FAMILY`;
    its settings are columns, too. Where a run does not have a setting the column is empty (NaN).

    Args:
        experiments: names.
        folder: of the records; default: `results.root()`.

    Raises:
        FileNotFoundError: there are no records of these experiments.
    """
    items = [item for experiment in experiments for item in load(experiment, folder)]
    if not items:
        names, place = " and ".join(map(repr, experiments)), records.root() if folder is None else folder
        commands = ", ".join(f"`facelight run {name} --profile laptop`" for name in experiments)
        raise FileNotFoundError(f"no records of {names} in {place}: {commands} would measure them")
    settings = [_flat(item.config) for item in items]
    short = _short_names(dict.fromkeys(path for one in settings for path in one))
    rows = [
        _about(item) | {short[path]: value for path, value in one.items() if path in short and path != ("seed",)}
        for item, one in zip(items, settings, strict=True)
    ]
    return pd.DataFrame(rows)


def frame(*experiments: str, folder: Path | None = None, **values: str) -> pd.DataFrame:
    """A row for every run, light and score; or for whatever the names of metrics run over.

    A path says where in the metrics a value is found, level by level; a level in braces becomes a column with the names
    found there. A list is taken apart by its positions, or, of a level called `score`, by the record's `scores`.

    - `frame("beyond")` has the columns `light`, `score` and `value`;
    - `frame("beyond", error="groups/{group}/{light}/{score}")` has `group`, `light`, `score` and `error`;
    - `frame("recognition", right="{method}/right/{group}", count="{method}/count/{group}")` has `method`, `group`,
      `right` and `count`.

    Args:
        experiments: names.
        folder: of the records; default: `results.root()`.
        values: name of a column of values = path; several have the same levels. Default: `value` = `LIGHTS`.

    Returns:
        The columns of `recorded` but `metrics`, the levels, the values; without runs that have nothing there. A setting
        that no run has gives way to a level of its name.

    Raises:
        FileNotFoundError: there are no records of these experiments.
        ValueError: the paths have different levels, one is called as a setting, or nothing lies there.
    """
    values = values or {"value": LIGHTS}
    paths = {name: path.split("/") for name, path in values.items()}
    levels = [part[1:-1] for part in next(iter(paths.values())) if part.startswith("{")]
    for path in paths.values():
        if [part[1:-1] for part in path if part.startswith("{")] != levels:
            raise ValueError(f"expected paths with the same levels in the same order, got {', '.join(values.values())}")
    settings = recorded(*experiments, folder=folder)
    settings = settings.drop(columns=[name for name in levels if name in settings and settings[name].isna().all()])
    if taken := [name for name in (*levels, *values) if name in settings]:
        raise ValueError(f"{taken[0]!r} is the name of a setting of these runs: call the level or the value otherwise")
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, metrics in enumerate(settings.pop("metrics")):
        for name, path in paths.items():
            for labels, value in _leaves(metrics, path, metrics.get("scores")):
                cells.setdefault((place, *labels), {})[name] = value
    if not cells:
        there = sorted({key for item in load(experiments[0], folder) for key in item.metrics})
        raise ValueError(f"nothing lies at {', '.join(values.values())}; these metrics are there: {', '.join(there)}")
    places = [place for place, *_ in cells]
    found = pd.DataFrame([labels for _, *labels in cells], columns=levels)
    for name in values:
        found[name] = [cell.get(name) for cell in cells.values()]
    return pd.concat([settings.iloc[places].reset_index(drop=True), found], axis=1)


def measured(runs: Mapping[Any, Record], values: Mapping[Any, str]) -> pd.DataFrame:
    """What named runs measured: a row a label, in the order given, and a column a value.

    Args:
        runs: label -> record, see `results.named`; labels that are tuples make an index of several levels.
        values: name of a column -> where in the metrics it lies, level by level, such as "rate_by_subset/4". What was
            recorded as None is NaN.

    Raises:
        KeyError: nothing lies there.
    """

    def at(metrics: Any, path: str) -> float:
        for level in path.split("/"):
            metrics = metrics[level]
        return math.nan if metrics is None else float(metrics)

    rows = [[at(item.metrics, path) for path in values.values()] for item in runs.values()]
    return pd.DataFrame(rows, index=pd.Index(list(runs)), columns=pd.Index(list(values)))


def wide(
    frame: pd.DataFrame,
    rows: str | Sequence[str],
    columns: str | Sequence[str] = "light",
    value: str = "value",
    *,
    groups: Mapping[str, str | Sequence[str]] | Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row a run, one column a light: a frame turned so that statistics can be taken.

    Args:
        frame: see `frame`, with one kind of score.
        rows: what tells runs apart, such as "variant" and "seed"; the last is what pairs them.
        columns: whose values become columns; of several names the values are joined by commas.
        value: the column of numbers.
        groups: which values of `columns`, in this order; or title -> one of them, or several, of which the mean is
            taken (missing if one is). Default: all.

    Raises:
        ValueError: two values for one place; the message tells the settings in which their runs differ.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    keys = [*([rows] if isinstance(rows, str) else rows), *names]
    if frame.duplicated(keys).any():
        raise ValueError(_clash(frame, keys, value))
    across = frame[names[0]] if len(names) == 1 else frame[names].astype(str).agg(", ".join, axis=1)
    table = frame.set_index(keys[: -len(names)]).set_index(across.rename(None).to_numpy(), append=True)
    table = table[value].unstack().reindex(columns=across.unique())
    if groups is None:
        return table
    named = groups if isinstance(groups, Mapping) else {one: one for one in groups}
    parts = {title: [one] if isinstance(one, str) else list(one) for title, one in named.items()}
    missing = [one for some in parts.values() for one in some if one not in table]
    if missing:
        raise ValueError(
            f"{columns}: there is no {missing[0]!r}; there are {', '.join(map(repr, table.columns[:8]))} ..."
        )
    return pd.DataFrame({title: table[some].mean(axis=1, skipna=False) for title, some in parts.items()})


def rates(
    frame: pd.DataFrame,
    rows: str | Sequence[str],
    columns: str | Sequence[str],
    *,
    right: str = "right",
    count: str = "count",
) -> pd.DataFrame:
    """Per cent right, one row a run: what rows and columns do not tell apart is counted together.

    Args:
        frame: see `frame`, with numbers of right answers and of questions.
        rows, columns: see `wide`.
        right, count: the columns of numbers.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    keys = [*([rows] if isinstance(rows, str) else rows), *names]
    summed = frame.groupby(keys, sort=False)[[right, count]].sum()
    return wide((100 * summed[right] / summed[count]).reset_index(name="value"), rows, columns)


def _clash(frame: pd.DataFrame, keys: Sequence[str], value: str) -> str:
    """Which values fall on one place, and what tells their runs apart."""
    first = frame[frame.duplicated(keys)].iloc[0]
    same = frame[(frame[list(keys)] == first[list(keys)]).all(axis=1)].drop(columns=[*keys, value])
    differing = [str(name) for name in same if same[name].map(str).nunique() > 1 and name not in ("run", "seconds")]
    where = ", ".join(f"{key} {first[key]}" for key in keys)
    return f"{len(same)} values at {where}, of runs that differ in {', '.join(differing) or 'nothing'}: choose one kind"


def _about(item: Record) -> dict[str, Any]:
    """What a row says of a run besides its settings."""
    seed = item.config.get("seed") if item.seed is None else item.seed
    about = {"experiment": item.experiment, "run": item.key, "seed": seed, "data": item.data["name"]}
    return about | {"seconds": item.provenance["seconds"], "metrics": item.metrics}


def _flat(config: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Path -> value of each setting."""
    found: dict[tuple[str, ...], Any] = {}
    for name, value in config.items():
        path = (*above, name)
        if isinstance(value, Mapping):
            if set(value) == {"name", "settings"}:
                found[path] = _called(Enhancer(**value))
                value = {"settings": value["settings"]}
            found |= _flat(value, path)
        elif isinstance(value, list):
            found[path] = ", ".join(value) if value and all(isinstance(v, str) for v in value) else tuple(value)
        else:
            found[path] = value
    return found


def _called(enhancer: Enhancer) -> str:
    """Name of an enhancer in the book's tables, else its function's."""
    return next((name for name, one in FAMILY.items() if one == enhancer), enhancer.name)


def _short_names(paths: Sequence[tuple[str, ...]] | Mapping[tuple[str, ...], None]) -> dict[tuple[str, ...], str]:
    """The shortest end of each path that no other ends in; of a path that another ends in, all of it.

    A path that leads to nothing in one run and further on in another has no name.
    """
    ends = Counter(path[-k:] for path in paths for k in range(1, len(path) + 1))
    above = {path[:k] for path in paths for k in range(1, len(path))}
    unique = {path: [path[-k:] for k in range(1, len(path) + 1) if ends[path[-k:]] == 1] for path in paths}
    # an enhancer is called by its name and has settings besides
    kept = [path for path in paths if path not in above or (*path, "settings") in above]
    return {path: ".".join((unique[path] or [path])[0]) for path in kept}


def _leaves(value: Any, path: Sequence[str], scores: Sequence[str] | None) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Names along the levels in braces, and what lies at the end of the path; nothing where it ends before."""
    if not path:
        yield (), value
        return
    level, rest = path[0], path[1:]
    if isinstance(value, list):
        value = dict(zip(scores if level == "{score}" and scores else range(len(value)), value, strict=False))
    if not isinstance(value, Mapping):
        return
    if not level.startswith("{"):
        if level in value:
            yield from _leaves(value[level], rest, scores)
        return
    for name, inner in value.items():
        for labels, leaf in _leaves(inner, rest, scores):
            yield (name, *labels), leaf
