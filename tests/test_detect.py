"""Faces and their parts: a photograph against OpenCV called by hand, borders by arithmetic, what is said of nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from facelight import detect, illumination


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    """The astronaut of scikit-image, a NASA photograph in the public domain: head and shoulders."""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()[:220, 120:340]).permute(2, 0, 1).float() / 255


class Fake:
    """A cascade that finds what it is told, and remembers what it was given."""

    def __init__(self, *rows: tuple[int, ...], window: tuple[int, int] = (20, 20)) -> None:
        self.rows, self.window, self.seen = rows, window, []

    def getOriginalWindowSize(self) -> tuple[int, int]:
        return self.window

    def detectMultiScale2(self, picture: np.ndarray, **settings: object) -> tuple[object, object]:
        self.seen.append((picture, settings))
        return [row[:4] for row in self.rows], [row[4] for row in self.rows]


def use(monkeypatch: pytest.MonkeyPatch, *rows: tuple[int, ...], window: tuple[int, int] = (20, 20)) -> Fake:
    fake = Fake(*rows, window=window)
    monkeypatch.setattr(detect, "_classifier", lambda name: fake)
    return fake


@pytest.mark.parametrize("cascade", ["frontalface_alt2", "frontalface_default"])
def test_the_face_of_a_photograph(cascade: str, astronaut: Tensor) -> None:
    found = detect.detect_faces(astronaut, cascade=cascade)
    assert (found.box.shape, found.box.dtype) == ((4,), torch.float32)
    assert (found.votes.shape, found.votes.dtype, found.found.dtype) == ((), torch.int64, torch.bool)
    x_min, y_min, x_max, y_max = found.box.tolist()  # eyes, nose and mouth lie at x 82 to 122, y 95 to 145
    assert 40 < x_min < 75 < 130 < x_max < 165
    assert 50 < y_min < 85 < 145 < y_max < 180
    # OpenCV by hand, on its own gray picture
    color = (astronaut * 255).round().byte().permute(1, 2, 0).numpy()
    classifier = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{cascade}.xml")
    gray = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2GRAY)
    boxes, votes = classifier.detectMultiScale2(gray, 1.05, 3, minSize=(44, 44))
    x, y, w, h = boxes[np.argmax(votes)]
    assert found.box.tolist() == pytest.approx([x, y, x + w, y + h], abs=1)
    assert found.votes.item() == pytest.approx(max(votes), abs=2)


def test_the_most_votes_win_then_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 60, 80)
    use(monkeypatch, (0, 0, 50, 50, 4), (3, 5, 30, 30, 9), (10, 10, 20, 20, 9))
    found = detect.detect_faces(x)
    assert (found.box.tolist(), found.votes.item()) == ([3, 5, 33, 35], 9)


@pytest.mark.parametrize(("fill", "outside"), [("black", 0), ("edge", 51)])
def test_border_by_hand(fill: str, outside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch, (2, 30, 40, 40, 5))
    x = torch.full((1, 40, 60), 0.2)
    found = detect.detect_faces(x, border=0.25, fill=fill, min_size=0.5, scale_factor=1.1, min_neighbors=4)
    picture, settings = fake.seen[0]
    assert picture.shape == (40 + 2 * 10, 60 + 2 * 10)  # a quarter of the shorter side, 40, on every side
    assert (picture[:10].max(), picture[10, 10]) == (outside, 51)
    assert settings == {"scaleFactor": 1.1, "minNeighbors": 4, "minSize": (20, 20)}
    assert found.box.tolist() == [2 - 10, 30 - 10, 42 - 10, 70 - 10]  # beyond the picture on the left and below


def test_a_face_that_fills_its_crop_needs_the_border(astronaut: Tensor) -> None:
    x_min, y_min, x_max, y_max = detect.detect_faces(astronaut).box.int().tolist()
    tight = astronaut[:, y_min + 12 : y_max - 6, x_min + 12 : x_max - 12]
    bare, bordered = detect.detect_faces(tight, min_size=0.5), detect.detect_faces(tight, min_size=0.5, border=0.36)
    assert not bare.found
    assert bare.box.tolist() == [0, 0, tight.shape[-1], tight.shape[-2]]
    assert bordered.found
    assert bordered.box.tolist() == pytest.approx([-12, -12, tight.shape[-1] + 12, tight.shape[-2] + 6], abs=12)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_nothing_found_is_the_whole_picture(value: float) -> None:
    found = detect.detect_faces(torch.full((2, 3, 1, 40, 50), value))
    assert found.found.tolist() == [[False] * 3] * 2
    assert found.box.tolist() == [[[0, 0, 50, 40]] * 3] * 2
    parts = detect.detect_parts(torch.full((2, 1, 40, 50), value), torch.tensor([[0.0, 0.0, 40.0, 40.0]] * 2))
    assert not parts.found.any()
    assert parts.box[0].tolist() == [[2, 6, 22, 24], [18, 6, 38, 24], [6, 22, 34, 42]]  # the regions


def test_a_face_of_too_little_contrast_is_not_seen(astronaut: Tensor) -> None:
    """The limit of OpenCV that dark pictures meet: a standard deviation of 10 gray levels in the window."""
    face = detect.detect_faces(astronaut).box.int().tolist()
    gray = illumination.to_gray(astronaut)
    for spread, seen in ((12.0, True), (8.0, False)):
        inner = gray[:, face[1] : face[3], face[0] : face[2]]
        faint = 0.5 + (gray - inner.mean()) * (spread / 255 / inner.std())
        assert detect.detect_faces(faint).found.item() is seen


def test_batch_equals_loop(astronaut: Tensor) -> None:
    pictures = torch.stack([astronaut, astronaut.flip(-1), astronaut / 8, torch.zeros_like(astronaut)])
    faces = detect.detect_faces(pictures)
    assert faces.found.tolist() == [True, True, False, False]
    parts = detect.detect_parts(pictures, faces.box)
    assert parts.box.shape == (4, 3, 4)
    for i, picture in enumerate(pictures):
        face = detect.detect_faces(picture)
        assert torch.equal(face.box, faces.box[i])
        assert torch.equal(face.votes, faces.votes[i])
        part = detect.detect_parts(picture, face.box)
        assert torch.equal(part.box, parts.box[i])
        assert torch.equal(part.votes, parts.votes[i])
    wide = detect.detect_faces(pictures.view(2, 2, *astronaut.shape))
    assert torch.equal(wide.box.flatten(0, 1), faces.box)
    assert detect.detect_faces(pictures[:0]).box.shape == (0, 4)
    assert detect.detect_parts(pictures[:0], faces.box[:0]).found.shape == (0, 3)


def test_parts_lie_in_the_face_where_they_should(astronaut: Tensor) -> None:
    face = detect.detect_faces(astronaut)
    parts = detect.detect_parts(astronaut, face.box)
    assert parts.found.all()
    assert bool((parts.box[:, :2] >= face.box[:2]).all())
    assert bool((parts.box[:, 2] <= face.box[2]).all())
    # centers as one sees them in the photograph, x and y
    for box, (x, y) in zip(parts.box, ((90, 105), (120, 105), (104, 143)), strict=True):
        assert box[0] < x < box[2]
        assert box[1] < y < box[3]


def test_a_part_is_mapped_back_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = use(monkeypatch, (7, 14, 28, 14, 6))
    found = detect.detect_parts(torch.zeros(1, 320, 320), torch.tensor([10.0, 20.0, 290.0, 300.0]))
    assert [picture.shape for picture, _ in fake.seen] == [(63, 70), (63, 70), (70, 98)]  # halves of the regions
    x, y = 10 + 42, 20 + 154  # corner of the mouth's region
    assert found.box[2].tolist() == [x + 7 * 2, y + 14 * 2, x + 35 * 2, y + 28 * 2]
    assert [settings["minSize"] for _, settings in fake.seen] == [(21, 21), (21, 21), (42, 42)]
    assert found.votes.tolist() == [6, 6, 6]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_precision_of_the_picture_does_not_matter(dtype: torch.dtype, astronaut: Tensor) -> None:
    assert torch.equal(detect.detect_faces(astronaut.to(dtype)).box, detect.detect_faces(astronaut).box)


def test_crop_by_hand() -> None:
    x = torch.arange(24.0, dtype=torch.float64).view(1, 4, 6) / 24
    box = torch.tensor([1.0, 1.0, 4.0, 3.0])
    assert torch.equal(detect.crop(x, box, (2, 3)), x[:, 1:3, 1:4])
    beyond = detect.crop(x, torch.tensor([-1.0, 2.4, 1.0, 5.6]), (4, 2))  # rows 2 to 5, columns -1 and 0
    assert torch.equal(beyond, x[:, [2, 3, 3, 3]][:, :, [0, 0]])
    half = detect.crop(x, torch.tensor([0.0, 0.0, 6.0, 4.0]), (4, 3))  # antialiased: interior columns average
    assert half.mean().item() == pytest.approx(x.mean().item())


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
def test_crop_of_a_batch_equals_loop_and_stays_in_range(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, 2, 8, 9, generator=generator)
    corner = torch.randint(-6, 10, (3, 2), generator=generator)
    box = torch.cat([corner, corner + torch.randint(1, 9, (3, 2), generator=generator)], 1).float()
    y = detect.crop(x, box, (height, width))
    assert y.shape == (3, 2, height, width)
    assert bool((y >= x.amin() - 1e-6).all())
    assert bool((y <= x.amax() + 1e-6).all())
    assert torch.equal(y, torch.stack([detect.crop(a, b, (height, width)) for a, b in zip(x, box, strict=True)]))


def test_crop_passes_the_gradient() -> None:
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    box = torch.tensor([[-1.0, 1.0, 4.0, 5.0]])
    assert torch.autograd.gradcheck(lambda z: detect.crop(z.sigmoid(), box, (3, 4)), x)


def test_all_cascades_are_there() -> None:
    for name in (*detect.FACE_CASCADES, *detect.PART_CASCADES.values()):
        assert not detect._classifier(name).empty()
    assert not [p for p in Path(cv2.data.haarcascades).glob("*.xml") if "nose" in p.name or "mcs" in p.name]


X, BOX = torch.zeros(1, 32, 32), torch.tensor([0.0, 0.0, 32.0, 32.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: detect.detect_faces(X.byte()), TypeError, "x: expected a floating-point image in"),
        (lambda: detect.detect_faces(X + 2), ValueError, r"x: expected values in \[0, 1\], got \[2.0, 2.0\]"),
        (lambda: detect.detect_faces(torch.zeros(2, 32, 32)), ValueError, "x: expected 1 or 3 channels"),
        (lambda: detect.detect_faces(X[0]), ValueError, "x: expected shape"),
        (lambda: detect.detect_faces(X, cascade="mcs_nose"), ValueError, "cascade: expected one of 'frontalface_alt2'"),
        (lambda: detect.detect_faces(X, fill="white"), ValueError, "fill: expected one of 'black', 'edge'"),
        (lambda: detect.detect_faces(X, scale_factor=1), ValueError, "scale_factor: expected a number > 1, got 1"),
        (lambda: detect.detect_faces(X, min_neighbors=0), ValueError, "min_neighbors: expected a whole number >= 1"),
        (lambda: detect.detect_faces(X, min_size=0), ValueError, r"min_size: expected a share .* in \(0, 1\], got 0"),
        (lambda: detect.detect_faces(X, border=-0.1), ValueError, "border: expected a share >= 0 .* got -0.1"),
        (
            lambda: detect.detect_faces(X[:, :8], border=0.5),
            ValueError,
            "at least 20x20 pixels, border included, got 8x32 with a border of 4: resize them first",
        ),
        (lambda: detect.detect_parts(X, BOX[None]), ValueError, r"box: expected shape \(4,\), one box a picture, got"),
        (lambda: detect.detect_parts(X, BOX.long()), TypeError, "box: expected a floating-point tensor, got"),
        (lambda: detect.detect_parts(X, BOX.flip(0)), ValueError, "box: expected finite x_min, y_min, x_max, y_max"),
        (lambda: detect.crop(X, BOX * float("nan"), (2, 2)), ValueError, "box: expected finite"),
        (lambda: detect.crop(X, BOX, (2, 0)), ValueError, r"size: expected \(height, width\) in whole pixels >= 1"),
    ],
)
def test_bad_requests(call: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


def test_an_opencv_without_cascades(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    detect._file.cache_clear()
    with monkeypatch.context() as change:
        change.setattr(cv2, "data", SimpleNamespace(haarcascades=f"{tmp_path}/"))
        with pytest.raises(ImportError, match=r"came without haarcascade_eye.xml.*'opencv-python-headless<5'"):
            detect._classifier("eye")
        change.delattr(cv2, "CascadeClassifier")
        with pytest.raises(ImportError, match=r"has no CascadeClassifier: install the 4.x series"):
            detect._classifier("eye")
    assert not detect._classifier("eye").empty()  # an error is not remembered
