"""Extended Yale B, cropped: 38 subjects under 64 flashes, read from the official layout. No enhancement here.

Layout: `CroppedYale/yaleB01/yaleB01_P00A+035E+40.pgm` for subject 1, azimuth +35, elevation +40 degrees. The subjects
are 01 to 39 without 14. Eighteen pictures were damaged when they were taken; the release ships them as `.pgm.bad`.
"""

from __future__ import annotations

import os
import re

import cv2
import numpy as np
import torch

from facelight import _files
from facelight.data.samples import LitFaces
from facelight.data.sources import Report, data_root, require_directory, sha256_of
from facelight.data.yale_lights import YALE_LIGHTS, subset_of

SUBJECTS = tuple(f"yaleB{i:02d}" for i in range(1, 40) if i != 14)
SIZE = (192, 168)
# `sha256_of` all 2,414 pictures.
SHA256 = "140899bf787492bdbaa6a39d5af4db94dc10912a9a8d4b6dfade210493906542"
_NAME = re.compile(r"(yaleB\d\d)_P00A([+-]\d{3})E([+-]\d{2})\.pgm")
# The pictures that the release itself marks as `.bad`.
BAD = frozenset(
    f"yaleB{subject}/yaleB{subject}_P00A{light}.pgm"
    for light, subjects in {
        "+050E-40": (11, 12, 13), "-050E-40": (11, 12, 13), "+095E+00": (11, 12, 13, 16), "-110E+15": (11, 12, 13),
        "-110E-20": (12,), "-035E+40": (15,), "-010E+00": (16, 17, 18),
    }.items()
    for subject in subjects
)  # fmt: skip
# First twelve digits of `sha256_of` for the pictures of each subject.
SUBJECT_SHA256 = {
    "yaleB01": "10b5c48ee09b", "yaleB02": "6737a08c88a2", "yaleB03": "710ae76d105f",
    "yaleB04": "ac5f7f667b56", "yaleB05": "9291cafea17f", "yaleB06": "1cad42acd46d",
    "yaleB07": "c96091ace28c", "yaleB08": "2a045660b5f5", "yaleB09": "f533b38e4ee2",
    "yaleB10": "a04a86bbb9ba", "yaleB11": "3703ee6d1aa9", "yaleB12": "c9ac3b7a2c41",
    "yaleB13": "d311cb5d3318", "yaleB15": "794c81db0197", "yaleB16": "f3c89d941be6",
    "yaleB17": "dfbf9072b27c", "yaleB18": "a3e900975125", "yaleB19": "9fe6f0f61239",
    "yaleB20": "0e3ed1342505", "yaleB21": "0bb73ceb57f7", "yaleB22": "1368153be015",
    "yaleB23": "fb1d6d3d8f78", "yaleB24": "2df335ea1e26", "yaleB25": "566168a175cd",
    "yaleB26": "c8e6900b38e1", "yaleB27": "bb0f0a6e0edb", "yaleB28": "6e8942efa09c",
    "yaleB29": "84a781fa308f", "yaleB30": "d822f84d5db7", "yaleB31": "b3d283df3fcb",
    "yaleB32": "526633de66ec", "yaleB33": "9a321bfaf71f", "yaleB34": "c618187f7266",
    "yaleB35": "88de078bdf5b", "yaleB36": "61467c0015a1", "yaleB37": "2b307fef350b",
    "yaleB38": "d283790d48ae", "yaleB39": "006a581bb1bc",
}  # fmt: skip


def expected_names() -> tuple[str, ...]:
    """Names of the 2,414 pictures of the release, `yaleB01/yaleB01_P00A+000E+00.pgm` and so on."""
    names = (f"{s}/{s}_P00A{int(a):+04d}E{int(e):+03d}.pgm" for s in SUBJECTS for a, e in YALE_LIGHTS)
    return tuple(sorted(set(names) - BAD))


def verify(root: str | os.PathLike[str] | None = None) -> Report:
    """Look at every picture under `root` and report what is there, missing, damaged or not the published bytes.

    Args:
        root: directory that holds `CroppedYale`; default: see `facelight.data.sources.data_root`.

    Raises:
        DataError: there is no such directory.
    """
    return _read(root)[0]


