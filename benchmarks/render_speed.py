"""How many in-the-wild pictures a second `facelight_render` renders: `python benchmarks/render_speed.py`.

Everything is counted: the head's shape and texture, ray casting, background, occluder, sensor; not the cache. The
first pictures (reading of assets, compiling of kernels) are left out. `--save` writes a record.
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import torch

from facelight import _machine
from facelight_lab import speed
from facelight_render import sets
from facelight_render.photo import photograph
from facelight_render.scene import sample_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=400, help="pictures per measurement")
    parser.add_argument("--size", type=int, default=128, help="side of a picture in pixels")
    parser.add_argument("--workers", type=int, default=_machine.processors(), help="threads")
    parser.add_argument("--repeat", type=int, default=3, help="measurements; the best and the median are printed")
    speed.add_saving(parser)
    given = parser.parse_args()
    speed.check_saving(given.save)
    begin = time.perf_counter()
    with sets.Crew(given.workers) as crew:
        scenes = [sample_scene(0, "train", i) for i in range(given.n)]
        crew.run(lambda stage, scene: photograph(scene, stage, given.size), scenes[: 4 * given.workers])
        speeds = []
        for _ in range(given.repeat):
            start = time.perf_counter()
            crew.run(lambda stage, scene: photograph(scene, stage, given.size), scenes)
            speeds.append(given.n / (time.perf_counter() - start))
    speeds.sort()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(
        f"{speeds[-1]:.0f} images/s at best, {speeds[len(speeds) // 2]:.0f} in the median of {given.repeat} "
        f"({given.n} pictures of {given.size}x{given.size}, {given.workers} threads, "
        f"{_machine.processors()} processors, load {load}, torch {torch.__version__}, {platform.machine()})"
    )
    if given.save:
        config = {"n": given.n, "size": given.size, "workers": given.workers}
        metrics = {"pictures_per_second": {"best": speeds[-1], "median": speeds[len(speeds) // 2]}}
        data = {"name": "synthetic", "sha256": "rendered", "split": "train", "count": given.n}
        print(speed.save("render", config, metrics, data=data, seconds=time.perf_counter() - begin))


if __name__ == "__main__":
    main()
