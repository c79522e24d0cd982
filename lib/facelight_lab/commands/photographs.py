"""Files that the command reads and writes: which pictures and videos are asked for, where results go, drawings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facelight import _files
from facelight.data.sources import DataError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
COLORS = {"light": (0, 190, 170), "linear": (240, 140, 30), "other": (120, 130, 255)}  # RGB
LABEL = 26  # pixels above a cell of a sheet
Picture = npt.NDArray[np.uint8]


def asked_for(given: Sequence[str]) -> list[tuple[Path, Path]]:
    """Files, and where each lies below the folder that was given, or its name; hidden files of folders are left out.

    Raises:
        FileNotFoundError: there is no such file, or nothing to read in a folder.
    """
    found = []
    for text in given:
        path = _files.expanded(text, "PHOTO")
        if path.is_dir():
            inside = [p for p in _files.visible(path.rglob("*"), path) if p.suffix.lower() in (*PICTURES, *VIDEOS)]
            if not inside:
                raise FileNotFoundError(f"{path}: no picture in this folder ({', '.join(PICTURES)})")
            found += [(p, p.relative_to(path)) for p in inside]
        elif path.is_file():
            found.append((path, Path(path.name)))
        else:
            raise FileNotFoundError(f"{path}: there is no such file or folder")
    return found


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in VIDEOS


def places(files: Sequence[tuple[Path, Path]], output: Path) -> list[Path]:
    """Where the drawing of each file goes: the output itself for one file, where it is named as one; else a folder.

    Raises:
        ValueError: two of them would be one, one is a file that is read, or the format of the output is not known.
    """
    if len(files) == 1 and output.suffix and not output.is_dir():
        known = (".mp4",) if is_video(files[0][0]) else PICTURES
        if output.suffix.lower() not in known:
            raise ValueError(f"-o: {output} would be written as {', '.join(known)}: choose such a name, or a folder")
        wanted = [output]
    else:
        wanted = [output / below.with_suffix(".mp4" if is_video(path) else ".jpg") for path, below in files]
        names = [output / below for _, below in files]
        wanted = [
            one if wanted.count(one) == 1 else name.with_name(f"{name.name}{one.suffix}")  # a.png beside a.jpg
            for one, name in zip(wanted, names, strict=True)
        ]
    results = [result for place in wanted for result in (place, place.with_suffix(".json"))]
    twice = next((place for place in results if results.count(place) > 1), None)
    if twice is not None:
        raise ValueError(f"two files would become {twice}: call the command once for each folder, with another -o")
    read = {path.resolve() for path, _ in files}
    own = next((place for place in results if place.resolve() in read), None)
    if own is not None:
        raise ValueError(f"-o: {own} is a picture that is read; nothing was written: choose another name or folder")
    return wanted


def write_picture(path: Path, picture: Picture) -> None:
    """A picture (H, W, 3), RGB, in the format of the file's ending, as a whole or not at all.

    Raises:
        ValueError: OpenCV does not write such a picture.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, 93] if path.suffix.lower() in (".jpg", ".jpeg") else []
    good, coded = cv2.imencode(path.suffix, picture[:, :, ::-1], quality)
    if not good:
        raise ValueError(f"{path}: OpenCV does not write such a picture: choose a name in .png with -o")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.whole(path) as stream:
        stream.write(coded.tobytes())


def write_json(path: Path, content: Any) -> None:
    """JSON, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.whole(path) as stream:
        stream.write((json.dumps(content, indent=1) + "\n").encode())


class Video:
    """Frames of a video file, RGB, turned upright; `rate` a second, about `count` of them.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise DataError(f"{path}: OpenCV cannot read this video: convert it to MP4, or check that it is whole")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[Picture]:
        try:
            while True:
                good, frame = self._capture.read()
                if not good:
                    return
                yield np.ascontiguousarray(frame[:, :, ::-1])
        finally:
            self._capture.release()


class VideoFile:
    """Writes frames into an MP4 file that appears under its name when the block ends well.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._part = path.with_name(f".{path.stem}.part.mp4")
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, frame: Picture) -> None:
        """Add a frame (H, W, 3), all of one size."""
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._part), code, self.rate, frame.shape[1::-1])
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: OpenCV cannot write this video: check the folder")
        self._writer.write(np.ascontiguousarray(frame[:, :, ::-1]))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._part.exists():
            self._part.replace(self.path)
        self._part.unlink(missing_ok=True)


def dotted(picture: Picture, points: npt.NDArray[np.floating[Any]], color: tuple[int, int, int], side: float) -> None:
    """Draw points (K, 2) into a picture in place; their size follows the side of the face in pixels."""
    radius = max(1, round(side / 90))
    for x, y in points:
        center = (round(16 * float(x)), round(16 * float(y)))
        cv2.circle(picture, center, 16 * radius + 12, (0, 0, 0), -1, cv2.LINE_AA, shift=4)
        cv2.circle(picture, center, 16 * radius, color, -1, cv2.LINE_AA, shift=4)


def boxed(picture: Picture, box: npt.NDArray[np.floating[Any]], color: tuple[int, int, int], text: str) -> None:
    """Draw a box x_min, y_min, x_max, y_max and a text above it, in place."""
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    width = max(1, round((x1 - x0) / 150))
    cv2.rectangle(picture, (x0, y0), (x1, y1), color, width, cv2.LINE_AA)
    size = max(0.4, (x1 - x0) / 400)
    cv2.putText(picture, text, (x0, max(12, y0 - 4 * width)), cv2.FONT_HERSHEY_SIMPLEX, size, color, width, cv2.LINE_AA)


def sheet(cells: Sequence[Sequence[tuple[str, Picture]]]) -> Picture:
    """Rows of pictures of one size, each with a text above it, on white."""
    height, width = cells[0][0][1].shape[:2]
    columns = max(len(row) for row in cells)
    page = np.full((len(cells) * (height + LABEL), columns * (width + 4) - 4, 3), 255, np.uint8)
    for i, row in enumerate(cells):
        for j, (text, picture) in enumerate(row):
            top, left = i * (height + LABEL), j * (width + 4)
            page[top + LABEL : top + LABEL + height, left : left + width] = picture
            wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0]
            size = min(0.5, 0.5 * (width - 6) / max(wide, 1))
            where = (left + 3, top + LABEL - 8)
            cv2.putText(page, text, where, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
    return page
