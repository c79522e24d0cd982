"""Enhancers that smooth: GBIE before the logarithm, M-CLAHE after CLAHE."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from facelight import _check
from facelight._graph import one_node, recording
from facelight.enhance import _luminance
from facelight.enhance._filters import blur, local_variance, noise_level
from facelight.enhance.adaptive import clahe
from facelight.enhance.modules import EnhancerModule, Fraction, Positive

__all__ = ["GBIE", "ModifiedCLAHE", "gbie", "modified_clahe"]


@one_node
def modified_clahe(
    x: Tensor,
    clip_limit: float | Tensor = 40.0,
    grid_size: tuple[int, int] = (8, 8),
    *,
    convention: str = "opencv",
    exact: bool = True,
    luminance_only: bool = False,
    stages: int = 2,
    prefilter: float | Tensor = 1.0,
    strength: float | Tensor = 1.0,
    sigma: float = 0.5,
    noise_sigma: float = 1.5,
    flat: float | Tensor = 3.0,
    gain: float | Tensor = 2.0,
    softness: float = 0.25,
    window: int = 7,
) -> Tensor:
    """M-CLAHE: CLAHE, a slight blur, and a stronger blur where CLAHE amplified what was flat.

    E = CLAHE(I). G_s is a Gaussian blur with standard deviation s; every stage goes part of the way to a blurred image:

    stage 1: O = E + prefilter (G_sigma E - E),
    stage k > 1: O <- O + strength M (G_s O - O), s = (k - 1) noise_sigma.

    M in [0, 1] says how noisy a pixel is. With s_I, s_E the standard deviations of I and E in a square window and
    q = 1/(255 sqrt(12)), that of rounding to 8 bits, let d = sqrt(s_I^2 + q^2) and a = sqrt(s_E^2 + q^2) / d, the
    amplification. Let s_n be Immerkaer's estimate of the noise of the whole image I, at least q. A pixel is noisy where
    I is flat and CLAHE amplified it:

    M = S(ln(flat s_n / d)) S(ln(a / ((k - 1) gain))), S(t) = 1 / (1 + exp(-t / softness)), a step for softness 0.

    prefilter = strength = 0 is `clahe` to the last bit, and a constant image stays constant.

    Differentiable in x, clip_limit, prefilter, strength, flat and gain, in so far as `clahe` is (see `exact` there).
    What is added here is smooth, except where a second difference of x, in s_n, is 0 and where s_n reaches q. With
    softness 0 the mask passes no gradient: flat and gain get none.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        clip_limit, grid_size, convention, exact, luminance_only: as for `clahe`.
        stages: 0 is CLAHE, 1 the slight blur alone, 2 and 3 the blur of noisy regions.
        prefilter: amount of the slight blur, in [0, 1]; a number, or one per image, shape (B,) for x: (B, C, H, W).
        strength: amount of the blur of noisy regions, in [0, 1]; a number, or one per image.
        sigma: standard deviation of the slight blur, pixels, in a window of 3x3.
        noise_sigma: standard deviation of the first blur of noisy regions, pixels.
        flat: a region is flat below this many standard deviations of the noise; a number, or one per image.
        gain: a flat region is noisy above this amplification; a number, or one per image.
        softness: width of the two thresholds, >= 0: S climbs from 0.27 to 0.73 over a factor of exp(2 softness).
        window: side of the square in which the standard deviations are taken, pixels, odd.

    Returns:
        As x, not rounded to gray levels.

    Raises:
        TypeError, ValueError: as for `clahe`; prefilter or strength outside [0, 1]; a sigma, flat or gain that is not
            positive; a negative softness; an even window; stages not 0 to 3; neither one value nor one per image.

    >>> modified_clahe(torch.full((1, 16, 16), 0.5), stages=3).unique().numel()
    1

    Source: Bendjillali et al. (2020), section 3.2.2, doi 10.11591/ijeecs.v18.i2.pp1015-1027; the noise estimate:
        Immerkaer (1996), doi 10.1006/cviu.1996.0060.
    Differs from the paper: the paper gives no equation, no window and no threshold, and the sources it names are lost.
        Everything after "a slight smoothing, then low-pass filtering only in noisy regions" is our interpretation.
    """
    x = _check.images(x)
    if recording():
        x = x.detach()  # CLAHE has no gradient there, and a part of one would be wrong
    if not isinstance(stages, int) or stages not in range(4):
        raise ValueError(f"stages: expected 0 (CLAHE alone), 1, 2 or 3, got {stages}")
    _check.odd(window, "window")
    for number, name in ((sigma, "sigma"), (noise_sigma, "noise_sigma"), (softness, "softness")):
        _check.number(number, name)
    if not 0 <= softness < float("inf"):
        raise ValueError(f"softness: expected a finite number >= 0, 0 being a hard threshold, got {softness}")
    for value, name in ((sigma, "sigma"), (noise_sigma, "noise_sigma"), (flat, "flat"), (gain, "gain")):
        _check.positive(value, name)
    for value, name in ((prefilter, "prefilter"), (strength, "strength")):
        _check_fraction(value, name)

    def apply(image: Tensor) -> Tensor:
        enhanced = clahe(image, clip_limit, grid_size, convention=convention, exact=exact)
        if stages == 0:
            return enhanced
        out = enhanced + _check.per_image(prefilter, image, "prefilter") * (blur(enhanced, sigma, radius=1) - enhanced)
        if stages >= 2:
            flatness, amplification = _contrasts(image, enhanced, window)
            is_flat = _soft_step(flatness * _check.per_image(flat, image, "flat"), softness)
        for k in range(1, stages):
            noisy = is_flat * _soft_step(amplification / (k * _check.per_image(gain, image, "gain")), softness)
            amount = noisy * _check.per_image(strength, image, "strength")
            out = out + amount * (blur(out, k * noise_sigma) - out)
        return out.clamp(0, 1)

    return _luminance.apply(apply, x, luminance_only)


class ModifiedCLAHE(EnhancerModule):
    """M-CLAHE: `modified_clahe`; with `trainable`, the limit, both amounts of blur and both thresholds are learned.

    clip_limit, flat and gain as `Positive` (clip_limit in MATLAB's convention as `Fraction`), prefilter and strength
    as `Fraction`: they have to start between 0 and 1, and cannot start at their default, 1.

    >>> ModifiedCLAHE(2.0, prefilter=0.5, strength=0.5, trainable=True).prefilter
    Fraction(0.5)
    """

    function = staticmethod(modified_clahe)
    learned: ClassVar = {
        "clip_limit": Positive, "prefilter": Fraction, "strength": Fraction, "flat": Positive, "gain": Positive,
    }  # fmt: skip


def _contrasts(image: Tensor, enhanced: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Noise of the image over its local contrast, s_n / d, and local contrast after over before, a."""
    least = 1 / (255 * math.sqrt(12))  # the deviation of rounding to 8 bits
    before, after = ((local_variance(v, window) + least**2).sqrt() for v in (image, enhanced))
    return noise_level(image).clamp(min=least) / before, after / before


def _soft_step(ratio: Tensor, softness: float) -> Tensor:
    """From 0 where the ratio is far below 1 to 1 where it is far above: S(ln ratio)."""
    if softness == 0:
        return (ratio > 1).to(ratio.dtype)
    return torch.sigmoid(ratio.log() / softness)


def _check_fraction(value: float | Tensor, name: str) -> None:
    """Require a number in [0, 1] or a tensor of them (tensor values: where `readable`)."""
    if isinstance(value, Tensor):
        ok = _check.all_true((value >= 0) & (value <= 1))
    else:
        ok = 0 <= value <= 1
    if not ok:
        raise ValueError(f"{name}: expected an amount in [0, 1], 0 leaving the image as it is, got {value}")


@one_node
def gbie(
    x: Tensor,
    sigma: float = 1.0,
    scale: float | None = 32.0,
    *,
    levels: float = 255.0,
    stretch: bool = True,
    luminance_only: bool = False,
) -> Tensor:
    """Gaussian-based image enhancement (GBIE): blur in a 5x5 window, take the logarithm, stretch to the full range.

    G = g * I (9), L = scale log2(1 + G) (10), O = 255 (L - L_min) / (L_max - L_min) (11), with a 5x5 Gaussian g (7)-(8)
    and I in [0, levels]. After (11) the scale no longer matters. `stretch=False` leaves (11) out: O = L, cut at 255. A
    constant image, for which (11) is 0/0, stays as it is.

    As printed it does not do what the paper says. "Reduce image noise": on black, the slope of the logarithm is
    levels / ln(1 + levels) = 46 for levels = 255, and g leaves 0.29 of the noise for sigma = 1, so noise in the dark
    grows 13-fold. "In the range [0, 255]" after a factor of 32: white becomes 256. Corrected reading:

    `gbie(x, levels=7, scale=None, stretch=False)`: O = 255 log2(1 + G) / 3, G in [0, 7].

    Black and white stay, and 7 / ln 8 * 0.29 = 0.97: for sigma >= 1, independent noise grows nowhere. `levels=1` is the
    printed equation on an image in [0, 1], nearly a straight line.

    Differentiable in x: smooth without (11); with it, not where two pixels share the lowest or the highest value, nor
    where the image becomes constant. The two extreme pixels then carry a share of every other pixel's gradient.

    Args:
        x: images (*, C, H, W), float in [0, 1].
        sigma: standard deviation of the Gaussian, pixels; the paper states none.
        scale: factor of the logarithm, 32 in the paper; None takes white to white, 255 / log2(1 + levels).
        levels: the value of white inside the logarithm, 255 in the paper.
        stretch: apply (11).
        luminance_only: change the luma of RGB images and keep their chroma.

    Returns:
        As x, not rounded to gray levels.

    Raises:
        TypeError, ValueError: x is not a float image in [0, 1]; sigma, scale or levels is not positive.

    >>> gbie(torch.rand(1, 8, 8)).aminmax().max.item()
    1.0

    Source: Bendjillali et al. (2020), equations (7)-(11), doi 10.11591/ijeecs.v18.i2.pp1015-1027.
    Differs from the paper: the edge is repeated around the image; the paper says nothing of the border.
    """
    x = _check.images(x)
    for value, name in ((sigma, "sigma"), (levels, "levels"), (1.0 if scale is None else scale, "scale")):
        _check.number(value, name)
        _check.positive(value, name)

    def apply(image: Tensor) -> Tensor:
        log = torch.log1p(levels * blur(image, sigma, radius=2)) / math.log1p(levels)  # from 0 for black to 1 for white
        if not stretch:
            white = 1.0 if scale is None else scale * math.log2(1 + levels) / 255
            return (white * log).clamp(0, 1)
        low, high = log.amin((-2, -1), keepdim=True), log.amax((-2, -1), keepdim=True)
        constant = high - low < 1e-5  # what rounding may leave of a constant image
        return torch.where(constant, image, (log - low) / torch.where(constant, 1.0, high - low))

    return _luminance.apply(apply, x, luminance_only)


class GBIE(EnhancerModule):
    """Gaussian-based image enhancement: `gbie`."""

    function = staticmethod(gbie)
