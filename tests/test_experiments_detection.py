"""How often the face is found on a few made-up pictures: what counts as correct, the groups, what is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from facelight import detect, illumination
from facelight.data import LandmarkFaces, LitFaces
from facelight_lab import experiments, results
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.recognition import detection
from facelight_lab.recognition.detection import Detection


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """The head of scikit-image's astronaut, a NASA photograph in the public domain: (3, 160, 140), uint8."""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()[30:190, 150:290]).permute(2, 0, 1)


@pytest.fixture(scope="module")
def scenes(portrait: Tensor) -> LandmarkFaces:
    """The portrait, mirrored, and a picture of nothing whose face is said to be somewhere."""
    face = torch.tensor([28.0, 40.0, 110.0, 132.0])
    n = 3
    return LandmarkFaces(
        image=torch.stack([portrait, portrait.flip(-1), torch.full_like(portrait, 90)]),
        landmarks=torch.zeros(n, 98, 2),
        visible=torch.ones(n, 98, dtype=torch.bool),
        box=face.expand(n, 4),
        attributes=torch.eye(n, 6, dtype=torch.bool),  # the last has "illumination"
        name=tuple("abc"),
        source="test",
        sha256="0" * 64,
    )


@pytest.fixture(scope="module")
def crops(portrait: Tensor) -> LitFaces:
    """Gray crops of the face in subsets 1, 1, 2, 3, 4, the last dark, then one of nothing in subset 5."""
    gray = (255 * illumination.to_gray(portrait / 255.0)[:, 15:145, 15:125]).round().byte()
    subset = torch.tensor([1, 1, 2, 3, 4, 5])
    return LitFaces(
        image=torch.stack([gray, gray, gray.flip(-1), gray, gray // 12, torch.zeros_like(gray)]),
        identity=torch.zeros(6, dtype=torch.long),
        azimuth=torch.zeros(6),
        elevation=torch.zeros(6),
        subset=subset,
        name=tuple("abcdef"),
        source="test",
        sha256="1" * 64,
    )


def test_overlap_by_hand() -> None:
    a = torch.tensor([0.0, 0.0, 4.0, 4.0]).expand(4, 4)
    b = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 3]])
    assert detection.overlap(a, b).tolist() == pytest.approx([1, 4 / 28, 0, 4 / 16])


def test_scenes_are_darkened_then_enhanced_then_searched(scenes: LandmarkFaces) -> None:
    """Against the steps one by one."""
    config = Detection("scenes", Enhancer("equalize"), border=0.1)
    rows = detection.searched(config, scenes.image, scenes.box + 0.5, 6)
    for i, image in enumerate(scenes.image):
        x = illumination.to_gray(illumination.darken(image / 255.0, 6))
        y = config.enhancer(x)
        face = detect.detect_faces(y, border=0.1, min_size=config.min_size)
        right = bool(face.found) and detection.overlap(face.box, scenes.box[i] + 0.5).item() >= detection.OVERLAP
        assert rows["found"][i] == face.found
        assert rows["correct"][i].item() is right
        if right:
            left, other, mouth = detect.detect_parts(y, face.box).found.tolist()
            assert (rows["eyes"][i].item(), rows["mouth"][i].item()) == (left and other, mouth)
    assert rows["correct"].tolist() == [True, True, False]


def test_a_box_elsewhere_is_a_false_alarm(scenes: LandmarkFaces) -> None:
    elsewhere = torch.tensor([0.0, 0.0, 30.0, 30.0]).expand(3, 4)
    rows = detection.searched(Detection("scenes"), scenes.image, elsewhere)
    assert {k: v.tolist() for k, v in rows.items()} == {
        "found": [True, True, False],
        "correct": [False] * 3,
        "false_alarm": [True, True, False],
        "eyes": [False] * 3,
        "mouth": [False] * 3,
    }


def test_shares_of_scenes(scenes: LandmarkFaces) -> None:
    found = detection.measure(Detection("scenes"), scenes)["correct"]
    by_factor = found["rate_by_factor"]
    assert list(by_factor) == list(detection.FACTORS)
    assert by_factor[1] == pytest.approx(2 / 3)
    assert by_factor[12] == 0  # too weak for OpenCV
    assert found["n"] == 12
    assert found["rate"] == pytest.approx(sum(by_factor.values()) / 4)
    assert found["rate_by_illumination"] == {0: 1.0, 1: 0.0}
    assert found["n_by_illumination"] == {0: 2, 1: 1}
    # stretched, the dark portrait is found again
    again = detection.measure(Detection("scenes", stretch=True), scenes)["correct"]["rate_by_factor"]
    assert again[12] == pytest.approx(2 / 3)


