"""Who is trained on and who is tested: made-up sets with known answers, and the counts on the real sets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facelight.data import LitFaces, ar, pie, yaleb
from facelight.data.ar import ArFaces
from facelight.data.pie import PieFaces, PoseFaces
from facelight.data.yale_lights import YALE_LIGHTS, subset_of
from facelight_lab.recognition.protocols import Split, groups, leak, split, validation

OF_LIGHTS = ("random", "subset 1", "held-out lights", "one image")
LIGHTS = ((0, 0), (5, 0), (0, 10), (20, 0), (-30, 10), (60, 0), (-90, 0), (0, 90), (120, 0), (-35, 40))


def made_up(pictures: list[tuple[int, tuple[int, int]]]) -> LitFaces:
    """A black pixel for each person and light."""
    azimuth, elevation = torch.tensor([light for _, light in pictures], dtype=torch.float32).reshape(-1, 2).T
    return LitFaces(
        image=torch.zeros(len(pictures), 1, 1, 1, dtype=torch.uint8),
        identity=torch.tensor([person for person, _ in pictures]),
        azimuth=azimuth,
        elevation=elevation,
        subset=torch.tensor([subset_of(*light) for _, light in pictures]),
        name=tuple(f"{person}/{a}{e:+d}.pgm" for person, (a, e) in pictures),
        source="made up",
        sha256="0" * 64,
    )


def every(people: int, lights: tuple[tuple[int, int], ...] = LIGHTS) -> LitFaces:
    return made_up([(person, light) for person in range(people) for light in lights])


@pytest.fixture(scope="module")
def small_pie() -> PieFaces:
    """The columns of CMU PIE, with pictures of one pixel."""
    shots = list(pie._shots().values())
    camera, session, flash, room = zip(*(pie.shot(place) for _, place in shots), strict=True)
    unknown = torch.full((len(shots),), float("nan"))
    return PieFaces(
        image=torch.zeros(len(shots), 1, 1, 1, dtype=torch.uint8),
        identity=torch.tensor([subject - 1 for subject, _ in shots]),
        azimuth=unknown,
        elevation=unknown,
        subset=torch.zeros(len(shots), dtype=torch.int64),
        name=tuple(pie._shots()),
        source="small PIE",
        sha256="0" * 64,
        camera=torch.tensor(camera),
        flash=torch.tensor(flash),
        room_lights=torch.tensor(room),
        session=session,
    )


@pytest.fixture(scope="module")
def small_ar() -> ArFaces:
    """The columns of AR, with pictures of one pixel."""
    shots = [ar.shot(number) for _ in range(ar.PEOPLE) for number in range(1, ar.SHOTS + 1)]
    unknown = torch.full((len(shots),), float("nan"))
    return ArFaces(
        image=torch.zeros(len(shots), 1, 1, 1, dtype=torch.uint8),
        identity=torch.arange(len(shots)) // ar.SHOTS,
        azimuth=unknown,
        elevation=unknown,
        subset=torch.tensor([1 + ar.LIGHTS.index(light) for _, light in shots]),
        name=tuple(map(str, range(len(shots)))),
        source="small AR",
        sha256="0" * 64,
        session=torch.tensor([session for session, _ in shots]),
    )


def same(a: Split, b: Split) -> bool:
    return torch.equal(a.train, b.train) and torch.equal(a.test, b.test)


def ascending(positions: torch.Tensor) -> bool:
    return positions.dtype == torch.int64 and bool((positions.diff() > 0).all())


@st.composite
def some_faces(draw: st.DrawFn) -> LitFaces:
    """A few people in any order of the pictures, each of whom may lack one light other than the frontal one."""
    lacking = draw(st.lists(st.integers(1, 2 * len(LIGHTS)), min_size=2, max_size=5))
    pairs = [(who, light) for who, gap in enumerate(lacking) for i, light in enumerate(LIGHTS) if i != gap]
    return made_up(draw(st.permutations(pairs)))


@given(some_faces(), st.sampled_from(OF_LIGHTS), st.integers(0, 2**31))
def test_a_split_is_a_disjoint_cover_and_a_function_of_the_seed(faces: LitFaces, protocol: str, seed: int) -> None:
    parts = split(faces, protocol, seed)
    assert ascending(parts.train)
    assert ascending(parts.test)
    assert torch.cat([parts.train, parts.test]).sort().values.tolist() == list(range(len(faces)))
    torch.manual_seed(seed + 1)  # the state of the global generator does not matter
    assert same(parts, split(faces, protocol, seed))
    light = list(zip(faces.azimuth.tolist(), faces.elevation.tolist(), strict=True))
    trained, tested = ({light[i] for i in part.tolist()} for part in (parts.train, parts.test))
    if protocol == "random":
        counts = faces.identity.bincount().tolist()
        assert faces.identity[parts.train].bincount().tolist() == [round(0.2 * n) for n in counts]
    elif protocol == "held-out lights":
        assert not trained & tested
        assert len(trained) == round(0.2 * len(set(light)))
        assert leak(faces, parts)["shared"] == 0
    elif protocol == "one image":
        assert trained == {(0, 0)}
        assert faces.identity[parts.train].sort().values.tolist() == faces.identity.unique().tolist()
    else:
        assert faces.subset[parts.train].unique().tolist() == [1]
        assert 1 not in faces.subset[parts.test]


@given(st.integers(0, 1000))
def test_another_seed_is_another_split(seed: int) -> None:
    faces = every(6, YALE_LIGHTS)
    for protocol in OF_LIGHTS:
        again = same(split(faces, protocol, seed), split(faces, protocol, seed + 1))
        assert again == (protocol in ("subset 1", "one image"))


@given(st.sampled_from(("random", "subset 1")), st.integers(0, 99), st.sampled_from((0.2, 0.5)))
def test_validation_takes_a_share_of_each_person(protocol: str, seed: int, share: float) -> None:
    faces = every(4, YALE_LIGHTS)
    train = split(faces, protocol, seed).train
    parts = validation(faces, train, protocol, seed, share)
    assert ascending(parts.train)
    assert ascending(parts.test)
    assert torch.cat([parts.train, parts.test]).sort().values.tolist() == train.tolist()
    counts = faces.identity[train].bincount().tolist()
    assert faces.identity[parts.test].bincount().tolist() == [round(share * n) for n in counts]
    assert same(parts, validation(faces, train, protocol, seed, share))


def test_validation_of_held_out_lights_holds_out_lights() -> None:
    faces = every(4, YALE_LIGHTS)
    train = split(faces, "held-out lights", 3).train
    parts = validation(faces, train, "held-out lights", 3)
    assert torch.cat([parts.train, parts.test]).sort().values.tolist() == train.tolist()
    assert len(parts.test) == 4 * 3  # round(0.25 * 13) lights
    assert leak(faces, parts)["shared"] == 0
    assert not same(parts, validation(faces, train, "held-out lights", 4))


def test_validation_refuses() -> None:
    faces = every(3)
    for protocol in ("one image", "one flash"):
        with pytest.raises(ValueError, match=f"'{protocol}': each person has one training picture: choose settings on"):
            validation(faces, split(faces, "one image").train, protocol)
    for share in (0, 1.0):
        with pytest.raises(ValueError, match=r"share: expected a number in \(0, 1\), got"):
            validation(faces, torch.arange(9), "random", share=share)
    with pytest.raises(ValueError, match=r"person 1 has 1 picture\(s\) to draw from, such as '1/0\+0.pgm'.*least 2"):
        validation(faces, torch.tensor([0, 1, 10]), "random")
    with pytest.raises(ValueError, match="protocol: expected one of 'random'"):
        validation(faces, torch.arange(9), "P1")


def test_one_flash(small_pie: PieFaces) -> None:
    seen: set[int] = set()
    for seed in range(21):
        parts = split(small_pie, "one flash", seed)
        train, test = small_pie.select(parts.train), small_pie.select(parts.test)
        (flash,) = train.flash.unique().tolist()
        seen.add(flash)
        assert sorted(set(test.flash.tolist()) | {flash}) == list(range(1, 22))
        assert flash not in test.flash
        for part in (train, test):
            assert part.camera.unique().tolist() == [27]
            assert set(part.session) == {"illumination"}
        lacking = flash in (9, 10, 11)  # of subject 38, who is identity 37
        assert (37 in train.identity, 37 in test.identity) == (not lacking, not lacking)
        assert (len(train), len(test)) == ((67, 67 * 20) if lacking else (68, 68 * 20 - 3))
    assert seen == set(range(1, 22))  # 21 seeds are all flashes
    assert same(split(small_pie, "one flash", 22), split(small_pie, "one flash", 1))


def test_room_light(small_pie: PieFaces) -> None:
    parts = split(small_pie, "room light")
    train, test = small_pie.select(parts.train), small_pie.select(parts.test)
    assert set(train.session) == {"expression", "lights", "talking"}
    assert len(train) == 68 * (15 + 2 + 6)
    assert train.flash.unique().tolist() == [0]
    assert set(test.session) == {"illumination"}
    assert len(test) == 68 * 105 - 6
    held = validation(small_pie, parts.train, "room light")
    assert len(held.test) == 68 * 6  # round(0.25 * 23)
    assert len(held.train) == 68 * 17


def test_even_light(small_ar: ArFaces) -> None:
    parts = split(small_ar, "even light", 3)
    assert same(parts, split(small_ar, "even light", 0))  # nothing is drawn
    number = torch.arange(len(small_ar)) % 14 + 1  # of the picture, as the card has it
    assert number[parts.train].unique().tolist() == [1, 2, 3, 4]
    assert number[parts.test].unique().tolist() == [5, 6, 7, 12, 13, 14]
    assert (len(parts.train), len(parts.test)) == (99 * 4, 99 * 6)
    assert groups(small_ar)[:14].tolist() == [11, 11, 11, 11, 12, 13, 14, 21, 21, 21, 21, 22, 23, 24]
    held = validation(small_ar, parts.train, "even light")
    assert (len(held.train), len(held.test)) == (99 * 3, 99)


def test_ar_has_no_directions_of_light(small_ar: ArFaces) -> None:
    assert len(split(small_ar, "random").train) == 99 * 3
    with pytest.raises(ValueError, match=r"small AR: .* only the protocol 'random' or 'even light' can be used"):
        split(small_ar, "held-out lights")
    with pytest.raises(ValueError, match=r"'even light': expected AR from facelight.data.ar.load\(\), got made up"):
        split(every(3), "even light")
    session_2 = small_ar.select(small_ar.session == 2)
    with pytest.raises(ValueError, match="'even light': 0 pictures for training and 297 for testing"):
        split(session_2, "even light")


def test_random_split_of_pie(small_pie: PieFaces) -> None:
    parts = split(small_pie, "random", 1)
    assert small_pie.identity[parts.train].bincount().tolist() == [34] * 37 + [33] + [34] * 30
    assert len(parts.test) == 11554 - 67 * 34 - 33


def test_groups(small_pie: PieFaces) -> None:
    assert groups(small_pie) is small_pie.camera
    assert groups(every(1)).tolist() == [1, 1, 1, 2, 3, 4, 5, 5, 5, 3]
    plain = {f.name: getattr(small_pie, f.name) for f in fields(LitFaces)}
    pose = PoseFaces(**plain, camera=small_pie.camera, is_test=small_pie.flash)
    assert groups(pose) is small_pie.camera
    with pytest.raises(ValueError, match=r"not known, only the protocol 'random' can be used"):
        split(pose, "subset 1")
    with pytest.raises(ValueError, match=r"'one flash': expected CMU PIE from facelight\.data"):
        split(pose, "one flash")


def test_leak_by_hand() -> None:
    # Person 0: lights 0, 60 and 90 degrees to the left; person 1: ahead, and 45 up.
    faces = made_up([(0, (0, 0)), (0, (60, 0)), (0, (90, 0)), (1, (0, 0)), (1, (0, 45)), (1, (60, 0))])
    found = leak(faces, Split(torch.tensor([0, 1, 3]), torch.tensor([2, 4, 5])))
    # (90, 0) is 30 from (60, 0); (0, 45) is 45 from (0, 0); person 1's (60, 0) is 60 from (0, 0) and seen on person 0.
    assert found == pytest.approx({"shared": 1 / 3, "mean": 45, "median": 45}, abs=1e-9)
    # Straight up is 90 from every light at the horizon; (45, 45) and (-45, 45): cos = cos 90 cos2 45 + sin2 45 = 1/2.
    faces = made_up([(0, (45, 45)), (0, (-45, 45))])
    assert leak(faces, Split(torch.tensor([0]), torch.tensor([1])))["mean"] == pytest.approx(60, abs=1e-9)
    faces = made_up([(0, (30, 0)), (0, (0, 90)), (0, (-150, 0)), (0, (30, 0))])
    for other, angle in ((1, 90), (2, 180), (3, 0)):
        parts = Split(torch.tensor([0]), torch.tensor([other]))
        assert leak(faces, parts)["mean"] == pytest.approx(angle, abs=1e-9)
        assert leak(faces, parts)["shared"] == (other == 3)


def test_what_does_not_fit_is_refused(small_pie: PieFaces) -> None:
    faces = every(3)
    with pytest.raises(ValueError, match=r"protocol: expected one of 'random', 'subset 1'.*got 'P1'"):
        split(faces, "P1")
    for protocol in OF_LIGHTS[1:]:
        with pytest.raises(
            ValueError, match=r"small PIE: the directions .* not known, only the protocol 'random', 'one"
        ):
            split(small_pie, protocol)
    with pytest.raises(ValueError, match="not known, only the protocol"):
        leak(small_pie, split(small_pie, "random"))
    for protocol in ("one flash", "room light"):
        with pytest.raises(ValueError, match=rf"'{protocol}': expected CMU PIE from .*pie.load\(\), got made up"):
            split(faces, protocol)


def test_too_few_pictures_are_named() -> None:
    pairs = [(0, light) for light in LIGHTS] + [(3, light) for light in LIGHTS[1:5]]
    faces = made_up(pairs)
    with pytest.raises(ValueError, match=r"made up: person 3 has 4 picture\(s\) .* '3/5\+0.pgm': expected at least 5"):
        split(faces, "random")
    with pytest.raises(ValueError, match=r"'one image': person 3 is tested, with '3/5\+0.pgm', but has no picture for"):
        split(faces, "one image")
    with pytest.raises(ValueError, match=r"'subset 1': person 1 is tested, with '1/60\+0.pgm'"):
        split(made_up([(0, light) for light in LIGHTS] + [(1, (60, 0))]), "subset 1")
    with pytest.raises(ValueError, match="4 directions of light to draw from: expected at least 5"):
        split(every(3, LIGHTS[:4]), "held-out lights")
    with pytest.raises(ValueError, match=r"'subset 1': 9 pictures for training and 0 for testing"):
        split(every(3, LIGHTS[:3]), "subset 1")
    with pytest.raises(ValueError, match="'one image': 0 pictures for training and 20 for testing"):
        split(every(5, LIGHTS[1:5]), "one image")


def test_a_set_without_the_training_flash_is_refused(small_pie: PieFaces) -> None:
    with pytest.raises(ValueError, match="'one flash': 0 pictures for training and 0 for testing"):
        split(small_pie.select(small_pie.flash != 5), "one flash", 0)


@pytest.mark.realdata
def test_counts_on_extended_yale_b(yaleb_root: Path) -> None:
    faces = yaleb.load(yaleb_root, size=(12, 10))
    parts = {protocol: split(faces, protocol, 0) for protocol in OF_LIGHTS}
    counts = {protocol: (len(part.train), len(part.test)) for protocol, part in parts.items()}
    assert sum(round(0.2 * n) for n in faces.identity.bincount().tolist()) == 490
    assert counts["random"] == (490, 1924)
    assert counts["subset 1"] == (263, 2151)
    assert counts["one image"] == (38, 2376)
    held = parts["held-out lights"]
    assert abs(len(held.train) - 13 * 38) <= 18  # thirteen lights, less the pictures that are `.bad`
    leaks = {protocol: leak(faces, part) for protocol, part in parts.items()}
    assert [leaks[p]["shared"] for p in OF_LIGHTS] == [1, 0, 0, 0]
    assert 20 < leaks["random"]["mean"] < leaks["subset 1"]["mean"] < leaks["one image"]["mean"] < 60


@pytest.mark.realdata
def test_counts_on_ar(ar_root: Path, small_ar: ArFaces) -> None:
    assert same(split(ar.load(ar_root), "even light"), split(small_ar, "even light"))


@pytest.mark.realdata
def test_counts_on_pie(pie_root: Path, small_pie: PieFaces) -> None:
    faces = pie.load(pie_root)
    for protocol in ("random", "one flash", "room light"):
        assert same(split(faces, protocol, 5), split(small_pie, protocol, 5))
