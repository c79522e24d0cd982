"""`facelight predict`: faces and landmarks of photographs and videos, as drawings and as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from facelight import finders, weights
from facelight.data.photos import as_array
from facelight.data.sources import DataError
from facelight.illumination import darken
from facelight.pipelines import Face, LandmarkPipeline, pipeline
from facelight_lab.commands import photographs
from facelight_lab.commands.photographs import COLORS, Picture

FALLING = (1, 3, 6, 12, 25)  # what gray levels are divided by, for `--compare`
CELL = 240  # side of a cell of the comparison, pixels
FOLDER = Path("landmarks")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        photos: files and folders.
        output: a folder; or, for one photo, a file. None: `FOLDER`, or nothing where `json` is set.
        model: a file; None: the network that comes with the library.
        against: with `compare`, the file of the other network; None: the plain one that comes with the library.
        darken: gray levels are divided by it and rounded first; 1: not at all.
        compare: draw both networks side by side as the light falls.
        finder: "viola-jones", or the file of a YuNet network.
        json: print one line of JSON a file.
        quiet: print nothing else and no progress.
    """

    photos: tuple[str, ...]
    output: Path | None = None
    model: str | None = None
    against: str | None = None
    darken: float = 1.0
    compare: bool = False
    finder: str = "viola-jones"
    json: bool = False
    quiet: bool = False


def run(request: Request) -> int:
    """Do it; returns 0, or 1 where a file could not be read. Files that follow are read nevertheless.

    Raises:
        ValueError: a setting, or where results would go, is wrong.
        FileNotFoundError: there is no such file, or no network.
    """
    if not 1 <= request.darken < np.inf:
        raise ValueError(f"--darken: expected a number >= 1 to divide gray levels by, got {request.darken:g}")
    files = photographs.asked_for(request.photos)
    videos = [path for path, _ in files if photographs.is_video(path)]
    if request.compare and videos:
        raise ValueError(f"--compare: {videos[0]} is a video: give pictures, or leave --compare out")
    output = request.output or (None if request.json else FOLDER)
    wanted = [None] * len(files) if output is None else photographs.places(files, output)
    worker = Worker(request)
    failed = 0
    hidden = request.quiet or len(files) < 2
    for (path, _), place in zip(tqdm(files, "pictures", leave=False, disable=hidden), wanted, strict=True):
        try:
            told = worker.video(path, place) if photographs.is_video(path) else worker.picture(path, place)
        except DataError as error:
            failed += 1
            told = {"file": str(path), "status": "not read", "error": str(error)}
            tqdm.write(f"facelight: {error}", file=sys.stderr)
        if request.json:
            tqdm.write(json.dumps(told))
        elif not request.quiet and told["status"] != "not read":
            tqdm.write(f"{path}: {summary(told)}" + (f" -> {place}" if place else ""))
    return int(failed > 0)


def summary(told: dict[str, Any]) -> str:
    """What a result says, in words."""
    if "frames" in told:
        found = sum(bool(frame["faces"]) for frame in told["frames"])
        return f"a face in {found} of {len(told['frames'])} frames"
    if told["status"] == "not found":
        return "no face found; a face needs about 8 % of the shorter side, and to look at the camera"
    count = len(told["faces"])
    return f"{count} face{'s' * (count != 1)}"


