"""What happens to the light and color of training pictures: shade, a camera's noise, torchvision's jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from facelight import augment, illumination
from facelight_lab.results import LATER


@dataclass(frozen=True)
class TrainingNoise:
    """Noise of a camera for training pictures, `augment.RandomSensorNoise`.

    Args:
        share: of all pictures, shaded or not, that are seen by a camera.
        photons: least and greatest number of electrons that a white pixel collects; uniform in its logarithm.
        read: standard deviation of the read noise, electrons.
    """

    share: float = 0.5
    photons: tuple[float, float] = (500.0, 20_000.0)
    read: float = 2.0

    def __post_init__(self) -> None:
        _share(self.share, "share")
        least, most = self.photons
        if not 0 < least <= most < math.inf:
            raise ValueError(f"photons: expected (least, greatest) with 0 < least <= greatest, got {self.photons}")
        if not 0 <= self.read < math.inf:
            raise ValueError(f"read: expected electrons >= 0, finite, got {self.read}")

    def of(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] behind this camera; the generator is on the CPU."""
        camera = augment.RandomSensorNoise(self.photons, (self.read, self.read), p=self.share)
        seen: Tensor = camera(x, generator=generator)
        return seen


@dataclass(frozen=True)
class TrainingLight:
    """Light of training pictures: some stay as they are, the others come into a shade, `augment.RandomShade`.

    Ramps, halves and spots, under which networks are tested, are not among the shades.

    Args:
        darkest: what pictures are divided by, at most.
        local: whether every other shade is patchy; without, all are even.
        least: what pictures are divided by, at least.
        share: of the pictures that are shaded.
        noise: of a camera that sees the pictures in their light; None: there is none.
    """

    darkest: float = 25.0
    local: bool = False
    least: float = field(default=1.0, metadata=LATER)
    share: float = field(default=0.5, metadata=LATER)
    noise: TrainingNoise | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not 1 < self.darkest < math.inf:
            raise ValueError(f"darkest: expected a number to divide by, greater than 1, got {self.darkest}")
        if not 1 <= self.least <= self.darkest:
            raise ValueError(f"least: expected a number to divide by, from 1 to darkest, got {self.least}")
        _share(self.share, "share")

    def of(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] in this light; the generator is on the CPU."""
        shade = augment.RandomShade((self.least, self.darkest), patchy=0.5 if self.local else 0.0, p=self.share)
        shaded: Tensor = shade(x, generator=generator)
        return shaded if self.noise is None else self.noise.of(shaded, generator)


@dataclass(frozen=True)
class Jitter:
    """Torchvision's augmentation of color, as its users have it: `v2.ColorJitter`, then a power of the gray levels.

    Every picture has numbers of its own. None of this divides light: brightness is a factor near 1, and what exceeds
    white is cut off.

    Args:
        brightness, contrast, saturation, hue: see `torchvision.transforms.v2.ColorJitter`.
        gamma: greatest power; it is uniform in its logarithm between 1 / gamma and gamma. 1: no power.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    gamma: float = 1.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a number >= 0, finite, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue: expected a number in [0, 0.5], got {self.hue}")
        if not 1 <= self.gamma < math.inf:
            raise ValueError(f"gamma: expected the greatest power, >= 1, got {self.gamma}")

    def of(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] after the jitter; the generator is on the CPU."""
        from torchvision.transforms import v2

        jitter = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        power = self.gamma ** (2 * torch.rand(len(x), generator=generator) - 1)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            changed = torch.stack([jitter(picture) for picture in x]).clamp(0, 1)
        return changed if self.gamma == 1 else illumination.gamma_correct(changed, power.to(changed))


def _share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a share in [0, 1], got {value}")
