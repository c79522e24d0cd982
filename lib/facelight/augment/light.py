"""The light of training pictures at random, on Kornia's augmentation bases: `RandomDarken`, `RandomRelight`, ...

Each draws a light of its own for every image of a batch and calls `facelight.illumination`. Keypoints, boxes and masks
stay where they are. What is drawn lies in `_params`, and `aug(x, params=aug._params)` repeats it, as Kornia has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from facelight import _check
from facelight.augment._random import Drawn, RandomLight, Range, log_uniform, normal, uniform, value_range
from facelight.illumination import darken, relight, shade
from facelight.illumination.color import decoded, encoded
from facelight.illumination.light import patches
from facelight.illumination.sensor import with_noise


class RandomDarken(RandomLight):
    """Divide each image by a factor of its own, uniform in its logarithm: `illumination.darken`.

    Args:
        factor: least and greatest, > 0; below 1 it brightens.
        quantize: round to 256 levels, as storing the dark image would.
        linear_light: divide linear light instead of sRGB values.
        same_on_batch: one factor for all images of a batch.
        p: share of the images that are changed.
        keepdim: an image (C, H, W) stays one.

    Raises:
        ValueError: factor is not such a range, p not in [0, 1].

    >>> x = torch.ones(2, 3, 4, 4)
    >>> RandomDarken((2.0, 2.0))(x).unique()
    tensor([0.5020])

    Differs from `kornia.augmentation.RandomBrightness`, which adds a number to the image. Less light divides it.
    """

    def __init__(
        self,
        factor: Range = (1.0, 6.0),
        *,
        quantize: bool = True,
        linear_light: bool = False,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        factor = value_range(factor, "factor")
        super().__init__(p, same_on_batch, keepdim, factor=factor, quantize=quantize, linear_light=linear_light)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Drawn:
        """`factor`, (B,)."""
        gate = self.gate(shape[0], generator)
        return {"batch_prob": gate, "factor": log_uniform(self.flags["factor"], generator, shape[0])}

    def apply_transform(
        self, input: Tensor, params: Drawn, flags: Mapping[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Darken images (B, C, H, W)."""
        factor = params["factor"].to(input.device)
        return darken(input, factor, quantize=flags["quantize"], linear_light=flags["linear_light"])


