"""What a clip limit means in MATLAB, OpenCV and scikit-image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelight import enhance


@given(st.integers(1, 80_000), st.sampled_from(["matlab", "opencv", "skimage"]), st.data())
def test_clip_limit_of_inverts_clip_count(pixels: int, convention: str, draw: st.DataObject) -> None:
    least = -(-pixels // 256) if convention == "matlab" else 1
    count = draw.draw(st.integers(least, pixels))
    assert enhance.clip_count(enhance.clip_limit_of(count, pixels, convention), pixels, convention) == count


@given(st.floats(0, 1), st.integers(256, 40_000), st.sampled_from(["opencv", "skimage"]))
def test_conversion_there_and_back_keeps_the_count(clip_limit: float, pixels: int, other: str) -> None:
    there = enhance.convert_clip_limit(clip_limit, pixels, "matlab", other)
    back = enhance.convert_clip_limit(there, pixels, other, "matlab")
    count = enhance.clip_count(clip_limit, pixels, "matlab")
    assert enhance.clip_count(there, pixels, other) == enhance.clip_count(back, pixels, "matlab") == count
    assert abs(back - clip_limit) <= 0.5 / (pixels - -(-pixels // 256)) + 1e-9


def test_clip_counts_by_hand() -> None:
    # 224x224 in 8x8 tiles of 28x28 = 784 pixels
    limits = (0.001, 0.002, 0.005, 0.01, 0.05)
    assert [enhance.clip_count(c, 784, "matlab") for c in limits] == [5, 6, 8, 12, 43]
    assert [round(enhance.convert_clip_limit(c, 784, "matlab", "opencv"), 2) for c in limits] == [
        1.63,
        1.96,
        2.61,
        3.92,
        14.04,
    ]
    # 192x168: tiles of 24x22 = 528 pixels, so 0.001 to 0.010 give five counts
    assert [enhance.clip_count(i / 1000, 528, "matlab") for i in range(1, 11)] == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8]
    assert enhance.clip_count(0, 784, "opencv") == enhance.clip_count(1, 784, "matlab") == 784
    assert enhance.clip_count(0, 784, "skimage") == enhance.clip_count(1.0, 784, "skimage") == 784
    assert enhance.clip_count(0.1, 784, "opencv") == 1
    with pytest.raises(ValueError, match="count: expected 4 to 784 for convention 'matlab'"):
        enhance.convert_clip_limit(0.5, 784, "opencv", "matlab")
    with pytest.raises(ValueError, match="pixels: expected at least 1"):
        enhance.clip_count(0.5, 0, "opencv")


def test_the_count_is_what_opencv_clips_at() -> None:
    """A tile with one level: OpenCV moves all but `clip_count` of it, so the jump of its table shows the count."""
    image = np.zeros((16, 16), np.uint8)
    image[0, :2] = 255, 1
    for limit in (3.0, 17.9, 40.0):
        count = enhance.clip_count(limit, 256, "opencv")
        out = cv2.createCLAHE(limit, (1, 1)).apply(image)
        # bins 0 and 1 after an even spread of 254 - count: count + share + residual, then 1 + share + residual
        assert abs(int(out[1, 1]) - 255 * count / 256) <= 3
