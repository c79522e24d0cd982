"""Finders of faces: where they say that a face is, and that they find all of several."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import facelight_render
from facelight import finders

COUNT = 24


@pytest.fixture(scope="module")
def faces():
    return facelight_render.landmarks("val", COUNT, size=192)


def picture(faces, row):
    return np.ascontiguousarray(faces.image[row].permute(1, 2, 0).numpy())


def middle_and_side(box):
    return (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()


def test_boxes_are_those_of_landmarks(faces):
    off, ratio = [], []
    for row in range(COUNT):
        found = finders.viola_jones(picture(faces, row))
        if len(found.box):
            (x, side), (truth, true_side) = (middle_and_side(b) for b in (found.box[0], faces.box[row].numpy() + 0.5))
            off.append((x - truth) / true_side)
            ratio.append(side / true_side)
    assert len(off) >= COUNT // 2
    assert np.abs(np.median(off, 0)).max() < 0.06
    assert 0.9 < np.median(ratio) < 1.1


def test_darkness_hides_few_faces(faces):
    light, dark = ([len(finders.viola_jones(picture(faces, i) // d).box) > 0 for i in range(COUNT)] for d in (1, 6))
    assert sum(dark) >= sum(light) - 3


def test_no_face_in_a_flat_or_tiny_picture():
    for shape in ((100, 80, 3), (3, 5, 3)):
        found = finders.viola_jones(np.full(shape, 128, np.uint8))
        assert found.box.shape == (0, 4)
        assert found.score.shape == (0,)


def test_several_faces_of_a_large_picture(faces):
    votes = [finders.viola_jones(picture(faces, i)).score.sum() for i in range(COUNT)]
    tiles = [picture(faces, i) for i in np.argsort(votes)[-4:]]
    whole = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    found = finders.viola_jones(cv2.resize(whole, None, fx=3, fy=3))  # larger than it is searched at
    quadrants = {tuple(((box[:2] + box[2:]) / 2 // 576).astype(int)) for box in found.box}
    assert quadrants == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (np.diff(found.score) <= 0).all()


def test_of_boxes_in_one_place_the_surest_is_kept():
    rows = np.array([[10, 10, 100, 100], [12, 8, 90, 90], [30, 30, 60, 60], [300, 10, 50, 50]], float)
    found = finders._tight(rows, np.array([3.0, 9.0, 4.0, 1.0]), "viola_jones")
    assert found.score.tolist() == [9, 1]


def test_yunet_says_which_file_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match="face_detection_yunet"):
        finders.yunet(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="OpenCV cannot read it as a YuNet network"):
        finders.yunet(tmp_path / "bad.onnx")


def test_yunet_reads_what_opencv_returns(tmp_path):
    """A network with YuNet's outputs that sees one face, in the cell of row 4 and column 6 of stride 32."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    side = 640
    nodes, outputs = [], []
    for stride in (8, 16, 32):
        cells = (side // stride) ** 2
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            values = np.zeros((1, cells, width), np.float32)
            if stride == 32 and name in ("cls", "obj"):
                values[0, 4 * (side // stride) + 6] = 0.81
            if stride == 32 and name == "bbox":
                values[:] = [0, 0, np.log(3), np.log(4)]  # 96 pixels wide, 128 high
            out = f"{name}_{stride}"
            constant = onnx.numpy_helper.from_array(values, f"{out}_value")
            nodes.append(helper.make_node("Constant", [], [f"{out}_c"], value=constant))
            nodes.append(helper.make_node("Mul", [f"{out}_c", "one"], [out]))
            outputs.append(helper.make_tensor_value_info(out, TensorProto.FLOAT, values.shape))
    nodes.insert(0, helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=1, axes=[1, 2, 3]))
    nodes.insert(1, helper.make_node("Mul", ["mean", "nothing"], ["zero"]))
    nodes.insert(2, helper.make_node("Add", ["zero", "unit"], ["some"]))
    nodes.insert(3, helper.make_node("Reshape", ["some", "shape"], ["one"]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, side, side))
    constants = [
        onnx.numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), "nothing"),
        onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "unit"),
        onnx.numpy_helper.from_array(np.array([1, 1, 1]), "shape"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "yunet", [given], outputs, constants), opset_imports=[helper.make_opsetid("", 13)]
    )
    onnx.save(model, tmp_path / "yunet.onnx")
    found = finders.yunet(tmp_path / "yunet.onnx")(np.full((1280, 1280, 3), 90, np.uint8))  # searched at half the size
    assert found.score == pytest.approx([0.81], abs=0.01)
    across, down, share = finders.BOXES["yunet"]
    x, y = 2 * (6 * 32 + across * 128), 2 * (4 * 32 + down * 128)
    half = 128 * share
    assert found.box[0] == pytest.approx([x - half, y - half, x + half, y + half], abs=1)
