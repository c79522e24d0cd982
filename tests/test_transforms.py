"""Modules of images in `torchvision.transforms.v2`: what is transformed, what passes, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from every_enhancer import MODULES, module, photo
from facelight import enhance
from facelight._transforms import on_images
from facelight.data import LandmarkFaces
from patience import python


def picture(seed: int = 0) -> Tensor:
    return photo(3, 24, 20, seed=seed)


def image(seed: int = 0) -> tv_tensors.Image:
    return tv_tensors.Image(picture(seed))


def boxes() -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(torch.tensor([[1.0, 2.0, 9.0, 8.0]]), format="XYXY", canvas_size=(24, 20))


def mask() -> tv_tensors.Mask:
    return tv_tensors.Mask(torch.ones(24, 20, dtype=torch.bool))


@pytest.mark.parametrize("name", MODULES)
def test_every_enhancer_in_a_composition(name: str) -> None:
    enhancer = module(name)
    sample = {"image": image(), "box": boxes(), "mask": mask(), "landmarks": torch.rand(5, 2), "label": 3, "name": "a"}
    before = picture()
    out = v2.Compose([enhancer, v2.Identity()])(sample)
    assert type(out) is dict
    assert list(out) == list(sample)
    assert type(out["image"]) is tv_tensors.Image
    assert torch.equal(out["image"].as_subclass(Tensor), enhancer(before))
    assert all(out[key] is sample[key] for key in sample if key != "image")
    assert torch.equal(sample["image"].as_subclass(Tensor), before)


def samples() -> dict[str, Any]:
    """Samples by what is told apart in them; plain tensors are pictures, too, so that only the rule decides."""
    return {
        "an image": image(),
        "a plain tensor": picture(),
        "a parameter": nn.Parameter(picture()),
        "image and label": (image(), 3),
        "two images": [image(), image(1)],
        "a plain tensor before an image": (picture(), image()),
        "two plain tensors": (picture(), picture(1)),
        "a plain tensor behind boxes and mask": {"box": boxes(), "mask": mask(), "x": picture(), "y": picture(1)},
        "nested": {"a": [{"b": (image(), "path")}, None], "c": image(1), "d": picture()},
        "a video": tv_tensors.Video(torch.stack([picture(), picture(1)])),
        "a video and a plain tensor": {"x": picture(), "video": tv_tensors.Video(picture()[None])},
    }


@pytest.mark.parametrize("kind", samples())
def test_images_are_what_torchvision_says(kind: str) -> None:
    sample = samples()[kind]
    ours, theirs = v2.Compose([enhance.TanTriggs()])(sample), v2.RandomInvert(p=1)(sample)
    before = tree_leaves(sample)
    touched = [a is not b for a, b in zip(before, tree_leaves(ours), strict=True)]
    assert touched == [a is not b for a, b in zip(before, tree_leaves(theirs), strict=True)]
    assert any(touched)
    assert [type(entry) for entry in tree_leaves(ours)] == [type(entry) for entry in tree_leaves(theirs)]
    for entry, result in zip(before, tree_leaves(ours), strict=True):
        if entry is not result:
            plain = entry.as_subclass(Tensor)
            assert torch.equal(result.as_subclass(Tensor), enhance.tan_triggs(plain))


def test_several_arguments_are_a_sample() -> None:
    x, box, label = v2.Compose([enhance.Equalize(), v2.RandomHorizontalFlip(p=1)])(image(), boxes(), 7)
    assert torch.equal(x.as_subclass(Tensor), enhance.equalize(picture()).flip(-1))
    assert box.tolist() == [[11.0, 2.0, 19.0, 8.0]]
    assert label == 7


def test_an_exponent_is_learned_behind_a_wrapped_image() -> None:
    one, other = (enhance.Gamma(0.5, trainable=True) for _ in range(2))
    one({"image": image(), "label": 1})["image"].square().sum().backward()
    other(picture()).square().sum().backward()
    assert one.gamma.log_factor.grad == other.gamma.log_factor.grad
    assert other.gamma.log_factor.grad != 0


def test_rows_of_our_data_sets_pass_through_and_into_batches() -> None:
    n = 4
    faces = LandmarkFaces(
        image=torch.stack([(255 * picture(i)).byte() for i in range(n)]), landmarks=torch.rand(n, 5, 2),
        visible=torch.ones(n, 5, dtype=torch.bool), box=torch.rand(n, 4), attributes=torch.ones(n, 6, dtype=torch.bool),
        name=tuple("abcd"), source="s", sha256="0" * 64,
    )  # fmt: skip
    transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), enhance.Equalize()])
    row = transform(faces[1])
    assert torch.equal(row.image, enhance.equalize(faces.image[1].float() / 255))
    assert torch.equal(row.landmarks, faces.landmarks[1])
    (batch,) = DataLoader(faces, batch_size=n, collate_fn=lambda rows: torch.stack([transform(r).image for r in rows]))
    assert torch.allclose(batch, enhance.equalize(faces.image.float() / 255))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)), r"got torch.uint8: .*v2.ToDtype\(torch"),
        ({"x": torch.zeros(3, 8, 8, dtype=torch.uint8)}, r"got torch.uint8: .*v2.ToDtype\(torch.float32, scale=True\)"),
        (Pillow.new("L", (8, 8)), r"got Image: put v2.ToImage\(\) and v2.ToDtype\(torch.float32, scale=True\) before"),
        ((image(), Pillow.new("L", (8, 8))), r"got Image: put v2.ToImage\(\)"),
        (np.zeros((8, 8, 3)), r"expected an image in the sample.*got ndarray: put v2.ToImage\(\)"),
        ({"box": boxes(), "label": 1}, r"expected an image in the sample.*got BoundingBoxes, int"),
        ([], "got nothing"),
    ],
)  # fmt: skip
def test_what_is_no_float_image_is_refused(sample: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        enhance.Equalize()(sample)


def test_values_outside_the_range_are_refused_in_a_sample_too() -> None:
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        enhance.Equalize()({"image": tv_tensors.Image(2 * torch.ones(3, 8, 8))})


def test_a_plain_tensor_is_given_to_the_function_itself_and_only_once() -> None:
    seen = []
    x = picture()
    assert on_images(lambda y: seen.append(y) or y, x) is x
    assert len(seen) == 1
    assert seen[0] is x


def test_inside_a_network_torchvision_is_not_imported() -> None:
    code = (
        "import sys, torch; from facelight import enhance; enhance.CLAHE()(torch.rand(1, 3, 16, 16)); "
        "print({'torchvision', 'kornia', 'PIL'} & set(sys.modules))"
    )
    done = python("-c", code)
    assert done.stdout == "set()\n", done.stderr
