"""Random changes of training pictures: `augment` moves faces with their landmarks, `RandomDarken` and others relight.

The changes of light are augmentations of Kornia, for `kornia.augmentation.AugmentationSequential`. Names are imported
when they are asked for: with the first change of light comes Kornia, which takes a second.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facelight.augment.geometry import Augmentation, augment, mirror
    from facelight.augment.light import RandomDarken, RandomRelight, RandomSensorNoise, RandomShade

# Without `augment`, which has the name of its package.
__all__ = ["Augmentation", "RandomDarken", "RandomRelight", "RandomSensorNoise", "RandomShade", "mirror"]
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "geometry": ["Augmentation", "augment", "mirror"],
        "light": ["RandomDarken", "RandomRelight", "RandomSensorNoise", "RandomShade"],
    },
)
