"""Ready sets of synthetic faces: rendered by several threads, kept in the cache. Pictures: `photo`, `scene`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch

from facelight import _files, _machine, illumination
from facelight.data import cache
from facelight.data.samples import LandmarkFaces, LitFaces
from facelight.data.yale_lights import YALE_LIGHTS, subset_of
from facelight_render.photo import frontal_series, new_stage, photograph
from facelight_render.render import Stage
from facelight_render.scene import SPLITS, Scene, identity_seed, sample_portrait, sample_scene

T = TypeVar("T")
Lights = tuple[tuple[int, int], ...]


def landmarks(
    split: str = "train",
    n: int = 1000,
    *,
    seed: int = 0,
    size: int = 128,
    workers: int | None = None,
    device: str = "cpu",
) -> LandmarkFaces:
    """In-the-wild color pictures with WFLW's 98 landmarks, boxes, visibility and the six attributes.

    Each picture shows another identity in another scene, see `scene.Scene`. A picture depends on (seed, split, index)
    and the size only: the first 100 of 1000 are the 100 of a set of 100. Splits share no identity.

    Args:
        split: "train", "val" or "test".
        n: number of pictures.
        seed: of the whole set, >= 0.
        size: side of the pictures in pixels.
        workers: threads that render; None: one per processor that this process may use. Does not change the pictures.
        device: Warp's name of the device that renders. Pictures of different devices may differ in the last bit.

    Returns:
        Images (n, 3, size, size), landmarks (n, 98, 2) in pixels. A landmark is visible when it lies inside the picture
        and neither the head nor an occluder hides it. The box is the tight box of all 98 landmarks. Read from the
        cache when it was rendered before, see `facelight.data.cache`.

    Raises:
        ValueError: unknown split; n, seed or size out of range.

    >>> faces = landmarks("val", 2, size=64)
    >>> faces.image.shape, faces.landmarks.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2, 98, 2]))
    """
    sample_scene(seed, split, 0)  # refuses a wrong split or seed
    _at_least(n, 1, "n")
    _at_least(size, 16, "size")
    config = {"set": "landmarks", "split": split, "n": n, "seed": seed, "size": size, **_origin(device)}
    entry = cache.cached("synthetic", config, lambda: _make_landmarks(split, range(n), seed, size, workers, device))
    columns = {name: torch.from_numpy(array) for name, array in entry.arrays.items()}
    names = tuple(f"synthetic/{split}/{seed}/{i:05d}" for i in range(n))
    return LandmarkFaces(
        **columns, name=names, source=f"synthetic landmarks, {split}, seed {seed}", sha256=entry.sha256
    )


def lights(
    identities: int = 38,
    *,
    seed: int = 0,
    size: tuple[int, int] = (192, 168),
    directions: Lights = YALE_LIGHTS,
    workers: int | None = None,
    device: str = "cpu",
) -> LitFaces:
    """Frontal neutral faces under one distant light each, cropped and stored like cropped Extended Yale B.

    Args:
        identities: number of people.
        seed: of the whole set, >= 0.
        size: height and width in pixels.
        directions: (azimuth, elevation) of the lights in degrees; the 64 of Extended Yale B unless told.
        workers: threads that render; None: one per processor that this process may use. Does not change the pictures.
        device: Warp's name of the device that renders. Pictures of different devices may differ in the last bit.

    Returns:
        Gray images (identities * lights, 1, height, width), all lights of the first identity first. Read from the
        cache when it was rendered before, see `facelight.data.cache`.

    Raises:
        ValueError: a number out of range, or no light.

    >>> faces = lights(1, size=(48, 42), directions=((0, 0), (70, 0)))
    >>> faces.image.shape, faces.subset.tolist()
    (torch.Size([2, 1, 48, 42]), [1, 4])
    """
    _at_least(identities, 1, "identities")
    _at_least(seed, 0, "seed")
    if np.shape(size) != (2,):
        raise ValueError(f"size: expected (height, width) in pixels, got {size!r}")
    _at_least(min(size), 16, "size")
    if not directions or not np.isfinite(directions).all():
        raise ValueError(f"directions: expected at least one (azimuth, elevation) in degrees, got {directions!r}")
    pairs = tuple((float(a), float(e)) for a, e in directions)
    config = {
        "set": "lights",
        "identities": identities,
        "seed": seed,
        "size": list(size),
        "directions": [list(pair) for pair in pairs],
        **_origin(device),
    }

    def make() -> cache.Arrays:
        seeds = [identity_seed(seed, "lights", k) for k in range(identities)]
        with Crew(workers, device) as crew:
            series = crew.run(
                lambda stage, who: frontal_series(who, pairs, stage, *size), seeds, "rendering identities"
            )
        return {"image": np.concatenate(series)[:, None]}

    entry = cache.cached("synthetic", config, make)
    count = len(pairs)
    return LitFaces(
        image=torch.from_numpy(entry.arrays["image"]),
        identity=torch.arange(identities).repeat_interleave(count),
        azimuth=torch.tensor([a for a, _ in pairs], dtype=torch.float32).repeat(identities),
        elevation=torch.tensor([e for _, e in pairs], dtype=torch.float32).repeat(identities),
        subset=torch.tensor([subset_of(*pair) for pair in pairs]).repeat(identities),
        name=tuple(f"synthetic/{k:02d}/A{a:+04.0f}E{e:+03.0f}" for k in range(identities) for a, e in pairs),
        source=f"synthetic lights, seed {seed}",
        sha256=entry.sha256,
    )


def people(
    identities: int = 400,
    pictures: int = 24,
    *,
    seed: int = 0,
    size: int = 64,
    workers: int | None = None,
    device: str = "cpu",
) -> LitFaces:
    """Many pictures of each of many people, as light, expression, pose and glasses change: to learn who is who from.

    See `scene.sample_portrait`. A picture depends on (seed, person, number) and the size only. Nobody is also in
    `lights` or `landmarks`.

    Args:
        identities: number of people.
        pictures: of each.
        seed: of the whole set, >= 0.
        size: side of the pictures in pixels.
        workers: threads that render; None: one per processor that this process may use. Does not change the pictures.
        device: Warp's name of the device that renders. Pictures of different devices may differ in the last bit.

    Returns:
        Gray images (identities * pictures, 1, size, size), sRGB, all of the first person first; direction of the flash
        in degrees, and `subset` by it; a picture without flash has its direction, too. Read from the cache when it was
        rendered before, see `facelight.data.cache`.

    Raises:
        ValueError: a number out of range.

    >>> people(2, 3, size=32).identity.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    for value, least, name in ((identities, 1, "identities"), (pictures, 1, "pictures"), (seed, 0, "seed")):
        _at_least(value, least, name)
    _at_least(size, 16, "size")
    scenes = [sample_portrait(seed, who, number) for who in range(identities) for number in range(pictures)]
    numbers = {"identities": identities, "pictures": pictures, "seed": seed, "size": size}

    def gray(stage: Stage, scene: Scene) -> npt.NDArray[np.uint8]:
        return cv2.cvtColor(np.moveaxis(photograph(scene, stage, size).image, 0, -1), cv2.COLOR_RGB2GRAY)

    def make() -> cache.Arrays:
        with Crew(workers, device) as crew:
            return {"image": np.stack(crew.run(gray, scenes, "rendering people"))[:, None]}

    entry = cache.cached("synthetic", {"set": "people", **numbers, **_origin(device)}, make)
    flashes = [(scene.lights[0].azimuth, scene.lights[0].elevation) for scene in scenes]
    return LitFaces(
        image=torch.from_numpy(entry.arrays["image"]),
        identity=torch.arange(identities).repeat_interleave(pictures),
        azimuth=torch.tensor([a for a, _ in flashes], dtype=torch.float32),
        elevation=torch.tensor([e for _, e in flashes], dtype=torch.float32),
        subset=torch.tensor([subset_of(*flash) for flash in flashes]),
        name=tuple(f"synthetic/people/{who:05d}/{n:03d}" for who in range(identities) for n in range(pictures)),
        source=f"synthetic people, seed {seed}",
        sha256=entry.sha256,
    )


