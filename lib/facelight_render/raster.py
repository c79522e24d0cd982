# mypy: ignore-errors
"""Warp kernels of the renderer: which face each sub-pixel sees. Light is computed in `shading`.

Annotations are Warp's own types, which a Python type checker cannot read; float(0.0) is its notation of a variable.
Lengths are meters, the camera stands at `eye` and looks along -z; pixel (0, 0) is the center of the top left pixel; y
of the picture points down.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})  # nothing is differentiated; compiles several times faster

DEPTH_STEPS = wp.constant(1.0e8)  # per meter
FACES = wp.constant(wp.int64(1 << 20))  # more than a mesh has
NOTHING = wp.constant(wp.int64(1 << 62))


@wp.struct
class Surface:
    """A posed head; `facets` holds the normal of each face, as long as the face is large."""

    mesh: wp.uint64
    points: wp.array(dtype=wp.vec3)
    indices: wp.array(dtype=wp.int32)
    normals: wp.array(dtype=wp.vec3)
    facets: wp.array(dtype=wp.vec3)
    openness: wp.array(dtype=wp.float32)
    uv: wp.array(dtype=wp.vec2)
    texture: wp.array3d(dtype=wp.float32)


@wp.struct
class View:
    """A camera, and the sub-pixels of its pixels."""

    eye: wp.vec3
    focal: float
    center: wp.vec2
    width: int
    height: int
    offsets: wp.array(dtype=wp.vec2)


@wp.kernel
def project(points: wp.array(dtype=wp.vec3), view: View, screen: wp.array(dtype=wp.vec3)):
    """Picture coordinates of each vertex, and the inverse of its depth."""
    i = wp.tid()
    inverse = 1.0 / (view.eye[2] - points[i][2])
    x = view.center[0] + view.focal * points[i][0] * inverse
    y = view.center[1] - view.focal * points[i][1] * inverse
    screen[i] = wp.vec3(x, y, inverse)


@wp.func
def edge_function(a: wp.vec3, b: wp.vec3, scale: float):
    """Coefficients of k0 + kx x + ky y, which is 0 on the line a b and 1 at the triangle's third corner."""
    kx = (a[1] - b[1]) * scale
    ky = (b[0] - a[0]) * scale
    return wp.vec3((a[0] * b[1] - a[1] * b[0]) * scale, kx, ky)


@wp.func
def span(low_high: wp.vec2, k: wp.vec3, y: float, reach: float):
    """Part of an interval of x in row y on the inner side of an edge function, or within `reach` pixels of it."""
    rest = k[0] + k[2] * y + reach * (wp.abs(k[1]) + wp.abs(k[2])) + 1.0e-4
    low = low_high[0]
    high = low_high[1]
    if k[1] > 1.0e-6:
        low = wp.max(low, -rest / k[1])
    elif k[1] < -1.0e-6:
        high = wp.min(high, -rest / k[1])
    return wp.vec2(low, high)


@wp.func
def keep(nearest: wp.array(dtype=wp.int64), place: int, f: int, depth: float):
    """Enter a face at a sub-pixel: depth and number packed so that the least wins, whatever the order."""
    wp.atomic_min(nearest, place, wp.int64(depth * DEPTH_STEPS) * FACES + wp.int64(f))


