"""bfloat16 where the processor computes in it, and nowhere else."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from every_enhancer import METHODS
from facelight import precision, train
from facelight_lab import results


def on_a_processor(onednn: bool, **instructions: bool):
    """Replace what PyTorch says of the processor."""
    patch = pytest.MonkeyPatch()
    patch.setattr(precision, "_onednn_takes_bfloat16", lambda: onednn)
    patch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **instructions}, raising=False)
    return patch


@pytest.mark.parametrize(
    ("onednn", "instructions", "expected"),
    [
        (True, {"avx512_f": True, "avx512_bf16": True}, True),
        (True, {"avx512_f": True, "amx_bf16": True}, True),
        (True, {"avx512_f": True, "avx512_bf16": False}, False),  # oneDNN emulates it with AVX-512
        (False, {"avx512_bf16": True}, False),  # forbidden by ONEDNN_MAX_CPU_ISA
        (False, {}, False),  # AVX2 only
    ],
)
def test_a_processor_without_instructions_stays_in_float32(onednn, instructions, expected):
    patch = on_a_processor(onednn, **instructions)
    try:
        assert precision.computes_in_bfloat16("cpu") is expected
        with train._precision(torch.device("cpu"), bf16=True) as context:
            assert torch.is_autocast_enabled("cpu") is expected
            assert context is not None
        with train._precision(torch.device("cpu"), bf16=False):
            assert not torch.is_autocast_enabled("cpu")
    finally:
        patch.undo()


def test_older_pytorch_is_asked_for_its_flags(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "_onednn_takes_bfloat16", lambda: True)
    for amx, avx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert precision.computes_in_bfloat16("cpu") is (amx or avx)


def test_onednn_limited_to_avx2_is_believed():
    """The real question to oneDNN, in a process in which it may use AVX2 only."""
    code = "from facelight.precision import computes_in_bfloat16; print(computes_in_bfloat16('cpu'))"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr


def test_a_training_without_bfloat16_is_one_in_float32():
    """Same weights, bit for bit, as with bf16=False."""
    data, target = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3

    def trained(bf16):
        torch.manual_seed(0)
        model = nn.Linear(6, 3)
        recipe = train.Recipe(epochs=2, batch=4, bf16=bf16)
        train.fit(model, lambda i, g: (data[i], target[i]), 8, nn.functional.cross_entropy, recipe)
        return model.weight

    patch = on_a_processor(False)
    try:
        assert torch.equal(trained(True), trained(False))
    finally:
        patch.undo()


def test_devices_without_autocast_are_left_alone():
    x = torch.empty(1, device="meta")
    assert not precision.autocasts(x)
    with precision.no_autocast(x):
        assert (x + 1).device.type == "meta"
    assert not precision.computes_in_bfloat16("meta")
    with torch.autocast("cpu", torch.bfloat16):
        assert precision.autocasts(torch.empty(1))
        with precision.no_autocast(torch.empty(1)):
            assert not precision.autocasts(torch.empty(1))


@pytest.mark.parametrize("native", [True, False])
def test_a_record_says_which_precision_ran(native, monkeypatch):
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda device: native)
    data = {"name": "toy", "sha256": "0", "split": "all", "count": 1}

    def ran(config):
        return results.record("toy", config, {}, data=data, seconds=1.0).provenance["precision"]

    assert ran({"network": {"recipe": {"bf16": True}}}) == ("bfloat16, first layer float32" if native else "float32")
    assert ran({"networks": [{"bf16": True}]}) == ("bfloat16, first layer float32" if native else "float32")
    assert ran({"network": {"recipe": {"bf16": False}}}) == "float32"
    assert ran({"clip_limit": 2.0}) == "float32"


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"clahe, matlab"}))  # which hands out pixels on the CPU
def test_enhancers_run_where_there_are_no_values_and_no_autocast(name):
    x = torch.empty(2, 3, 23, 19, device="meta")
    assert METHODS[name](x).shape == x.shape
