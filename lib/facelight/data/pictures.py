"""Reading one picture file, whole or not at all. Which files there are is said by the loaders."""

from __future__ import annotations

import os
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facelight import _files
from facelight.data.sources import DataError


def is_whole(raw: bytes) -> bool:
    r"""Whether the bytes are those of a JPEG or PNG picture that was not cut short, and of a PNG nothing has changed.

    The start of a JPEG may hold a small picture with an end mark of its own, and some cameras append data: what counts
    is an end mark after the last start of a scan. A JPEG has no check sums: damage between its marks, which decoders
    fill in with gray, is not seen here. Compare `sha256` with that of a sound copy.

    >>> is_whole(b"\xff\xd8 header \xff\xda scan \xff\xd9"), is_whole(b"\xff\xd8 \xff\xd9 header \xff\xda sc")
    (True, False)
    """
    if raw.startswith(b"\xff\xd8"):
        return 0 < raw.rfind(b"\xff\xda") < raw.rfind(b"\xff\xd9")
    return raw.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") and _png_is_whole(raw)


def _png_is_whole(raw: bytes) -> bool:
    """Whether the check sums of all chunks that matter are right, and the compressed pixels reach their end."""
    at, pixels = 8, zlib.decompressobj()
    while at + 12 <= len(raw):
        length = int.from_bytes(raw[at : at + 4])
        kind, body, end = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length], at + 12 + length
        if not kind[0] & 0x20:  # upper case: a decoder needs it
            if end > len(raw) or zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(raw[end - 4 : end]):
                return False
            if kind == b"IEND":
                return pixels.eof
            if kind == b"IDAT" and not _fed(pixels, body):
                return False
        at = end
    return False


def _fed(pixels: Any, body: bytes) -> bool:
    """Whether a part of a compressed stream is sound; its own check sum, at the end, is compared too."""
    try:
        pixels.decompress(body)
    except zlib.error:
        return False
    return True


def read_picture(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """A JPEG or PNG picture, (H, W, 3), RGB, as it lies in the file; a gray one gets three equal channels.

    An orientation that a camera noted beside the pixels is ignored: landmarks count the pixels of the file.

    Raises:
        DataError: no such file, damaged, cut short, or not such a picture.
    """
    path = _files.expanded(path, "path")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): obtain the file again") from error
    picture = None
    if is_whole(raw):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), flags)
    if picture is None:
        raise DataError(f"{path}: not a JPEG or PNG picture, damaged, or cut short: obtain the file again")
    return np.ascontiguousarray(picture[:, :, ::-1])
