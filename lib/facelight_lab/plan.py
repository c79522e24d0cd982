"""Which runs a profile asks for, how far they are, and what each is likely to take: for people and for Snakemake."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelight_lab import experiments, results
from facelight_lab.results import Record
from facelight_lab.runs import in_hand, workplace

RECORDED, IN_HAND, MISSING = STATES = ("recorded", "in hand", "missing")


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Args:
        experiment, key: as on the command line.
        state: "recorded"; "in hand", of a process that is measuring it; or "missing".
        after: key of an equal run that is measured first, see `runs.Experiment`; None: there is none.
        trains: whether a network is trained.
        minutes: what the most similar runs took at most, of the experiment or else of its subject, see `minutes`; None:
            nothing like it is recorded.
        settings: what sets the run apart from the defaults of its configuration.
    """

    experiment: str
    key: str
    state: str
    after: str | None
    trains: bool
    minutes: float | None
    settings: str


def runs(name: str, profile: str) -> list[Run]:
    """The runs of an experiment in a profile, in order.

    Raises:
        ValueError: an unknown experiment or profile.
    """
    experiment = experiments.named(name, profile)
    recorded = {item.key for item in results.load(name)}
    known = _recorded([name])
    kin = _recorded(*(names for names in experiments.SUBJECTS.values() if name in names))
    found, first = [], dict[Any, str]()
    for key, config in experiment.runs().items():
        same = config if experiment.same_as is None else experiment.same_as(config)
        state = RECORDED if key in recorded else IN_HAND if in_hand(workplace(name, config)) else MISSING
        trains = hasattr(config, "device") and getattr(config, "network", True) is not None
        after, text = first.setdefault(same, key), ", ".join(differences(config))
        likely = minutes(config, known) or minutes(config, kin)
        found.append(Run(name, key, state, None if after == key else after, trains, likely, text))
    return found


def _recorded(names: Collection[str]) -> list[Record]:
    return [item for name in names for folder in folders() for item in results.load(name, folder)]


def folders() -> list[Path]:
    """Where records are that tell how long a run takes: those of the book, wherever new ones are saved."""
    book = Path("book", "results").resolve()
    return list(dict.fromkeys([results.root().resolve(), *([book] if book.is_dir() else [])]))


def minutes(config: Any, known: list[Record]) -> float | None:
    """The longest time among the most similar records.

    Those of other seeds; else of the same data set, size, body and number of epochs; else of the same data set.

    Args:
        config: of the run.
        known: records of its experiment, or of others with the same settings.
    """
    plain = results.settings(config)

    def work(settings: Mapping[str, Any]) -> list[Any]:
        inner = [(settings.get("recipe") or {}).get("epochs"), (settings.get("network") or {}).get("backbone")]
        return [settings.get("dataset"), settings.get("size"), *inner]

    levels = (
        lambda other: {**other, "seed": None} == {**plain, "seed": None},
        lambda other: work(other) == work(plain),
        lambda other: other.get("dataset") == plain.get("dataset"),
    )
    for similar in levels:
        found = [item.provenance["seconds"] for item in known if similar(item.config)]
        if found:
            return round(max(found) / 60, 2)
    return None


def summary(found: list[Run]) -> str:
    """How many runs are in which state, and the minutes of those that are not recorded, one after the other.

    >>> summary([Run("toy", "0f", "missing", None, True, 90.0, ""), Run("toy", "1f", "recorded", None, True, 90.0, "")])
    '2 runs: 1 recorded, 1 missing, up to 90 min'
    """
    states = [f"{count} {state}" for state in STATES if (count := sum(run.state == state for run in found))]
    left = sum(run.minutes or 0 for run in found if run.state != RECORDED)
    return f"{len(found)} runs: {', '.join(states) or 'none'}" + (f", up to {duration(left)}" if left else "")


def duration(minutes: float | None) -> str:
    """Minutes, in words; nothing where they are not known."""
    return "" if minutes is None else "< 1 min" if minutes < 1 else f"{minutes:.0f} min"


def differences(value: Any, default: Any = None, name: str = "") -> Iterator[str]:
    """What sets a configuration apart from its defaults, `name=value`, with dots between the names of nested ones.

    >>> from facelight_lab.enhancement.nearest import Nearest
    >>> list(differences(Nearest("synthetic", center="none")))
    ["dataset='synthetic'", "center='none'"]
    """
    for entry in dataclasses.fields(value):
        here = getattr(value, entry.name)
        usual = getattr(default, entry.name, dataclasses.MISSING) if default is not None else _default(entry)
        label = f"{name}{entry.name}"
        if here == usual:
            continue
        if dataclasses.is_dataclass(here) and type(here) is type(usual):
            yield from differences(here, usual, f"{label}.")
        else:
            yield f"{label}={here!r}"


def _default(entry: dataclasses.Field[Any]) -> Any:
    return entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
