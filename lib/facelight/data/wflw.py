"""WFLW: 10,000 faces in photographs with 98 landmarks and six attributes. Pictures are not decoded here.

Layout: `WFLW/WFLW_images/<folder>/<name>.jpg`, and under `WFLW/WFLW_annotations` one line of 207 values for each face:
196 coordinates, the box, six flags in the order of `WFLW_ATTRIBUTES`, the name of the picture.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facelight import _check, _files
from facelight.data.pictures import is_whole
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations
from facelight.data.sources import DataError, Report, data_root, extract, fetch, require_directory, sha256_of

FACES = {"train": 7500, "test": 2500}
# Attribute -> its word in the name of the subset's list, and the number of faces of the test set that have it.
SUBSETS = {
    "pose": ("largepose", 326),
    "expression": ("expression", 314),
    "illumination": ("illumination", 698),
    "make-up": ("makeup", 206),
    "occlusion": ("occlusion", 736),
    "blur": ("blur", 773),
}
ADDRESSES = {
    "WFLW_annotations": "https://wywu.github.io/projects/LAB/support/WFLW_annotations.tar.gz",
    "WFLW_images": "https://drive.usercontent.google.com/download?id=1hzBd48JIdWTJSsATBEB_eFVvPL1bx6UC"
    "&export=download&confirm=t",
}
_STATES = ("whole", "missing", "damaged")


@dataclass(frozen=True)
class _Line:
    """One face of a list: 206 numbers, the picture's name and file, and where the line stands."""

    numbers: npt.NDArray[np.float64]
    picture: str
    path: Path
    where: str


