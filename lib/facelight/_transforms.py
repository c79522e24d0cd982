"""How a module of images takes samples of `torchvision.transforms.v2`: `on_images`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree  # what torchvision itself takes samples apart with


def on_images(function: Callable[[Tensor], Tensor], *sample: Any) -> Any:
    """Apply a function of images to the images of a sample, and pass everything else on as it is.

    What is an image follows torchvision's rule: every `tv_tensors.Image` and `tv_tensors.Video`, and only where there
    is none of them, the first plain tensor. Boxes, masks, key points, labels, paths and numbers are not touched.
    torchvision is not imported for one plain tensor, as a network passes it.

    Args:
        function: takes float images (*, C, H, W) to images of the same shape.
        *sample: a tensor, or dicts, lists and tuples with images in them, in any depth; several are taken as a tuple.

    Returns:
        The sample with the same structure and types: an `Image` comes back as an `Image`.

    Raises:
        TypeError: there is no image in the sample, or one of PIL.

    >>> on_images(lambda x: x / 2, {"label": 3, "image": Tensor([[[0.5]]]), "landmarks": Tensor([[7, 8]])})
    {'label': 3, 'image': tensor([[[0.2500]]]), 'landmarks': tensor([[7., 8.]])}

    Source: `torchvision.transforms.v2.Transform`, "how to write your own v2 transforms".
    """
    if len(sample) > 1:
        return _on_sample(function, sample)
    return function(sample[0]) if _is_plain(sample[0]) else _on_sample(function, sample[0])


def _is_plain(x: Any) -> bool:
    """Whether x is a tensor, be it of a tool that traces, and none of torchvision's, which has to be imported first."""
    if type(x) in (Tensor, nn.Parameter):
        return True
    theirs = sys.modules.get("torchvision.tv_tensors")
    return isinstance(x, Tensor) and not (theirs and isinstance(x, theirs.TVTensor))


def _on_sample(function: Callable[[Tensor], Tensor], sample: Any) -> Any:
    from PIL import Image
    from torchvision import tv_tensors

    entries, structure = pytree.tree_flatten(sample)
    found = [i for i, entry in enumerate(entries) if isinstance(entry, tv_tensors.Image | tv_tensors.Video)]
    plain = (i for i, e in enumerate(entries) if isinstance(e, Tensor) and not isinstance(e, tv_tensors.TVTensor))
    found = found or list(itertools.islice(plain, 1))
    if not found or any(isinstance(entry, Image.Image) for entry in entries):
        kinds = ", ".join(dict.fromkeys(type(entry).__name__ for entry in entries)) or "nothing"
        raise TypeError(
            "expected an image in the sample, a tv_tensors.Image or Video, or else a plain tensor (*, C, H, W); got "
            f"{kinds}: put v2.ToImage() and v2.ToDtype(torch.float32, scale=True) before this transform"
        )
    for i in found:
        image = entries[i]
        if isinstance(image, tv_tensors.TVTensor):
            entries[i] = tv_tensors.wrap(function(image.as_subclass(Tensor)), like=image)
        else:
            entries[i] = function(image)
    return pytree.tree_unflatten(entries, structure)
