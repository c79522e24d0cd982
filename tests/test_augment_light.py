"""Light at random: the numbers that are drawn, what Kornia's base promises, and samples of torchvision."""

import copy
import math
import pickle

import kornia.augmentation as K
import numpy as np
import pytest
import torch
from torch import Tensor

from facelight import augment
from facelight.augment import RandomDarken, RandomRelight, RandomSensorNoise, RandomShade
from facelight.illumination import linear_to_srgb, srgb_to_linear

MAKE = {
    "darken": lambda **more: RandomDarken((1.5, 6.0), **more),
    "darken linear light": lambda **more: RandomDarken((0.5, 6.0), quantize=False, linear_light=True, **more),
    "relight": lambda **more: RandomRelight(**more),
    "relight linear light": lambda **more: RandomRelight(linear_light=True, **more),
    "shade": lambda **more: RandomShade(**{"p": 1.0} | more),
    "shade linear light": lambda **more: RandomShade((0.5, 9.0), linear_light=True, **{"p": 1.0} | more),
    "noise": lambda **more: RandomSensorNoise(**more),
}
every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, dtype: torch.dtype = torch.float32, high: float = 0.9) -> Tensor:
    return 0.1 + (high - 0.1) * torch.rand(count, 3, 12, 10, dtype=dtype, generator=seeded(7))


# values


def test_darken_divides_by_factors_that_are_uniform_in_their_logarithm() -> None:
    x = pictures(3000)[:, :1, :1, :1]
    y = RandomDarken((2.0, 32.0), quantize=False)(x, generator=seeded())
    places = torch.log2(x / y).flatten().sub(1).div(4).sort().values
    assert (places - (torch.arange(3000) + 0.5) / 3000).abs().max() < 0.03  # Kolmogorov's distance
    expected = x / (2 * 16 ** torch.rand(3000, generator=seeded())).view(-1, 1, 1, 1)
    torch.testing.assert_close(y, expected)


def test_darken_rounds_and_brightens_like_its_function() -> None:
    x = torch.full((1, 3, 2, 2), 0.7)
    assert RandomDarken((6.0, 6.0))(x).mul(255).unique().tolist() == [30]  # 178.5 / 6 = 29.75
    assert RandomDarken((0.5, 0.5))(x).unique().tolist() == [1]
    light = RandomDarken((6.0, 6.0), quantize=False, linear_light=True)(x)
    torch.testing.assert_close(srgb_to_linear(light) * 6, srgb_to_linear(x))


def test_relight_by_hand() -> None:
    x = 0.05 * pictures(3, torch.float64)
    y = RandomRelight(0.7, 0.35)(x, generator=seeded(3))
    drawn = seeded(3)
    across, down, gain = (torch.randn(3, generator=drawn).double().numpy()[:, None, None, None] for _ in range(3))
    u, v = np.linspace(-1, 1, 10), np.linspace(-1, 1, 12)[:, None]
    np.testing.assert_allclose(y, x.numpy() * np.exp(0.35 * gain + 0.7 * (across * u + down * v)), rtol=1e-6)


