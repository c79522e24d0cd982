"""Experiment "map": its runs and controls, light and noise of training, and that older records keep their keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from facelight import augment
from facelight.data import w300
from facelight.data.crops import BoxRule
from facelight_lab import experiments, fingerprints, plan, results, stems
from facelight_lab.first_layers import LearnedCurve, LogMinusMean
from facelight_lab.landmarks import face_sets, grid, regressor
from facelight_lab.landmarks import map as lab_map
from facelight_lab.landmarks.regressor import Network, ScaleShift2d
from facelight_lab.landmarks.settings import SEEDS, Landmarks
from facelight_lab.landmarks.training_light import Jitter, TrainingLight, TrainingNoise
from facelight_lab.stems import LOCAL

RUNS = lab_map.configs("laptop")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gray(count: int = 400, level: float = 0.5) -> Tensor:
    return torch.full((count, 3, 8, 8), level)


def changed(x: Tensor, y: Tensor) -> Tensor:
    return (x != y).flatten(1).any(1)


# --- settings that came later


def test_a_setting_that_came_later_is_written_only_where_it_says_something():
    light = {"darkest": 25.0, "local": True}
    plain = results.settings(Landmarks(light=TrainingLight(local=True)))
    assert plain["light"] == light
    assert not {"duplicates"} & plain.keys()
    assert "norm" not in plain["network"]
    told = results.settings(Landmarks(light=TrainingLight(local=True, share=0.8), network=Network(norm="group")))
    assert told["light"] == light | {"share": 0.8}
    assert told["network"]["norm"] == "group"
    assert results.settings(replace(Landmarks(), duplicates=False))["duplicates"] is False


def test_the_key_is_that_of_what_is_written():
    config = Landmarks(light=lab_map.SEEN)
    assert results.key("map", config, 0) == results.key("map", results.settings(config), 0)
    assert results.key("map", config) != results.key("map", replace(config, light=lab_map.LIT))


# --- light, noise and color of training


def test_shades_have_their_share_and_range():
    y = TrainingLight(12.0, least=3.0, share=0.8).of(gray(), generator())
    shaded = changed(gray(), y)
    assert 0.74 < shaded.float().mean() < 0.86
    factors = (gray() / y)[shaded]
    assert factors.amin() >= 3 - 1e-4
    assert factors.amax() <= 12 + 1e-3
    plain = augment.RandomShade(p=0.5)(gray(), generator=generator())
    assert torch.equal(TrainingLight(local=True).of(gray(), generator()), plain)


def test_a_camera_sees_a_share_of_all_pictures_shaded_or_not():
    light = TrainingLight(noise=TrainingNoise(share=0.5))
    y = light.of(gray(), generator())
    noisy = y.flatten(1).std(1) > 1e-4
    shaded = y.flatten(1).mean(1) < 0.49
    assert 0.43 < noisy.float().mean() < 0.57
    assert 0.4 < noisy[shaded].float().mean() < 0.6
    assert 0.4 < noisy[~shaded].float().mean() < 0.6


def test_noise_is_that_of_the_electrons():
    few, many = (TrainingNoise(1.0, (n, n)).of(gray(4), generator()).std().item() for n in (500.0, 20_000.0))
    assert few / many == pytest.approx(40**0.5, rel=0.15)  # nearly all of it is shot noise
    assert torch.equal(TrainingNoise(0.0).of(gray(4), generator()), gray(4))


def test_jitter_is_torchvision_s_and_each_picture_has_its_own():
    x = torch.rand(6, 3, 8, 8, generator=generator(1))
    y = Jitter(0.4, 0.0, 0.0, 0.0).of(x, generator())
    factors = (y / x).flatten(1).amax(1)
    assert len(factors.unique()) == 6
    assert ((factors >= 0.6 - 1e-5) & (factors <= 1.4 + 1e-5)).all()
    assert torch.allclose(y, (x * factors.view(-1, 1, 1, 1)).clamp(max=1))
    assert torch.equal(Jitter().of(x, generator()), Jitter().of(x, generator()))  # of its generator only


def test_a_power_of_the_gray_levels_is_uniform_in_its_logarithm():
    powers = Jitter(0, 0, 0, 0, gamma=2.0).of(gray(), generator()).log().flatten(1)[:, 0] / torch.tensor(0.5).log()
    assert powers.amin() >= 0.5 - 1e-5
    assert powers.amax() <= 2 + 1e-5
    assert abs((powers > 1).float().mean() - 0.5) < 0.08


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    for light in (lab_map.SEEN, Jitter(gamma=2.0)):
        light.of(gray(3), generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (TrainingLight, {"share": 1.1}, "share: expected a share in"),
        (TrainingLight, {"least": 0.5}, "least: expected a number to divide by, from 1 to darkest"),
        (TrainingLight, {"darkest": 3.0, "least": 4.0}, "least: .* got 4.0"),
        (TrainingNoise, {"share": -0.1}, "share: expected a share in"),
        (TrainingNoise, {"photons": (0.0, 5.0)}, "photons: expected .* 0 < least"),
        (TrainingNoise, {"photons": (9.0, 5.0)}, "photons: expected"),
        (TrainingNoise, {"read": -1.0}, "read: expected electrons"),
        (Jitter, {"brightness": -1.0}, "brightness: expected a number >= 0"),
        (Jitter, {"hue": 0.6}, r"hue: expected a number in \[0, 0.5\]"),
        (Jitter, {"gamma": 0.5}, "gamma: expected the greatest power"),
        (Network, {"norm": "layer"}, "norm: expected one of 'batch', 'group', 'none'"),
    ],
)
def test_bad_settings_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


# --- networks of the controls


@pytest.mark.parametrize("norm", regressor.NORMS)
def test_another_normalization_leaves_the_kernels_alone(norm):
    torch.manual_seed(0)
    base = regressor.build("linear", Network(head_width=32), 68)
    torch.manual_seed(0)
    model = regressor.build("linear", Network(head_width=32, norm=norm), 68)
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "none": ScaleShift2d}
    count = sum(isinstance(m, nn.BatchNorm2d) for m in base.modules())
    assert sum(isinstance(m, kinds[norm]) for m in model.modules()) == count > 10
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == (count if norm == "batch" else 0)
    kernels = [name for name, p in base.named_parameters() if p.ndim > 3]
    assert all(torch.equal(base.get_parameter(name), model.get_parameter(name)) for name in kernels)


def test_without_normalization_a_block_starts_as_what_it_gets():
    model = regressor.build("linear", Network(head_width=32, norm="none"), 68)
    block = model.body.get_submodule("layer1.0")
    x = torch.rand(1, 64, 8, 8)
    assert torch.equal(block(x), x)


def test_a_learned_curve_starts_as_the_identity_and_stays_in_range():
    layer, x = LearnedCurve(), torch.rand(2, 3, 12, 12)
    assert torch.equal(layer(x), x)
    nn.init.normal_(layer.maps[4].weight, std=3.0)
    y = layer(x)
    assert not torch.equal(y, x)
    assert 0 <= y.amin() <= y.amax() <= 1
    assert layer(torch.zeros_like(x)).abs().max() == 0  # black stays black


def test_logarithms_minus_their_mean_ignore_a_factor_but_no_ramp():
    x = 0.2 + 0.8 * torch.rand(2, 3, 8, 8)
    layer = LogMinusMean(1e-6)
    assert torch.allclose(layer(x / 6), layer(x), atol=1e-4)
    assert (layer(x * torch.linspace(1, 1 / 6, 8)) - layer(x)).abs().max() > 0.5
    assert layer(x).mean((1, 2, 3)).abs().max() < 1e-5


@pytest.mark.parametrize("variant", ["linear", LOCAL])
def test_repeated_edges_change_the_border_only(variant):
    x = torch.rand(1, 3, 64, 64)
    maps = []
    for name in (variant, f"{variant}, edges repeated"):
        torch.manual_seed(0)
        model = regressor.build(name, Network(head_width=32), 68)
        maps.append(model.body.get_submodule("conv1")(model.normalize(x)))
    inner = (..., slice(2, -2), slice(2, -2))
    assert torch.allclose(maps[0][inner], maps[1][inner], atol=1e-6)
    assert (maps[0] - maps[1]).abs().max() > 0.01


# --- runs


def test_runs_of_the_headline_have_six_seeds_and_all_leave_the_duplicate_out():
    main = [run for run in RUNS if run.part == "test" and run.recipe == lab_map.RECIPE and run.size == 64]
    for variant in lab_map.HEADLINE:
        for light in lab_map.LIGHTS:
            kind = [r for r in main if (r.variant, r.light, r.network) == (variant, light, Network())]
            assert [run.seed for run in kind] == [*SEEDS]
    assert not any(run.duplicates for run in RUNS)
    assert {*lab_map.CONTROLS} <= {run.variant for run in main}
    assert {*lab_map.CONTROLS, *lab_map.HEADLINE} <= {*stems.VARIANTS}
    assert all(run.part == "validation" for run in RUNS if run.light in lab_map.TRIED[1:])  # chosen on faces held out


def test_the_plan_lists_minutes(monkeypatch, tmp_path, request):
    monkeypatch.chdir(request.config.rootpath)
    assert all(run.minutes is not None for run in plan.runs("map", "laptop"))


def test_every_kind_of_run_trains_three_steps_of_its_own():
    kinds = [run for run in RUNS if run.seed == 0 and run.size == 64 and run.recipe == lab_map.RECIPE]
    kinds = [run for run in kinds if run.light in (None, lab_map.SEEN, *lab_map.JITTERS)]
    kinds += [run for run in RUNS if run.variant == "linear" and run.light in lab_map.TRIED[1:]]
    found = [tuple(fingerprints._located(run)["steps"]) for run in kinds]
    assert len(set(found)) == len(found) == 2 * len(lab_map.HEADLINE) + len(lab_map.CONTROLS) + 2 + 4 + 5
    assert all(value is not None for steps in found for value in steps)


def test_a_run_is_measured_on_the_whole_map():
    config = lab_map.configs("book")[1]
    (found,) = experiments.run("map", "book", only=[results.key("map", config, 0)])
    assert grid.unpacked(found.metrics["map"]["errors"], grid.GROUPS).shape == (123, 24)
    assert found.config["light"]["noise"] == {"share": 0.5, "photons": [500.0, 20_000.0], "read": 2.0}
    assert set(found.metrics["lights"]) == set(lab_map.UNDER)
    assert not {"groups", "ced", "batch_statistics"} & found.metrics.keys()


@pytest.mark.realdata
def test_the_duplicate_is_one_picture_in_both_parts(w300_root):
    train, test = w300.load("train", w300_root, partial=True), w300.load("common", w300_root)
    twin = face_sets.DUPLICATES[0]
    kept = face_sets.without_duplicates(train)
    assert len(train) - len(kept) == 1
    pair = [train.select([train.name.index(twin)])]
    pair += [test.select([test.name.index(f"lfpw/testset/image_{number}")]) for number in ("0096", "0097")]
    same = torch.corrcoef(torch.stack([face_sets.crop(face, 64, BoxRule()).image.float().flatten() for face in pair]))
    assert same[0, 1] > 0.97 > 0.8 > same[0, 2]
