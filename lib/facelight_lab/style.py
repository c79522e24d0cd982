"""One color, one mark and one label for each method, in all figures of the book.

`layer`, `enhancer`, `recognizer` and `loss` look a method up by the name that experiments and records have for it; what
comes back can be a line (`as_line`) or points (`as_points`) of matplotlib. A method that is drawn for the first time
gets a line in one of the tables below.

Colors have a contrast of 3 with white. Those of first layers can be told apart with every kind of color vision.
Enhancers have the color of their family, see `FAMILIES`, and a mark of their own in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from facelight_lab.enhancers import FAMILY, SIGNED
from facelight_lab.stems import ADAPTIVE, BOTH, LOCAL, NORMALIZED, OURS, ZERO_PADDED


@dataclass(frozen=True)
class Style:
    """How a method looks.

    Args:
        label: its name in figures and tables.
        color: "#RRGGBB".
        mark: matplotlib's marker.
        line: matplotlib's line style.
        filled: whether the mark is filled with the color, else with white.
    """

    label: str
    color: str
    mark: str
    line: Any = "-"
    filled: bool = True

    def as_line(self, **changes: Any) -> dict[str, Any]:
        """Keywords of `Axes.plot` for a line without marks: label, color, line style."""
        return {"label": self.label, "color": self.color, "ls": self.line, "marker": ""} | changes

    def as_points(self, **changes: Any) -> dict[str, Any]:
        """Keywords of `Axes.plot` for marks without a line: label, color, marker."""
        face = self.color if self.filled else "white"
        return {"label": self.label, "color": self.color, "ls": "", "marker": self.mark, "mfc": face} | changes


DASHED, DOTTED, DASH_DOT = (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2))

FIRST_LAYERS: dict[str, Style] = {
    "linear": Style("plain network", "#000000", "o"),
    "linear, lit": Style("plain network, trained with darkness", "#949494", "o", DASHED, filled=False),
    "linear, lit evenly": Style("plain network, trained with even darkness", "#FE3045", "h", DOTTED, filled=False),
    "ln(1 + x)": Style("log layer", "#D55E00", "s"),
    "ln(1 + x), gamma fixed": Style("log layer, γ fixed", "#6C4E19", "d", DASHED),
    "ln(1 + 10x)": Style("log layer, ε = 1/10", "#551499", "<", DASH_DOT),
    "ln(1 + 25x)": Style("log layer, ε = 1/25", "#4D240C", ">", DASHED),
    "ln(1 + 255x)": Style("log layer, ε = 1/255", "#A44281", "p", DOTTED),
    "divided by mean": Style("division by the mean", "#0072B2", "^", DASHED),
    LOCAL: Style("local-mean layer", "#700D60", "v", DASHED),
    OURS: Style("zero-mean log layer", "#19A463", "D"),
    "zero-mean ln(1 + 25x)": Style("zero-mean log layer, ε = 1/25", "#9088ED", "8", DASHED),
    ZERO_PADDED: Style("zero-mean log layer, zeros at the border", "#B3009C", "H", DOTTED),
    NORMALIZED: Style("contrast-normalized log layer", "#2B5242", "P"),
    ADAPTIVE: Style("zero-mean local-mean log layer", "#2802D2", "*", DASH_DOT),
    BOTH: Style("contrast-normalized local-mean log layer", "#9154E9", "X"),
}
"""First layers and remedies that chapters draw; names as in `stems.VARIANTS`, with how they were lit in training."""

# What decides a pixel's new value: the functions of `facelight.enhance`, and how the family looks.
_FAMILIES: dict[str, tuple[tuple[str, ...], Style]] = {
    "nothing": (("identity",), Style("nothing", "#000000", "X")),
    "one curve": (("gamma", "log_stretch", "gbie"), Style("one curve", "#949494", "o")),
    "one histogram": (("equalize", "bbhe"), Style("one histogram", "#0072B2", "s")),
    "histograms of tiles": (("ahe", "clahe", "modified_clahe"), Style("histograms of tiles", "#19A463", "^")),
    "neighbors": (SIGNED, Style("neighbors", "#D55E00", "D")),
}
FAMILIES: dict[str, Style] = {name: style for name, (_, style) in _FAMILIES.items()}
"""Families of enhancers, by what decides a pixel's new value."""

_MARKS = "os^vD*PXhd<>p8"


