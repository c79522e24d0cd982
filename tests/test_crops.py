"""Crops: where they lie, coordinates in them, what their pixels are, and the cache."""

from __future__ import annotations

import dataclasses
import io
import zlib
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facelight.data import crops, pictures, w300
from facelight.data.crops import BoxRule, Squares
from facelight.data.samples import Annotations, LandmarkFaces
from facelight.data.sources import DataError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACELIGHT_CACHE", str(tmp_path / "cache"))


def write(path: Path, picture: np.ndarray) -> Path:
    """A picture in RGB or gray, on disk without loss."""
    path.write_bytes(cv2.imencode(".png", picture[:, :, ::-1] if picture.ndim == 3 else picture)[1].tobytes())
    return path


def annotations(paths: list[Path], landmarks: torch.Tensor, box: torch.Tensor | None = None) -> Annotations:
    tight = torch.cat([landmarks.amin(1), landmarks.amax(1)], 1)
    return Annotations(
        path=tuple(paths),
        landmarks=landmarks.float(),
        box=(tight if box is None else box).float(),
        attributes=torch.arange(6).expand(len(paths), 6) % 2 == 0,
        name=tuple(f"face {i}" for i in range(len(paths))),
        source="made here",
        sha256="0" * 64,
    )


def dots(points: np.ndarray, height: int, width: int, sigma: float) -> np.ndarray:
    """Gray dots at points (K, 2) on black, x and y in pixels with the center of the first at 0; (H, W), 8 bits."""
    y, x = np.mgrid[:height, :width]
    squared = (x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2
    return np.rint(250 * np.exp(-squared / (2 * sigma**2)).max(0)).astype(np.uint8)


def centroid(picture: np.ndarray, near: np.ndarray, radius: float) -> np.ndarray:
    """Center of mass of the pixels within a radius of a point."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture.astype(float) * ((x - near[0]) ** 2 + (y - near[1]) ** 2 <= radius**2)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


# Squares and coordinates.


def test_squares_by_hand() -> None:
    box = torch.tensor([[10.0, 20, 50, 40], [10, 20, 50, 100], [-8, -8, -4, -5]])
    square = crops.squares(box, 1.25)
    assert square.side.tolist() == [50, 100, 5]
    # Center (30, 30): 25 pixels on either side, 5 to 54 or 6 to 55 (a half rounds to the even number).
    assert square.corner.tolist() == [[6, 6], [-20, 10], [-8, -8]]
    assert crops.squares(torch.tensor([[0.0, 0, 0.1, 0.1]]), 1.0).side.tolist() == [1]


@given(
    st.lists(st.floats(-500, 3000), min_size=2, max_size=2),
    st.lists(st.floats(2, 2000), min_size=2, max_size=2),
    st.floats(0.5, 3),
)
def test_the_square_is_centerd_on_the_box(corner: list[float], extent: list[float], margin: float) -> None:
    box = torch.tensor([[*corner, corner[0] + extent[0], corner[1] + extent[1]]], dtype=torch.float64)
    square = crops.squares(box, margin)
    center = (box[0, :2] + box[0, 2:]) / 2
    assert (square.to_image(torch.full((1, 1, 2), 0.5, dtype=torch.float64))[0, 0] - center).abs().max() <= 0.5001
    assert abs(square.side.item() - margin * max(extent)) <= 0.5001


def test_coordinates_by_hand_and_back() -> None:
    square = Squares(torch.tensor([[100, -20], [0, 0]]), torch.tensor([64, 96]))
    points = torch.tensor([[[99.5, -20.5], [163.5, 43.5], [100.0, -20.0]], [[47.5, 47.5], [-96.5, 0.0], [0.0, 0.0]]])
    unit = square.to_crop(points)
    assert unit[0].tolist() == [[0, 0], [1, 1], [0.5 / 64, 0.5 / 64]]
    assert unit[1].tolist() == [[0.5, 0.5], [-1, pytest.approx(0.5 / 96)], [pytest.approx(0.5 / 96)] * 2]
    assert crops.unit_to_pixels(unit[0, 2], 64).tolist() == [0, 0]


@given(st.integers(0, 2**31 - 1))
def test_coordinates_are_inverted(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    square = Squares(
        torch.randint(-500, 3000, (5, 2), generator=generator), torch.randint(1, 2000, (5,), generator=generator)
    )
    points = 4000 * torch.rand(5, 98, 2, generator=generator, dtype=torch.float64) - 500
    for values, tolerance in ((points, 1e-9), (points.float(), 2e-3)):
        assert (square.to_image(square.to_crop(values)) - values).abs().max() < tolerance
        size = int(square.side[0])
        assert (crops.unit_to_pixels(crops.pixels_to_unit(values, size), size) - values).abs().max() < tolerance
        assert square.to_crop(values).dtype == values.dtype


@pytest.mark.parametrize("box", [[10, 10, 10, 20], [10, 10, 20, 10], [20, 10, 10, 20], [0, float("nan"), 9, 9]])
def test_a_box_without_area_names_the_face(tmp_path: Path, box: list[float]) -> None:
    path = write(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    landmarks = torch.rand(3, 68, 2) * 30
    boxes = torch.tensor([[0.0, 0, 30, 30], box, [0, 0, 0, 0]])
    with pytest.raises(DataError, match=r"face 1: expected a box of positive width and height.*\(2 such boxes\)"):
        crops.crop_faces(annotations([path] * 3, landmarks, boxes), 16)
    with pytest.raises(DataError, match="face 0: expected a box of positive"):
        crops.squares(torch.zeros(1, 4), 1.2)
    # The box from the landmarks does not look at the annotation's.
    assert len(crops.crop_faces(annotations([path] * 3, landmarks, boxes), 16, BoxRule("landmarks"))) == 3
    with pytest.raises(DataError, match="face 2: expected a box of positive"):
        crops.crop_faces(annotations([path] * 3, landmarks * torch.tensor([1.0, 1, 0])[:, None, None]), 16)


def test_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    landmarks = torch.rand(2, 68, 2) * 30
    faces = annotations([path, path], landmarks)
    with pytest.raises(ValueError, match="box: expected one of 'annotation', 'landmarks', got 'head'"):
        BoxRule("head")
    with pytest.raises(ValueError, match="margin: expected a positive finite number, got 0"):
        BoxRule(margin=0)
    for size in (7, 16.0):
        with pytest.raises(ValueError, match=rf"size: expected a whole number of pixels >= 8, got {size}"):
            crops.crop_faces(faces, size)  # type: ignore[arg-type]
    broken = landmarks.clone()
    broken[1, 5, 0] = float("nan")
    with pytest.raises(DataError, match="face 1: expected finite landmarks, got NaN"):
        crops.crop_faces(annotations([path, path], broken, faces.box), 16)
    for box in ([100.0, 0, 130, 30], [0, -90, 30, -60], [-3000, -3000, 3000, 3000]):
        far = torch.stack([faces.box[0], torch.tensor(box)])
        with pytest.raises(DataError, match=r"face 1: the square .* does not fit a picture of 40x40 pixels"):
            crops.crop_faces(annotations([path, path], landmarks, far), 16)
    damaged = tmp_path / "b.jpg"
    raw = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    for content in (b"", b"text", raw[: len(raw) // 2], raw[:20] + raw[-2:]):
        damaged.write_bytes(content)
        with pytest.raises(
            DataError, match=r"b.jpg: not a JPEG or PNG picture, damaged, or cut short: obtain the file again"
        ):
            crops.crop_faces(annotations([path, damaged], landmarks), 16)
    damaged.unlink()
    with pytest.raises(DataError, match=r"b.jpg: cannot be read \(No such file or directory\)"):
        crops.crop_faces(annotations([path, damaged], landmarks), 16)


# Pixels.


def test_pixels_of_a_square_that_is_not_resized() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert (crops.cut(picture, 4, 2, 12, 12) == picture[2:14, 4:16]).all()
    # Beyond the border its pixels are repeated; compared with OpenCV's own border.
    wide = cv2.copyMakeBorder(picture, 5, 9, 7, 8, cv2.BORDER_REPLICATE)
    assert (crops.cut(picture, -7, -5, 25, 25) == wide[:25, :25]).all()
    assert (crops.cut(picture, 20, 11, 18, 18) == wide[16:34, 27:45]).all()


def test_shrinking_is_the_mean_of_the_area() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    means = picture[8:56, 4:52].reshape(12, 4, 12, 4, 3).mean((1, 3))
    assert np.abs(crops.cut(picture, 4, 8, 48, 12) - means).max() <= 0.5
    # Not a whole factor: 3 pixels become 2, each weighs the pixel in the middle by a half.
    assert crops.cut(np.repeat([[[0], [90], [240]]], 3, 0).repeat(3, 2).astype(np.uint8), 0, 0, 3, 2)[
        0, :, 0
    ].tolist() == [30, 190]
    # A pattern of single pixels leaves no moire.
    stripes = np.where(np.arange(90)[None, :, None] % 2, 255, 0) * np.ones((90, 1, 3))
    assert np.ptp(crops.cut(stripes.astype(np.uint8), 0, 0, 90, 20)[:, :, 0].astype(int)) < 30


@pytest.mark.parametrize(("margin", "size"), [(1.5, 48), (2.0, 64), (1.6, 200)])
def test_dots_stay_at_the_landmarks(tmp_path: Path, margin: float, size: int) -> None:
    points = np.array([[40.3, 52.7], [101.6, 41.2], [72.0, 75.5], [50.1, 101.9], [95.5, 110.25]])
    path = write(tmp_path / "a.png", np.stack([dots(points, 160, 150, 4.0)] * 3, 2))
    faces = crops.crop_faces(annotations([path], torch.from_numpy(points)[None]), size, BoxRule(margin=margin))
    scale = size / (margin * (110.25 - 41.2))
    for point in faces.landmarks[0].numpy():
        assert np.abs(centroid(faces.image[0, 0].numpy(), point, 12 * scale) - point).max() < 0.06


def test_the_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    color, gray = rng.integers(0, 256, (50, 60, 3), np.uint8), rng.integers(0, 256, (50, 60), np.uint8)
    paths = [write(tmp_path / "a.png", color), write(tmp_path / "b.png", gray)]
    landmarks = 10 + 20 * torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0))
    landmarks[:, 0], landmarks[:, 1] = 10, 30
    landmarks[1] += torch.tensor([35.0, 0])  # to the right edge and beyond: the picture ends at 59.5
    table = annotations([paths[0], paths[0], paths[1]], landmarks)
    faces = crops.crop_faces(table, 16, BoxRule(margin=1.2))
    assert isinstance(faces, LandmarkFaces)
    assert (faces.image.shape, faces.image.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert (faces.name, faces.source) == (table.name, table.source)
    assert torch.equal(faces.attributes, table.attributes)
    square = crops.squares_of(table, BoxRule(margin=1.2))
    assert square.side.tolist() == [24] * 3
    for i, picture in enumerate([color, color, np.stack([gray] * 3, 2)]):
        expected = crops.cut(picture, *square.corner[i].tolist(), 24, 16).transpose(2, 0, 1)
        assert (faces.image[i].numpy() == expected).all()
    assert (faces.image[2, 0] == faces.image[2, 2]).all()
    assert faces.landmarks.dtype == faces.box.dtype == torch.float32
    unit = crops.pixels_to_unit(faces.landmarks, 16)
    assert (square.to_image(unit) - landmarks).abs().max() < 1e-4
    tight = torch.cat([faces.landmarks[0].amin(0), faces.landmarks[0].amax(0)])
    assert faces.box[0].tolist() == pytest.approx(tight.tolist())
    # Ten pixels of 24 wide square around 20: 20 of 24, that is 1/12 to 11/12.
    assert unit[0, 0].tolist() == pytest.approx([1 / 12, 1 / 12], abs=0.5 / 24 + 1e-6)
    assert torch.equal(faces.visible, landmarks[..., 0] <= 59.5)
    assert 0 < faces.visible[1].sum() < 68


def test_points_outside_the_crop_stay_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.zeros((50, 60, 3), np.uint8))
    landmarks = torch.tensor([[[-100.0, 20], [20, 20], [20, 400]]])
    faces = crops.crop_faces(annotations([path], landmarks, torch.tensor([[10, 10, 30, 30]])), 20, BoxRule(margin=1))
    assert faces.visible.tolist() == [[False, True, False]]
    assert faces.landmarks[0].tolist() == [[-110, 10], [10, 10], [10, 390]]


def test_orientation_notes_are_ignored(tmp_path: Path) -> None:
    raw = cv2.imencode(".jpg", np.full((20, 30, 3), 128, np.uint8))[1].tobytes()
    note = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turned by 90 degrees
    path = tmp_path / "a.jpg"
    path.write_bytes(raw[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note + raw[2:])
    assert cv2.imread(str(path)).shape == (30, 20, 3)  # OpenCV would turn it
    assert pictures.read_picture(path).shape == (20, 30, 3)


def test_bytes_after_a_picture_and_inside_its_header(tmp_path: Path) -> None:
    raw = cv2.imencode(".jpg", np.full((20, 30, 3), 128, np.uint8))[1].tobytes()
    assert pictures.is_whole(raw + b"\0camera" * 99)
    thumbnail = raw[:2] + b"\xff\xe1" + (len(raw) + 2).to_bytes(2, "big") + raw + raw[2:]
    assert pictures.is_whole(thumbnail)
    assert not pictures.is_whole(thumbnail[:-20])
    png = cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes()
    assert pictures.is_whole(png)
    assert not pictures.is_whole(png[:-5])
    assert pictures.is_whole(png + b"camera" * 99)


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    sums = (zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks)
    parts = (len(body).to_bytes(4) + kind + body + check for (kind, body), check in zip(chunks, sums, strict=True))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_png_with_any_byte_changed_is_damaged() -> None:
    png = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8))[1].tobytes()
    assert pictures.is_whole(png)
    for place, bit in product(range(len(png)), range(8)):
        changed = bytearray(png)
        changed[place] ^= 1 << bit
        assert not pictures.is_whole(bytes(changed)), (place, bit)


def test_a_png_with_pixels_lost_is_damaged_and_one_with_a_spoilt_note_is_not() -> None:
    shape = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    header = b"\0\0\0\x40\0\0\0\x40\x08\0\0\0\0"
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in shape))
    parts = [(b"IDAT", pixels[i : i + 1000]) for i in range(0, len(pixels), 1000)]
    start, end = (b"IHDR", header), (b"IEND", b"")
    sound = png_of([start, (b"tEXt", b"Comment\0sound"), *parts, end])
    spoilt = sound.replace(b"Comment\0sound", b"Comment\0round")
    for raw in (sound, spoilt):
        assert pictures.is_whole(raw)
        assert np.array_equal(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_GRAYSCALE), shape)
    for lost in range(len(parts)):  # the check sums of all chunks are right
        assert not pictures.is_whole(png_of([start, *parts[:lost], *parts[lost + 1 :], end]))
    assert not pictures.is_whole(png_of([start, end]))
    assert not pictures.is_whole(png_of([start, *parts]))


def test_a_damaged_png_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8))
    raw = path.read_bytes()
    middle = len(raw) // 2
    for damaged in (raw[:middle] + bytes(99) + raw[middle + 99 :], raw[:middle] + raw[-12:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a.png: not a JPEG or PNG picture, damaged, or cut short"):
            pictures.read_picture(str(path))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_whole(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (70, 50)).save(stream, "PNG")
    assert pictures.is_whole(stream.getvalue())


# The cache.


def test_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    read = pictures.read_picture
    monkeypatch.setattr(pictures, "read_picture", lambda path: (decoded.append(path.name), read(path))[1])
    rng = np.random.default_rng(0)
    paths = [write(tmp_path / f"{n}.png", rng.integers(0, 256, (50, 60, 3), np.uint8)) for n in "ab"]
    landmarks = 10 + 20 * torch.rand(3, 68, 2)
    table = annotations([paths[0], paths[1], paths[0]], landmarks)
    first = crops.crop_faces(table, 16, workers=2)
    assert sorted(decoded) == ["a.png", "b.png"]  # the picture of two faces once
    again = crops.crop_faces(table, 16, workers=1)
    assert len(decoded) == 2
    for column in ("image", "landmarks", "visible", "box", "attributes"):
        assert torch.equal(getattr(first, column), getattr(again, column))
    assert first.sha256 == again.sha256
    (entry,) = (p for p in (tmp_path / "cache/crops").iterdir() if p.is_dir())
    assert (entry / "image.npy").stat().st_size == 128 + 3 * 3 * 16 * 16  # 8 bits a channel
    # What decides the crops decides the entry.
    crops.crop_faces(table, 17)
    crops.crop_faces(table, 16, BoxRule(margin=1.3))
    crops.crop_faces(table, 16, BoxRule("landmarks"))
    crops.crop_faces(dataclasses.replace(table, sha256="1" * 64), 16)
    moved = dataclasses.replace(table, landmarks=landmarks + 0.01)
    crops.crop_faces(moved, 16)
    monkeypatch.setattr(crops, "_code", lambda: {"code": "another"})
    crops.crop_faces(table, 16)
    assert len(decoded) == 14
    part = crops.crop_faces(table.select([2, 0]), 16)
    assert len(decoded) == 15
    assert torch.equal(part.image, first.image[[2, 0]])
    assert part.sha256 != first.sha256


@pytest.mark.realdata
def test_real_faces(w300_root: Path) -> None:
    common = w300.load("common", w300_root)
    table = common.select(range(0, 554, 23))
    rule = BoxRule("landmarks", 1.25)
    faces = crops.crop_faces(table, 64, rule)
    square = crops.squares_of(table, rule)
    unit = crops.pixels_to_unit(faces.landmarks, 64)
    assert (square.to_image(unit) - table.landmarks).abs().max() < 1e-3
    assert 0.08 < unit.min() < 0.12  # a margin of 1.25 leaves a tenth, less the rounding
    assert 0.88 < unit.max() < 0.92
    assert faces.visible.float().mean() > 0.999
    # Against a warp by OpenCV that does not round the square to whole pixels and averages 5 x 5 points a pixel.
    for i in (0, 7, 20):
        picture = pictures.read_picture(table.path[i])
        scale = 320 / square.side[i].item()
        corner = square.corner[i].numpy() - 0.5
        matrix = np.array([[scale, 0, -scale * corner[0] - 0.5], [0, scale, -scale * corner[1] - 0.5]])
        fine = cv2.warpAffine(picture, matrix, (320, 320), borderMode=cv2.BORDER_REPLICATE)
        slow = fine.reshape(64, 5, 64, 5, 3).mean((1, 3))
        assert np.abs(faces.image[i].permute(1, 2, 0).numpy() - slow).mean() < 4
