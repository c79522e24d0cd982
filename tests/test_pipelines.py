"""From a photograph to landmarks: pixels of the picture, whatever the picture is and wherever the face lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import facelight
from facelight import finders, pipelines
from facelight.data.landmarks import mean_shape
from facelight.data.sources import DataError
from facelight.weights import ModelCard, save_model

SHAPE = torch.from_numpy(mean_shape()).float()
CARD = ModelCard(size=96)


class Blob(nn.Module):
    """A network that puts the mean shape, a fifth of the crop wide, around the brightest spot."""

    def forward(self, x):
        size = x.shape[-1]
        weight = x.mean(1) ** 4 + 1e-12
        weight = weight / weight.sum((1, 2), keepdim=True)
        places = (torch.arange(size) + 0.5) / size
        center = torch.stack([(weight.sum(1) * places).sum(1), (weight.sum(2) * places).sum(1)], 1)
        return center[:, None] + 0.2 * SHAPE


def spot(x, y, height=120, width=160, radius=5.0):
    """A picture with a bright spot."""
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))[..., None].repeat(3, 2)


def at(*boxes):
    """A finder of these boxes."""
    table = np.array(boxes, float).reshape(-1, 4)
    return lambda picture: finders.Found(table, np.arange(len(table), 0, -1.0))


def pipe(*boxes, passes=1):
    return pipelines.LandmarkPipeline(Blob(), CARD, at(*boxes), passes=passes)


@pytest.mark.parametrize("box", [(40, 30, 100, 90), (60, 20, 130, 95), (45, 50, 170, 130)])
def test_landmarks_are_pixels_of_the_picture(box):
    (face,) = pipe(box)((255 * spot(80.25, 60.75)).astype(np.uint8))
    side = round(1.2 * max(box[2] - box[0], box[3] - box[1]))
    wanted = torch.tensor([80.25, 60.75]) + 0.2 * side * SHAPE
    assert (face.landmarks - wanted).abs().max() < 0.15
    assert face.spread < 0.05
    assert torch.allclose(face.box, torch.cat([face.landmarks.amin(0), face.landmarks.amax(0)]))


def test_the_second_crop_follows_the_landmarks():
    picture = (255 * spot(80.0, 60.0)).astype(np.uint8)
    (once,), (twice,) = (pipe((40, 20, 120, 100), passes=n)(picture) for n in (1, 2))
    eyes = [face.landmarks[[60, 72]].mean(0) for face in (once, twice)]
    assert torch.allclose(*eyes, atol=0.3)
    sides = [(face.box[2:] - face.box[:2]).max().item() for face in (once, twice)]
    longer = (SHAPE.amax(0) - SHAPE.amin(0)).max().item()
    assert sides[1] == pytest.approx(0.2 * longer * 1.2 * sides[0], rel=0.05)


def test_several_faces_in_the_order_of_the_finder():
    picture = (255 * np.maximum(spot(40, 60), spot(120, 50))).astype(np.uint8)
    faces = pipe((10, 30, 70, 90), (90, 20, 150, 80))(picture)
    assert [face.score for face in faces] == [2, 1]
    assert [round(face.landmarks[[60, 72], 0].mean().item()) for face in faces] == [40, 120]
    assert pipe()(picture) == []


def test_boxes_beyond_the_picture_are_no_crash():
    picture = (255 * spot(80, 60)).astype(np.uint8)
    for box in ((-500, -500, -400, -400), (0, 0, 9000, 9000), (20, 20, 20.5, 20.5)):
        (face,) = pipe(box, passes=2)(picture)
        assert face.landmarks.isfinite().all()


def test_every_kind_of_picture_is_the_same_one(tmp_path):
    levels = (255 * spot(50.0, 40.0)).round().astype(np.uint8)
    deep = levels.astype(np.uint16) * 257
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(levels)))
    exif = turned.getexif()
    exif[0x0112] = 6  # turn it by 90 degrees clockwise to look at it
    turned.save(tmp_path / "turned.png", exif=exif)
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    transparent = np.dstack([levels, np.full(levels.shape[:2], 200, np.uint8)])
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "deep.tif"), deep)
    cv2.imwrite(str(tmp_path / "gray.png"), levels[:, :, 0])
    cv2.imwrite(str(tmp_path / "transparent.png"), transparent)
    with Image.open(tmp_path / "turned.png") as opened:
        kinds = {
            "array": levels,
            "gray": levels[:, :, 0],
            "one channel": levels[:, :, :1],
            "alpha": transparent,
            "16 bits": deep,
            "tensor": torch.from_numpy(levels).permute(2, 0, 1) / 255,
            "PIL": Image.fromarray(levels),
            "PIL, turned": opened,
            "text": str(tmp_path / "gray.png"),
        } | {path.name: path for path in tmp_path.iterdir()}
        found = {name: pipe((20, 10, 80, 70))(picture)[0].landmarks for name, picture in kinds.items()}
    for name, landmarks in found.items():
        assert (landmarks - found["array"]).abs().max() < (0.3 if name == "turned.jpg" else 0.02), name


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"text")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:-20])
    for name, message in (
        ("a.jpg", "a.jpg: not a picture"),
        ("b.png", "b.png: damaged or cut short"),
        ("c", "c: cannot"),
    ):
        with pytest.raises(DataError, match=message):
            pipe()(tmp_path / name)
    with pytest.raises(TypeError, match="picture: expected a file, a PIL image, an array"):
        pipe()([1, 2])
    with pytest.raises(TypeError, match="float64"):
        pipe()(np.zeros((9, 9, 3)))
    with pytest.raises(ValueError, match=r"picture: expected shape \(H, W\)"):
        pipe()(np.zeros((9, 9, 2), np.uint8))
    with pytest.raises(ValueError, match="take picture"):
        pipe()(torch.zeros(1, 3, 9, 9))


def test_three_lines(tmp_path):
    card = ModelCard(size=32, head_width=8, grid=1)
    save_model(tmp_path / "model.pt", card.network(), card)
    find = facelight.pipeline("landmarks", tmp_path / "model.pt", finder=at((20, 20, 80, 80)))
    (face,) = find((255 * spot(50, 40)).astype(np.uint8))
    assert face.landmarks.shape == (98, 2)
    with pytest.raises(ValueError, match="task: expected"):
        facelight.pipeline("faces")


def test_without_a_network_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr("facelight.weights.SHIPPED", tmp_path)
    with pytest.raises(FileNotFoundError, match="facelight train landmarks"):
        facelight.pipeline("landmarks")
