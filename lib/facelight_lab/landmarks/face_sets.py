"""Sets of faces with landmarks: training and test sets, their crops, groups of faces."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facelight.data import crops, w300, wflw
from facelight.data.crops import BoxRule
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations, LandmarkFaces
from facelight.data.sources import DataError
from facelight.metrics.landmarks import OUTER_CORNERS

DATASETS = ("w300", "synthetic", "wflw")
POINTS = {"w300": 68, "synthetic": 98, "wflw": 98}
RENDERED = (3000, 500)  # faces for training and test
FEW_RENDERED = (32, 12)
DUPLICATES = ("lfpw/trainset/image_0828",)
"""Training faces of 300-W whose picture is a test picture, too: this one is `lfpw/testset/image_0096`."""
PICTURE = 128  # side of rendered pictures, in which a face takes about 90 pixels
SIDE_LIT = 1.5  # see `groups`
DARK = 0.35


@dataclass(frozen=True)
class Sets:
    """Faces to train on and faces to test on.

    Args:
        train, test: annotated photographs, or rendered pictures.
        source: name of the data set.
    """

    train: Annotations | LandmarkFaces
    test: Annotations | LandmarkFaces
    source: str

    @property
    def sha256(self) -> str:
        """Hash of both."""
        return hashlib.sha256(f"{self.train.sha256} {self.test.sha256}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.train) + len(self.test)


def load(dataset: str, rendered: tuple[int, int] = RENDERED) -> Sets:
    """Training and test faces.

    Args:
        dataset: "w300", the training faces of HELEN, LFPW and AFW that are there, and the common test set; "wflw"; or
            "synthetic".
        rendered: number of rendered faces for training and test.

    Raises:
        DataError: see `w300.load` and `wflw.load`.
    """
    if dataset == "w300":
        return Sets(w300.load("train", partial=True), w300.load("common"), "300-W")
    if dataset == "wflw":
        return Sets(wflw.load("train"), wflw.load("test"), "WFLW")
    import facelight_render as synthetic

    train, test = (synthetic.landmarks(s, n, size=PICTURE) for s, n in zip(("train", "test"), rendered, strict=True))
    return Sets(train, test, f"synthetic landmarks, {len(train)} and {len(test)}")


def crop(faces: Annotations | LandmarkFaces, size: int, rule: BoxRule) -> LandmarkFaces:
    """Square crops; of photographs from the cache, see `crops.crop_faces`, of rendered pictures cut anew.

    The box of a rendered face is the tight box of its landmarks, whatever the rule says.

    Raises:
        DataError: a landmark is NaN or infinite, or a box has no area; names the face.
    """
    if isinstance(faces, Annotations):
        return crops.crop_faces(faces, size, rule)
    bad = (~faces.landmarks.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise DataError(f"{faces.name[bad[0]]}: expected finite landmarks, got NaN or infinity: leave the face out")
    places = crops.squares(faces.box, rule.margin, faces.name)
    image = np.empty((len(faces), 3, size, size), np.uint8)
    for row, picture in enumerate(faces.image.numpy()):
        left, top, side = *places.corner[row].tolist(), int(places.side[row])
        image[row] = crops.cut(picture.transpose(1, 2, 0), left, top, side, size).transpose(2, 0, 1)
    unit = places.to_crop(faces.landmarks)
    return LandmarkFaces(
        image=torch.from_numpy(image),
        landmarks=crops.unit_to_pixels(unit, size),
        visible=faces.visible & ((unit >= 0) & (unit <= 1)).all(2),
        box=crops.unit_to_pixels(places.to_crop(faces.box.reshape(-1, 2, 2)), size).reshape(-1, 4),
        attributes=faces.attributes,
        name=faces.name,
        source=faces.source,
        sha256=faces.sha256,
    )


def without_duplicates(faces: Annotations | LandmarkFaces) -> Annotations | LandmarkFaces:
    """The faces that are not among `DUPLICATES`."""
    return faces.select([name not in DUPLICATES for name in faces.name])


def require_eyes(faces: LandmarkFaces) -> None:
    """Make sure that every face has a distance between its outer eye corners, which errors are divided by.

    Raises:
        DataError: the corners of a face coincide; names the face.
    """
    left, right = OUTER_CORNERS[faces.landmarks.shape[1]]
    bad = (faces.landmarks[:, left] == faces.landmarks[:, right]).flatten(1).all(1).nonzero().flatten().tolist()
    if bad:
        raise DataError(
            f"{faces.name[bad[0]]}: its outer eye corners coincide, so there is no inter-ocular error "
            f"({len(bad)} such faces): correct the annotation or leave these faces out"
        )


def held_out(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions to train on and positions to validate on, each in ascending order; a function of its arguments only.

    >>> [len(part) for part in held_out(2012, 0.1, seed=0)]
    [1811, 201]
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    kept = count - round(share * count)
    return order[:kept].sort().values, order[kept:].sort().values


def groups(faces: LandmarkFaces) -> dict[str, Tensor]:
    """Masks (N,) of groups of crops; a group that nobody is in is left out.

    Of 300-W "HELEN" and "LFPW"; where faces have attributes, the six of `WFLW_ATTRIBUTES`. Of every set two more, by
    the middle of the crop, a fifth from each edge, where the face is, and the mean of the color channels there:
    "side-lit", one half is on average at least `SIDE_LIT` times as bright as the other; "dark", the mean of the whole
    is below `DARK`, in [0, 1], both of sRGB values.
    """
    size = faces.image.shape[-1]
    edge = size // 5
    middle = faces.image[:, :, edge : size - edge, edge : size - edge].float().mean(1) / 255
    half = middle.shape[-1] // 2
    left, right = (part.mean((1, 2)).clamp_min(1e-3) for part in (middle[..., :half], middle[..., -half:]))
    found = {n: torch.tensor([name.startswith(f"{n.lower()}/") for name in faces.name]) for n in ("HELEN", "LFPW")}
    found |= {name: faces.attributes[:, i] for i, name in enumerate(WFLW_ATTRIBUTES)}
    found["side-lit"] = torch.maximum(left / right, right / left) >= SIDE_LIT
    found["dark"] = middle.mean((1, 2)) < DARK
    return {name: mask for name, mask in found.items() if bool(mask.any())}
