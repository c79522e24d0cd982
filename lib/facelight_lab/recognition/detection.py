"""Experiment "detection": in how many pictures the face is found, before and after each enhancer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelight import _check, detect, illumination
from facelight.data.samples import LandmarkFaces, LitFaces
from facelight_lab.enhancement import nearest
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.pictures import in_parts, read
from facelight_lab.runs import Experiment

NAME = "detection"
DATASETS = ("yaleb", "synthetic", "scenes")
FACTORS = (1, 3, 6, 12)  # by which scenes are darkened
BORDER = 0.36  # of the shorter side: 60 pixels around the 192x168 of Extended Yale B
OVERLAP = 0.3
SCORES = ("found", "correct", "false_alarm", "eyes", "mouth")
LABELS = (
    "Input", "HE", "CLAHE 0.01, MATLAB", "CLAHE 2, OpenCV", "CLAHE 40, OpenCV", "M-CLAHE 0.01, MATLAB",
    "GBIE, corrected", "gamma 0.4", "ln(1 + 255x)", "Tan-Triggs", "ln minus local mean",
)  # fmt: skip
CONTROLS = ("Input", "Tan-Triggs", "ln minus local mean")  # also stretched


@dataclass(frozen=True)
class Detection:
    """Every n-th picture of a data set is enhanced, given a border, and searched for a face and its parts.

    Scenes are divided by each of `FACTORS` and rounded to gray levels first, then turned to gray, as a detector sees
    them; the enhancer works on that. The border comes after the enhancer, so that it does not change the histogram.

    `stretch` is a control. A cascade normalizes each window to unit variance, so that brightness and contrast would not
    matter, but OpenCV rejects windows whose standard deviation is below 10 gray levels. What stretching finds was only
    too weak for that; what an enhancer finds beyond it is its own merit.

    Args:
        dataset: "yaleb" or "synthetic", crops around a face; or "scenes", rendered faces before a background.
        enhancer: with its settings.
        border: width of the black border as a share of the shorter side, see `facelight.detect.detect_faces`.
        cascade: one of `facelight.detect.FACE_CASCADES`.
        stretch: map the darkest pixel of each enhanced picture to 0 and its brightest to 1, linearly.
        min_size: smallest face, as a share of the shorter side.
        every: take every n-th picture.
    """

    dataset: str = "yaleb"
    enhancer: Enhancer = field(default_factory=Enhancer)
    border: float = 0.0
    cascade: str = "frontalface_alt2"
    stretch: bool = False
    min_size: float = 0.4
    every: int = 1

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.cascade, detect.FACE_CASCADES, "cascade")
        if not isinstance(self.enhancer, Enhancer):
            raise TypeError(f"enhancer: expected an Enhancer, got {self.enhancer!r}: write Enhancer({self.enhancer!r})")
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {self.every}")


def searched(config: Detection, images: Tensor, truth: Tensor, factor: float = 1) -> dict[str, Tensor]:
    """What was found in images (N, C, H, W), uint8, divided by a factor: for each of `SCORES` a row (N,), bool.

    "found": a box; "correct": a box that shares at least `OVERLAP` with the true one, intersection over union;
    "false_alarm": a box that does not; "eyes", "mouth": a correct box, with both eyes, or a mouth, found within it.

    Args:
        config: of the run.
        images: (N, C, H, W), uint8.
        truth: (N, 4), x_min, y_min, x_max, y_max of the faces in pixels, edges as in `facelight.detect.Boxes`.
        factor: by which the images are darkened.
    """
    found, *corners, left, right, mouth = in_parts(partial(_search, config, factor), images, None)
    correct = (found > 0) & (overlap(torch.stack(corners, 1), truth) >= OVERLAP)
    rows = (found > 0, correct, (found > 0) & ~correct, correct & (left * right > 0), correct & (mouth > 0))
    return dict(zip(SCORES, rows, strict=True))


def _search(config: Detection, factor: float, x: Tensor) -> Tensor:
    """Rows found, x_min, y_min, x_max, y_max, left eye, right eye, mouth of images x."""
    y = config.enhancer(illumination.to_gray(x if factor == 1 else illumination.darken(x, factor)))
    if config.stretch:
        low, high = y.amin((-3, -2, -1), keepdim=True), y.amax((-3, -2, -1), keepdim=True)
        y = ((y - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    faces = detect.detect_faces(y, cascade=config.cascade, min_size=config.min_size, border=config.border)
    parts = torch.zeros(len(y), len(detect.PARTS), dtype=torch.bool)
    parts[faces.found] = detect.detect_parts(y[faces.found], faces.box[faces.found]).found
    return torch.cat([faces.found[None], faces.box.T, parts.T])


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (*, 4) and (*, 4), in [0, 1]."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area = [(c[..., 2:] - c[..., :2]).prod(-1) for c in (a, b)]
    return shared / (area[0] + area[1] - shared)


def measure(config: Detection, faces: LitFaces | LandmarkFaces) -> dict[str, Any]:
    """What is recorded of a run: for each of `SCORES` the share of pictures, and that in each group, with intervals.

    Groups are the subsets of light (`rate_by_subset`), or, of scenes, the factors (`rate_by_factor`) and, with factor
    1, whether the picture has the attribute "illumination", light from the side or nearly none
    (`rate_by_illumination`); over all counts a scene once for each factor. A crop is its own true box: what it shows
    is the face. That of a scene is the box of its landmarks. A cascade's box is larger than either: that of a face it
    has found overlaps the true one by 0.3 to 0.8. Intervals are Wilson's 95 %, for independent pictures.
    """
    faces = faces.select(range(0, len(faces), config.every))
    if isinstance(faces, LandmarkFaces):
        parts = [searched(config, faces.image, faces.box + 0.5, f) for f in FACTORS]
        factor = torch.tensor(FACTORS).repeat_interleave(len(faces))
        lit = torch.where(factor == 1, faces.attributes[:, 2].repeat(len(FACTORS)).long(), -1)
        groups = {"factor": factor, "illumination": lit}
    else:
        height, width = faces.image.shape[-2:]
        whole = torch.tensor([0.0, 0.0, width, height]).expand(len(faces), 4)
        parts, groups = [searched(config, faces.image, whole)], {"subset": faces.subset}
    return {score: _shares(torch.cat([part[score] for part in parts]), groups) for score in SCORES}


def _shares(right: Tensor, groups: dict[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = dict(nearest.share(right))
    for name, group in groups.items():
        parts = {int(g): nearest.share(right[group == g]) for g in group.unique() if g >= 0}
        for key in ("rate", "low", "high", "n"):
            found[f"{key}_by_{name}"] = {g: part[key] for g, part in parts.items()}
    return found


def configs(profile: str) -> list[Detection]:
    """The runs of a profile: crops with and without a border, scenes, the control, and another cascade."""
    labels: tuple[str, ...] = LABELS
    crops, scenes = Detection("yaleb", every=7), Detection("scenes")
    if profile == "book":
        labels, crops = ("Input", "HE", "CLAHE 40, OpenCV"), Detection("synthetic", every=15)
    elif profile == "full":
        labels, crops = tuple(FAMILY), replace(crops, every=1)
    places = (crops, replace(crops, border=BORDER), scenes)
    runs = [replace(place, enhancer=FAMILY[label]) for place in places for label in labels]
    weak = [label for label in labels if label in CONTROLS]
    runs += [replace(place, enhancer=FAMILY[label], stretch=True) for place in places[1:] for label in weak]
    if profile in ("laptop", "full"):
        runs += [replace(place, cascade="frontalface_default") for place in places]
    return runs


def load(dataset: str, scenes: int = 100) -> Any:
    """The pictures of a data set; of scenes a number."""
    if dataset != "scenes":
        return nearest.load(dataset) if dataset == "synthetic" else read(dataset)
    import facelight_render as synthetic

    return synthetic.landmarks("test", scenes)


def experiment(profile: str) -> Experiment[Detection, Any]:
    """What a profile measures; see `facelight_lab.runs.Experiment`."""
    few = profile == "book"
    return Experiment(NAME, profile, configs(profile), partial(load, scenes=12) if few else load, _measured)


def _measured(config: Detection, faces: Any, _: Path | None) -> tuple[dict[str, Any], str, int]:
    every = "all pictures" if config.every == 1 else f"every picture whose index is a multiple of {config.every}"
    return measure(config, faces), every, len(range(0, len(faces), config.every))
