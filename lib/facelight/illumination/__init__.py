"""Changing the light of an image: `darken`, `relight`, `sensor_noise` and others. Undoing it belongs to `enhance`.

Functions, and the modules `Darken`, `Relight` and `SensorNoise`. Changes drawn at random: `facelight.augment`.
"""

from facelight.illumination.color import gamma_correct, linear_to_srgb, quantize, srgb_to_linear, to_gray
from facelight.illumination.light import darken, relight, shade
from facelight.illumination.modules import Darken, Relight, SensorNoise
from facelight.illumination.sensor import sensor_noise

__all__ = [
    "Darken",
    "Relight",
    "SensorNoise",
    "darken",
    "gamma_correct",
    "linear_to_srgb",
    "quantize",
    "relight",
    "sensor_noise",
    "shade",
    "srgb_to_linear",
    "to_gray",
]
