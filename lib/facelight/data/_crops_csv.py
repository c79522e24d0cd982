"""Sets of square crops with one file `landmarks.csv`: reading and checking it. Loaders say which set it is."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facelight import _files
from facelight.data.pictures import is_whole
from facelight.data.sources import DataError, Report, require_directory, sha256_of

FILE = "landmarks.csv"


@dataclass(frozen=True)
class CropSet:
    """What a set of crops is like.

    Args:
        name: as in `facelight data verify <name>`, and of its data card.
        folder: that holds it, in the data root.
        header: of `landmarks.csv`; the first column is the file.
        words: how many columns from the left are words; the others are numbers.
        counts: part -> number of faces.
        sha256: `sha256_of` the pictures and `landmarks.csv`.
    """

    name: str
    folder: str
    header: tuple[str, ...]
    words: int
    counts: Mapping[str, int]
    sha256: str

    def refused(self, where: Path, why: str) -> DataError:
        """The error that names the place, what is wrong there, the data card and the command."""
        return DataError(
            f"{where}: {why}: obtain the set again as the data card book/data/{self.name}.md says, then run "
            f"`facelight data verify {self.name}`"
        )


@dataclass(frozen=True)
class Rows:
    """The lines of `landmarks.csv`.

    Args:
        words: (N) tuples, the file first.
        numbers: (N, columns).
    """

    words: tuple[tuple[str, ...], ...]
    numbers: npt.NDArray[np.float64]

    @property
    def files(self) -> tuple[str, ...]:
        """The first column."""
        return tuple(line[0] for line in self.words)


def read(top: Path, kind: CropSet) -> Rows:
    """The lines of the set's `landmarks.csv`.

    Raises:
        DataError: there is no such set or file, its header is another one, a line has another length, a file occurs
            twice or lies elsewhere, or a number is none.
    """
    require_directory(top, kind.name)
    path = top / FILE
    if not path.is_file():
        raise kind.refused(path, "there is no such file")
    try:
        lines = [line for line in csv.reader(_files.text_of(path).split("\n")) if line]
    except ValueError as error:
        raise kind.refused(path, str(error)) from error
    if not lines or tuple(lines[0]) != kind.header:
        raise kind.refused(path, f"expected the header {','.join(kind.header[:4])},... of {len(kind.header)} columns")
    numbers = np.empty((len(lines) - 1, len(kind.header) - kind.words))
    for row, line in enumerate(lines[1:]):
        where = f"line {row + 2}"
        if len(line) != len(kind.header):
            raise kind.refused(path, f"{where}: expected {len(kind.header)} values, got {len(line)}")
        if Path(line[0]).is_absolute() or ".." in Path(line[0]).parts:
            raise kind.refused(path, f"{where}: {line[0]!r} leads out of the set")
        try:
            numbers[row] = line[kind.words :]
        except ValueError as error:
            raise kind.refused(path, f"{where}: expected numbers with decimal points ({error})") from error
        if not np.isfinite(numbers[row]).all():
            raise kind.refused(path, f"{where}: expected finite numbers, got NaN or infinity")
    found = Rows(tuple(tuple(line[: kind.words]) for line in lines[1:]), numbers)
    if twice := [file for file, count in Counter(found.files).items() if count > 1]:
        raise kind.refused(path, f"{twice[0]} occurs more than once")
    return found


def require(top: Path, kind: CropSet, part: str, files: Sequence[str], *, partial: bool) -> tuple[Path, ...]:
    """The pictures of a part, which must all be there, as many as in the set unless partial."""
    paths = tuple(top / file for file in files)
    if missing := [file for file, path in zip(files, paths, strict=True) if not path.is_file()]:
        raise kind.refused(top, f"{len(missing)} pictures of {FILE} are missing, {missing[0]} first")
    if not files or (len(files) != kind.counts[part] and not partial):
        more = "; to use what is there, load with partial=True" if files else ""
        raise kind.refused(top, f"expected {kind.counts[part]} faces in the part {part!r}, got {len(files)}{more}")
    return paths


def sha256(top: Path, files: Sequence[str]) -> str:
    """`sha256_of` pictures and `landmarks.csv`."""
    return sha256_of({name: top / name for name in (FILE, *files)})


def verify(top: Path, kind: CropSet, part_of: Mapping[str, str], sides: Mapping[str, int]) -> Report:
    """Look at every picture, and report what is there, missing, damaged, of another size or not the known bytes.

    Args:
        top: folder of the set.
        kind: what is expected.
        part_of: file -> part, of every line of `landmarks.csv`.
        sides: file -> width and height in pixels.
    """
    states = {file: _state(top / file, sides[file]) for file in part_of}
    sound = [file for file, state in states.items() if state == "whole"]
    counts = Counter(part_of[file] for file in sound)
    listed = Counter(part_of.values())
    wrong = [f"{FILE}: {listed[part]} faces in {part}, {n} expected" for part, n in kind.counts.items()]
    wrong = [text for text, (part, n) in zip(wrong, kind.counts.items(), strict=True) if listed[part] != n]
    digest = sha256(top, sound)
    everything = {path.relative_to(top).as_posix() for path in _files.visible(top.rglob("*"), top) if path.is_file()}
    whole = len(sound) == len(part_of) and not wrong
    return Report(
        name=kind.name,
        root=top,
        count=len(sound),
        expected=sum(kind.counts.values()),
        per_subject={part: counts[part] for part in kind.counts},
        missing=tuple(file for file, state in states.items() if state == "missing"),
        damaged=tuple(
            file if state == "damaged" else f"{file}: {state}"
            for file, state in states.items()
            if state not in ("whole", "missing")
        ),
        ignored=tuple(sorted(everything - {FILE, *part_of})),
        differing=(*wrong, *([FILE + " or a picture"] if whole and digest != kind.sha256 else [])),
        sha256=digest,
        unit="faces",
    )


def _state(path: Path, side: int) -> str:
    """One of "whole", "missing", "damaged"; or what is wrong with the size."""
    if not path.is_file():
        return "missing"
    raw = _files.bytes_of(path)
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if is_whole(raw) else None
    if picture is None:
        return "damaged"
    height, width = picture.shape[:2]
    return "whole" if (height, width) == (side, side) else f"{width}x{height} pixels, {side}x{side} expected"