@wp.kernel
def rasterize(
    indices: wp.array(dtype=wp.int32),
    screen: wp.array(dtype=wp.vec3),
    view: View,
    count: wp.array(dtype=wp.int32),
    first: int,
    near: wp.array(dtype=wp.uint8),
    nearest: wp.array(dtype=wp.int64),
):
    """Enter a face at the sub-pixels it covers, from number `first` up to what `count` allows each pixel.

    Beyond the first sub-pixel only faces with a vertex in `near`, near an edge, are looked at.
    """
    f = wp.tid()
    if first > 0:
        marks = near[indices[3 * f]] + near[indices[3 * f + 1]] + near[indices[3 * f + 2]]
        if marks == wp.uint8(0):
            return
    a = screen[indices[3 * f]]
    b = screen[indices[3 * f + 1]]
    c = screen[indices[3 * f + 2]]
    reach = wp.where(first == 0, 0.0, 0.5)  # sub-pixel 0 is the center, the others lie within half a pixel
    x0 = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - reach)), 0)
    x1 = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])) + reach)), view.width - 1)
    y0 = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - reach)), 0)
    y1 = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])) + reach)), view.height - 1)
    if x0 > x1 or y0 > y1:  # most faces cover no pixel's center, or lie outside the picture
        return
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if wp.abs(area) > 1.0e-9 and wp.min(a[2], wp.min(b[2], c[2])) > 0.0:
        scale = 1.0 / area
        ka = edge_function(b, c, scale)
        kb = edge_function(c, a, scale)
        kc = edge_function(a, b, scale)
        samples = view.offsets.shape[0]
        for y in range(y0, y1 + 1):
            row = span(wp.vec2(float(x0), float(x1)), ka, float(y), reach)
            row = span(row, kb, float(y), reach)
            row = span(row, kc, float(y), reach)
            for x in range(int(wp.ceil(row[0])), int(wp.floor(row[1])) + 1):
                p = y * view.width + x
                for s in range(first, count[p]):
                    u = float(x) + view.offsets[s][0]
                    v = float(y) + view.offsets[s][1]
                    wa = ka[0] + ka[1] * u + ka[2] * v
                    wb = kb[0] + kb[1] * u + kb[2] * v
                    wc = kc[0] + kc[1] * u + kc[2] * v
                    if wp.min(wa, wp.min(wb, wc)) >= -1.0e-5:
                        keep(nearest, p * samples + s, f, 1.0 / (wa * a[2] + wb * b[2] + wc * c[2]))


@wp.func
def face_of(packed: wp.int64):
    """Number of the face in a packed entry, -1 for none."""
    return wp.where(packed == NOTHING, -1, int(packed % FACES))


@wp.func
def differs(m: Surface, a: wp.int64, b: wp.int64, step: wp.int64):
    """Whether an edge runs between two neighboring pixels: a jump in depth, or a fold."""
    if a == b:
        return False
    edge = wp.abs(a / FACES - b / FACES) > step
    f = face_of(a)
    g = face_of(b)
    if not edge and f != g:  # neither is -1, as that would be a jump in depth
        p = m.facets[f]
        q = m.facets[g]
        edge = wp.dot(p, q) <= 0.5 * wp.sqrt(wp.dot(p, p) * wp.dot(q, q))
    return edge


@wp.func
def mark(m: Surface, packed: wp.int64, marks: wp.array(dtype=wp.uint8)):
    """Mark the vertices of a face that is seen."""
    f = face_of(packed)
    if f >= 0:
        for k in range(3):
            marks[m.indices[3 * f + k]] = wp.uint8(1)


@wp.kernel
def find_edges(
    m: Surface,
    view: View,
    nearest: wp.array(dtype=wp.int64),
    count: wp.array(dtype=wp.int32),
    near: wp.array(dtype=wp.uint8),
):
    """Number of sub-pixels that matter: 1, the center, inside a smooth surface; all at an edge.

    Marks in `near` the vertices of the faces that are seen at an edge and next to it.
    """
    p = wp.tid()
    samples = view.offsets.shape[0]
    x = p % view.width
    y = p // view.width
    left = p - wp.where(x > 0, 1, 0)
    right = p + wp.where(x < view.width - 1, 1, 0)
    above = p - wp.where(y > 0, view.width, 0)
    below = p + wp.where(y < view.height - 1, view.width, 0)
    here = nearest[p * samples]
    step = wp.int64(4.0 * view.eye[2] / view.focal * DEPTH_STEPS)
    count[p] = 1
    if (
        differs(m, here, nearest[left * samples], step)
        or differs(m, here, nearest[right * samples], step)
        or differs(m, here, nearest[above * samples], step)
        or differs(m, here, nearest[below * samples], step)
    ):
        count[p] = samples
        mark(m, here, near)
        mark(m, nearest[left * samples], near)
        mark(m, nearest[right * samples], near)
        mark(m, nearest[above * samples], near)
        mark(m, nearest[below * samples], near)


@wp.kernel
def find_needed(
    m: Surface,
    view: View,
    nearest: wp.array(dtype=wp.int64),
    count: wp.array(dtype=wp.int32),
    needed: wp.array(dtype=wp.uint8),
):
    """Mark the vertices of every face that is seen."""
    p = wp.tid()
    for s in range(count[p]):
        mark(m, nearest[p * view.offsets.shape[0] + s], needed)
