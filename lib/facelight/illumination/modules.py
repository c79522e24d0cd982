"""Changes of light as modules, for `torch.nn.Sequential`, Kornia's containers and torchvision's `v2.Compose`.

A module takes the arguments of its function after x once, and the images later; its settings are attributes. What is
drawn at random for each image is in `facelight.augment`.
"""

from facelight._module import FunctionModule
from facelight.illumination.light import darken, relight
from facelight.illumination.sensor import sensor_noise


class Darken(FunctionModule):
    """Light divided by a factor: `darken`.

    >>> Darken(6.0, linear_light=True)
    Darken(factor=6.0, quantize=True, linear_light=True)
    """

    function = staticmethod(darken)


class Relight(FunctionModule):
    """A light that grows from one side to the other: `relight`.

    >>> import torch
    >>> Relight(across=0.6931, down=0.0)(torch.full((1, 1, 3), 0.2))
    tensor([[[0.1000, 0.2000, 0.4000]]])
    """

    function = staticmethod(relight)


class SensorNoise(FunctionModule):
    """The noise of a camera: `sensor_noise`. Every call draws anew, in training and in evaluation."""

    function = staticmethod(sensor_noise)
