"""A constant picture stays constant in every enhancer, at every level, whatever the processor does to the last digit.

Powers and logarithms differ by an ulp between the pixels that fill a vector register and the few that are left over.
Where a method divides by what varies in the picture, that ulp must not become contrast.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from facelight import enhance
from facelight_lab.enhancers import FAMILY, SIGNED, Enhancer
from patience import python

LEVELS = torch.arange(256)
SIZES = [(8, 8), (13, 11), (9, 33), (24, 25)]
ULP = 2.0**-23  # of a number in [1, 2)
ENHANCERS = {name: enhancer for name, enhancer in FAMILY.items() if name != "Input"} | {
    "HE, continuous": Enhancer("equalize", {"exact": False}),
    "BBHE, continuous": Enhancer("bbhe", {"exact": False}),
    "CLAHE 2, OpenCV, continuous": Enhancer("clahe", {"clip_limit": 2.0, "exact": False}),
    "CLAHE 0.01, MATLAB, continuous": Enhancer(
        "clahe", {"clip_limit": 0.01, "convention": "matlab", "exact": False}
    ),
    "M-CLAHE, three stages": Enhancer("modified_clahe", {"clip_limit": 4.0, "stages": 3}),
    "GBIE, as printed": Enhancer("gbie", {"stretch": False}),
    "Tan-Triggs, gamma 1": Enhancer("tan_triggs", {"gamma": 1.0}),
    "Tan-Triggs, gamma 3": Enhancer("tan_triggs", {"gamma": 3.0, "sigma": (0.5, 4.0)}),
    "Retinex, epsilon 1e-9": Enhancer("multi_scale_retinex", {"epsilon": 1e-9}),
    "Weberface, epsilon 1e-9": Enhancer("weberface", {"epsilon": 1e-9}),
    "local contrast, epsilon 1e-6": Enhancer("local_contrast_normalize", {"epsilon": 1e-6}),
    "ln minus local mean, epsilon 1e-6": Enhancer("log_contrast", {"epsilon": 1e-6}),
}  # fmt: skip
each = pytest.mark.parametrize("name", ENHANCERS)


class OffByAnUlp(TorchDispatchMode):
    """Every third result of a power, a logarithm and the like is the next smaller number: worse than any processor."""

    NAMES = ("pow", "log", "log1p", "exp", "tanh", "sigmoid", "atan", "atan2", "addcmul_", "lerp_")

    def __init__(self) -> None:
        super().__init__()
        self.changed = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if function._schema.name.removeprefix("aten::") not in self.NAMES:
            return out
        smaller = torch.nextafter(out, torch.minimum(out, torch.zeros_like(out)) - 1).clamp(min=out.amin().clamp(max=0))
        third = torch.arange(out.numel()).view(out.shape) % 3 == 0
        self.changed += int((third & (smaller != out)).sum())
        return out.copy_(torch.where(third, smaller, out))


def constant(height: int, width: int) -> Tensor:
    """A picture for each level, (256, 1, H, W)."""
    return (LEVELS / 255).view(-1, 1, 1, 1).expand(-1, 1, height, width).contiguous()


def grid(height: int, width: int, convention: str) -> tuple[int, int]:
    """The pixels of a tile of an 8x8 grid, extended where 8 does not divide the picture: `enhance._grid`."""
    if convention == "opencv":
        more = int(height % 8 > 0 or width % 8 > 0)
        return height // 8 + more, width // 8 + more
    rows, columns = -(-height // 8), -(-width // 8)
    return rows + rows % 2, columns + columns % 2


def opencv(clip_limit: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda levels: np.stack([cv2.createCLAHE(clip_limit, (8, 8)).apply(picture) for picture in levels]) / 255


def continuous(levels: np.ndarray, convention: str, clip_limit: float) -> np.ndarray:
    """T(k) = 255 / N (n'_0 + ... + n'_k) for a tile of N pixels that are all of level k."""
    rows, columns = grid(*levels.shape[1:], convention)
    pixels, k = rows * columns, levels.astype(float)
    if convention == "opencv":  # bin k keeps a, every bin gets a share of the rest
        count = min(max(clip_limit * pixels / 256, 1), pixels)
        return (count + (k + 1) * (pixels - count) / 256) / pixels
    least = math.ceil(pixels / 256)  # bin k keeps a, every other one gets a share of the rest
    count = least + clip_limit * (pixels - least)
    return (count + k * (pixels - count) / 255) / pixels


def expected(name: str, levels: np.ndarray) -> np.ndarray | None:
    """What each enhancer makes of constant pictures (256, H, W), uint8, by its definition; None: see below."""
    x = levels / 255
    enhancer = ENHANCERS[name]
    if enhancer.name in SIGNED:
        return np.full_like(x, 0.5)  # no contrast
    by_name: dict[str, Callable[[], np.ndarray]] = {
        "HE": lambda: x,
        "BBHE": lambda: x,
        "BBHE, continuous": lambda: x,
        "HE, continuous": lambda: np.ones_like(x),  # all pixels are as light or darker
        "AHE": lambda: opencv(0.0)(levels),
        "CLAHE 2, OpenCV": lambda: opencv(2.0)(levels),
        "CLAHE 40, OpenCV": lambda: opencv(40.0)(levels),
        "M-CLAHE 40, OpenCV": lambda: opencv(40.0)(levels),
        "M-CLAHE, three stages": lambda: opencv(4.0)(levels),
        "CLAHE 2, OpenCV, continuous": lambda: continuous(levels, "opencv", 2.0),
        "CLAHE 0.01, MATLAB, continuous": lambda: continuous(levels, "matlab", 0.01),
        "GBIE, G to 255": lambda: x,  # 0/0 in (11)
        "GBIE, G to 1": lambda: x,
        "GBIE, corrected": lambda: np.log2(1 + 7 * x) / 3,
        "GBIE, as printed": lambda: np.minimum(32 * np.log2(1 + 255 * x) / 255, 1),
        "gamma 0.4": lambda: x**0.4,
        "ln(1 + x)": lambda: np.log2(1 + x),
        "ln(1 + 255x)": lambda: np.log2(1 + 255 * x) / 8,
    }
    return by_name[name]() if name in by_name else None


@each
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_level_is_constant_and_what_it_should_be(name: str, size: tuple[int, int]) -> None:
    x = constant(*size)
    with OffByAnUlp():
        y = ENHANCERS[name](x)[:, 0]
    assert (y.amax((1, 2)) - y.amin((1, 2))).max() <= 2 * ULP
    levels = LEVELS.byte().view(-1, 1, 1).expand(-1, *size).numpy()
    value = expected(name, np.ascontiguousarray(levels))
    if value is not None:
        np.testing.assert_allclose(y, value, atol=2e-6, rtol=0)
    else:  # MATLAB's rule hands out pixels one by one; `test_adaptive` has it pixel by pixel
        assert "MATLAB" in name
        assert (y[:, 0, 0].diff() >= -ULP).all()
    if ENHANCERS[name].name in ("tan_triggs", "gradientface"):
        assert y.unique().tolist() == [0.5]


@each
def test_constant_colors_stay_constant_with_luminance_only(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    color = torch.randint(256, (64, 3, 1, 1), generator=generator) / 255
    enhancer = ENHANCERS[name].but(luminance_only=True)
    with OffByAnUlp():
        y = enhancer(color.expand(64, 3, 13, 19).contiguous())
    # A gray level half-way between two is moved up or down by 1/8192, see `_levels.look_up`.
    within = 2e-6 if "clip" in str(enhancer.settings) or enhancer.name in ("ahe", "equalize", "bbhe") else 4 * ULP
    assert (y.amax((-2, -1)) - y.amin((-2, -1))).max() <= within


def test_the_ulp_is_there() -> None:
    """The test above would pass without any effect of `OffByAnUlp`: it does change powers, and only by an ulp."""
    x = constant(8, 8)
    with OffByAnUlp() as mode:
        y = x**0.2
    assert mode.changed > 5000
    assert 0 < (y - x**0.2).abs().max() <= ULP
    assert y.amin() >= 0
    assert y.amax() <= 1


# Powers of single pictures: in a batch only the last picture meets the end of a vector.
ON_THIS_PROCESSOR = """
import json, sys, torch
from facelight import enhance
sizes = [(h, w) for h in (1, 2, 3, 5, 8, 13, 16, 21) for w in (1, 7, 9, 16, 33)][:: int(sys.argv[1])]
bad = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    for level in range(256):
        for size in sizes if threads == 1 else [(181, 183)] * (level % 4 == 3):  # more pixels than one thread takes
            y = enhance.tan_triggs(torch.full((1, *size), level / 255))
            if not bool((y == 0.5).all()):
                bad.append((threads, level, size, y.min().item(), y.max().item()))
print(json.dumps({"capability": torch.backends.cpu.get_cpu_capability(), "sizes": len(sizes), "bad": bad}))
"""


@pytest.mark.parametrize(("capability", "every"), [("default", 9), ("avx2", 2), (None, 13)])
def test_tan_triggs_on_this_processor(capability: str | None, every: int) -> None:
    """All levels at twenty sizes are 0.5 with AVX2; at some without vector instructions, and with what is there."""
    done = python("-c", ON_THIS_PROCESSOR, str(every), **({"ATEN_CPU_CAPABILITY": capability} if capability else {}))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    if capability and report["capability"].lower() != capability:
        pytest.skip(f"this processor has no {capability}: PyTorch took {report['capability']}")
    assert report["sizes"] == -(-40 // every)
    assert report["bad"] == []


def test_flat_parts_beside_contrast_are_neutral_too() -> None:
    """What rounding leaves is set to 0 for each pixel, not only where the whole picture is flat."""
    x = torch.full((1, 1, 64, 64), 77 / 255)
    x[..., :4] = 0.8
    with OffByAnUlp():
        y = enhance.tan_triggs(x)
    assert y[..., 20:].unique().tolist() == [0.5]
    assert (y[..., :8] - 0.5).abs().max() > 0.1
