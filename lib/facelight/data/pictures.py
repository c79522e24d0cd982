"""Reading one picture file, whole or not at all. Which files there are is said by the loaders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facelight.data.sources import DataError


def is_whole(raw: bytes) -> bool:
    r"""Whether the bytes are those of a JPEG or PNG picture that was not cut short.

    The start of a JPEG may hold a small picture with an end mark of its own, and some cameras append data: what counts
    is an end mark after the last start of a scan.

    >>> is_whole(b"\xff\xd8 header \xff\xda scan \xff\xd9"), is_whole(b"\xff\xd8 \xff\xd9 header \xff\xda sc")
    (True, False)
    """
    if raw.startswith(b"\xff\xd8"):
        return 0 < raw.rfind(b"\xff\xda") < raw.rfind(b"\xff\xd9")
    return raw.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND\xaeB`\x82" in raw


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """A JPEG or PNG picture, (H, W, 3), RGB, as it lies in the file; a grey one gets three equal channels.

    An orientation that a camera noted beside the pixels is ignored: landmarks count the pixels of the file.

    Raises:
        DataError: no such file, cut short, or not such a picture.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): obtain the file again") from error
    picture = None
    if is_whole(raw):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), flags)
    if picture is None:
        raise DataError(f"{path}: not a JPEG or PNG picture, or cut short: obtain the file again")
    return np.ascontiguousarray(picture[:, :, ::-1])
