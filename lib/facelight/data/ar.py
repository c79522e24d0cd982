"""AR, a reduced form: 99 people, each 14 times, in even light and in light from the left, the right or both sides.

Layout: `AR/AR_II.mat` with `x` (60, 43, 1386), uint8, and `label` (1386, 1): the pictures of a person follow each
other, seven of one session and seven of another, two weeks later.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facelight import _check
from facelight.data import _mat
from facelight.data.samples import LitFaces
from facelight.data.sources import DataError, Report, data_root, require_directory, sha256_of

SIZE = (60, 43)
PEOPLE, SHOTS = 99, 14
LIGHTS = ("even", "left", "right", "both")  # sides of the person; in the picture it is the other way round
SHA256 = "2feba5e32fd8135d149a7b1fc0ec17f0ff7ace5e67829adceca8a597a526c174"  # `sha256_of` the file


def shot(number: int) -> tuple[int, str]:
    """Session, 1 or 2, and light, of `LIGHTS`, of a person's picture 1 to 14.

    >>> shot(1), shot(4), shot(5), shot(14)
    ((1, 'even'), (1, 'even'), (1, 'left'), (2, 'both'))
    """
    _check.whole(number, "number", 1)
    if number > SHOTS:
        raise ValueError(f"number: expected 1 to {SHOTS}, got {number}")
    kind = (number - 1) % 7
    return 1 + (number - 1) // 7, LIGHTS[max(0, kind - 3)]


@dataclass(frozen=True)
class ArFaces(LitFaces):
    """AR: the columns of `LitFaces` and the session.

    Args:
        session: (N,), int64, 1 or 2.
    """

    session: Tensor


def load(root: str | os.PathLike[str] | None = None) -> ArFaces:
    """The 1,386 gray pictures of 60x43 pixels.

    Args:
        root: directory that holds `AR`; default: see `facelight.data.sources.data_root`.

    Returns:
        Image (1386, 1, 60, 43), identity 0 to 98; subset 1 to 4, `LIGHTS`: even light (four expressions), light
        from the person's left, right and both sides. Angles are not known: azimuth and elevation are NaN. Names are
        `person 1, session 2, picture 8` and so on.

    Raises:
        DataError: the file is missing, damaged, or holds something else.

    Source: Martinez, Benavente (1998), The AR Face Database, CVC Technical Report 24.
    """
    path = data_root(root) / "AR" / "AR_II.mat"
    require_directory(path.parent, "ar")
    pictures = _read(path)
    shots = [shot(number) for _ in range(PEOPLE) for number in range(1, SHOTS + 1)]
    unknown = torch.full((len(shots),), float("nan"))
    return ArFaces(
        image=torch.from_numpy(np.ascontiguousarray(pictures.transpose(2, 0, 1)))[:, None],
        identity=torch.arange(len(shots)) // SHOTS,
        azimuth=unknown,
        elevation=unknown.clone(),
        subset=torch.tensor([1 + LIGHTS.index(light) for _, light in shots]),
        name=tuple(
            f"person {1 + i // SHOTS}, session {session}, picture {1 + i % SHOTS}"
            for i, (session, _) in enumerate(shots)
        ),
        source="AR",
        sha256=sha256_of({path.name: path}),
        session=torch.tensor([session for session, _ in shots]),
    )


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at the file, its variables and their shapes, and compare its hash.

    Args:
        root: directory that holds `AR`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory.
    """
    top = data_root(root) / "AR"
    require_directory(top, "ar")
    path = top / "AR_II.mat"
    there, damaged = path.is_file(), []
    if there:
        try:
            _read(path)
        except DataError as error:
            damaged = [str(error).partition(": obtain")[0]]
    digest = sha256_of({path.name: path} if there else {})
    sound = there and not damaged
    return Report(
        name="ar",
        root=top,
        count=PEOPLE * SHOTS if sound else 0,
        expected=PEOPLE * SHOTS,
        per_subject=dict.fromkeys(LIGHTS, 0)
        | ({"even": 8 * PEOPLE} | dict.fromkeys(LIGHTS[1:], 2 * PEOPLE) if sound else {}),
        missing=() if there else (path.name,),
        damaged=tuple(damaged),
        ignored=(),
        differing=(path.name,) if sound and digest != SHA256 else (),
        sha256=digest,
    )


def _read(path: Path) -> np.ndarray:
    """The pictures (60, 43, 1386), uint8, after they were checked."""
    found = _mat.variables(path, ("x", "label"), _refused)
    pictures, people = found["x"], found["label"]
    if pictures.shape != (*SIZE, PEOPLE * SHOTS) or pictures.dtype != np.uint8:
        raise _refused(
            path, f"expected x of shape {(*SIZE, PEOPLE * SHOTS)}, uint8, got {pictures.shape}, {pictures.dtype}"
        )
    rows = people.ravel()
    if len(rows) != PEOPLE * SHOTS or (np.reshape(rows, (PEOPLE, SHOTS)) != rows[::SHOTS, None]).any():
        raise _refused(path, f"expected label to name {PEOPLE} people, {SHOTS} pictures of each one after the other")
    if len(set(rows[::SHOTS].tolist())) != PEOPLE:
        raise _refused(path, f"expected {PEOPLE} people in label, got {len(set(rows[::SHOTS].tolist()))}")
    return pictures


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: {why}: obtain the file again as the data card book/data/ar.md says, then run "
        "`facelight data verify ar`"
    )
