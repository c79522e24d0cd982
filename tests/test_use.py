"""The page on one's own pictures and other libraries: its code runs as it stands, where the library is installed."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

import facelight
import facelight_render
from facelight import finders
from facelight_lab import command
from facelight_lab.commands import exporting
from pages import BOOK, blocks

PAGE = blocks("use.md")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a photograph, and a network that has learned nothing."""
    faces = facelight_render.landmarks("val", 24, size=192)
    levels = [np.ascontiguousarray(face.permute(1, 2, 0).numpy()) for face in faces.image]
    surest = max(levels, key=lambda picture: finders.viola_jones(picture).score.sum())
    cv2.imwrite(str(tmp_path / "photo.jpg"), surest[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    card = facelight.ModelCard(size=32, head_width=8, grid=1)
    facelight.save_model(tmp_path / "model.pt", card.network(), card)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(heading):
    module = types.ModuleType("page")
    for code in PAGE[heading]:
        exec(compile(code, f"use.md, {heading}", "exec"), module.__dict__)
    return module.__dict__


def test_all_code_is_tried():
    tried = ("Three lines", "torchvision", "Kornia", "timm", "ONNX Runtime", "MediaPipe in front")
    assert {heading: len(code) for heading, code in PAGE.items() if code} == dict.fromkeys(tried, 1)


def test_three_lines(desk):
    faces = run("Three lines")["faces"]
    assert len(faces) >= 1
    assert faces[0].landmarks.shape == (98, 2)


def test_torchvision(desk):
    names = run("torchvision")
    assert type(names["image"]).__name__ == "Image"
    assert names["image"].shape == (3, 64, 64)
    assert names["boxes"].tolist() == [[8, 8, 40, 40]]


def test_kornia(desk):
    names = run("Kornia")
    assert names["x"].shape == (4, 3, 64, 64)
    assert names["landmarks"].shape == (4, 98, 2)


def test_timm(desk):
    pytest.importorskip("timm")
    names = run("timm")
    assert names["scores"].shape == (2, 10)
    assert any(isinstance(layer, facelight.LogConv2d) for layer in names["model"].modules())


def test_onnx_runtime(desk):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    exporting.run("model.pt", desk / "model.onnx")
    names = run("ONNX Runtime")
    network, card = facelight.load_model("model.pt")
    found = facelight.LandmarkPipeline(network, card, passes=1)
    found.points = lambda x: (network(x).double(), torch.zeros(len(x)))  # without the mirror image
    faces = found("photo.jpg")
    assert len(faces) >= 1
    assert torch.allclose(names["landmarks"].float(), torch.stack([face.landmarks for face in faces]), atol=0.01)


def test_mediapipe(desk, monkeypatch):
    """With MediaPipe's names and types as of 1.2.3; its network is a file that it does not bring."""

    def detection(x, y, width, height, score):
        box = SimpleNamespace(origin_x=x, origin_y=y, width=width, height=height)
        return SimpleNamespace(bounding_box=box, categories=[SimpleNamespace(score=score)])

    found = [detection(60, 60, 50, 50, 0.6), detection(50, 40, 90, 100, 0.9)]
    detector = SimpleNamespace(detect=lambda image: SimpleNamespace(detections=found))
    vision = SimpleNamespace(
        FaceDetectorOptions=lambda base: base, FaceDetector=SimpleNamespace(create_from_options=lambda _: detector)
    )
    package = types.ModuleType("mediapipe")
    package.Image = lambda image_format, data: data
    package.ImageFormat = SimpleNamespace(SRGB=1)
    tasks = types.ModuleType("mediapipe.tasks.python")
    tasks.BaseOptions, tasks.vision = (lambda model_asset_path: model_asset_path), vision
    for name, module in (("mediapipe", package), ("mediapipe.tasks", package), ("mediapipe.tasks.python", tasks)):
        monkeypatch.setitem(sys.modules, name, module)
    names = run("MediaPipe in front")
    faces = names["find"]("photo.jpg")
    assert [face.score for face in faces] == [0.9, 0.6]
    boxes = names["mediapipe"](np.zeros((9, 9, 3), np.uint8)).box
    assert boxes.tolist() == [[50, 40, 140, 140], [60, 60, 110, 110]]


def test_every_command_of_the_page_is_one():
    text = (BOOK / "use.md").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("facelight ")]
    assert len(lines) == 7
    for _, *words in lines:
        options, rest = command.parser().parse_known_args(words)
        assert not rest or (options.command == "enhance" and rest == ["--clip-limit", "2"])