class RandomRelight(RandomLight):
    """Give each image a light that grows from a side of its own: `illumination.relight`.

    Args:
        slope: standard deviation of the slopes of the logarithm of the light, across and down, per half side; both
            are normal, so that no direction is preferred.
        gain: standard deviation of the logarithm of the light in the middle, which is normal, too.
        linear_light: multiply linear light instead of sRGB values.
        same_on_batch: one light for all images of a batch.
        p: share of the images that are changed.
        keepdim: an image (C, H, W) stays one.

    Raises:
        ValueError: slope or gain is negative or not finite, p not in [0, 1].

    >>> RandomRelight(slope=0.0, gain=0.0)(torch.full((1, 1, 2, 2), 0.5)).unique()
    tensor([0.5000])

    Differs from `kornia.augmentation.RandomLinearIllumination`, which adds a ramp to the image. Light multiplies it:
    black stays black.
    """

    def __init__(
        self,
        slope: float = 0.7,
        gain: float = 0.35,
        *,
        linear_light: bool = False,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        for name, value in (("slope", slope), ("gain", gain)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected a standard deviation >= 0, finite, got {value}")
        super().__init__(p, same_on_batch, keepdim, slope=slope, gain=gain, linear_light=linear_light)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Drawn:
        """`across`, `down` and `gain`, (B,)."""
        gate = self.gate(shape[0], generator)
        across, down, gain = (normal(generator, shape[0]) for _ in range(3))
        slope, spread = self.flags["slope"], self.flags["gain"]
        return {"batch_prob": gate, "across": slope * across, "down": slope * down, "gain": (spread * gain).exp()}

    def apply_transform(
        self, input: Tensor, params: Drawn, flags: Mapping[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Relight images (B, C, H, W)."""
        across, down, gain = (params[name].to(input.device) for name in ("across", "down", "gain"))
        return relight(input, across, down, gain=gain, linear_light=flags["linear_light"])


class RandomShade(RandomLight):
    """Put each image into a shade of its own: everywhere alike, or in patches; `illumination.shade`.

    An even shade divides by a factor that is uniform in its logarithm. A patchy one divides by 1 at its brightest place
    and by such a factor at its darkest: the logarithm is interpolated between 3x3 values, uniform at random. As many
    numbers are drawn per image whatever the settings.

    Args:
        factor: least and greatest, > 0.
        patchy: share of the shades that are patchy.
        linear_light: divide linear light instead of sRGB values.
        same_on_batch: one shade for all images of a batch.
        p: share of the images that are changed.
        keepdim: an image (C, H, W) stays one.

    Raises:
        ValueError: factor is not such a range, patchy or p not in [0, 1].

    >>> y = RandomShade((4.0, 4.0), patchy=1.0, p=1.0)(torch.ones(1, 1, 9, 9))
    >>> y.amin(), y.amax()
    (tensor(0.2500), tensor(1.))

    Differs from `kornia.augmentation.RandomPlasmaShadow`, which adds one number within the outline of a fractal.
    """

    def __init__(
        self,
        factor: Range = (1.0, 25.0),
        patchy: float = 0.5,
        *,
        linear_light: bool = False,
        same_on_batch: bool = False,
        p: float = 0.5,
        keepdim: bool = False,
    ) -> None:
        if not 0 <= patchy <= 1:
            raise ValueError(f"patchy: expected a share in [0, 1], got {patchy}")
        factor = value_range(factor, "factor")
        super().__init__(p, same_on_batch, keepdim, factor=factor, patchy=patchy, linear_light=linear_light)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Drawn:
        """`strength`, 0 to 1 from the least to the greatest shade, and `patchy`, (B,); `places`, (B, 1, 3, 3)."""
        skipped, kind, strength = uniform(generator, shape[0], 3).T
        return {
            "batch_prob": (skipped >= 1 - self.p).float(),
            "patchy": kind < self.flags["patchy"],
            "strength": strength,
            "places": uniform(generator, shape[0], 1, 3, 3),
        }

    def apply_transform(
        self, input: Tensor, params: Drawn, flags: Mapping[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Shade images (B, C, H, W)."""
        places = params["places"].to(_check.precise(input))
        field = patches(places, input.shape[-2:])
        patchy = params["patchy"].to(input.device).view(-1, 1, 1, 1)
        strength = params["strength"].to(field).view(-1, 1, 1, 1)
        least, most = flags["factor"]
        deepest = math.log(least) + math.log(most / least) * strength
        depth = deepest * torch.where(patchy, field, torch.ones_like(field))
        return shade(input, depth, linear_light=flags["linear_light"])


class RandomSensorNoise(RandomLight):
    """Add the noise of a camera of its own to each image: `illumination.sensor_noise`.

    Args:
        photons: least and greatest number of electrons that a white pixel collects, > 0; uniform in its logarithm.
        read: least and greatest standard deviation of the read noise in electrons, >= 0; uniform.
        same_on_batch: one camera, and one draw of the noise, for all images of a batch.
        p: share of the images that are changed.
        keepdim: an image (C, H, W) stays one.

    Raises:
        ValueError: photons or read is not such a range, p not in [0, 1].

    >>> x = torch.full((1, 1, 64, 64), 0.5)
    >>> few, many = (RandomSensorNoise((photons, photons))(x).std() for photons in (100.0, 10000.0))
    >>> bool(few > 5 * many)
    True

    Differs from `kornia.augmentation.RandomGaussianNoise`, whose noise does not depend on the light, and which leaves
    [0, 1].
    """

    def __init__(
        self,
        photons: Range = (200.0, 5000.0),
        read: Range = (0.0, 4.0),
        *,
        same_on_batch: bool = False,
        p: float = 1.0,
        keepdim: bool = False,
    ) -> None:
        photons, read = value_range(photons, "photons"), value_range(read, "read", zero=True)
        super().__init__(p, same_on_batch, keepdim, photons=photons, read=read)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Drawn:
        """`photons` and `read`, (B,); `noise`, (B, C, H, W)."""
        gate = self.gate(shape[0], generator)
        photons = log_uniform(self.flags["photons"], generator, shape[0])
        least, most = self.flags["read"]
        read = least + (most - least) * uniform(generator, shape[0])
        return {"batch_prob": gate, "photons": photons, "read": read, "noise": normal(generator, *shape)}

    def apply_transform(
        self, input: Tensor, params: Drawn, flags: Mapping[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Add noise to images (B, C, H, W)."""
        y = _check.precise(_check.images(input))
        photons, read = (params[name].to(y).view(-1, 1, 1, 1) for name in ("photons", "read"))
        return encoded(with_noise(decoded(y), photons, read, params["noise"].to(y))).to(input.dtype)
