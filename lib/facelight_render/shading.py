# mypy: ignore-errors
# ruff: noqa: UP018, RUF046
"""Warp kernel of the renderer: light and texture at the places that `raster` found.

Annotations are Warp's own types, which a Python type checker cannot read; float(0.0) is its notation of a variable.
Lengths are meters, the camera stands at `eye` and looks along -z; pixel (0, 0) is the center of the top left pixel; y
of the picture points down.
"""

import warp as wp

from facelight_render.raster import Surface, View, face_of
from facelight_render.rays import FAR, OFFSET

wp.set_module_options({"enable_backward": False})  # nothing is differentiated; compiles several times faster

BLOCKED = wp.constant(wp.uint8(0))
REACHED = wp.constant(wp.uint8(1))
INSIDE = wp.constant(0.3)  # share of the light that reaches what lies inside the head


@wp.func
def ray_direction(view: View, pixel: int, s: int):
    """Unit vector from the camera through sub-pixel s of a pixel."""
    x = (float(pixel % view.width) + view.offsets[s][0] - view.center[0]) / view.focal
    y = (view.center[1] - float(pixel // view.width) - view.offsets[s][1]) / view.focal
    return wp.normalize(wp.vec3(x, y, -1.0))


@wp.func
def texel(texture: wp.array3d(dtype=wp.float32), x: int, y: int):
    """All four channels of a texel."""
    return wp.vec4(texture[0, y, x], texture[1, y, x], texture[2, y, x], texture[3, y, x])


@wp.func
def bilinear(texture: wp.array3d(dtype=wp.float32), uv: wp.vec2):
    """Bilinear look-up; u runs to the right and v upwards, both from 0 to 1 over the whole texture."""
    size = texture.shape[1]
    x = wp.clamp(uv[0] * float(size) - 0.5, 0.0, float(size) - 1.001)
    y = wp.clamp((1.0 - uv[1]) * float(size) - 0.5, 0.0, float(size) - 1.001)
    i = int(x)
    j = int(y)
    a = x - float(i)
    b = y - float(j)
    top = texel(texture, i, j) * (1.0 - a) + texel(texture, i + 1, j) * a
    low = texel(texture, i, j + 1) * (1.0 - a) + texel(texture, i + 1, j + 1) * a
    return top * (1.0 - b) + low * b


@wp.func
def off_the_facets(p: wp.vec3, v: wp.vec3, n: wp.vec3):
    """Part of Hanika (2021), Hacking the shadow terminator: p lifted onto the tangent plane of vertex v."""
    return p - n * wp.min(wp.dot(p - v, n), 0.0)


@wp.func
def place_of(m: Surface, view: View, pixel: int, s: int, f: int, normal: wp.vec3):
    """Barycentric coordinates on face f, kept inside it, of the ray through a sub-pixel."""
    c = m.points[m.indices[3 * f + 2]]
    e1 = m.points[m.indices[3 * f]] - c
    e2 = m.points[m.indices[3 * f + 1]] - c
    d = ray_direction(view, pixel, s)
    slant = wp.dot(normal, d)
    slant = wp.where(wp.abs(slant) < 1.0e-3, -1.0e-3, slant)
    r = view.eye + d * (wp.dot(normal, c - view.eye) / slant) - c
    d11 = wp.dot(e1, e1)
    d12 = wp.dot(e1, e2)
    d22 = wp.dot(e2, e2)
    det = wp.max(d11 * d22 - d12 * d12, 1.0e-20)
    u = wp.clamp((d22 * wp.dot(r, e1) - d12 * wp.dot(r, e2)) / det, 0.0, 1.0)
    v = wp.clamp((d11 * wp.dot(r, e2) - d12 * wp.dot(r, e1)) / det, 0.0, 1.0 - u)
    return wp.vec3(u, v, 1.0 - u - v)


@wp.func
def may_reach(one: wp.uint8, two: wp.uint8, three: wp.uint8):
    """What the vertices of a face say of a light: 1 it is reached, 0 it is not, -1 they disagree."""
    answer = int(0)
    if one == REACHED or two == REACHED or three == REACHED:
        answer = 1
        if one == BLOCKED or two == BLOCKED or three == BLOCKED:
            answer = -1
    return answer


@wp.func
def reflected(albedo: wp.vec3, gloss: float, power: float, n: wp.vec3, d: wp.vec3, to_eye: wp.vec3):
    """Lambert plus normalized Blinn-Phong with Schlick's Fresnel term, times the cosine of the light."""
    half = wp.normalize(d + to_eye)
    away = 1.0 - wp.max(wp.dot(half, to_eye), 0.0)
    fresnel = 0.04 + 0.96 * away * away * away * away * away
    lobe = (power + 8.0) / 8.0 * wp.pow(wp.max(wp.dot(n, half), 0.0), power)
    mirror = wp.sqrt(gloss) * fresnel * lobe
    return (albedo + wp.vec3(mirror, mirror, mirror)) * wp.dot(n, d)


@wp.func
def light_of(
    m: Surface,
    view: View,
    p: int,
    s: int,
    f: int,
    lit: wp.array3d(dtype=wp.uint8),
    g: int,
    directions: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    ambient: wp.vec3,
):
    """Light that face f sends to the camera where sub-pixel s of pixel p sees it, under the lights of picture g.

    A shadow ray is cast from the point only where the vertices of the face disagree, see `may_reach`.
    """
    flat = wp.normalize(m.facets[f])
    h = place_of(m, view, p, s, f, flat)
    i0 = m.indices[3 * f]
    i1 = m.indices[3 * f + 1]
    i2 = m.indices[3 * f + 2]
    p0 = m.points[i0]
    p1 = m.points[i1]
    p2 = m.points[i2]
    point = p0 * h[0] + p1 * h[1] + p2 * h[2]
    to_eye = wp.normalize(view.eye - point)
    n0 = m.normals[i0]
    n1 = m.normals[i1]
    n2 = m.normals[i2]
    n = wp.normalize(n0 * h[0] + n1 * h[1] + n2 * h[2])
    material = bilinear(m.texture, m.uv[3 * f] * h[0] + m.uv[3 * f + 1] * h[1] + m.uv[3 * f + 2] * h[2])
    albedo = wp.vec3(material[0], material[1], material[2])
    total = wp.vec3(0.0, 0.0, 0.0)
    if wp.dot(flat, to_eye) <= 0.0:  # the inside of the head, seen through the narrow gap around an eye
        inside = ambient
        for k in range(directions.shape[1]):
            inside += colors[g, k] * wp.max(wp.dot(directions[g, k], to_eye), 0.0)
        total = wp.cw_mul(inside, albedo) * INSIDE
    else:
        # Light from above reaches a surface that looks up more than one that looks down.
        openness = m.openness[i0] * h[0] + m.openness[i1] * h[1] + m.openness[i2] * h[2]
        total = wp.cw_mul(albedo, ambient) * (openness * (0.75 + 0.25 * n[1]))
        lifted = off_the_facets(point, p0, n0) * h[0] + off_the_facets(point, p1, n1) * h[1]
        start = lifted + off_the_facets(point, p2, n2) * h[2] + flat * OFFSET
        power = wp.pow(10.0, 0.8 + 2.4 * material[3])
        for k in range(directions.shape[1]):
            d = directions[g, k]
            if wp.dot(n, d) > 0.0:
                reached = may_reach(lit[g, k, i0], lit[g, k, i1], lit[g, k, i2])
                if reached < 0:
                    reached = wp.where(wp.mesh_query_ray_anyhit(m.mesh, start, d, FAR), 0, 1)
                if reached > 0:
                    total += wp.cw_mul(reflected(albedo, material[3], power, n, d, to_eye), colors[g, k])
    return total


@wp.kernel
def shade(
    m: Surface,
    view: View,
    count: wp.array(dtype=wp.int32),
    nearest: wp.array(dtype=wp.int64),
    lit: wp.array3d(dtype=wp.uint8),
    directions: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    ambient: wp.array(dtype=wp.vec3),
    rgb: wp.array2d(dtype=wp.vec3),
    coverage: wp.array(dtype=wp.float32),
):
    """Light that pixel p sends to the camera in picture g under the lights `directions[g]`.

    Sub-pixels that follow each other on the same face share its light; they differ in coverage only.
    """
    g, p = wp.tid()
    samples = view.offsets.shape[0]
    total = wp.vec3(0.0, 0.0, 0.0)
    seen = wp.vec3(0.0, 0.0, 0.0)
    covered = float(0.0)
    last = int(-1)
    for s in range(count[p]):
        f = face_of(nearest[p * samples + s])
        if f >= 0:
            covered += 1.0
            if f != last:
                seen = light_of(m, view, p, s, f, lit, g, directions, colors, ambient[g])
                last = f
            total += seen
    rgb[g, p] = total / float(count[p])
    coverage[p] = covered / float(count[p])