def family(name: str) -> str:
    """The family of an enhancer of `enhancers.FAMILY`.

    >>> family("CLAHE 2, OpenCV")
    'histograms of tiles'
    """
    return next(title for title, (functions, _) in _FAMILIES.items() if FAMILY[name].name in functions)


def _enhancers() -> dict[str, Style]:
    """Each with the color of its family; M-CLAHE's marks are open, so that it stands out from CLAHE."""
    marks = {title: iter(style.mark + _MARKS.replace(style.mark, "")) for title, style in FAMILIES.items()}
    found = {}
    for name, enhancer in FAMILY.items():
        of, convention = family(name), name.replace(", ", " (", 1) + ")" * (", " in name)
        filled = enhancer.name != "modified_clahe"
        found[name] = Style(convention, FAMILIES[of].color, next(marks[of]), filled=filled)
    return found


ENHANCERS: dict[str, Style] = _enhancers()
"""Enhancers of `enhancers.FAMILY`; labels have no comma, so that they can stand in a list."""

RECOGNIZERS: dict[str, Style] = {
    "nearest": Style("nearest picture", "#000000", "o"),
    "mean picture": Style("mean picture", "#700D60", "P", DASHED),
    "shifted nearest": Style("nearest picture, shifted", "#949494", "s"),
    "lda": Style("LDA", "#6C4E19", "^"),
    "ridge": Style("ridge", "#0072B2", "D"),
    "lbp": Style("local binary patterns", "#19A463", "x"),
    "kernel ridge": Style("kernel ridge", "#9154E9", "*"),
    "network": Style("network", "#D55E00", "v"),
}
"""Ways to give a picture a name, as `recognition.recognition` calls them."""

LOSSES: dict[str, Style] = {
    "L2": Style("L2", "#000000", "o", DOTTED),
    "L1": Style("L1", "#949494", "s"),
    "5 x L1": Style("5 x L1", "#6C4E19", "^", DASHED),
    "Wing, [0, 1]": Style("Wing on [0, 1]", "#0072B2", "D"),
    "Wing, pixels": Style("Wing in pixels", "#D55E00", "v"),
    "Rectified Wing": Style("Rectified Wing", "#19A463", "P", DASH_DOT),
    "Adaptive Wing": Style("Adaptive Wing", "#9154E9", "X", DASH_DOT),
}
"""Losses of landmarks."""


def _of(table: Mapping[str, Style], name: str, title: str) -> Style:
    if name not in table:
        known = ", ".join(map(repr, table))
        raise KeyError(f"{name!r} has no style yet: give it a line in facelight_lab.style.{title}; it has {known}")
    return table[name]


def layer(name: str) -> Style:
    """The style of a first layer or remedy.

    Args:
        name: as in `stems.VARIANTS`, with ", lit" where it was trained with darkness.

    Raises:
        KeyError: a method that has no style yet.

    >>> layer("linear").label
    'plain network'
    """
    return _of(FIRST_LAYERS, name, "FIRST_LAYERS")


def called(name: str) -> str:
    """What tables call a variant: its label; that of the layer it changes, and the change; or else its name.

    >>> called("ln(1 + x), gamma of each channel"), called("Tan-Triggs")
    ('log layer, gamma of each channel', 'Tan-Triggs')
    """
    for known in sorted(FIRST_LAYERS, key=len, reverse=True):
        if name == known or name.startswith(f"{known}, "):
            return FIRST_LAYERS[known].label + name[len(known) :].replace(", lit", ", trained with darkness")
    return name


def labeled(names: Iterable[str]) -> dict[str, str]:
    """Label -> name of first layers, in this order: the rows that `tables.table` takes.

    >>> labeled(["linear", "ln(1 + x)"])
    {'plain network': 'linear', 'log layer': 'ln(1 + x)'}
    """
    return {layer(name).label: name for name in names}


def enhancer(name: str) -> Style:
    """The style of an enhancer of `enhancers.FAMILY`.

    Raises:
        KeyError: a name that is not in it.

    >>> enhancer("CLAHE 2, OpenCV").label
    'CLAHE 2 (OpenCV)'
    """
    return _of(ENHANCERS, name, "ENHANCERS")


def recognizer(name: str) -> Style:
    """The style of a way to give pictures names, a key of `RECOGNIZERS`.

    Raises:
        KeyError: another name.
    """
    return _of(RECOGNIZERS, name, "RECOGNIZERS")


def loss(name: str) -> Style:
    """The style of a loss of landmarks, a key of `LOSSES`.

    Raises:
        KeyError: another name.
    """
    return _of(LOSSES, name, "LOSSES")
