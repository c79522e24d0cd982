"""Any photograph as an array, as one looks at it: `read_photo` a file, `as_array` whatever else holds one."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from facelight import _check, _files
from facelight.data.pictures import is_whole
from facelight.data.sources import DataError


def read_photo(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """A picture of any kind that OpenCV reads, as one looks at it: (H, W, 3), RGB, uint8 or uint16.

    It is turned upright as the camera noted. A gray one gets three equal channels; transparency is left out.

    Raises:
        DataError: no such file, damaged, cut short, or no picture of 8 or 16 bits a channel.
    """
    path = _files.expanded(path, "path")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): obtain the file again") from error
    if raw.startswith((b"\xff\xd8", b"\x89PNG")) and not is_whole(raw):
        raise DataError(f"{path}: damaged or cut short: obtain the file again")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), flags) if raw else None
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: not a picture that OpenCV reads, of 8 or 16 bits: save it as JPEG or PNG")
    return np.ascontiguousarray(picture[:, :, ::-1])


def as_array(picture: Any) -> npt.NDArray[Any]:
    """A picture of any kind as (H, W, 3), RGB, uint8 or uint16.

    Args:
        picture: a file, see `read_photo`; a PIL image, which is turned upright; an array (H, W) or (H, W, 1, 3 or 4),
            uint8 or uint16, RGB; or a tensor (1 or 3, H, W), float in [0, 1], which becomes uint16.

    Raises:
        DataError: the file cannot be read.
        TypeError: something else.
        ValueError: a wrong shape, or a tensor with values outside [0, 1].
    """
    if isinstance(picture, str | os.PathLike):
        return read_photo(picture)
    if isinstance(picture, Tensor):
        x = _check.images(picture, "picture", channels=(1, 3))
        if x.ndim != 3:
            raise ValueError(f"picture: expected one picture (C, H, W), got {tuple(x.shape)}: take picture[0]")
        rounded = (x.detach().cpu().double() * 65535).round().int().numpy().astype(np.uint16)
        return np.ascontiguousarray(np.broadcast_to(rounded.transpose(1, 2, 0), (*x.shape[1:], 3)))
    if hasattr(picture, "getexif"):
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(picture)
        picture = np.asarray(upright if upright.mode.startswith("I;16") else upright.convert("RGB"))
    if not isinstance(picture, np.ndarray) or picture.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            "picture: expected a file, a PIL image, an array of uint8 or uint16 or a tensor of floats, got "
            f"{type(picture).__name__} of {getattr(picture, 'dtype', 'no dtype')}"
        )
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or 0 in picture.shape:
        raise ValueError(f"picture: expected shape (H, W) or (H, W, 3), got {picture.shape}")
    return np.ascontiguousarray(np.broadcast_to(picture[:, :, :3], (*picture.shape[:2], 3)))
