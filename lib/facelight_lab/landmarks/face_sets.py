"""Sets of faces with landmarks: training and test sets, their crops, groups of faces."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from facelight.data import crops, net7876, w300, wflw, wflw_crops
from facelight.data.crops import BoxRule
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import WFLW_ATTRIBUTES, Annotations, LandmarkFaces
from facelight.data.sources import DataError
from facelight.metrics.landmarks import eye_distance

POINTS = {
    "w300": 68, "synthetic": 98, "wflw": 98, "net7876": 5, "w300 on wflw_crops": 68, "synthetic on wflw_crops": 98,
}  # fmt: skip
"""Data set -> number of landmarks; "w300 on wflw_crops" has training faces of the one, test faces of the other."""
DATASETS = tuple(POINTS)
EYES = {98: "inter-ocular", 68: "inter-ocular", 5: "inter-pupil"}
"""Number of landmarks -> the distance that errors are divided by, see `metrics.nme`: five have no corners of eyes."""
RENDERED = (3000, 500)  # faces for training and test
FEW_RENDERED = (32, 12)
DUPLICATES = ("lfpw/trainset/image_0828", "train/00796.jpg", "train/03850.jpg", "train/05511.jpg")
"""Training faces whose picture is a test picture, too.

The first, of 300-W, is `lfpw/testset/image_0096`; those of net7876 are the files `test/06472.jpg`, `test/07094.jpg` and
`test/07758.jpg`, byte for byte.
"""
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
        dataset: "w300", the training faces of HELEN, LFPW and AFW that are there, and the common test set; "wflw";
            "net7876"; "synthetic"; or "w300 on wflw_crops" and "synthetic on wflw_crops", whose test faces are those of
            `wflw_crops`, for 300-W with `reduced` landmarks.
        rendered: number of rendered faces for training and test.

    Raises:
        DataError: see the loaders, such as `w300.load`.
    """
    trained, _, tested = dataset.partition(" on ")
    train, test = _faces(trained, "train", rendered[0]), _faces(tested or trained, "test", rendered[1])
    if isinstance(test, Annotations) and tested and POINTS[dataset] == 68:
        test = reduced(test)
    counts = f"{len(train)}" if tested else f"{len(train)} and {len(test)}"
    sources = {"w300": "300-W", "wflw": "WFLW", "synthetic": f"synthetic landmarks, {counts}"}
    source = sources.get(trained, trained)
    return Sets(train, test, f"{source}; {test.source}" if tested else source)


def _faces(dataset: str, split: str, rendered: int) -> Annotations | LandmarkFaces:
    """A part of one data set, "train" or "test"."""
    if dataset == "synthetic":
        import facelight_render as synthetic

        return synthetic.landmarks(split, rendered, size=PICTURE)
    if dataset == "w300":
        return w300.load("train", partial=True) if split == "train" else w300.load("common")
    if dataset == "wflw_crops":
        return wflw_crops.load()
    return net7876.load(split) if dataset == "net7876" else wflw.load(split)


def reduced(faces: Annotations) -> Annotations:
    """Faces of WFLW with the landmarks `LANDMARKS_68` and, as faces of 300-W have, the tight box of these."""
    landmarks = faces.landmarks[:, list(LANDMARKS_68)]
    return replace(faces, landmarks=landmarks, box=torch.cat([landmarks.amin(1), landmarks.amax(1)], 1))


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
    """Make sure that every face has a distance between its eyes, `EYES`, which errors are divided by.

    Raises:
        DataError: the outer corners of a face coincide, or its eyes; names the face.
    """
    kind = EYES[faces.landmarks.shape[1]]
    bad = (eye_distance(faces.landmarks, kind) == 0).nonzero().flatten().tolist()
    if bad:
        raise DataError(
            f"{faces.name[bad[0]]}: its {'outer eye corners' if kind == 'inter-ocular' else 'eyes'} coincide, so there "
            f"is no {kind} error "
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
