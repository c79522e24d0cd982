"""Pictures of one head under directional lights, in linear light, with Warp. No sampling of scenes, no camera noise.

What a pixel sees is found by rasterizing (`raster`): its center, and four more sub-pixels where an edge runs through
it. Shadows, visibility of landmarks and ambient occlusion are found by casting rays (`rays`). Rays towards a light
start at the vertices; where the vertices of a face disagree, one starts at the point itself. A shadow smaller than a
face (about 5 mm) can therefore be missed.

Source: J. H. Lambert (1760), Photometria (diffuse reflection, n . l); J. F. Blinn (1977),
https://doi.org/10.1145/563858.563893 (highlight, (n . h)^p, here normalized by (p + 8) / 8); C. Schlick (1994),
https://doi.org/10.1111/1467-8659.1330233 (Fresnel term, 0.04 facing the surface); J. Hanika (2021), Hacking the shadow
terminator, in Ray Tracing Gems II (start of the shadow rays).
Differs from the sources: the highlight's strength is the square root of the texture's gloss, p = 10^(0.8 + 2.4 gloss).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facelight_render.warp_start import warp_module

Floats = npt.NDArray[np.float32]

# The pixel's center and a rotated grid of four sub-pixels; ambient occlusion: rays per vertex, and how far in meters
# a surface darkens another.
SUB_PIXELS = ((0.0, 0.0), (-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
OCCLUSION_RAYS = 64
OCCLUSION_REACH = 0.06
TOLERANCE = 0.005  # meters a landmark may lie below the surface and still be visible
_LOADING = threading.Lock()


@dataclass(frozen=True)
class Camera:
    """Pinhole camera on the z axis that looks along -z; the center of the top left pixel is (0, 0).

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        focal: focal length, pixels.
        center: x and y of the optical axis in the picture, pixels.
        distance: z of the camera, meters.
    """

    width: int
    height: int
    focal: float
    center: tuple[float, float]
    distance: float

    def project(self, points: npt.NDArray[Any]) -> Floats:
        """Pixel coordinates (..., 2) of points (..., 3) in meters: x = cx + f X / (d - Z), y = cy - f Y / (d - Z).

        >>> Camera(64, 64, 100.0, (31.5, 31.5), 2.0).project(np.array([0.2, 0.0, 1.0])).tolist()
        [51.5, 31.5]
        """
        xyz = np.asarray(points, np.float64)
        depth = self.distance - xyz[..., 2]
        x = self.center[0] + self.focal * xyz[..., 0] / depth
        y = self.center[1] - self.focal * xyz[..., 1] / depth
        return np.stack([x, y], -1).astype(np.float32)


@dataclass(frozen=True)
class Shot:
    """What the camera sees, in linear light.

    Args:
        rgb: (G, H, W, 3), float32, light of the head in G pictures; 1 is a white matt surface facing a light of color
            1. Black outside the head; already weighted by `coverage` at its edge.
        coverage: (H, W), float32, share of each pixel that the head covers.
        landmarks: (K, 2), float32, pixels.
        visible: (K,), bool: inside the picture and not hidden behind the head.
    """

    rgb: Floats
    coverage: Floats
    landmarks: Floats
    visible: npt.NDArray[np.bool_]


def rotation(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """Rotation matrix of a head pose in degrees.

    Positive yaw turns the face to the right of the picture, positive pitch upwards; positive roll tilts it clockwise
    as seen in the picture. Applied in the order roll, pitch, yaw.

    >>> rotation(90.0, 0.0, 0.0).dot([0.0, 0.0, 1.0]).round(6).tolist()
    [1.0, 0.0, 0.0]
    """
    a, b, c = np.radians([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def direction(azimuth: float, elevation: float) -> npt.NDArray[np.float64]:
    """Unit vector towards a light at the given angles in degrees; positive azimuth is the left of the picture.

    >>> direction(90.0, 0.0).round(6).tolist()
    [-1.0, 0.0, 0.0]
    """
    a, e = np.radians([azimuth, elevation])
    return np.array([-np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


class Stage:
    """A mesh topology made ready for ray casting; renders one head at a time. Each thread needs its own.

    The ray-casting tree is built once on `reference` and refitted to every head, so that pictures do not depend on
    what was rendered before.

    Args:
        reference: (V, 3), float32, meters, an average head.
        faces: (F, 3), int32.
        uv: (F, 3, 2), float32.
        device: Warp's name of a device, such as "cpu" or "cuda:0".
    """

    def __init__(self, reference: Floats, faces: npt.NDArray[np.int32], uv: Floats, device: str = "cpu") -> None:
        self._wp = warp_module()
        from facelight_render import raster, rays, shading

        self._raster, self._rays, self._shade = raster, rays, shading.shade
        self._device = device
        with _LOADING:  # loaded by two threads, compiled code of the first would vanish while it is used
            for kernels in (raster, rays, shading):
                self._wp.load_module(kernels, device)
        flat = np.ascontiguousarray(faces, np.int32).ravel()
        self._count = len(reference)
        starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=self._count))])
        self._starts = self._put(starts.astype(np.int32))
        self._incident = self._put((np.argsort(flat, kind="stable") // 3).astype(np.int32))
        surface = raster.Surface()
        surface.points = self._put(reference, self._wp.vec3)
        surface.indices = self._put(flat)
        surface.normals = self._empty(self._count, self._wp.vec3)
        surface.facets = self._empty(len(flat) // 3, self._wp.vec3)
        surface.uv = self._put(uv.reshape(-1, 2), self._wp.vec2)
        self._mesh = self._wp.Mesh(surface.points, surface.indices, bvh_leaf_size=4)
        surface.mesh = self._mesh.id
        self._surface = surface
        self._view = raster.View()
        self._view.offsets = self._put(np.array(SUB_PIXELS, np.float32), self._wp.vec2)
        self._rooms: dict[tuple[str, int | tuple[int, ...]], Any] = {}
        self._commands: dict[tuple[Any, ...], tuple[Any, list[Any]]] = {}
        self._move(reference)
        surface.openness = self._openness()

    def _put(self, values: npt.NDArray[Any], dtype: Any = Any) -> Any:
        return self._wp.array(np.ascontiguousarray(values), dtype=dtype, device=self._device)

    def _empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        return self._wp.zeros(shape, dtype=dtype, device=self._device)

    def _room(self, name: str, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """An array that is kept for the next picture of the same shape; it holds what the last one left in it."""
        if (name, shape) not in self._rooms:
            self._rooms[name, shape] = self._empty(shape, dtype)
        return self._rooms[name, shape]

    def _filled(self, name: str, values: npt.NDArray[Any]) -> Any:
        """Vectors (..., 3) in an array that is kept for the next picture of the same shape."""
        room = self._room(name, values.shape[:-1], self._wp.vec3)
        room.assign(np.ascontiguousarray(values, np.float32))
        return room

    def _launch(self, kernel: Any, dim: int | tuple[int, ...], inputs: list[Any], outputs: list[Any]) -> None:
        """Run a kernel; what Warp prepares for it is kept for the next launch with the same arguments."""
        values = [*inputs, *outputs]
        # Arrays are told by their ids: they live as long as the entry.
        key = (kernel.key, dim, *(value if isinstance(value, int | float) else id(value) for value in values))
        if key not in self._commands:
            command = self._wp.launch(
                kernel, dim=dim, inputs=inputs, outputs=outputs, device=self._device, record_cmd=True
            )
            self._commands[key] = (command, values)
        command = self._commands[key][0]
        for i, value in enumerate(values):
            if value is self._surface or value is self._view:  # their fields may have changed
                command.set_param_at_index(i, value)
        command.launch()

    def _move(self, vertices: Floats) -> None:
        surface = self._surface
        surface.points.assign(np.ascontiguousarray(vertices, np.float32))
        self._mesh.refit()
        inputs = [surface.points, surface.indices]
        self._launch(self._rays.face_normals, len(surface.facets), inputs, [surface.facets])
        inputs = [surface.facets, self._starts, self._incident]
        self._launch(self._rays.vertex_normals, self._count, inputs, [surface.normals])

    def _openness(self) -> Any:
        """Ambient occlusion of the reference head, used for all heads: Monte Carlo over a Fibonacci sphere."""
        k = np.arange(OCCLUSION_RAYS) + 0.5
        z, turn = 1 - 2 * k / OCCLUSION_RAYS, np.pi * (1 + 5**0.5) * k
        ball = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], 1)
        openness = self._empty(self._count, self._wp.float32)
        rays = self._put((0.999 * ball).astype(np.float32), self._wp.vec3)
        inputs = [self._mesh.id, self._surface.points, self._surface.normals, rays, OCCLUSION_REACH]
        self._launch(self._rays.ambient_occlusion, self._count, inputs, [openness])
        return openness

    def render(
        self,
        vertices: Floats,
        texture: Floats,
        landmarks: Floats,
        camera: Camera,
        directions: npt.NDArray[Any],
        colors: npt.NDArray[Any],
        ambient: npt.NDArray[Any],
    ) -> Shot:
        """One head from one camera, in as many pictures as there are rows of lights.

        Args:
            vertices: (V, 3), meters, posed.
            texture: (4, T, T), linear-light albedo and gloss in [0, 1].
            landmarks: (K, 3), meters, posed.
            camera: where it is seen from.
            directions: (G, L, 3), unit vectors towards the lights.
            colors: (G, L, 3), linear light; 1 renders a white matt surface facing the light as 1.
            ambient: (G, 3), linear light from everywhere.

        Returns:
            A `Shot` of G pictures.
        """
        wp, surface = self._wp, self._surface
        self._move(vertices)
        # The constructor's copy=False shares memory with `texture` on the CPU; it lives until this call returns.
        surface.texture = wp.array(np.ascontiguousarray(texture, np.float32), device=self._device, copy=False)
        view = self._view
        view.eye, view.focal = wp.vec3(0.0, 0.0, camera.distance), float(camera.focal)
        view.center, view.width, view.height = wp.vec2(*camera.center), camera.width, camera.height
        count, nearest, needed = self._trace(view)
        shape = (len(directions), directions.shape[1], self._count)
        lights = self._filled("lights", directions)
        lit = self._room("lit", shape, wp.uint8)  # written and read at needed vertices only
        inputs = [self._mesh.id, surface.points, surface.normals, lights, needed]
        self._launch(self._rays.light_vertices, shape, inputs, [lit])
        pixels = camera.width * camera.height
        rgb = self._room("rgb", (len(directions), pixels), wp.vec3)
        coverage = self._room("coverage", pixels, wp.float32)
        strengths, around = self._filled("strengths", colors), self._filled("around", ambient)
        inputs = [surface, view, count, nearest, lit, lights, strengths, around]
        self._launch(self._shade, (len(directions), pixels), inputs, [rgb, coverage])
        size = (camera.height, camera.width)
        places = camera.project(landmarks)
        return Shot(
            rgb=rgb.numpy().reshape(len(directions), *size, 3).copy(),
            coverage=coverage.numpy().reshape(size).copy(),
            landmarks=places,
            visible=self._visible(landmarks, view) & _inside(places, camera),
        )

    def _trace(self, view: Any) -> tuple[Any, Any, Any]:
        """Number of sub-pixels that matter, packed depths and faces that they see, and which vertices are seen."""
        wp, surface, pixels = self._wp, self._surface, view.width * view.height
        screen = self._room("screen", self._count, wp.vec3)
        self._launch(self._raster.project, self._count, [surface.points, view], [screen])
        nothing = int(self._raster.NOTHING)
        nearest = self._room("nearest", pixels * len(SUB_PIXELS), wp.int64)
        nearest.fill_(nothing)
        faces, stages = len(surface.facets), self._raster
        count, near = self._room("count", pixels, wp.int32), self._room("near", self._count, wp.uint8)
        count.fill_(1)
        near.zero_()
        self._launch(stages.rasterize, faces, [surface.indices, screen, view, count, 0, near], [nearest])
        self._launch(stages.find_edges, pixels, [surface, view, nearest], [count, near])
        self._launch(stages.rasterize, faces, [surface.indices, screen, view, count, 1, near], [nearest])
        needed = self._room("needed", self._count, wp.uint8)
        needed.zero_()
        self._launch(stages.find_needed, pixels, [surface, view, nearest, count], [needed])
        return count, nearest, needed

    def _visible(self, landmarks: Floats, view: Any) -> npt.NDArray[np.bool_]:
        visible = self._room("visible", len(landmarks), self._wp.int32)
        inputs = [self._mesh.id, view, self._filled("landmarks", landmarks), TOLERANCE]
        self._launch(self._rays.visible_points, len(landmarks), inputs, [visible])
        return np.asarray(visible.numpy(), np.bool_)


def _inside(places: Floats, camera: Camera) -> npt.NDArray[np.bool_]:
    limit = np.array([camera.width, camera.height]) - 0.5
    return np.asarray(((places >= -0.5) & (places < limit)).all(-1), np.bool_)
