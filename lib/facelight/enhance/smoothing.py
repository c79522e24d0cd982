"""Enhancers that smooth: GBIE before the logarithm, M-CLAHE after CLAHE."""

from __future__ import annotations

import torch
from torch import Tensor

from facelight import _check
from facelight.enhance._filters import blur, local_deviation, noise_level
from facelight.enhance.adaptive import clahe


def modified_clahe(
    x: Tensor,
    clip_limit: float = 0.01,
    grid_size: tuple[int, int] = (8, 8),
    convention: str = "matlab",
    *,
    stages: int = 2,
    sigma: float = 0.5,
    noise_sigma: float = 1.5,
    flat: float = 3.0,
    gain: float = 2.0,
    window: int = 7,
) -> Tensor:
    """M-CLAHE: CLAHE, a slight blur, and a stronger blur where CLAHE amplified what was flat.

    E = CLAHE(I); P = G_sigma E (stage 1). With s_I, s_E the standard deviations of I and E in a square window,
    g = s_E / (s_I + 1/255) is the amplification, and a pixel is noisy where s_I < flat * s_n and g > gain; s_n is
    Immerkaer's estimate of the noise in I, at least 1/255. M = G_1 (noisy) in [0, 1].
    Stage 2: O = (1 - M) P + M G_noise_sigma P. Stage 3: again, with 2 noise_sigma where g > 2 gain.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        clip_limit, grid_size, convention: as for `clahe`.
        stages: 0 is CLAHE, 1 the slight blur alone, 2 and 3 the blur of noisy regions.
        sigma: standard deviation of the slight blur, pixels, in a window of 3x3.
        noise_sigma: standard deviation of the blur of noisy regions, pixels.
        flat: a region is flat below this many standard deviations of the noise.
        gain: a flat region is noisy above this amplification.
        window: side of the square in which the standard deviations are taken, pixels, odd.

    Returns:
        As x, not rounded to grey levels.

    Raises:
        TypeError, ValueError: as for `clahe`; a sigma, flat, gain or window that is not positive; stages not 0 to 3.

    >>> modified_clahe(torch.full((1, 16, 16), 0.5), stages=3).unique().numel()
    1

    Source: Bendjillali et al. (2020), section 3.2.2, doi 10.11591/ijeecs.v18.i2.pp1015-1027; the noise estimate:
        Immerkaer (1996), doi 10.1006/cviu.1996.0060.
    Differs from the paper: the paper gives no equation, no window and no threshold, and the sources it names are lost.
        Everything after "a slight smoothing, then low-pass filtering only in noisy regions" is our interpretation.
    """
    if stages not in (0, 1, 2, 3):
        raise ValueError(f"stages: expected 0 (CLAHE alone), 1, 2 or 3, got {stages}")
    for value, name in ((sigma, "sigma"), (noise_sigma, "noise_sigma"), (flat, "flat"), (gain, "gain")):
        _check.positive(value, name)
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window: expected an odd number of at least 3 pixels, got {window}")
    enhanced = clahe(x, clip_limit, grid_size, convention)
    if stages == 0:
        return enhanced
    out = blur(enhanced, sigma, radius=1)
    if stages >= 2:
        spread = local_deviation(x, window)
        amplification = local_deviation(enhanced, window) / (spread + 1 / 255)
        is_flat = spread < flat * noise_level(x).clamp(min=1 / 255)
        for stage in range(1, stages):
            noisy = (is_flat & (amplification > stage * gain)).to(x.dtype)
            out = torch.lerp(out, blur(out, stage * noise_sigma), blur(noisy, 1.0))
    return out.clamp(0, 1)


def gbie(x: Tensor, sigma: float = 1.0, scale: float = 32.0, *, levels: float = 255.0, stretch: bool = True) -> Tensor:
    """Gaussian-based image enhancement: blur in a 5x5 window, take the logarithm, stretch to the full range.

    G = Gaussian * I (9), L = scale log2(1 + G) (10), O = 255 (L - L_min) / (L_max - L_min) (11), I in [0, levels].
    After (11) the scale no longer matters; without it, L / 255 is cut at 1. A constant image stays as it is.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigma: standard deviation of the Gaussian, pixels; the paper states none.
        scale: factor of the logarithm, 32 in the paper, so that 255 becomes 256.
        levels: the value of white inside the logarithm, 255 in the paper; 1 is nearly linear.
        stretch: apply (11).

    Returns:
        As x, not rounded to grey levels.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1]; sigma, scale or levels is not positive.

    >>> gbie(torch.rand(1, 8, 8)).aminmax().max.item()
    1.0

    Source: Bendjillali et al. (2020), equations (7)-(11), doi 10.11591/ijeecs.v18.i2.pp1015-1027.
    """
    _check.images(x)
    for value, name in ((sigma, "sigma"), (scale, "scale"), (levels, "levels")):
        _check.positive(value, name)
    log = scale * torch.log2(1 + levels * blur(x, sigma, radius=2))
    if not stretch:
        return (log / 255).clamp(0, 1)
    low, high = log.amin((-2, -1), keepdim=True), log.amax((-2, -1), keepdim=True)
    constant = x.amin((-2, -1), keepdim=True) == x.amax((-2, -1), keepdim=True)
    return torch.where(constant, x, ((log - low) / (high - low).clamp(min=1e-12)).clamp(0, 1))