def test_relight_has_the_spread_it_is_given() -> None:
    aug = RandomRelight(0.5, 0.2)
    drawn = aug.forward_parameters((20000, 1, 1, 1), seeded())
    assert drawn["across"].std().item() == pytest.approx(0.5, rel=0.03)
    assert drawn["down"].std().item() == pytest.approx(0.5, rel=0.03)
    assert drawn["gain"].log().std().item() == pytest.approx(0.2, rel=0.03)


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values of a 3x3 grid at the places of a picture, corners on corners: one axis after the other."""
    rows = np.stack([np.interp(np.linspace(0, 2, width), range(3), row) for row in grid])
    return np.stack([np.interp(np.linspace(0, 2, height), range(3), row) for row in rows.T]).T


def test_shade_by_hand() -> None:
    x = pictures(40, torch.float64)
    y = RandomShade((1.0, 25.0), patchy=0.5, p=0.5)(x, generator=seeded(2))
    drawn = seeded(2)
    numbers, places = torch.rand(40, 3, generator=drawn).numpy(), torch.rand(40, 3, 3, generator=drawn).numpy()
    kinds = set()
    for one, out, (gate, kind, strength), grid in zip(x, y, numbers, places, strict=True):
        field = bilinear(grid, 12, 10)
        field = (field - field.min()) / (field.max() - field.min()) if kind < 0.5 else 1
        expected = one.numpy() * 25.0 ** -(strength * field) if gate >= 0.5 else one
        np.testing.assert_allclose(out, expected, rtol=2e-6)
        kinds.add((gate >= 0.5, kind < 0.5))
    assert len(kinds) == 4


def test_patchy_shade_reaches_from_none_to_its_factor_and_leaves_the_numbers_of_an_even_one() -> None:
    x = torch.ones(50, 1, 17, 17)
    patchy = RandomShade((3.0, 25.0), patchy=1.0, p=1.0)(x, generator=seeded())
    even = RandomShade((3.0, 25.0), patchy=0.0, p=1.0)(x, generator=seeded())
    assert torch.equal(even, even[..., :1, :1].expand_as(even))
    torch.testing.assert_close(patchy.amin((1, 2, 3)), even.amin((1, 2, 3)))
    torch.testing.assert_close(patchy.amax((1, 2, 3)), torch.ones(50))
    assert even.min() >= 1 / 25 - 1e-6
    assert even.max() <= 1 / 3 + 1e-6


def test_noise_by_hand_and_none_without_light() -> None:
    x = pictures(2, torch.float64, high=0.7)
    aug = RandomSensorNoise((100.0, 1e4), (1.0, 3.0))
    y = aug(x, generator=seeded())
    photons, read, noise = (aug._params[name].double() for name in ("photons", "read", "noise"))
    light, photons, read = srgb_to_linear(x), photons.view(-1, 1, 1, 1), read.view(-1, 1, 1, 1)
    noisy = (light + (light / photons + read**2 / photons**2).sqrt() * noise).clamp(0, 1)
    torch.testing.assert_close(y, linear_to_srgb(noisy))
    many = aug.forward_parameters((5000, 1, 1, 1), seeded())
    assert many["photons"].log10().mean().item() == pytest.approx(3, abs=0.03)
    assert many["read"].mean().item() == pytest.approx(2, abs=0.03)
    assert abs(many["noise"].std().item() - 1) < 0.03
    black = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(RandomSensorNoise(read=(0.0, 0.0))(black), black, atol=1e-12, rtol=0)


# what every one of them promises


@every
def test_stays_in_range_keeps_dtype_and_changes_each_image_in_its_own_way(make) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = pictures(1, dtype).repeat(4, 1, 1, 1)
        before = x.clone()
        y = make()(x, generator=seeded())
        assert y.dtype == dtype
        assert y.shape == x.shape
        assert 0 <= y.min() <= y.max() <= 1
        assert torch.equal(x, before)
    assert len({tuple(one.flatten().tolist()) for one in y}) == 4


@every
def test_half_precision_is_float32_rounded_at_the_end(make) -> None:
    x = pictures(dtype=torch.bfloat16)
    for aug in (make(), make(p=0.5)):
        assert torch.equal(aug(x, generator=seeded()), aug(x.float(), generator=seeded()).bfloat16())


@every
def test_seeds(make) -> None:
    x, aug = pictures(), make()
    torch.manual_seed(5)
    as_kornia = aug(x)
    assert not torch.equal(aug(x), as_kornia)
    torch.manual_seed(5)
    assert torch.equal(aug(x), as_kornia)
    state = torch.get_rng_state()
    assert torch.equal(aug(x, generator=seeded(5)), as_kornia)
    assert not torch.equal(aug(x, generator=seeded(6)), as_kornia)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone


@every
def test_what_was_drawn_repeats_it_image_by_image(make) -> None:
    x, aug = pictures(), make()
    y = aug(x)
    params = aug._params
    assert torch.equal(aug(x, params=params), y)
    for i in range(len(x)):
        one = {name: value[i : i + 1] for name, value in params.items() if name != "forward_input_shape"}
        torch.testing.assert_close(aug(x[i : i + 1], params=one), y[i : i + 1])


@every
def test_same_on_batch(make) -> None:
    x = pictures(1).repeat(5, 1, 1, 1)
    for p in (1.0, 0.5):
        y = make(same_on_batch=True, p=p)(x, generator=seeded())
        torch.testing.assert_close(y, y[:1].expand_as(y))


@every
def test_the_share_p_is_changed_and_the_rest_is_not_even_looked_at(make) -> None:
    x = pictures(400)
    assert torch.equal(make(p=0.0)(x), x)
    aug = make(p=0.25)
    changed = (aug(x, generator=seeded()) != x).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.07)
    assert torch.equal(changed, aug._params["batch_prob"] > 0.5)
    x[~changed] = float("nan")
    x.requires_grad_()
    y = aug(x, params=aug._params)
    assert torch.equal(y.isnan().flatten(1).all(1), ~changed)
    y[changed].sum().backward()
    assert x.grad[changed].isfinite().all()


@every
def test_one_image_with_and_without_keepdim_and_no_image(make) -> None:
    x = pictures(1)
    y = make()(x, generator=seeded())
    assert torch.equal(make()(x[0], generator=seeded()), y)
    assert torch.equal(make(keepdim=True)(x[0], generator=seeded()), y[0])
    assert make()(x[:0]).shape == (0, 3, 12, 10)
    assert make(same_on_batch=True)(x[:0]).shape == (0, 3, 12, 10)


@every
def test_gradients(make) -> None:
    aug = make()
    x = 0.4 + 0.1 * torch.rand(2, 3, 3, 3, dtype=torch.float64, generator=seeded())
    aug(x, generator=seeded(1))
    params = aug._params
    if aug.flags.get("quantize"):
        x.requires_grad_()
        aug(x, params=params).sum().backward()
        torch.testing.assert_close(x.grad[:, 0, 0, 0], 1 / params["factor"].double())
    else:
        assert torch.autograd.gradcheck(lambda x: aug(x, params=params), (x.requires_grad_(),))


@every
def test_copies_pickles_and_tells_its_settings(make) -> None:
    x, aug = pictures(), make()
    y = aug(x, generator=seeded())
    for other in (copy.deepcopy(aug), pickle.loads(pickle.dumps(aug))):
        assert torch.equal(other(x, generator=seeded()), y)
    for name, value in aug.flags.items():
        assert f"{name}={value}" in repr(aug)


@every
def test_in_augmentation_sequential_only_the_picture_changes(make) -> None:
    x, points = pictures(), 10 * torch.rand(4, 68, 2, generator=seeded())
    boxes = torch.tensor([[[1.0, 1.0], [8.0, 1.0], [8.0, 9.0], [1.0, 9.0]]]).repeat(4, 1, 1)[:, None]
    mask = (x[:, :1] > 0.5).float()
    chain = K.AugmentationSequential(make(p=0.5), data_keys=["input", "keypoints", "bbox", "mask"])
    torch.manual_seed(0)
    y, *rest = chain(x, points, boxes, mask)
    for found, expected in zip(rest, (points, boxes, mask), strict=True):
        torch.testing.assert_close(found, expected)
    changed = (y != x).flatten(1).any(1)
    assert changed.any()
    assert torch.equal(chain(x, points, boxes, mask, params=chain._params)[0], y)


def test_light_and_moves_of_kornia_compose_with_landmarks() -> None:
    x, points = pictures(), 9 * torch.rand(4, 68, 2, generator=seeded())
    chain = K.AugmentationSequential(
        RandomDarken((2.0, 2.0), quantize=False), K.RandomHorizontalFlip(p=1.0), data_keys=["input", "keypoints"]
    )
    y, moved = chain(x, points)
    torch.testing.assert_close(y, x.flip(-1) / 2)
    torch.testing.assert_close(moved, torch.stack([9 - points[..., 0], points[..., 1]], -1))


def test_samples_of_torchvision() -> None:
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    from torchvision.transforms import v2

    points = torch.rand(68, 2)
    row = {"image": tv_tensors.Image(pictures()[0]), "landmarks": points, "name": "a.png"}
    out = v2.Compose([v2.RandomHorizontalFlip(0.0), RandomDarken((2.0, 2.0), quantize=False)])(row)
    assert type(out["image"]) is tv_tensors.Image
    torch.testing.assert_close(out["image"].as_subclass(Tensor), pictures()[0] / 2)
    assert out["landmarks"] is points
    assert out["name"] == "a.png"


# errors and the import


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomDarken((0.0, 2.0)), r"factor: expected \(least, greatest\) with 0 < least <= greatest, finite"),
        (lambda: RandomDarken((3.0, 2.0)), "factor: expected"),
        (lambda: RandomDarken((1.0, math.inf)), "factor: expected"),
        (lambda: RandomDarken(p=1.5), r"p: expected a probability in \[0, 1\], got 1.5"),
        (lambda: RandomRelight(-1.0), "slope: expected a standard deviation >= 0, finite, got -1.0"),
        (lambda: RandomRelight(gain=math.nan), "gain: expected a standard deviation >= 0, finite, got nan"),
        (lambda: RandomShade(patchy=2.0), r"patchy: expected a share in \[0, 1\], got 2.0"),
        (lambda: RandomShade((-1.0, 2.0)), "factor: expected"),
        (lambda: RandomSensorNoise((0.0, 10.0)), "photons: expected"),
        (lambda: RandomSensorNoise(read=(-1.0, 2.0)), r"read: expected \(least, greatest\) with 0 <= least"),
    ],
)
def test_settings_out_of_range(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@every
def test_images_out_of_range(make) -> None:
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\].*divide 8-bit images by 255"):
        make()(255 * pictures())


def test_all_names_are_there_and_others_are_not() -> None:
    assert set(augment.__all__) <= set(dir(augment))
    for name in augment.__all__:
        assert getattr(augment, name).__module__.startswith("facelight.augment.")
    with pytest.raises(AttributeError, match="RandomBrighten"):
        augment.RandomBrighten
