"""Where the time of face recognition goes, in pictures a second: `python benchmarks/recognition_speed.py`.

Each stage is timed on one batch: reading picture files, resizing, the changes of training, enhancing, naming, and a
training step (forward, backward, optimizer). Stages are run in turn, several rounds; medians are printed. What an
enhancer adds to a training step is its own time on the batch beside that of the step. `--save` writes a record.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import facelight_render as synthetic
from facelight import _machine
from facelight_lab import speed
from facelight_lab.enhancers import FAMILY, Enhancer
from facelight_lab.recognition import networks

BATCH, PEOPLE = 50, 38
# A body and the size of its pictures: the small one of the book's tables, and the paper's three at the paper's sizes.
BODIES = {
    "resnet18_c4": (64, 56),
    "vgg16": (224, 224),
    "resnet50": (224, 224),
    "inception_v3": (299, 299),
}
ENHANCERS = ("HE", "CLAHE 40, OpenCV", "M-CLAHE 0.01, MATLAB", "Retinex", "Tan-Triggs", "Weberface", "local contrast")


def write_files(folder: Path) -> list[Path]:
    """Rendered faces as gray PGM files of 192x168 pixels, as Extended Yale B has them."""
    paths = []
    for i, image in enumerate(synthetic.lights(1).image[:BATCH, 0].numpy()):
        paths.append(folder / f"{i:02d}.pgm")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def read(paths: list[Path]) -> Tensor:
    """The batch (B, 1, H, W), uint8."""
    return torch.from_numpy(np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]))[:, None]


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Floats of a size, at gray levels."""
    small = F.interpolate(x.float() / 255, size, mode="bilinear", antialias=min(size) < min(x.shape[-2:]))
    return (small * 255).round().clamp(0, 255) / 255


def stages(body: str, paths: list[Path]) -> dict[str, Callable[[], object]]:
    """What is timed for a body."""
    size = BODIES[body]
    files = read(paths)
    x = resized(files, size)
    target, generator = torch.arange(len(x)) % PEOPLE, torch.Generator().manual_seed(0)
    model = networks.build(networks.Network(body), PEOPLE).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)  # as `train.fit` has it
    change = networks.changes(("move", "flip"), Enhancer())

    def name() -> Tensor:
        model.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return model(x)

    def step() -> None:
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    todo: dict[str, Callable[[], object]] = {
        "read": lambda: read(paths),
        "resize": lambda: resized(files, size),
        "move, flip": lambda: change(x, generator),
    }
    todo |= {label: (lambda e=FAMILY[label]: e(x)) for label in ENHANCERS}  # type: ignore[misc]
    return todo | {"forward": name, "training step": step}


def milliseconds(todo: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of every stage, round by round in turn, so that a slow phase of the machine meets them all."""
    found: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds + 1):
        for name, function in todo.items():
            start = time.perf_counter()
            function()
            found[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[1:]) for name, values in found.items()}  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bodies", nargs="+", default=list(BODIES), choices=list(BODIES), help="which to time")
    parser.add_argument("--threads", type=int, default=_machine.processors(), help="of PyTorch and OpenCV")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each stage")
    speed.add_saving(parser)
    given = parser.parse_args()
    speed.check_saving(given.save)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    start = time.perf_counter()
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder))
        for body in given.bodies:
            found = measured[body] = milliseconds(stages(body, paths), given.rounds)
            print(f"{body}, {BODIES[body][0]}x{BODIES[body][1]} pixels, {BATCH} pictures")
            for name, value in found.items():
                share = f"{100 * value / found['training step']:6.2f} % of a training step"
                print(f"  {name:22} {value:9.1f} ms {1000 * BATCH / value:10.0f} pictures/s {share}")
    if given.save:
        config = {"batch": BATCH, "bodies": {b: BODIES[b] for b in given.bodies}, "threads": given.threads}
        data = {"name": "synthetic", "sha256": "rendered", "split": "one face", "count": BATCH}
        seconds = time.perf_counter() - start
        print(speed.save("recognition", config, {"milliseconds": measured}, data=data, seconds=seconds))


if __name__ == "__main__":
    main()