def load(
    root: str | os.PathLike[str] | None = None, *, size: tuple[int, int] | None = None, partial: bool = False
) -> LitFaces:
    """Cropped Extended Yale B: 2,414 gray faces of 192x168 pixels with identity, light and illumination subset.

    Subsets 1 to 5 hold 263, 456, 455, 526 and 714 pictures. `.bad` and `_Ambient` pictures are not part of the set.

    Args:
        root: directory that holds `CroppedYale`; default: see `facelight.data.sources.data_root`.
        size: (H, W) to resize to, by area averaging when that is smaller; default: as published.
        partial: take what is there instead of requiring the complete, unchanged release.

    Returns:
        Image (N, 1, H, W), identity 0 to 37 in the order of the subjects' numbers, light in degrees, name of the file.

    Raises:
        DataError: the set is missing, incomplete or changed; names what, the data card, and the command.
        ValueError: size is not two whole numbers >= 1.

    Source: Georghiades, Belhumeur, Kriegman (2001), doi 10.1109/34.927464;
        Lee, Ho, Kriegman (2005), doi 10.1109/TPAMI.2005.92.
    """
    if size is not None and not (np.shape(size) == (2,) and all(isinstance(n, int) and n >= 1 for n in size)):
        raise ValueError(f"size: expected (height, width) in whole pixels >= 1, got {size!r}")
    report, pictures = _read(root)
    if not partial or not pictures:
        report.require_complete()
    lights = [_light(name) for name in pictures]
    stack = np.stack([_resize(picture, size) for picture in pictures.values()])
    azimuth, elevation = torch.tensor(lights, dtype=torch.float32).T
    return LitFaces(
        image=torch.from_numpy(stack)[:, None],
        identity=torch.tensor([SUBJECTS.index(name[:7]) for name in pictures]),
        azimuth=azimuth,
        elevation=elevation,
        subset=torch.tensor([subset_of(a, e) for a, e in lights]),
        name=tuple(pictures),
        source="Extended Yale B (cropped)",
        sha256=report.sha256,
    )


def _light(name: str) -> tuple[float, float]:
    match = _NAME.fullmatch(name[8:])
    assert match is not None  # only expected names are read
    return float(match[2]), float(match[3])


def _resize(picture: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or size == picture.shape:
        return picture
    smaller = size[0] <= picture.shape[0] and size[1] <= picture.shape[1]
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _read(root: str | os.PathLike[str] | None) -> tuple[Report, dict[str, np.ndarray]]:
    folder = data_root(root) / "CroppedYale"
    require_directory(folder, "yaleb")
    pictures: dict[str, np.ndarray] = {}
    contents: dict[str, dict[str, bytes]] = {subject: {} for subject in SUBJECTS}
    missing, damaged, used = [], [], set()
    for name in expected_names():
        path = _files.in_any_case(folder / name)
        if not path.is_file():
            missing.append(name)
            continue
        used.add(path)
        raw = _files.bytes_of(path)
        picture = _decode(raw)
        if picture is None:
            damaged.append(name)
        else:
            pictures[name] = picture
            contents[name[:7]][name] = raw
    differing = [s for s, files in contents.items() if not sha256_of(files).startswith(SUBJECT_SHA256[s])]
    touched = {name[:7] for name in missing + damaged}
    others = [p for p in _files.visible(folder.rglob("*"), folder) if p.is_file() and p not in used]
    report = Report(
        name="yaleb",
        root=folder,
        count=len(pictures),
        expected=len(expected_names()),
        per_subject={s: len(files) for s, files in contents.items()},
        missing=tuple(missing),
        damaged=tuple(damaged),
        ignored=tuple(path.relative_to(folder).as_posix() for path in others),
        differing=tuple(s for s in differing if s not in touched),
        sha256=sha256_of({n: raw for files in contents.values() for n, raw in files.items()}),
    )
    return report, pictures


def _decode(raw: bytes) -> np.ndarray | None:
    """The picture, or None where the file is cut short, not a gray PGM, or of another size."""
    if not raw.startswith(b"P5") or len(raw) < SIZE[0] * SIZE[1]:
        return None
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    header = re.match(rb"P5\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+255\s", raw)
    if picture is None or picture.shape != SIZE or header is None or len(raw) - header.end() < picture.size:
        return None
    return picture