def test_shares_of_crops(crops: LitFaces) -> None:
    plain = detection.measure(Detection("synthetic", border=0.36), crops)
    assert plain["correct"]["rate_by_subset"] == {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.0, 5: 0.0}
    assert plain["correct"]["n_by_subset"] == {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert plain["found"]["rate"] == pytest.approx(4 / 6)
    assert plain["false_alarm"]["rate"] == 0
    low, high = plain["found"]["low"], plain["found"]["high"]
    assert (low, high) == pytest.approx((0.3000, 0.9032), abs=1e-4)  # Wilson's of 4 out of 6
    bright = detection.measure(Detection("synthetic", FAMILY["HE"], border=0.36), crops)
    assert bright["correct"]["rate_by_subset"][4] == 1.0
    some = detection.measure(Detection("synthetic", every=4), crops)
    assert some["found"]["n_by_subset"] == {1: 1, 4: 1}


def test_laptop_records(
    crops: LitFaces, scenes: LandmarkFaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = [Detection("yaleb", border=0.36, every=2), Detection("scenes", FAMILY["HE"])]
    monkeypatch.setattr(detection, "configs", lambda profile: runs)
    monkeypatch.setattr(detection, "load", lambda dataset: scenes if dataset == "scenes" else crops)
    monkeypatch.setenv("FACELIGHT_RESULTS", str(tmp_path))
    records = experiments.run("detection", "laptop")
    monkeypatch.setattr(detection, "load", lambda dataset: pytest.fail("loaded again"))
    assert experiments.run("detection", "laptop") == records
    assert results.find("detection", runs[0]) == records[0]
    assert [r.data["count"] for r in records] == [3, 3]
    assert records[0].data["split"] == "every picture whose index is a multiple of 2"
    assert records[1].data["split"] == "all pictures"
    assert records[1].config["enhancer"] == {"name": "equalize", "settings": {}}
    assert set(records[0].metrics) == {*detection.SCORES}


def test_profiles() -> None:
    for profile in ("book", "laptop", "full"):
        runs = detection.configs(profile)
        assert len(runs) == len(set(runs))
    assert {c.dataset for c in detection.configs("book")} == {"synthetic", "scenes"}
    laptop = detection.configs("laptop")
    for label in detection.LABELS:
        for place in (("yaleb", 0.0), ("yaleb", detection.BORDER), ("scenes", 0.0)):
            assert (*place, FAMILY[label]) in {(c.dataset, c.border, c.enhancer) for c in laptop}
    assert {c.enhancer for c in detection.configs("full")} == set(FAMILY.values())
    # every seventh picture still shows every light, since 64 lights and 7 share no factor
    assert {c.every for c in laptop} == {1, 7}


def test_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import facelight_render as synthetic

    monkeypatch.setattr(synthetic, "landmarks", lambda split, n: (split, n))
    monkeypatch.setattr(detection, "read", lambda dataset: dataset)
    assert detection.load("scenes") == ("test", 100)
    assert detection.load("scenes", 12) == ("test", 12)
    assert detection.load("yaleb") == "yaleb"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Detection("pie"), ValueError, "dataset: expected one of 'yaleb', 'synthetic', 'scenes', got 'pie'"),
        (lambda: Detection(cascade="eye"), ValueError, "cascade: expected one of 'frontalface_alt2'"),
        (lambda: Detection(enhancer="gbie"), TypeError, "expected an Enhancer, got 'gbie'"),
        (lambda: Detection(every=0), ValueError, "every: expected at least 1, got 0"),
    ],
)
def test_bad_requests(call: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]


@pytest.mark.realdata
def test_crops_of_extended_yale_b_need_the_border(yaleb_root: Path) -> None:
    from facelight.data import yaleb

    faces = yaleb.load(yaleb_root)
    some = faces.select((faces.identity < 4) & (faces.subset == 1))
    bare, bordered = (detection.measure(Detection("yaleb", border=b), some) for b in (0.0, detection.BORDER))
    assert bare["correct"]["rate"] < 0.3
    assert bordered["correct"]["rate"] > 0.9
