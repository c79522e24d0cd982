"""Networks in files: what is written is read again, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision
from torch import nn

from facelight import bodies, weights
from facelight.weights import ModelCard, ModelFileError, load_model, save_model

SMALL = ModelCard(size=32, head_width=8, grid=1, errors={"held out": 0.1}, data="noise", license="CC0-1.0")


@pytest.fixture
def file(tmp_path):
    save_model(tmp_path / "model.pt", SMALL.network(), SMALL)
    return tmp_path / "model.pt"


@pytest.mark.parametrize("stem", weights.STEMS)
@pytest.mark.parametrize("scheme", ["wflw98", "w300_68"])
def test_a_network_and_its_card_come_back(tmp_path, stem, scheme):
    card = dataclasses.replace(SMALL, stem=stem, scheme=scheme)
    model = card.network().eval()
    x = torch.rand(2, 3, 32, 32)
    digest = save_model(tmp_path / "model.pt", model, card)
    again, read = load_model(tmp_path / "model.pt")
    assert read == card
    assert not again.training
    assert torch.allclose(again(x), model(x), atol=0.01)  # float16
    assert save_model(tmp_path / "same.pt", again, read) == digest  # float16 numbers stay what they are
    assert torch.equal(load_model(tmp_path / "same.pt")[0](x), again(x))


def test_the_first_layer_is_the_recommended_one():
    x = torch.rand(1, 3, 32, 32)
    light, linear = (dataclasses.replace(SMALL, stem=stem).network().eval() for stem in ("light", "linear"))
    assert torch.allclose(light.body.conv1(x / 2 + 0.5), light.body.conv1(x / 4 + 0.25), atol=0.02)
    assert not torch.allclose(linear.body.conv1(x), linear.body.conv1(x / 2), atol=0.02)


def test_the_network_that_is_trained_by_default_is_small(tmp_path):
    card = ModelCard()
    model = card.network()
    save_model(tmp_path / "model.pt", model, card)
    assert sum(p.numel() for p in model.parameters()) <= 2.4e6
    assert (tmp_path / "model.pt").stat().st_size <= 5e6


def test_the_small_body_is_a_part_of_torchvisions():
    small, large = bodies.SmallBody().eval(), torchvision.models.resnet18().eval()
    large.layer3, large.layer4, large.fc = large.layer3[:1], nn.Identity(), nn.Linear(256, 1000)
    large.load_state_dict(small.state_dict())
    x = torch.rand(2, 3, 40, 40)
    assert torch.equal(small(x), large(x))


def test_names_of_landmarks():
    assert ModelCard().points[60] == "eyes 0"
    assert len(set(ModelCard(scheme="w300_68").points)) == 68
    with pytest.raises(ValueError, match="scheme: expected"):
        ModelCard(scheme="five")
    with pytest.raises(ValueError, match="stem: expected"):
        ModelCard(stem="log")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such model file; train one with: facelight train landmarks"):
        load_model(tmp_path / "model.pt")


def test_files_of_other_programs(tmp_path):
    text, state, whole = tmp_path / "a.onnx", tmp_path / "b.pt", tmp_path / "c.pt"
    text.write_bytes(b"\x08\x0a not a zip")
    torch.save(torchvision.models.squeezenet1_1().state_dict(), state)
    torch.save(nn.Linear(2, 2), whole)  # objects: code would run to read them
    with pytest.raises(ModelFileError, match=r"a\.onnx: not a model file of facelight"):
        load_model(text)
    with pytest.raises(ModelFileError, match=r"b\.pt: weights of another network"):
        load_model(state)
    with pytest.raises(ModelFileError, match=r"c\.pt: a file of another program"):
        load_model(whole)


def test_damaged_files(file):
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ModelFileError, match="cut short or damaged"):
        load_model(file)
    state = _state(raw, file)
    state["weights"]["body.conv1.0.weight"][0, 0, 0, 0] += 1
    torch.save(state, file)
    with pytest.raises(ModelFileError, match="not those of its sha256"):
        load_model(file)


def test_a_file_of_a_later_version(file):
    state = _state(file.read_bytes(), file)
    torch.save(state | {"version": 2}, file)
    with pytest.raises(ModelFileError, match=r"version 2 .* reads 1: pip install --upgrade facelight"):
        load_model(file)


def test_a_card_that_lacks_something(file):
    state = _state(file.read_bytes(), file)
    del state["weights"]["body.conv1.0.weight"]
    state["sha256"] = weights._digest(state["weights"], state["card"])
    torch.save(state, file)
    with pytest.raises(ModelFileError, match="not a whole model"):
        load_model(file)


def test_another_network_is_not_written_under_this_card(tmp_path):
    with pytest.raises(ValueError, match=r"start from card\.network"):
        save_model(tmp_path / "model.pt", dataclasses.replace(SMALL, head_width=9).network(), SMALL)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_file_that_was_there(file, monkeypatch):
    before = file.read_bytes()

    def half(state, stream):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_model(file, SMALL.network(), SMALL)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def _state(raw, file):
    file.write_bytes(raw)
    return torch.load(file, weights_only=True)
