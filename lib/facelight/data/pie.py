"""CMU PIE as 32x32 grey faces: 68 subjects, five near-frontal cameras, 21 flashes. No enhancement here.

Layout: `PIE/<subject 1..68>/<n>.jpg`, 170 pictures a subject (subject 38 has 164), in the order of the widely used file
`PIE_32x32.mat`. That order is all the release says about camera and flash; `shot` writes down what it implies.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from facelight.data.samples import LitFace, LitFaces
from facelight.data.sources import Report, data_root, require_directory, sha256_of

SIZE = (32, 32)
# `sha256_of` all 11,554 pictures.
SHA256 = "f5d1c30320f0ffedae68721415bfbd0807a6cdd97eab02abbfb58d3fb5b27616"
_CAMERAS = (5, 7, 9, 27, 29)
_ABSENT = {38: (45, 46, 47, 87, 88, 89)}  # subject 38 lacks flashes 9 to 11 of cameras 7 and 27


@dataclass(frozen=True)
class PieFaces(LitFaces):
    """CMU PIE: the columns of `LitFaces` and what the order of the pictures implies.

    The directions of the flashes are not part of this release: azimuth and elevation are NaN, subset is 0.

    Args:
        camera: (N,), int64, number of the camera; 27 is frontal.
        flash: (N,), int64, place of the flash in the order from 1 to 21 (not the number in the PIE paper), 0 for none.
        room_lights: (N,), bool.
        session: N of "expression", "illumination", "lights", "talking".
    """

    camera: Tensor
    flash: Tensor
    room_lights: Tensor
    session: tuple[str, ...]

    def __getitem__(self, index: int) -> LitFace:
        row = self._row(index)
        return LitFace(**{k: row[k] for k in ("image", "identity", "azimuth", "elevation", "subset", "name")})


def shot(place: int) -> tuple[int, str, int, bool]:
    """Camera, session, flash and room lights of a place in the order, 1 to 170.

    >>> shot(16), shot(142)
    ((5, 'illumination', 1, False), (5, 'lights', 0, True))
    """
    if not 1 <= place <= 170:
        raise ValueError(f"place: expected 1 to 170, got {place}")
    if place <= 15:
        return _CAMERAS[(place - 1) % 5], "expression", 0, True
    if place <= 120:
        camera, flash = divmod(place - 16, 21)
        return _CAMERAS[camera], "illumination", flash + 1, False
    if place <= 164:
        camera, flash = divmod(place - 121, 22)
        return (5, 27)[camera], "lights", (flash + 1) % 22, True
    return (5 if place <= 167 else 27), "talking", 0, True


def _shots() -> dict[str, tuple[int, int]]:
    """Name of each picture to subject and place."""
    found: dict[str, tuple[int, int]] = {}
    for subject in range(1, 69):
        places = [p for p in range(1, 171) if p not in _ABSENT.get(subject, ())]
        found |= {f"{subject}/{n}.jpg": (subject, place) for n, place in enumerate(places, 1)}
    return found


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at every picture under `root` and report what is there, missing, damaged or not the published bytes.

    Args:
        root: directory that holds `PIE`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory.
    """
    return _read(root)[0]


def load(root: str | os.PathLike[str] | None = None, *, partial: bool = False) -> PieFaces:
    """CMU PIE, five near-frontal cameras: 11,554 grey faces of 32x32 pixels with identity, camera and flash.

    Args:
        root: directory that holds `PIE`; default: see `facelight.data.sources.data_root`.
        partial: take what is there instead of requiring the complete, unchanged set.

    Returns:
        Image (N, 1, 32, 32), identity 0 to 67; ordered by subject and place.

    Raises:
        DataError: the set is missing, incomplete or changed; names what, the data card, and the command.

    Source: Sim, Baker, Bsat (2003), doi 10.1109/TPAMI.2003.1251154; Cai, He, Hu, Han, Huang (2007) for the 32x32 crops.
    """
    report, pictures = _read(root)
    if not partial or not pictures:
        report.require_complete()
    places = _shots()
    subjects, order = zip(*(places[name] for name in pictures), strict=True)
    camera, session, flash, room = zip(*(shot(place) for place in order), strict=True)
    unknown = torch.full((len(pictures),), float("nan"), dtype=torch.float32)
    return PieFaces(
        image=torch.from_numpy(np.stack(list(pictures.values())))[:, None],
        identity=torch.tensor(subjects) - 1,
        azimuth=unknown,
        elevation=unknown.clone(),
        subset=torch.zeros(len(pictures), dtype=torch.int64),
        name=tuple(pictures),
        source="CMU PIE (32x32, five cameras)",
        sha256=report.sha256,
        camera=torch.tensor(camera),
        flash=torch.tensor(flash),
        room_lights=torch.tensor(room),
        session=tuple(session),
    )


def _read(root: str | os.PathLike[str] | None) -> tuple[Report, dict[str, np.ndarray]]:
    folder = data_root(root) / "PIE"
    require_directory(folder, "pie")
    pictures: dict[str, np.ndarray] = {}
    contents: dict[str, bytes] = {}
    missing, damaged = [], []
    names = _shots()
    for name in names:
        path = folder / name
        if not path.is_file():
            missing.append(name)
            continue
        raw = path.read_bytes()
        picture = _decode(raw)
        if picture is None:
            damaged.append(name)
        else:
            pictures[name], contents[name] = picture, raw
    sha256 = sha256_of(contents)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    changed = not missing and not damaged and sha256 != SHA256
    report = Report(
        name="pie",
        root=folder,
        count=len(pictures),
        expected=len(names),
        per_subject={str(s): sum(n.startswith(f"{s}/") for n in pictures) for s in range(1, 69)},
        missing=tuple(missing),
        damaged=tuple(damaged),
        ignored=tuple(sorted(present - set(names))),
        differing=("the set as a whole",) if changed else (),
        sha256=sha256,
    )
    return report, pictures


def _decode(raw: bytes) -> np.ndarray | None:
    """The picture, or None where the file is cut short, not JPEG, not grey, or of another size."""
    if not raw.startswith(b"\xff\xd8") or not raw.rstrip(b"\0").endswith(b"\xff\xd9"):
        return None
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture if picture is not None and picture.shape == SIZE else None
