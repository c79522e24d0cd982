"""`facelight train landmarks`: a small network in a file, by the code that trains those of the experiments."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from facelight import _check, _files, models, weights
from facelight.augment import Augmentation
from facelight.data import crops
from facelight.data.crops import BoxRule
from facelight.data.landmarks import LANDMARKS_68
from facelight.data.samples import Annotations, LandmarkFaces
from facelight.data.sources import DataError, sha256_of
from facelight.data.w300 import read_pts
from facelight_lab.landmarks import face_sets, regressor, training
from facelight_lab.landmarks.regressor import Network
from facelight_lab.landmarks.settings import RECIPE, Landmarks
from facelight_lab.landmarks.training_light import TrainingLight, TrainingNoise
from facelight_lab.stems import NORMALIZED

VARIANTS = {"linear": "linear", "light": NORMALIZED}
"""First layer of a model file -> that of the experiments."""
SETS = {"rendered": 98, "wflw": 98, "w300": 68}
"""Data set by name -> its number of landmarks."""
LICENSES = {"rendered": "CC0-1.0"}
RESEARCH = "that of the pictures it was trained on: see the data card"
CHUNK = 2000  # faces that are rendered, cut and kept in the cache together
HELD_OUT = 0.05
SUFFIXES = (".jpg", ".jpeg", ".png")
MOVES = Augmentation(rotation=20.0, scale=0.15, shift=0.08)  # finders of faces miss the box by as much
SMALL = Network("resnet18_small", head_width=256, grid=3)  # 2.24 million weights, 4.5 MB as float16


@dataclass(frozen=True)
class Plan:
    """What is trained, on what, for how long.

    Args:
        data: a name of `SETS`, or a folder of pictures, each with its 68 landmarks beside it: `a.jpg`, `a.pts`.
        points: 98 or 68; None: as many as the data have. 98 can be reduced to 68.
        stem: of `weights.STEMS`.
        faces: number of rendered faces.
        epochs, batch: see `train.Recipe`.
        size: side of the crops in pixels.
        light: half of the training faces are seen in less light, even or in patches.
        darkest: what their gray levels are divided by, at most.
        noise: half of the training faces are seen by a camera with noise.
        seed: of faces, weights, order and augmentation.
        network: what stands behind the first layer.
    """

    data: str = "rendered"
    points: int | None = None
    stem: str = "light"
    faces: int = 30_000
    epochs: int = 20
    batch: int = 64
    size: int = 96
    light: bool = True
    darkest: float = 25.0
    noise: bool = True
    seed: int = 0
    network: Network = SMALL

    def __post_init__(self) -> None:
        _check.one_of(self.stem, tuple(VARIANTS), "--stem")
        _check.whole(self.faces, "--faces", 2)
        if self.points not in (None, 68, self.given):
            raise ValueError(f"--points: {self.data} has {self.given} landmarks, got {self.points}: leave it out")

    @property
    def given(self) -> int:
        """Landmarks that the data have."""
        return SETS.get(self.data, 68)

    @property
    def kept(self) -> int:
        """Landmarks that are learned."""
        return self.points or self.given

    @property
    def config(self) -> Landmarks:
        """The same as the experiments say it."""
        return Landmarks(
            "synthetic" if self.kept == 98 else "w300",
            VARIANTS[self.stem],
            self.seed,
            self.size,
            network=self.network,
            recipe=replace(RECIPE, epochs=self.epochs, batch=self.batch, learning_rate=2e-3),
            augmentation=MOVES,
            light=self._light,
            held_out=HELD_OUT,
            duplicates=False,
        )

    @property
    def _light(self) -> TrainingLight | None:
        camera = TrainingNoise() if self.noise else None
        if self.light:
            return TrainingLight(self.darkest, local=True, noise=camera)
        return None if camera is None else TrainingLight(share=0.0, noise=camera)


def run(plan: Plan, output: Path, *, command: str = "", progress: bool = True) -> tuple[weights.ModelCard, str]:
    """Train a network and write it; returns its card and the sha256.

    A run that was interrupted goes on from the checkpoint beside the output, with the same code and as many threads to
    the same weights to the last bit; at the end the checkpoint is removed.

    Raises:
        FileExistsError: the output is there.
        DataError: the data are not, or are damaged.
    """
    if output.exists():
        raise FileExistsError(f"{output} is there already: choose another name with -o, or move it away")
    output.parent.mkdir(parents=True, exist_ok=True)
    faces = load(plan, progress)
    face_sets.require_eyes(faces)
    config = plan.config
    kept, held = face_sets.held_out(len(faces), config.held_out, config.seed)
    if progress:
        print(f"{len(kept)} faces to learn from, {len(held)} held out; {faces.source}", file=sys.stderr, flush=True)
    start = training.started(config)
    regressor.start_at(start, crops.pixels_to_unit(faces.landmarks[kept], config.size))
    mark = hashlib.sha256(f"{faces.sha256} {plan}".encode()).hexdigest()[:8]
    checkpoint = output.with_name(f".{output.name}.{mark}.checkpoint")
    model, curve = training.trained(start, config, faces, kept, held, checkpoint, progress=progress)
    errors = {"held out, image-size": round(curve["validation"][-1], 5)} if len(held) else {}
    card = weights.ModelCard(
        scheme="wflw98" if plan.kept == 98 else "w300_68",
        stem=plan.stem,
        size=plan.size,
        margin=config.rule.margin,
        backbone=plan.network.backbone,
        head_width=plan.network.head_width,
        grid=plan.network.grid,
        data=f"{faces.source}; {len(kept)} faces, sha256 {faces.sha256[:12]}",
        license=LICENSES.get(plan.data, RESEARCH),
        command=command or f"{plan}",
        errors=errors,
    )
    digest = weights.save_model(output, plain(model, card), card)
    checkpoint.unlink(missing_ok=True)
    return card, digest


def plain(model: nn.Module, card: weights.ModelCard) -> models.FaceNet:
    """The network of a card with the weights of one of the experiments, whose first layer stands in `stems.Precise`."""
    network = card.network()
    state = {name.replace("conv1.layer.", "conv1."): value.cpu() for name, value in model.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


def load(plan: Plan, progress: bool = False) -> LandmarkFaces:
    """The crops that are learned from."""
    rule = plan.config.rule
    if plan.data == "rendered":
        faces = _rendered(plan, rule, progress)
    elif plan.data in SETS:
        every = face_sets.without_duplicates(face_sets.load(plan.data).train)
        assert isinstance(every, Annotations)  # not rendered
        faces = face_sets.crop(face_sets.reduced(every) if plan.kept < plan.given else every, plan.size, rule)
    else:
        faces = face_sets.crop(of_folder(_files.expanded(plan.data, "--data")), plan.size, rule)
    return faces


def _rendered(plan: Plan, rule: BoxRule, progress: bool) -> LandmarkFaces:
    """Rendered faces, in parts: what was rendered before an interruption is there afterwards."""
    from tqdm import tqdm

    import facelight_render

    counts = [min(CHUNK, plan.faces - start) for start in range(0, plan.faces, CHUNK)]
    parts = []
    for number, count in enumerate(tqdm(counts, "rendering", unit=f" x {CHUNK}", leave=False, disable=not progress)):
        seed = 1000 * plan.seed + number
        found = facelight_render.landmarks("train", count, seed=seed, size=face_sets.PICTURE)
        if plan.kept == 68:
            index = list(LANDMARKS_68)
            found = replace(found, landmarks=found.landmarks[:, index], visible=found.visible[:, index])
        parts.append(face_sets.crop(found, plan.size, rule))
    names = ("image", "landmarks", "visible", "box", "attributes")
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return LandmarkFaces(
        **columns,
        name=tuple(name for part in parts for name in part.name),
        source=f"faces rendered by facelight_render, seed {plan.seed}",
        sha256=hashlib.sha256(" ".join(part.sha256 for part in parts).encode()).hexdigest(),
    )


def of_folder(folder: Path) -> Annotations:
    """Pictures of a folder, and of those in it, that have their 68 landmarks in a file `.pts` beside them.

    Raises:
        DataError: there is no such folder, or no such picture; or a file is damaged.
    """
    names = ", ".join(SETS)
    if not folder.is_dir():
        raise DataError(f"--data: expected {names}, or a folder of pictures with .pts files; there is no {folder}")
    paths = [p for p in _files.visible(folder.rglob("*"), folder) if p.suffix.lower() in SUFFIXES]
    paths = [p for p in paths if p.with_suffix(".pts").is_file()]
    if len(paths) < 2:
        raise DataError(f"{folder}: expected pictures with their landmarks, face.jpg and face.pts; found {len(paths)}")
    points = torch.stack([torch.from_numpy(read_pts(p.with_suffix(".pts"))).float() for p in paths])
    files = {str(p.relative_to(folder)): p for p in paths}
    files |= {f"{name}.pts": p.with_suffix(".pts") for name, p in files.items()}
    return Annotations(
        path=tuple(paths),
        landmarks=points,
        box=torch.cat([points.amin(1), points.amax(1)], 1),
        attributes=torch.zeros(len(paths), 6, dtype=torch.bool),
        name=tuple(str(p.relative_to(folder)) for p in paths),
        source=f"the pictures of {folder.name}",
        sha256=sha256_of(files),
    )
