"""CLAHE against OpenCV and Kornia, time and memory, in one process: `python benchmarks/clahe_speed.py`.

The batch is 32 rendered faces of 224x224 at 8-bit levels. The library computes on the path that it takes by itself,
compiled loops where numba is installed, and "by PyTorch" by PyTorch's operations; `torch.compile` knows only those.
Every operation is run in turn, several rounds, and its median time is printed; slow ones run fewer rounds. Peak memory
is that of a fresh process each. `--save` writes a record.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from kornia.enhance import equalize_clahe
from torch import Tensor

import facelight_render as synthetic
from facelight import _machine, enhance
from facelight.data.samples import LitFaces
from facelight_lab import speed

CLIP_LIMIT, GRID = 2.0, (8, 8)
SIDES = (128, 256, 512, 1024, 2048, 4096)
SLOW = ("kornia differentiable, forward", "kornia differentiable, forward + backward")
MEGABYTE = 2**20


def with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    """Forward and backward with a gradient that arrives from above."""
    leaf = x.clone().requires_grad_()
    above = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return lambda: torch.autograd.grad(function(leaf), leaf, above)[0]


def operations(x: Tensor) -> dict[str, Callable[[], object]]:
    """What is compared, on a batch (N, 1, H, W) at 8-bit levels."""
    levels = (x * 255).round().byte().numpy()[:, 0]
    opencv = cv2.createCLAHE(CLIP_LIMIT, GRID[::-1])
    compiled = torch.compile(enhance.clahe, fullgraph=True)
    between = (x * 0.99 + 0.004).clamp(0, 1)

    def ours(v: Tensor) -> Tensor:
        return enhance.clahe(v, CLIP_LIMIT, GRID)

    def ours_compiled(v: Tensor) -> Tensor:
        return compiled(v, CLIP_LIMIT, GRID)

    def slow(v: Tensor) -> Tensor:
        return equalize_clahe(v, CLIP_LIMIT, GRID, slow_and_differentiable=True)

    def by_pytorch(function: Callable[[], object]) -> Callable[[], object]:
        return enhance.use_histogram_path("torch")(function)

    return {
        "OpenCV, forward": lambda: [opencv.apply(image) for image in levels],
        "kornia, forward": lambda: equalize_clahe(x, CLIP_LIMIT, GRID),
        "ours, forward": lambda: ours(x),
        "ours compiled, forward": lambda: ours_compiled(x),
        "ours between levels, forward": lambda: ours(between),
        "ours by PyTorch, forward": by_pytorch(lambda: ours(x)),
        "ours, forward + backward": with_gradient(ours, x),
        "ours compiled, forward + backward": with_gradient(ours_compiled, x),
        "ours between levels, forward + backward": with_gradient(ours, between),
        "ours by PyTorch, forward + backward": by_pytorch(with_gradient(ours, x)),
        SLOW[0]: lambda: slow(x),
        SLOW[1]: with_gradient(slow, x),
    }


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def times(todo: dict[str, Callable[[], object]], rounds: int, slow_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every operation, round by round in turn, so that a slow phase of the machine meets them all."""
    found: dict[str, list[float]] = {name: [] for name in todo}
    for name, function in todo.items():
        if name not in SLOW:
            function()  # compile, allocate
    for i in range(rounds):
        for name, function in todo.items():
            if name not in SLOW or i < slow_rounds:
                found[name].append(1000 * seconds(function))
    return found


