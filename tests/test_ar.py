"""AR: small files in its layout, what is wrong with others, and the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from facelight.data import ar
from facelight.data.sources import DataError
from facelight_lab import command as cli

LABEL = np.repeat(np.arange(1, 100, dtype=np.uint8), 14)[:, None]


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 43, 1386), np.uint8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "AR").mkdir()
    savemat(tmp_path / "AR" / "AR_II.mat", {"x": pictures(), "label": LABEL})
    return tmp_path


def test_every_picture_has_its_person_session_and_light(tree: Path) -> None:
    faces = ar.load(tree)
    assert faces.image.shape == (1386, 1, 60, 43)
    assert torch.equal(faces.image[14 + 4, 0], torch.from_numpy(pictures()[:, :, 18].copy()))
    assert (faces.identity[18].item(), faces.subset[18].item(), faces.name[18]) == (
        1,
        2,
        "person 2, session 1, picture 5",
    )
    assert faces.subset[:14].tolist() == [1, 1, 1, 1, 2, 3, 4] * 2
    assert faces.session[:14].tolist() == [1] * 7 + [2] * 7
    assert faces.identity.bincount().tolist() == [14] * 99
    assert faces.azimuth.isnan().all()
    assert faces.name[13] == "person 1, session 2, picture 14"


@pytest.mark.parametrize(
    ("number", "expected"), [(1, (1, "even")), (7, (1, "both")), (8, (2, "even")), (13, (2, "right"))]
)
def test_what_a_number_means(number: int, expected: tuple[int, str]) -> None:
    assert ar.shot(number) == expected


@pytest.mark.parametrize("number", [0, 15])
def test_other_numbers_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="number: expected"):
        ar.shot(number)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"label": LABEL}, "expected the variables x and label, found label: x is missing"),
        ({"x": pictures()}, "found x: label is missing"),
        (
            {"x": pictures()[:, :, :5], "label": LABEL},
            r"expected x of shape \(60, 43, 1386\), uint8, got \(60, 43, 5\)",
        ),
        ({"x": pictures().astype(float), "label": LABEL}, "uint8, got .* float64"),
        ({"x": pictures(), "label": LABEL[:9]}, "expected label to name 99 people, 14 pictures"),
        (
            {"x": pictures(), "label": LABEL[np.arange(1386)[::-1] % 100]},
            "expected label to name 99 people, 14 pictures",
        ),
        ({"x": pictures(), "label": np.ones_like(LABEL)}, "expected 99 people in label, got 1"),
    ],
    ids=str,
)
def test_another_content_is_refused(tree: Path, content: dict[str, np.ndarray], message: str) -> None:
    savemat(tree / "AR" / "AR_II.mat", content)
    with pytest.raises(DataError, match=message + r".*book/data/ar.md.*facelight data verify ar"):
        ar.load(tree)
    report = ar.verify(tree)
    assert (report.count, len(report.damaged), report.complete) == (0, 1, False)


def test_a_file_that_is_missing_or_cut_is_named(tree: Path, capsys) -> None:
    path = tree / "AR" / "AR_II.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="not a MAT file, or cut short"):
        ar.load(tree)
    path.unlink()
    with pytest.raises(DataError, match="there is no such file"):
        ar.load(tree)
    assert ar.verify(tree).missing == ("AR_II.mat",)
    assert cli.main(["data", "verify", "ar", "--root", str(tree)]) == 1
    assert "NOT complete: see book/data/ar.md" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"not a directory: follow the data card book/data/ar.md"):
        ar.load(tree / "AR")


def test_another_file_of_the_same_kind_differs(tree: Path) -> None:
    report = ar.verify(tree)
    assert (report.count, report.expected, report.differing) == (1386, 1386, ("AR_II.mat",))
    assert report.per_subject == {"even": 792, "left": 198, "right": 198, "both": 198}


@pytest.mark.realdata
def test_the_real_file(ar_root: Path) -> None:
    assert ar.verify(ar_root).complete
    faces = ar.load(ar_root)
    halves = faces.image[:, 0].float()
    side = halves[..., :20].mean((1, 2)) - halves[..., 23:].mean((1, 2))  # left of the picture minus right
    assert side[faces.subset == 2].median() < -40  # the person's left is the right of the picture
    assert side[faces.subset == 3].median() > 40
    assert side[faces.subset == 1].abs().median() < 25
