"""Sets of faces as PyTorch's tools take them: rows, slices, positions, masks, DataLoader, random_split."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, random_split

from facelight.data import Annotations, LandmarkFace, LandmarkFaces, LitFace, LitFaces
from facelight.data.pie import PieFaces
from facelight.data.samples import _FaceSet

N = 6
IMAGE = torch.arange(N, dtype=torch.uint8)[:, None, None, None].expand(N, 3, 2, 2)
NAMES = {"name": tuple("abcdef"), "source": "s", "sha256": "0" * 64}
MARKS = {
    "landmarks": torch.arange(N * 4.0).view(N, 2, 2),
    "box": torch.arange(N * 4.0).view(N, 4),
    "attributes": torch.eye(N, dtype=torch.bool),
}
LIGHT = {
    "identity": torch.arange(N) + 10,
    "azimuth": torch.arange(N) * 0.5,
    "elevation": torch.zeros(N),
    "subset": torch.ones(N, dtype=torch.int64),
}
PIE = {
    "camera": torch.arange(N) + 20,
    "flash": torch.zeros(N, dtype=torch.int64),
    "room_lights": torch.arange(N) > 2,
    "session": ("talking",) * N,
}
SETS = [
    LandmarkFaces(image=IMAGE, visible=torch.ones(N, 2, dtype=torch.bool), **MARKS, **NAMES),
    LitFaces(image=IMAGE, **LIGHT, **NAMES),
    PieFaces(image=IMAGE, **LIGHT, **PIE, **NAMES),
    Annotations(path=tuple(Path("d", f"{n}.jpg") for n in "abcdef"), **MARKS, **NAMES),
]
every_set = pytest.mark.parametrize("faces", SETS, ids=lambda faces: type(faces).__name__)


@every_set
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_every_column(faces: _FaceSet, workers: int) -> None:
    batches = list(DataLoader(faces, batch_size=4, num_workers=workers))
    assert [len(batch["name"]) for batch in batches] == [4, 2]
    for start, batch in zip((0, 4), batches, strict=True):
        part = faces[start : start + 4]
        assert batch.keys() == part._columns().keys()
        for name, column in part._columns().items():
            if isinstance(column, torch.Tensor):
                assert torch.equal(batch[name].to(column.dtype), column)
                assert batch[name].dtype == column.dtype or batch[name].dtype == torch.float64  # from Python's numbers
            else:
                assert batch[name] == [str(value) for value in column]
        assert batch.name is batch["name"]


def test_a_row_is_a_dictionary_that_answers_to_attributes() -> None:
    row = SETS[1][2]
    assert isinstance(row, LitFace)
    assert isinstance(row, dict)
    assert (row.identity, row["azimuth"], row.name, type(row.identity)) == (12, 1.0, "c", int)
    with pytest.raises(AttributeError, match="LitFace has no 'landmarks'; it has image, identity, azimuth"):
        _ = row.landmarks
    for again in (copy.copy(row), pickle.loads(pickle.dumps(row))):
        assert (type(again), again.name) == (LitFace, "c")
    assert isinstance(SETS[0][0], LandmarkFace)
    assert (SETS[2][3].camera, SETS[2][3].room_lights, SETS[2][3].session) == (23, True, "talking")
    assert SETS[3][1].path == str(Path("d", "b.jpg"))


@every_set
@pytest.mark.parametrize(
    ("index", "names"),
    [
        (slice(1, 3), "bc"),
        (slice(None, None, -2), "fdb"),
        (slice(4, 99), "ef"),
        ([0, -1], "af"),
        ((2, 2), "cc"),
        (np.array([5, 0], np.int32), "fa"),
        (torch.tensor([3]), "d"),
        (torch.arange(N) > 3, "ef"),
        (np.arange(N) < 1, "a"),
        ([False, True, False, False, True, False], "be"),
        ([], ""),
        (range(1, 6, 2), "bdf"),
    ],
)
def test_a_part_is_a_set_of_the_same_type(faces: _FaceSet, index: object, names: str) -> None:
    part = faces[index]
    assert type(part) is type(faces)
    assert part.name == tuple(names)
    assert (part.source, part.sha256) == (faces.source, faces.sha256)
    rows = ["abcdef".index(name) for name in names]
    assert torch.equal(
        part.box if hasattr(part, "box") else part.identity,
        (faces.box if hasattr(faces, "box") else faces.identity)[rows],
    )
    if not isinstance(index, slice):
        assert faces.select(index).name == part.name


@every_set
@pytest.mark.parametrize("index", [2, -4, np.int64(2), torch.tensor(2), np.array(2)])
def test_one_position_is_a_row(faces: _FaceSet, index: object) -> None:
    assert faces[index].name == "c"


@every_set
def test_positions_that_are_none_are_refused(faces: _FaceSet) -> None:
    for index in (6, -7, torch.tensor(6)):
        with pytest.raises(IndexError, match="this set has 6 faces"):
            faces[index]
    for positions in ([6], torch.tensor([-7])):
        with pytest.raises(IndexError):
            faces[positions]
    with pytest.raises(IndexError, match=r"expected a mask of shape \(6,\), got \(2,\)"):
        faces[[True, False]]
    with pytest.raises(TypeError, match=r"whole numbers, got torch.float32"):
        faces[torch.tensor([0.0])]
    with pytest.raises(TypeError):
        faces[1.0]
    assert [row.name for row in faces] == list("abcdef")  # a loop ends


@every_set
def test_random_split_and_subsets(faces: _FaceSet) -> None:
    parts = random_split(faces, [4, 2], generator=torch.Generator().manual_seed(0))
    assert [type(part) for part in parts] == [Subset, Subset]
    names = [name for part in parts for batch in DataLoader(part, batch_size=3) for name in batch["name"]]
    assert sorted(names) == list("abcdef")


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"LitFaces: columns differ in length: .*'identity': 2"):
        replace(SETS[1], identity=torch.zeros(2))