class Worker:
    """Reads, predicts, draws, writes; one file after the other."""

    def __init__(self, request: Request) -> None:
        finder = finders.viola_jones if request.finder == "viola-jones" else finders.yunet(request.finder)
        self.request = request
        self.pipe = pipeline("landmarks", request.model, finder=finder)
        self.about = _about(request.model, self.pipe)
        self.other: LandmarkPipeline | None = None
        if request.compare:
            self.other = pipeline("landmarks", request.against or weights.shipped_model("linear"), finder=finder)

    def picture(self, path: Path, place: Path | None) -> dict[str, Any]:
        """One picture: what is told of it."""
        array = darkened(as_array(path), self.request.darken)
        faces = self.pipe(array)
        told = self._head(path, array) | {"status": _status(faces), "faces": [_told(face) for face in faces]}
        drawing = eight_bits(array).copy()
        if self.other is not None and faces:
            drawing, told["compare"] = compared(array, faces[0], self.pipe, self.other)
        else:
            draw(drawing, faces, self.pipe)
        if place is not None:
            photographs.write_picture(place, drawing)
            photographs.write_json(place.with_suffix(".json"), told)
        return told

    def video(self, path: Path, place: Path | None) -> dict[str, Any]:
        """One video, frame by frame: what is told of it."""
        video = photographs.Video(path)
        told: dict[str, Any] = {}
        bar = tqdm(video, path.name, video.count or None, leave=False, unit="frame", disable=self.request.quiet)
        if place is None:
            told = self._frames(path, bar, video.rate, None)
        else:
            with photographs.VideoFile(place, video.rate) as written:
                told = self._frames(path, bar, video.rate, written)
            photographs.write_json(place.with_suffix(".json"), told)
        return told

    def _frames(self, path: Path, frames: Any, rate: float, written: photographs.VideoFile | None) -> dict[str, Any]:
        told: dict[str, Any] = {}
        found: list[dict[str, Any]] = []
        for number, frame in enumerate(frames):
            array = darkened(frame, self.request.darken)
            told = told or self._head(path, array)
            faces = self.pipe(array)
            found.append({"time": round(number / rate, 4), "faces": [_told(face) for face in faces]})
            if written is not None:
                drawing = array.copy()
                draw(drawing, faces, self.pipe)
                written.write(drawing)
        if not found:
            raise DataError(f"{path}: no frame can be read: check that the video is whole")
        return told | {"status": "found" if any(f["faces"] for f in found) else "not found", "frames": found}

    def _head(self, path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
        height, width = array.shape[:2]
        size = {"file": str(path), "width": width, "height": height, "divided_by": self.request.darken}
        return size | {"finder": self.request.finder, "model": self.about}


def compared(
    array: npt.NDArray[Any], face: Face, pipe: LandmarkPipeline, other: LandmarkPipeline
) -> tuple[Picture, dict[str, Any]]:
    """A sheet of a face as its light falls, a row a network, and how far the landmarks of each have moved.

    Every network starts from the box that was found in the light of the picture.

    Args:
        array: the picture.
        face: one of its faces.
        pipe, other: two networks.

    Returns:
        The sheet; and for each network, by the name of its first layer, "divided_by" and "moved": the mean distance of
        its landmarks from those that it found in the light of the picture, in distances of the eyes.
    """
    from facelight.metrics.landmarks import eye_distance

    box = face.box.double().numpy() + 0.5
    side = float((box[2:] - box[:2]).max())
    corner, size = (box[:2] + box[2:]) / 2 - 0.8 * side, 1.6 * side
    names = [other.card.stem, pipe.card.stem]
    if names[0] == names[1]:
        names[0] += " (other)"
    rows, told = [], {}
    for name, network in zip(names, (other, pipe), strict=True):
        row, moved, start = [], [], None
        for factor in FALLING:
            dark = darkened(array, factor)
            points = network.locate(dark, box[None], np.ones(1))[0].landmarks.double()
            start = points if start is None else start
            distance = eye_distance(start[None], "inter-ocular").clamp_min(1e-6)
            moved.append(round(float((points - start).norm(dim=-1).mean() / distance), 4))
            cell = _cell(eight_bits(dark), corner, size)
            color = COLORS.get(name, COLORS["other"])
            photographs.dotted(cell, (points.numpy() + 0.5 - corner) * CELL / size - 0.5, color, CELL / 1.6)
            row.append((f"{name} /{factor}: moved {100 * moved[-1]:.1f} %", cell))
        rows.append(row)
        told[name] = {"divided_by": list(FALLING), "moved": moved}
    return photographs.sheet(rows), told


def _cell(picture: Picture, corner: npt.NDArray[np.float64], size: float) -> Picture:
    """A square of a picture, `CELL` pixels wide; black outside of it."""
    import cv2

    scale = CELL / size
    move = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(picture, move, (CELL, CELL), flags=how), np.uint8)


def draw(drawing: Picture, faces: list[Face], pipe: LandmarkPipeline) -> None:
    """Points and boxes of faces, in place."""
    color = COLORS.get(pipe.card.stem, COLORS["other"])
    for number, face in enumerate(faces):
        side = float((face.box[2:] - face.box[:2]).max())
        photographs.dotted(drawing, face.landmarks.numpy(), color, side)
        photographs.boxed(drawing, face.box.numpy(), color, str(number))


def darkened(array: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Gray levels divided by a factor, and rounded to 8 bits as a dark picture would be stored; 1: as it is."""
    if factor == 1:
        return array
    x = torch.from_numpy(array.astype(np.float32) / np.iinfo(array.dtype).max).permute(2, 0, 1)
    dark = darken(x, factor).permute(1, 2, 0)
    return (255 * dark).round().byte().numpy()


def eight_bits(array: npt.NDArray[Any]) -> Picture:
    """The picture as it is drawn."""
    return array if array.dtype == np.uint8 else (array / 257.0).round().astype(np.uint8)


def _status(faces: list[Face]) -> str:
    return "found" if faces else "not found"


def _told(face: Face) -> dict[str, Any]:
    """A face as JSON has it."""
    return {
        "box": [round(v, 2) for v in face.box.tolist()],
        "score": round(face.score, 4),
        "spread": round(face.spread, 4),
        "landmarks": [[round(v, 2) for v in point] for point in face.landmarks.tolist()],
    }


def _about(model: str | None, pipe: LandmarkPipeline) -> dict[str, Any]:
    path = weights.shipped_model() if model is None else Path(model).expanduser()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = pipe.card
    return {"file": str(path), "sha256": digest, "stem": card.stem, "scheme": card.scheme, "points": list(card.points)}
