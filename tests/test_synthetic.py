"""The renderer against values worked out by hand, and what the three ready sets promise."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import facelight_render as synthetic
from facelight.data import WFLW_ATTRIBUTES, LitFaces
from facelight.data.yale_lights import YALE_LIGHTS, subset_of
from facelight_render import photo, sets
from facelight_render.render import Camera, Stage, direction, rotation
from facelight_render.scene import SceneLight, identity_seed, sample_portrait, sample_scene
from patience import PATIENCE

FRONTAL = tuple(pair for pair in YALE_LIGHTS if subset_of(*pair) == 1)


@pytest.fixture(scope="module", autouse=True)
def cold_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACELIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def stage() -> Stage:
    return photo.new_stage()


@pytest.fixture(scope="module")
def frontal() -> LitFaces:
    """38 people under the seven lights of subset 1."""
    return synthetic.lights(38, directions=FRONTAL)


# --- lights of Extended Yale B


def test_subsets_have_the_published_sizes() -> None:
    assert len(set(YALE_LIGHTS)) == 64
    assert Counter(subset_of(*pair) for pair in YALE_LIGHTS) == {1: 7, 2: 12, 3: 12, 4: 14, 5: 19}


def test_lights_are_symmetric() -> None:
    assert {(-a, e) for a, e in YALE_LIGHTS} == set(YALE_LIGHTS)


def test_subset_refuses_nan() -> None:
    with pytest.raises(ValueError, match="expected finite angles in degrees, got nan"):
        subset_of(float("nan"), 0)


def test_direction_by_hand() -> None:
    np.testing.assert_allclose(direction(0, 90), [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(direction(30, 0), [-0.5, 0, np.sqrt(3) / 2], atol=1e-15)
    for azimuth, elevation in YALE_LIGHTS:
        angle = np.degrees(np.arccos(direction(azimuth, elevation)[2]))
        assert abs(angle - np.degrees(np.arccos(np.cos(np.radians(azimuth)) * np.cos(np.radians(elevation))))) < 1e-9


# --- renderer on a square of 0.2 m that faces the camera


SQUARE = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]], np.float32)
CAMERA = Camera(40, 30, 100.0, (19.3, 14.8), 1.0)


def show(
    vertices: np.ndarray,
    directions: list,
    colors: list,
    ambient: float = 0.0,
    camera: Camera = CAMERA,
    gloss: float = 0,
):
    """Squares with albedo 0.5, 0.25, 0.125 under the given lights."""
    count = len(vertices) // 4
    faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * k for k in range(count)]).astype(np.int32)
    texture = np.empty((4, 8, 8), np.float32)
    texture[:] = np.array([0.5, 0.25, 0.125, gloss], np.float32)[:, None, None]
    uv = np.full((len(faces), 3, 2), 0.5, np.float32)
    towards, strength = np.array(directions, float)[None], np.array(colors, float)[None]
    marks = np.array([[0, 0, 0], [0.05, 0.02, 0], [0.3, 0, 0]], np.float32)
    around = np.full((1, 3), ambient)
    return Stage(vertices, faces, uv).render(vertices, texture, marks, camera, towards, strength, around)


@pytest.mark.parametrize("angle", [0, 30, 60, 80])
def test_lambert_by_hand(angle: float) -> None:
    shot = show(SQUARE, [direction(angle, 0)], [[1.0, 0.8, 0.6]])
    expected = np.array([0.5, 0.25, 0.125]) * [1.0, 0.8, 0.6] * np.cos(np.radians(angle))
    np.testing.assert_allclose(shot.rgb[0, 15, 19], expected, rtol=1e-4)


def test_light_from_behind_and_ambient_light() -> None:
    shot = show(SQUARE, [direction(100, 0)], [[1.0, 1.0, 1.0]], ambient=0.2)
    # Nothing occludes the square, and it looks sideways: openness 1, and 0.75 of what would come from straight above.
    np.testing.assert_allclose(shot.rgb[0, 15, 19], 0.2 * 0.75 * np.array([0.5, 0.25, 0.125]), rtol=1e-3)


def test_blinn_phong_peak_by_hand() -> None:
    light = [direction(0, 0)]
    shot = show(SQUARE, light, [[1.0, 1.0, 1.0]], gloss=0.5, camera=Camera(41, 31, 100.0, (20, 15), 1.0))
    power = 10 ** (0.8 + 2.4 * 0.5)
    expected = np.array([0.5, 0.25, 0.125]) + np.sqrt(0.5) * 0.04 * (power + 8) / 8
    np.testing.assert_allclose(shot.rgb[0, 15, 20], expected, rtol=1e-3)


def test_cast_shadow_falls_where_geometry_says() -> None:
    # A small square 0.05 m in front; a light from 45 degrees on the right shifts its shadow 0.05 m to the left. The
    # wall is made of small squares, because shadows that fall between the corners of a face are not looked for.
    small = SQUARE * 0.1 + np.array([0.05, 0, 0.05], np.float32)
    wall = [
        SQUARE * 0.05 + np.array([x, y, 0], np.float32)
        for x in np.arange(-9, 10) / 100
        for y in np.arange(-9, 10) / 100
    ]
    shot = show(np.concatenate([*wall, small]), [direction(-45, 0)], [[1.0, 1.0, 1.0]])
    lit = 0.5 * np.cos(np.radians(45))
    x, y = np.round(CAMERA.project(np.array([[0, 0, 0], [-0.05, 0, 0], [0, 0.05, 0]]))).astype(int).T
    np.testing.assert_allclose(shot.rgb[0, y, x, 0], [0, lit, lit], atol=1e-4)


@pytest.mark.parametrize("size", [24, 48, 96])
def test_coverage_and_center_agree_with_the_projection(size: int) -> None:
    camera = Camera(size, size, 2.2 * size, ((size - 1) / 2 + 0.3, (size - 1) / 2 - 0.2), 1.0)
    shot = show(SQUARE, [direction(0, 0)], [[1, 1, 1]], camera=camera)
    assert shot.coverage.sum() == pytest.approx((0.2 * 2.2 * size) ** 2, rel=0.04)
    y, x = np.mgrid[:size, :size]
    center = [(shot.coverage * x).sum() / shot.coverage.sum(), (shot.coverage * y).sum() / shot.coverage.sum()]
    np.testing.assert_allclose(shot.landmarks[0], center, atol=0.15)
    assert shot.visible.tolist() == [True, True, False]


def test_hidden_landmark_is_not_visible() -> None:
    cover = SQUARE * 0.1 + np.array([0, 0, 0.05], np.float32)
    assert show(np.concatenate([SQUARE, cover]), [direction(0, 0)], [[1, 1, 1]]).visible.tolist() == [
        False,
        True,
        False,
    ]


def test_rotation_conventions() -> None:
    ahead, right = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])
    assert (rotation(30, 0, 0) @ ahead)[0] == pytest.approx(0.5)  # yaw: to the right of the picture
    assert (rotation(0, 30, 0) @ ahead)[1] == pytest.approx(0.5)  # pitch: upwards
    assert (rotation(0, 0, 30) @ right)[1] == pytest.approx(-0.5)  # roll: clockwise
    turn = rotation(20, -10, 5)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


# --- heads


def shoot(scene, stage: Stage, **changes: object) -> np.ndarray:
    return photo.shoot(dataclasses.replace(scene, **changes), stage, 64).rgb[0].copy()


def test_light_adds_up(stage: Stage) -> None:
    scene = sample_scene(0, "train", 3)
    one, two = SceneLight(40, 10, (0.8, 0.7, 0.6)), SceneLight(-60, 30, (0.1, 0.2, 0.4))
    dark = (0.0, 0.0, 0.0)
    first, second = (shoot(scene, stage, lights=(light,), ambient=dark) for light in (one, two))
    both = shoot(scene, stage, lights=(one, two), ambient=dark)
    np.testing.assert_allclose(both, first + second, atol=1e-5)
    double = dataclasses.replace(one, color=tuple(2 * c for c in one.color))
    np.testing.assert_allclose(shoot(scene, stage, lights=(double,), ambient=dark), 2 * first, atol=1e-5)
    assert first.max() > 0.1


def test_face_light_does_not_reach_the_background(stage: Stage) -> None:
    shot = photo.shoot(sample_scene(0, "train", 3), stage, 64)
    assert (shot.coverage == 0).mean() > 0.05
    assert (shot.rgb[0][shot.coverage == 0] == 0).all()
    edge = (shot.coverage > 0) & (shot.coverage < 1)
    assert edge.any()


def test_positive_azimuth_lights_the_left_half() -> None:
    faces = synthetic.lights(2, size=(96, 84), directions=((60, 0), (-60, 0), (0, 0), (0, 90)))
    left, right = (half.float().mean((1, 2, 3)) for half in faces.image.split(42, 3))
    assert (left[[0, 4]] > 2 * right[[0, 4]]).all()
    assert (right[[1, 5]] > 2 * left[[1, 5]]).all()
    assert ((left / right)[[2, 6]] - 1).abs().max() < 0.15
    # Light from straight above: the bridge of the nose is lit, the upper lip lies in the shadow of the nose.
    assert (faces.image[[3, 7], 0, 40:50, 38:46].float().amax((1, 2)) > 30).all()


def test_pupils_lie_where_real_crops_have_them() -> None:
    head = photo.heads([photo.sample_parameters(identity_seed(0, "lights", 0))])
    middle = float(head.landmarks[0, [96, 97], 0].mean())
    assert abs(middle) < 0.003
    faces = synthetic.lights(4, size=(96, 84), directions=((0, 0),))
    # The darkest places of the mean face's eye band are the two irises.
    band = faces.image[:, 0, 18:30].float().mean((0, 1))
    assert abs(int(band[:42].argmin()) / 84 - 0.208) < 0.12
    assert abs((42 + int(band[42:].argmin())) / 84 - 0.784) < 0.12


# --- the two sets


def test_lights_columns(frontal: LitFaces) -> None:
    assert frontal.image.shape == (38 * 7, 1, 192, 168)
    assert frontal.image.dtype == torch.uint8
    assert frontal.subset.unique().tolist() == [1]
    assert frontal.identity.bincount().tolist() == [7] * 38
    assert frontal[8].identity == 1
    assert (frontal[8].azimuth, frontal[8].elevation) == FRONTAL[1]
    mean = frontal.image.float().mean().item()
    assert 95 < mean < 125  # the real subset 1: 108.5


def test_means_fall_with_the_angle_as_on_the_real_set() -> None:
    faces = synthetic.lights(3, size=(48, 42))
    assert faces.subset.bincount().tolist() == [0, 21, 36, 36, 42, 57]
    means = [faces.image[faces.subset == s].float().mean().item() for s in range(1, 6)]
    assert all(a > b for a, b in itertools.pairwise(means))
    share = np.array(means) / means[0]
    # Measured on all 2,414 real crops: 1, 0.94, 0.77, 0.56, 0.30.
    np.testing.assert_allclose(share, [1, 0.94, 0.77, 0.56, 0.30], atol=0.17)


def test_viola_jones_finds_frontally_lit_faces(frontal: LitFaces) -> None:
    # The crops are tight: the detector needs a border, 60 pixels of black as on the real crops.
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    pictures = frontal.image[::3, 0].numpy()
    padded = [cv2.copyMakeBorder(one, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=0) for one in pictures]
    found = [len(cascade.detectMultiScale(one, 1.05, 3, minSize=(80, 80))) > 0 for one in padded]
    assert np.mean(found) >= 0.98


def test_identities_are_told_apart(frontal: LitFaces) -> None:
    # Gallery: the light on the camera axis. Probes: the other six of subset 1. Cosine of the pixels of every other
    # row and column, nearest neighbor.
    pixels = torch.nn.functional.normalize(frontal.image[:, 0, ::2, ::2].float().flatten(1))
    gallery = (frontal.azimuth == 0) & (frontal.elevation == 0)
    nearest = (pixels[~gallery] @ pixels[gallery].T).argmax(1)
    assert (frontal.identity[gallery][nearest] == frontal.identity[~gallery]).float().mean() > 0.95


def test_landmarks_columns() -> None:
    faces = synthetic.landmarks("val", 6, size=64)
    assert faces.image.shape == (6, 3, 64, 64)
    assert faces.landmarks.shape == (6, 98, 2)
    assert (faces.visible.dtype, faces.visible.shape) == (torch.bool, (6, 98))
    assert faces.attributes.shape == (6, len(WFLW_ATTRIBUTES))
    torch.testing.assert_close(faces.box[:, :2], faces.landmarks.amin(1))
    torch.testing.assert_close(faces.box[:, 2:], faces.landmarks.amax(1))
    inside = ((faces.landmarks > -0.5) & (faces.landmarks < 63.5)).all(-1)
    assert not (faces.visible & ~inside).any()
    assert faces.visible.float().mean() > 0.6
    again = synthetic.landmarks("val", 6, size=64)
    assert again.sha256 == faces.sha256
    assert torch.equal(again.image, faces.image)


def test_same_picture_whatever_pytorch_s_default_type(stage: Stage) -> None:
    scene = sample_scene(0, "train", 3)
    expected = photo.photograph(scene, stage, 64).image
    torch.set_default_dtype(torch.float64)
    try:
        found = photo.photograph(scene, stage, 64).image
        gray = photo.frontal_series(5, ((0.0, 0.0), (50.0, 0.0)), stage, 48, 42)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(found, expected)
    assert np.array_equal(gray, photo.frontal_series(5, ((0.0, 0.0), (50.0, 0.0)), stage, 48, 42))


def test_same_picture_whatever_the_batch_the_order_or_the_workers(stage: Stage) -> None:
    eight = sets._make_landmarks("train", range(8), 0, 64, 2, "cpu")
    five = sets._make_landmarks("train", [5], 0, 64, 1, "cpu")
    turned = sets._make_landmarks("train", [7, 5, 2], 0, 64, 2, "cpu")
    for name in ("image", "landmarks", "visible", "box", "attributes"):
        np.testing.assert_array_equal(eight[name][5], five[name][0])
        np.testing.assert_array_equal(eight[name][[7, 5, 2]], turned[name])
    lights = FRONTAL[:2]
    one, two = (synthetic.lights(n, size=(48, 42), directions=lights, workers=n) for n in (1, 2))
    assert torch.equal(one.image, two.image[:2])
    assert not torch.equal(two.image[:2], two.image[2:])


@pytest.mark.parametrize("index", [0, 1, 5])
def test_landmarks_at_another_size(stage: Stage, index: int) -> None:
    scene = sample_scene(0, "test", index)
    small, large = (photo.photograph(scene, stage, size) for size in (64, 256))
    np.testing.assert_allclose((small.landmarks + 0.5) * 4 - 0.5, large.landmarks, atol=0.5)
    # The picture agrees as well: averaged to 64 pixels, the larger one is the smaller one up to noise and aliasing.
    reduced = cv2.resize(large.image.transpose(1, 2, 0), (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(cv2.blur(reduced - small.image.transpose(1, 2, 0), (5, 5))).mean() < 4


def test_splits_and_seeds_share_no_identity() -> None:
    people = [
        {sample_scene(seed, split, i).identity for i in range(50)}
        for seed in (0, 1)
        for split in ("train", "val", "test")
    ]
    people += [{identity_seed(seed, "lights", i) for i in range(50)} for seed in (0, 1)]
    assert len(set().union(*people)) == 8 * 50


def test_people_columns_and_independence_of_count_and_workers() -> None:
    few, more = synthetic.people(2, 3, size=32, workers=1), synthetic.people(3, 4, size=32, workers=2)
    assert (few.image.shape, few.image.dtype) == ((6, 1, 32, 32), torch.uint8)
    assert few.identity.tolist() == [0, 0, 0, 1, 1, 1]
    same = [more.name.index(name) for name in few.name]
    assert torch.equal(few.image, more.image[same])
    assert torch.equal(few.azimuth, more.azimuth[same])
    assert few.subset.tolist() == [subset_of(a, e) for a, e in zip(few.azimuth, few.elevation, strict=True)]
    assert len({tuple(image.flatten().tolist()) for image in more.image}) == 12
    assert not torch.equal(synthetic.people(1, 1, size=32, seed=1).image, few.image[:1])


def test_portraits_keep_the_person_and_vary_the_rest() -> None:
    own = [sample_portrait(0, 4, n) for n in range(400)]
    assert own == [sample_portrait(0, 4, n) for n in range(400)]
    assert {(p.identity, p.occluder_seed, p.make_up) for p in own} == {(own[0].identity, 4, 0.0)}
    assert sum(p.occluder == "glasses" for p in own) / 400 == pytest.approx(0.5, abs=0.1)
    assert {p.occluder for p in (sample_portrait(0, 5, n) for n in range(50))} == {""}
    assert sum(p.expression_strength == 0 for p in own) / 400 == pytest.approx(0.5, abs=0.1)
    assert max(abs(p.yaw) for p in own) <= 28
    assert max(abs(p.pitch) for p in own) <= 18
    assert sum(p.lights[0].color[0] < 0.1 for p in own) / 400 == pytest.approx(0.2, abs=0.07)  # room lights alone
    for field in ("yaw", "expression", "exposure", "background_seed", "noise_seed", "lights", "ambient"):
        assert len({getattr(p, field) for p in own}) > 300
    others = {sample_portrait(seed, who, 0).identity for seed in (0, 1) for who in range(50)}
    others |= {identity_seed(seed, split, i) for seed in (0, 1) for split in ("train", "lights") for i in range(50)}
    assert len(others) == 300


PLAIN = dataclasses.replace(
    sample_scene(0, "train", 0),
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    expression_strength=0.0,
    lights=(SceneLight(0, 0, (1.0, 1.0, 1.0)),),
    ambient=(0.5, 0.5, 0.5),
    exposure=0.0,
    warmth=0.0,
    make_up=0.0,
    occluder="",
    blur=0.001,
)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({}, None),
        ({"yaw": -35.0}, "pose"),
        ({"yaw": 34.9}, None),
        ({"pitch": 25.0}, "pose"),
        ({"roll": -30.0}, "pose"),
        ({"expression_strength": 0.7}, "expression"),
        ({"exposure": -1.3}, "illumination"),
        ({"warmth": 0.6}, "illumination"),
        ({"lights": (SceneLight(55, 0, (1, 1, 1)),), "ambient": (0.5, 0.5, 0.5)}, "illumination"),
        ({"lights": (SceneLight(55, 0, (1, 1, 1)),), "ambient": (0.6, 0.6, 0.6)}, None),
        ({"lights": (SceneLight(54, 0, (1, 1, 1)),), "ambient": (0.0, 0.0, 0.0)}, None),
        ({"make_up": 0.4}, "make-up"),
        ({"occluder": "hand"}, "occlusion"),
        ({"blur": 0.006}, "blur"),
    ],
)
def test_attributes_follow_their_thresholds(changes: dict, flag: str | None) -> None:
    flags = dataclasses.replace(PLAIN, **changes).attributes()
    assert flags == tuple(name == flag for name in WFLW_ATTRIBUTES)


def test_attribute_shares_are_near_those_of_wflw() -> None:
    share = np.mean([sample_scene(0, "test", i).attributes() for i in range(2000)], 0)
    np.testing.assert_allclose(share, np.array([326, 314, 698, 206, 736, 773]) / 2500, atol=0.05)


def test_occluder_hides_landmarks(stage: Stage) -> None:
    bare = photo.photograph(dataclasses.replace(PLAIN, shift=(0.0, 0.0)), stage, 96)
    masked = photo.photograph(dataclasses.replace(PLAIN, shift=(0.0, 0.0), occluder="mask"), stage, 96)
    assert bare.visible[76:96].all()
    assert not masked.visible[76:96].any()
    assert masked.visible[[60, 72]].all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthetic.landmarks("training", 1), "split: expected one of 'train', 'val', 'test', got 'training'"),
        (lambda: synthetic.landmarks("train", 0), "n: expected a whole number >= 1, got 0"),
        (lambda: synthetic.landmarks("train", 1, size=8), "size: expected a whole number >= 16, got 8"),
        (lambda: synthetic.landmarks("train", 1, seed=-1), "seed, index: expected whole numbers >= 0"),
        (lambda: synthetic.people(0), "identities: expected a whole number >= 1, got 0"),
        (lambda: synthetic.people(1, 0), "pictures: expected a whole number >= 1, got 0"),
        (lambda: synthetic.people(1, 1, size=8), "size: expected a whole number >= 16, got 8"),
        (lambda: sample_portrait(0, -1, 0), "person: expected a whole number >= 0"),
        (lambda: synthetic.lights(0), "identities: expected a whole number >= 1"),
        (lambda: synthetic.lights(1, size=64), r"size: expected \(height, width\) in pixels, got 64"),
        (lambda: synthetic.lights(1, directions=()), "directions: expected at least one"),
        (lambda: synthetic.lights(1, directions=((float("nan"), 0),)), "directions: expected at least one"),
    ],
)
def test_errors_say_what_to_do(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- processes


RENDER = "import facelight_render; f = facelight_render.landmarks('train', 2, size=32); assert f.image.any()"


def run(code: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_two_silent_processes_share_one_cache(tmp_path: Path) -> None:
    both = [run(RENDER, FACELIGHT_CACHE=str(tmp_path)) for _ in range(2)]
    assert [process.communicate(timeout=PATIENCE) for process in both] == [("", "")] * 2
    assert [process.returncode for process in both] == [0, 0]
    entries = [path for path in (tmp_path / "synthetic").iterdir() if path.is_dir()]
    assert len(entries) == 1
    assert (entries[0] / "entry.json").is_file()


def test_unwritable_kernel_cache_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = (
        "from facelight_render.warp_start import warp_module; import tempfile, pathlib;"
        "folder = pathlib.Path(warp_module().config.kernel_cache_dir);"
        "assert pathlib.Path(tempfile.gettempdir()) in folder.parents"
    )
    process = run(code, WARP_CACHE_PATH=str(tmp_path / "file" / "below"))
    printed, warned = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, warned
    assert printed == ""
    assert "set WARP_CACHE_PATH to a directory that can be written" in warned
