"""Random changes of training pictures: `augment_faces` moves, `RandomDarken`, `RandomRelight` and others relight them.

The changes of light are augmentations of Kornia, for `kornia.augmentation.AugmentationSequential`. Names are imported
when they are asked for: with the first change of light comes Kornia, which takes a second.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelight.augment.geometry import Augmentation, augment_faces, mirror
    from facelight.augment.light import RandomDarken, RandomRelight, RandomSensorNoise, RandomShade

__all__ = [
    "Augmentation",
    "RandomDarken",
    "RandomRelight",
    "RandomSensorNoise",
    "RandomShade",
    "augment_faces",
    "mirror",
]
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "geometry": ["Augmentation", "augment_faces", "mirror"],
        "light": ["RandomDarken", "RandomRelight", "RandomSensorNoise", "RandomShade"],
    },
)
