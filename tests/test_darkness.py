"""Lights at test time: each by hand, the same for a picture wherever it stands, and what is counted under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facelight import illumination
from facelight.data import LandmarkFaces
from facelight_lab.landmarks import lights
from facelight_lab.landmarks.lights import LIGHTS, MAIN, predicted

X = (torch.rand((4, 3, 8, 10), generator=torch.Generator().manual_seed(1)) * 255).round() / 255


def made_up(count: int = 20, size: int = 16, points: int = 68) -> LandmarkFaces:
    """Noise with random landmarks, alternately called HELEN's and LFPW's; outer eye corners half a crop apart."""
    generator = torch.Generator().manual_seed(3)
    landmarks = size * torch.rand((count, points, 2), generator=generator)
    left, right = (36, 45) if points == 68 else (60, 72)
    landmarks[:, left] = landmarks[:, right] - torch.tensor([size / 2, 0])
    return LandmarkFaces(
        image=(255 * torch.rand((count, 3, size, size), generator=generator)).byte(),
        landmarks=landmarks,
        visible=torch.ones(count, points, dtype=torch.bool),
        box=torch.tensor([0.0, 0.0, size, size]).expand(count, 4),
        attributes=torch.zeros(count, 6, dtype=torch.bool),
        name=tuple(f"{'helen' if i % 2 == 0 else 'lfpw'}/testset/{i}" for i in range(count)),
        source="made up",
        sha256="0" * 64,
    )


class Net(nn.Module):
    """Every landmark at the mean of the picture, after batch normalization of the colors and half of it again."""

    def __init__(self, points: int = 68) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean += 0.5
        self.points = points

    def forward(self, x: Tensor) -> Tensor:
        level = 0.5 + 0.2 * self.norm(x).mean((1, 2, 3))
        return level[:, None, None].expand(-1, self.points, 2)


# --- lights


def test_all_that_is_asked_for() -> None:
    factors = ("1.5", "2", "3", "4", "6", "8", "12", "17", "25")
    few = (2, 3, 6, 12, 25)
    names = ["x1", *(f"/{f}" for f in factors), *(f"/{f}{how}" for how in (" unrounded", " linear light") for f in few)]
    names += [f"/{f} noise" for f in (1, *few)] + ["x1.5", "x2", "x3"]
    names += [f"/{f} {side}" for side in ("left", "right") for f in (3, 6, 12, 25)]
    names += [f"/{f} ramp {side}" for side in ("left", "right") for f in (6, 12, 25)]
    names += ["/12 ramp top", "/12 ramp bottom"]
    names += [f"/{f} spot {spot}" for spot in ("upper left", "lower right") for f in (6, 12, 25)]
    names += [*(f"/{f} dappled" for f in (6, 12, 25)), "warm", "cold", "power 0.5", "power 2", "haze 0.3", "haze 0.6"]
    assert list(LIGHTS) == names


@pytest.mark.parametrize("name", LIGHTS)
def test_a_light_is_a_function_of_the_picture_alone(name: str) -> None:
    light = LIGHTS[name]
    before, state = X.clone(), torch.random.get_rng_state()
    y = light(X)
    assert y.shape == X.shape
    assert y.dtype == X.dtype
    assert 0 <= y.min() <= y.max() <= 1
    assert torch.equal(light(X[[2]]), y[[2]])
    shuffled = light(X[[3, 1]].contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(shuffled, y[[3, 1]], rtol=0, atol=1e-6)
    assert torch.equal(X, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    levels = 255 * y
    assert bool(((levels - levels.round()).abs() < 1e-3).all()) == ("unrounded" not in name)


def test_division_by_hand() -> None:
    gray = 255 * X.double()
    for f in (1.5, 3, 17):
        torch.testing.assert_close(255 * LIGHTS[f"/{f:g}"](X).double(), (gray / f).round(), atol=1e-3, rtol=0)
    for f in (2, 3, 25):
        torch.testing.assert_close(255 * LIGHTS[f"/{f:g} unrounded"](X).double(), gray / f, atol=1e-3, rtol=0)
    torch.testing.assert_close(255 * LIGHTS["x1"](X).double(), gray, atol=1e-3, rtol=0)
    torch.testing.assert_close(255 * LIGHTS["x1.5"](X).double(), (1.5 * gray).clamp(max=255).round(), atol=1, rtol=0)
    assert (LIGHTS["x3"](X) == 1).double().mean() > 0.6  # saturated
    light = np.where(X <= 0.04045, X / 12.92, ((X + 0.055) / 1.055) ** 2.4) / 6
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    torch.testing.assert_close(
        LIGHTS["/6 linear light"](X), torch.from_numpy(expected).float(), atol=0.51 / 255, rtol=0
    )


def test_noise_is_that_of_the_camera_and_belongs_to_the_picture() -> None:
    x = torch.full((2, 3, 64, 64), 102 / 255)
    x[1, 0, 0, 0] = 0.6
    y = LIGHTS["/2 noise"](x)
    light = illumination.srgb_to_linear(y[0])
    level = illumination.srgb_to_linear(x[:1, :1, 1:2, 1:2] / 2).item()
    assert light.mean().item() == pytest.approx(level, rel=0.02)
    assert light.std().item() == pytest.approx(math.sqrt(level / 1000 + (2 / 1000) ** 2), rel=0.05)
    assert not torch.equal(y[0, :, 1:], y[1, :, 1:])  # another picture, other noise
    assert torch.equal(LIGHTS["/2 noise"](x.flip(0)), y.flip(0))


def test_noise_is_drawn_alike_for_every_factor() -> None:
    """Where it is black there is only the noise of reading, which no factor changes."""
    x = X[:1].clone()
    x[:, :, ::2] = 0
    one, other = (LIGHTS[f"/{factor} noise"](x)[:, :, ::2] for factor in (2, 12))
    assert one.std() > 0
    assert torch.equal(one, other)


@pytest.mark.parametrize("factor", [3, 12])
def test_a_shadow_darkens_one_half(factor: int) -> None:
    x = torch.full((1, 3, 4, 200), 240 / 255)
    left, right = (255 * LIGHTS[f"/{factor} {side}"](x)[0, 0, 0] for side in ("left", "right"))
    assert left[0].item() == pytest.approx(240 / factor, abs=0.5)
    assert left[-1].item() == pytest.approx(240, abs=0.5)
    assert left[[99, 100]].mean().item() == pytest.approx(240 / math.sqrt(factor), rel=0.02)
    assert bool((left.diff() >= 0).all())
    assert left.diff().max() < 0.06 * 240  # smooth
    torch.testing.assert_close(right, left.flip(0))
    nine = round(200 * (0.5 - 0.05 * math.log(9)))  # where the logistic curve has a tenth left to go
    assert left[nine].item() == pytest.approx(240 * factor**-0.9, rel=0.05)


def test_ramps_spots_casts_powers_and_haze_by_hand() -> None:
    x = torch.full((1, 3, 101, 101), 240 / 255)
    ramp = {side: 255 * LIGHTS[f"/12 ramp {side}"](x)[0, 0] for side in ("left", "right", "top", "bottom")}
    assert torch.equal(ramp["left"], ramp["right"].flip(1))
    assert torch.equal(ramp["top"], ramp["left"].T)
    assert torch.equal(ramp["bottom"], ramp["top"].flip(0))
    expected = torch.tensor([240 / 12, 240 / 12**0.5, 240.0])
    torch.testing.assert_close(ramp["left"][7, [0, 50, 100]], expected.round(), atol=0.01, rtol=0)
    spot = 255 * LIGHTS["/25 spot upper left"](x)[0, 0]
    peak = (spot == spot.max()).nonzero().float().mean(0)
    torch.testing.assert_close(peak, torch.tensor([0.4, 0.35]) * 101 - 0.5, atol=1.0, rtol=0)  # down, across
    assert spot[40, 60].item() == pytest.approx(240 * 25 ** -(1 - math.exp(-0.5)), rel=0.02)  # a deviation away
    other = 255 * LIGHTS["/25 spot lower right"](x)[0, 0]
    torch.testing.assert_close(other, spot.flip(0, 1), atol=1.01, rtol=0)
    assert [round(255 * v.item()) for v in LIGHTS["warm"](x)[0, :, 0, 0]] == [240, 168, 96]
    assert [round(255 * v.item()) for v in LIGHTS["cold"](x)[0, :, 0, 0]] == [96, 168, 240]
    assert round(255 * LIGHTS["power 2"](x)[0, 0, 0, 0].item()) == round(240**2 / 255)
    assert round(255 * LIGHTS["power 0.5"](x)[0, 0, 0, 0].item()) == round((240 * 255) ** 0.5)
    assert round(255 * LIGHTS["haze 0.3"](x * 0)[0, 0, 0, 0].item()) == round(0.3 * 255)
    assert LIGHTS["haze 0.6"](x.new_ones(1, 3, 2, 2)).min() == 1


def test_dappled_light_uses_its_whole_range_and_only_its_depth_depends_on_the_factor() -> None:
    x = torch.ones(1, 3, 64, 64)
    depth = {f: -LIGHTS[f"/{f} dappled"](x)[0].log() / math.log(f) for f in (6, 25)}
    for value in depth.values():
        assert value.min().item() == pytest.approx(0, abs=1e-6)
        assert value.max().item() == pytest.approx(1, abs=0.02)
        assert 0.2 < value.mean() < 0.8
        assert torch.equal(value[0], value[2])  # no color
        assert max(value.diff(dim=dim).abs().max() for dim in (1, 2)) < 0.12  # smooth
    torch.testing.assert_close(depth[6], depth[25], atol=0.05, rtol=0)
    assert not torch.equal(LIGHTS["/6 dappled"](0.5 * x), 0.5 * LIGHTS["/6 dappled"](x))  # each picture its own


# --- the network under a light


def test_predictions_come_back_in_order_whatever_the_batches() -> None:
    faces, model = made_up(), Net().eval()
    light = LIGHTS["/3"]
    expected = model(light(faces.image / 255)).detach()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(5))
    for size, way in ((256, None), (7, None), (3, order)):
        torch.testing.assert_close(predicted(model, faces.image, light, way, size), expected)


def test_statistics_of_the_batch_against_training_mode_and_nothing_is_updated() -> None:
    faces, model = made_up(), Net()
    x = LIGHTS["/6"](faces.image / 255)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with lights.batch_statistics(model):
        found = predicted(model, faces.image, LIGHTS["/6"])
        with pytest.raises(KeyError), lights.batch_statistics(model):
            raise KeyError
    assert model.state_dict().keys() == kept.keys()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert not torch.allclose(found, model.eval()(x))
    torch.testing.assert_close(found, model.train()(x).detach())  # last: it updates


def test_scores_by_hand() -> None:
    target = torch.zeros(2, 68, 2)
    target[:, 45, 0] = 0.5  # the eyes are half a crop apart
    off = torch.tensor([[0.03, 0.04], [0.012, 0.016]])[:, None]  # 0.05 and 0.02
    found = lights.scores(target + off, target)
    assert dict(zip(lights.SCORES, found, strict=True)) == pytest.approx(
        {"image-size": 0.035, "inter-ocular": 0.07, "failures": 0.0, "auc": (0 + 0.6) / 2}, abs=2e-5
    )
    assert lights.scores(target + 3 * off, target)[2] == 1.0


def test_what_is_recorded_against_a_plain_loop() -> None:
    faces, model = made_up(150), Net().eval()
    model.norm.running_var *= 0.1
    found = lights.measure(model, faces)
    assert found.keys() == {"scores", "lights", "batch_statistics", "groups", "ced"}
    assert found["scores"] == ["image-size", "inter-ocular", "failures", "auc"]
    assert found["lights"].keys() == LIGHTS.keys()
    target = (faces.landmarks + 0.5) / 16
    for name in ("x1", "/3", "/6 linear light"):
        with torch.no_grad():
            pred = torch.cat([model(LIGHTS[name](x[None] / 255)) for x in faces.image])
        assert found["lights"][name] == pytest.approx(lights.scores(pred, target), abs=2e-5)
        if name in MAIN:
            part = lights.scores(pred[1::2], target[1::2])
            assert found["groups"]["LFPW"][name] == pytest.approx(part, abs=2e-5)
        if name in found["ced"]:
            eyes = (pred - target).norm(dim=-1).mean(1) / 0.5
            shares = [(eyes <= 0.005 * i + 1e-7).double().mean().item() for i in range(41)]
            assert found["ced"][name] == pytest.approx(shares, abs=0.01)
    assert found["groups"]["HELEN"]["count"] == found["groups"]["LFPW"]["count"] == 75
    assert found["groups"]["HELEN"].keys() == {"count", *MAIN}
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    pred = torch.empty(150, 68, 2)
    with torch.no_grad():
        for part in order.split(50):  # three batches of one size, not 64, 64 and 22
            x = LIGHTS["/6"](faces.image[part] / 255)
            level = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()
            pred[part] = (0.5 + 0.2 * level.mean((1, 2, 3)))[:, None, None].expand(-1, 68, 2)
    assert found["batch_statistics"]["/6"] == pytest.approx(lights.scores(pred, target), abs=3e-5)
    assert found["batch_statistics"].keys() == set(MAIN)


def test_a_network_without_batch_normalization_is_the_same_either_way() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return (self.gain * x.mean((1, 2, 3)))[:, None, None].expand(-1, 98, 2)

    found = lights.measure(Plain(), made_up(6, points=98))
    assert all(found["batch_statistics"][name] == found["lights"][name] for name in MAIN)
