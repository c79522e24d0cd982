# mypy: ignore-errors
# ruff: noqa: UP018
"""Warp kernels of the renderer: normals, and what rays cast from the surface meet. Light is computed in `shading`.

Annotations are Warp's own types, which a Python type checker cannot read; float(0.0) is its notation of a variable.
Lengths are meters, the camera stands at `eye` and looks along -z; pixel (0, 0) is the center of the top left pixel; y
of the picture points down.
"""

import warp as wp

from facelight_render.raster import View

wp.set_module_options({"enable_backward": False})  # nothing is differentiated; compiles several times faster

FAR = wp.constant(10.0)
OFFSET = wp.constant(2.0e-4)


@wp.kernel
def face_normals(points: wp.array(dtype=wp.vec3), indices: wp.array(dtype=wp.int32), facets: wp.array(dtype=wp.vec3)):
    """Normal of each face, twice as long as its area."""
    f = wp.tid()
    a = points[indices[3 * f]]
    facets[f] = wp.cross(points[indices[3 * f + 1]] - a, points[indices[3 * f + 2]] - a)


@wp.kernel
def vertex_normals(
    facets: wp.array(dtype=wp.vec3),
    starts: wp.array(dtype=wp.int32),
    incident: wp.array(dtype=wp.int32),
    normals: wp.array(dtype=wp.vec3),
):
    """Area-weighted mean of the normals of the faces `incident[starts[i]:starts[i + 1]]` around vertex i."""
    i = wp.tid()
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(starts[i], starts[i + 1]):
        total += facets[incident[k]]
    normals[i] = wp.normalize(total)


@wp.kernel
def ambient_occlusion(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    reach: float,
    openness: wp.array(dtype=wp.float32),
):
    """Share of cosine-weighted `directions` around each normal along which nothing lies within `reach` meters."""
    i = wp.tid()
    n = normals[i]
    start = points[i] + n * (5.0 * OFFSET)
    free = float(0.0)
    for k in range(directions.shape[0]):
        d = wp.normalize(directions[k] + n)
        if not wp.mesh_query_ray_anyhit(mesh, start, d, reach):
            free += 1.0
    openness[i] = free / float(directions.shape[0])


@wp.kernel
def visible_points(
    mesh: wp.uint64,
    view: View,
    points: wp.array(dtype=wp.vec3),
    tolerance: float,
    visible: wp.array(dtype=wp.int32),
):
    """1 where nothing lies between the camera and a point, `tolerance` meters in front of it left out."""
    i = wp.tid()
    d = points[i] - view.eye
    length = wp.length(d)
    blocked = wp.mesh_query_ray_anyhit(mesh, view.eye, d / length, length - tolerance)
    visible[i] = wp.where(blocked, 0, 1)


@wp.kernel
def light_vertices(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array2d(dtype=wp.vec3),
    needed: wp.array(dtype=wp.uint8),
    lit: wp.array3d(dtype=wp.uint8),
):
    """Whether light k of picture g reaches vertex i: 1 yes, 0 something is in between, 2 the vertex faces away.

    Vertices that are not `needed` are left out.
    """
    g, k, i = wp.tid()
    d = directions[g, k]
    if needed[i] != wp.uint8(0):
        if wp.dot(normals[i], d) <= 0.0:
            lit[g, k, i] = wp.uint8(2)
        elif wp.mesh_query_ray_anyhit(mesh, points[i] + normals[i] * (2.0 * OFFSET), d, FAR):
            lit[g, k, i] = wp.uint8(0)
        else:
            lit[g, k, i] = wp.uint8(1)