def load(split: str = "train", root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> Annotations:
    """A split of WFLW: 7,500 faces for training or 2,500 for testing.

    The coordinates are taken as they are written, that is, as counted from 0. Some points lie outside the picture, and
    some coincide. A subset is `faces.select(faces.attributes[:, WFLW_ATTRIBUTES.index("blur")])`.

    Args:
        split: "train" or "test".
        root: directory that holds `WFLW`; default: see `facelight.data.sources.data_root`.
        partial: take a list of another length than published; what is damaged or missing stays an error.

    Returns:
        Landmarks (N, 98, 2), the box of the annotation, attributes, in the order of the list. Names are
        `<picture>, test line 17`: several faces may share a picture.

    Raises:
        DataError: a line of the list is damaged, a picture is missing, or the length is wrong (unless partial).
        ValueError: unknown split.

    Source: Wu, Qian, Yang, Wang, Cai, Zhou (2018), arXiv:1805.10483.
    """
    _check.one_of(split, tuple(FACES), "split")
    top = data_root(root) / "WFLW"
    require_directory(top, "wflw")
    if not _list(top, split).is_file():
        raise _refused(top, [f"{_list(top, split).relative_to(top).as_posix()}: there is no such file"])
    lines, damaged = _lines(top, split)
    missing = sorted({line.picture for line in lines if not line.path.is_file()})
    if damaged:
        raise _refused(top, damaged)
    if missing:
        raise _refused(top, [f"{name} is in the list of the split {split!r} but not there" for name in missing])
    if not lines or (len(lines) != FACES[split] and not partial):
        raise _refused(top, [f"expected {FACES[split]} faces in the split {split!r}, got {len(lines)}"])
    numbers = torch.from_numpy(np.stack([line.numbers for line in lines]))
    path = tuple(line.path for line in lines)
    return Annotations(
        path=path,
        landmarks=numbers[:, :196].reshape(-1, 98, 2).float(),
        box=numbers[:, 196:200].float(),
        attributes=numbers[:, 200:206] == 1,
        name=tuple(f"{line.picture}, {line.where}" for line in lines),
        source=f"WFLW, {split}",
        sha256=_sha256(top, {_list(top, split), *path}),
    )


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at every line of the lists and at every picture, and report what is there, missing, damaged or too few.

    The test list and the six lists of its subsets must have the published lengths. No hash of the set is published:
    `sha256` is reported and not compared.

    Args:
        root: directory that holds `WFLW`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory.
    """
    top = data_root(root) / "WFLW"
    require_directory(top, "wflw")
    lines, damaged = zip(*(_lines(top, split) for split in FACES), strict=True)
    faces = dict(zip(FACES, lines, strict=True))
    state = {path: _state(path) for path in {line.path for split in lines for line in split}}
    whole = {split: sum(state[line.path] == "whole" for line in faces[split]) for split in FACES}
    flags = {n: sum(int(line.numbers[200 + i]) for line in faces["test"]) for i, n in enumerate(WFLW_ATTRIBUTES)}
    lengths = {part: _length(_list(top, part)) for part in (*FACES, *SUBSETS)}
    files = {_list(top, part): "whole" if lengths[part] >= 0 else "missing" for part in lengths} | state
    named = {how: sorted(p.relative_to(top).as_posix() for p in files if files[p] == how) for how in _STATES}
    sizes = FACES | {name: size for name, (_, size) in SUBSETS.items()}
    wrong = [f"{_list(top, part).name}: {n} of {sizes[part]}" for part, n in lengths.items() if 0 <= n != sizes[part]]
    wrong += [f"flag {name} of the test list: {n} of {sizes[name]}" for name, n in flags.items() if n != sizes[name]]
    return Report(
        name="wflw",
        root=top,
        count=sum(whole.values()),
        expected=sum(FACES.values()),
        per_subject=whole | flags,
        missing=tuple(named["missing"]),
        damaged=(*(why for split in damaged for why in split), *named["damaged"]),
        ignored=(),
        differing=tuple(wrong),
        sha256=_sha256(top, {path for path in files if files[path] == "whole"}),
        unit="faces",
        note=f"{len(state)} pictures; no hash is published, so that of the set is not compared",
    )


def download(root: str | os.PathLike[str] | None = None) -> Path:
    """Fetch and unpack what is not there yet, from the addresses on the authors' page; about 760 MB.

    An interrupted download continues where it stopped. No hash is published: that of the first download is recorded
    and required from then on, see `facelight.data.sources.fetch`. The license is that of the data card.

    Args:
        root: directory in which `WFLW` is made; default: see `facelight.data.sources.data_root`.

    Returns:
        The directory `WFLW`.

    Raises:
        DataError: no answer, or something else than an archive; the data card says how to fetch it by hand.
    """
    top = data_root(root) / "WFLW"
    for name, address in ADDRESSES.items():
        if (top / name).is_dir():
            continue
        archive = fetch(address, name=f"{name}.tar.gz", dataset="wflw", archive=True)
        unpacked = top / f".{name}"
        shutil.rmtree(unpacked, ignore_errors=True)  # left by an interruption
        extract(archive, unpacked)
        inner = unpacked / name  # the archives hold one folder of that name
        (inner if inner.is_dir() else unpacked).replace(top / name)
        shutil.rmtree(unpacked, ignore_errors=True)
    return top


def _list(top: Path, part: str) -> Path:
    """The list of a split, or of a subset of the test set."""
    folder = top / "WFLW_annotations"
    if part in SUBSETS:
        return folder / "list_98pt_test" / f"list_98pt_test_{SUBSETS[part][0]}.txt"
    return folder / "list_98pt_rect_attr_train_test" / f"list_98pt_rect_attr_{part}.txt"


def _length(path: Path) -> int:
    """Number of lines that are not empty, -1 if there is no such file."""
    return sum(bool(line.strip()) for line in path.read_bytes().splitlines()) if path.is_file() else -1


def _lines(top: Path, split: str) -> tuple[list[_Line], list[str]]:
    """The faces of a split, and what is wrong with the other lines."""
    path = _list(top, split)
    if not path.is_file():
        return [], []
    try:
        texts = _files.text_of(path).split("\n")
    except ValueError as error:
        return [], [f"{path.name}, line 1: {error}"]
    lines, damaged = [], []
    for number, text in enumerate(texts, 1):
        if text.strip():
            try:
                lines.append(_parse(text, top, f"{split} line {number}"))
            except ValueError as error:
                damaged.append(f"{path.name}, line {number}: {error}")
    return lines, damaged


def _parse(text: str, top: Path, where: str) -> _Line:
    tokens = text.split()
    if len(tokens) != 207:
        raise ValueError(f"expected 207 values, got {len(tokens)}")
    numbers = np.array(tokens[:206], np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("expected finite numbers, got NaN or infinity")
    if not np.isin(numbers[200:], (0, 1)).all():
        raise ValueError(f"expected six flags 0 or 1, got {' '.join(tokens[200:206])}")
    picture = tokens[206].replace("\\", "/")
    return _Line(numbers, picture, _files.in_any_case(top / "WFLW_images" / picture), where)


def _state(path: Path) -> str:
    """One of `_STATES`."""
    if not path.is_file():
        return "missing"
    return "whole" if is_whole(_files.bytes_of(path)) else "damaged"


def _sha256(top: Path, files: set[Path]) -> str:
    return sha256_of({path.relative_to(top).as_posix(): path for path in files})


def _refused(top: Path, why: list[str]) -> DataError:
    more = f" and {len(why) - 3} more" if len(why) > 3 else ""
    return DataError(
        f"wflw: {'; '.join(why[:3])}{more} ({top}): follow the data card book/data/wflw.md, then run "
        "`facelight data verify wflw`"
    )