def nanoseconds_per_pixel(side: int, rounds: int) -> dict[str, float]:
    """Median time a pixel of one square image, forward and with the backward pass."""
    noise = torch.rand(1, 1, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    x = (255 * torch.nn.functional.interpolate(noise, (side, side), mode="bilinear")).round() / 255

    def ours(v: Tensor) -> Tensor:
        return enhance.clahe(v, CLIP_LIMIT, GRID)

    both = with_gradient(ours, x)
    ours(x), both()
    forward = statistics.median(seconds(lambda: ours(x)) for _ in range(rounds))
    return {"forward": 1e9 * forward / side**2} | {
        "forward + backward": 1e9 * statistics.median(seconds(both) for _ in range(rounds)) / side**2
    }


def limits(pixels: int, rounds: int) -> dict[str, float]:
    """What the machine can do: bytes copied a second, and the time of a table look-up and of a count, like ours."""
    source, target = torch.zeros(2**27), torch.zeros(2**27)
    target.copy_(source)
    copy = statistics.median(seconds(lambda: target.copy_(source)) for _ in range(rounds))
    index = torch.randint(0, 100 * 256, (2**17,), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    table, wide = torch.rand(100 * 256), index.long()
    count, ones = torch.zeros(100 * 256), torch.ones(2**17)
    times_over = max(1, pixels // 2**17)
    look_up = statistics.median(
        seconds(lambda: [table.index_select(0, index) for _ in range(times_over)]) for _ in range(rounds)
    )
    add = statistics.median(
        seconds(lambda: [count.scatter_add_(0, wide, ones) for _ in range(times_over)]) for _ in range(rounds)
    )
    return {
        "gigabytes_per_second": 2 * 4 * 2**27 / copy / 1e9,
        "nanoseconds_per_look_up": 1e9 * look_up / (times_over * 2**17),
        "nanoseconds_per_count": 1e9 * add / (times_over * 2**17),
    }


def peak_megabytes(name: str, size: int, threads: int) -> float:
    """How far an operation raises the memory of a fresh process that has just its batch."""
    command = [sys.executable, __file__, "--memory-of", name, "--size", str(size), "--threads", str(threads)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back at once
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return float(out.split()[-1])


def print_memory_of(name: str, size: int) -> None:
    clear = Path("/proc/self/clear_refs")
    x = faces(size).image.float() / 255
    function = operations(x)[name]
    small = operations(x[:1, :, :64, :64])[name]
    small()  # what is allocated once is not counted
    if clear.exists():  # Linux: start counting anew
        clear.write_text("5")
    before = peak()
    function()
    print((peak() - before) / MEGABYTE)


def peak() -> int:
    """Largest resident memory so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def faces(size: int) -> LitFaces:
    """One rendered face under 32 lights."""
    return synthetic.lights(1, size=(size, size)).select(range(0, 64, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="side of a picture in pixels")
    parser.add_argument("--threads", type=int, default=_machine.processors(), help="of OpenCV and of PyTorch")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each operation")
    parser.add_argument("--slow-rounds", type=int, default=3, help="measurements of Kornia's differentiable CLAHE")
    speed.add_saving(parser)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    speed.check_saving(given.save)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    if given.memory_of:
        return print_memory_of(given.memory_of, given.size)
    enhance.prepare_histograms()
    start = time.perf_counter()
    lit = faces(given.size)
    x = lit.image.float() / 255
    todo = operations(x)
    measured = times(todo, given.rounds, given.slow_rounds)
    metrics = {
        "milliseconds": {name: statistics.median(values) for name, values in measured.items()},
        "lowest": {name: min(values) for name, values in measured.items()},
        "rounds": {name: len(values) for name, values in measured.items()},
        "peak_megabytes": {name: peak_megabytes(name, given.size, given.threads) for name in todo},
        "gradient_norm": {name: todo[name]().norm().item() for name in ("ours, forward + backward", SLOW[1])},
        "nanoseconds_per_pixel": {str(side): nanoseconds_per_pixel(side, 5) for side in SIDES},
        "machine": limits(x.numel(), given.rounds),
    }
    for name, value in metrics["milliseconds"].items():
        print(f"{name:42} {value:9.1f} ms {metrics['peak_megabytes'][name]:9.1f} MB")
    for title in ("gradient_norm", "nanoseconds_per_pixel", "machine"):
        print(title, metrics[title])
    if given.save:
        config = {"batch": len(x), "size": given.size, "clip_limit": CLIP_LIMIT, "grid_size": GRID}
        config |= {"threads": given.threads, "histograms": enhance.histogram_path()}
        data = {"name": "synthetic", "sha256": "rendered", "split": "every 2nd light of one face", "count": len(x)}
        print(speed.save("clahe", config, metrics, data=data, seconds=time.perf_counter() - start))


if __name__ == "__main__":
    main()