def _make_landmarks(
    split: str, indices: Sequence[int], seed: int, size: int, workers: int | None, device: str
) -> cache.Arrays:
    scenes = [sample_scene(seed, split, i) for i in indices]
    with Crew(workers, device) as crew:
        photos = crew.run(lambda stage, scene: photograph(scene, stage, size), scenes, "rendering faces")
    places = np.stack([photo.landmarks for photo in photos])
    return {
        "image": np.stack([photo.image for photo in photos]),
        "landmarks": places,
        "visible": np.stack([photo.visible for photo in photos]),
        "box": np.concatenate([places.min(1), places.max(1)], 1),
        "attributes": np.array([scene.attributes() for scene in scenes]),
    }


class Crew:
    """Threads that render at the same time, each on its own stage; Warp lets them.

    Args:
        workers: number of threads; None: one per processor.
        device: Warp's name of a device.
    """

    def __init__(self, workers: int | None = None, device: str = "cpu") -> None:
        count = max(1, workers or _machine.processors())
        self._stages: queue.Queue[Stage] = queue.Queue()
        for _ in range(count):
            self._stages.put(new_stage(device))
        # The threads of torch and OpenCV would only get in the way of these, waiting in a busy loop.
        self._torch_threads, self._opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
        cv2.setNumThreads(1)
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._torch_threads)
        cv2.setNumThreads(self._opencv_threads)

    def run(self, work: Callable[[Stage, Any], T], tasks: Sequence[Any], what: str = "") -> list[T]:
        """Results of `work(stage, task)` in the order of the tasks; `what` names them on a progress bar."""
        from tqdm import tqdm

        def one(task: Any) -> T:
            stage = self._stages.get()
            try:
                return work(stage, task)
            finally:
                self._stages.put(stage)

        # The bar appears after two seconds, and on a terminal or in a notebook only.
        return list(tqdm(self._pool.map(one, tasks), what, len(tasks), delay=2, disable=None if what else True))


def _origin(device: str) -> dict[str, str]:
    """What else decides the pictures: the source files that make them, and the packages behind them."""
    here = Path(__file__).parent
    files = [*_files.visible([*here.glob("*.py"), *here.glob("*.csv")], here), Path(illumination.__file__)]
    code = hashlib.sha256()
    for file in files:
        code.update(file.read_bytes())
    versions = {name: importlib.metadata.version(name) for name in ("anny", "warp-lang")}
    return {"code": code.hexdigest(), "device": device, **versions}


def _at_least(value: int, least: int, name: str) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")


__all__ = ["SPLITS", "landmarks", "lights", "people"]
