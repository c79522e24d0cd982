"""An enhancer as a value: called, compared, hashed, recorded, and refused when it is none."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from every_enhancer import SETTINGS
from facelight import enhance
from facelight_lab import results
from facelight_lab.enhancement.preprocessing import Preprocessing
from facelight_lab.enhancers import FAMILY, SIGNED, Enhancer, clahe, fingerprint, is_signed, modified_clahe, names


def picture() -> torch.Tensor:
    return torch.rand((2, 1, 40, 36), generator=torch.Generator().manual_seed(0))


def test_it_calls_the_function_with_its_settings():
    x = picture()
    assert torch.equal(Enhancer()(x), x)
    assert torch.equal(Enhancer("equalize")(x), enhance.equalize(x))
    expected = enhance.clahe(x, 3.0, (2, 3), convention="opencv")
    assert torch.equal(clahe(3.0, convention="opencv", grid_size=(2, 3))(x), expected)
    assert not torch.equal(clahe(2.0, convention="opencv", grid_size=(2, 3))(x), expected)


def test_equal_settings_are_equal_hash_alike_and_share_a_key():
    one, other = clahe(2), Enhancer("clahe", {"grid_size": [8, 8], "convention": "matlab", "clip_limit": 2.0})
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, clahe(3.0), modified_clahe(2.0)}) == 3
    key = results.key("demo", dataclasses.asdict(Preprocessing(enhancer=one)))
    assert key == results.key("demo", dataclasses.asdict(Preprocessing(enhancer=other)))
    assert key != results.key("demo", dataclasses.asdict(Preprocessing(enhancer=clahe(3.0))))


def test_it_comes_back_from_a_record(tmp_path):
    config = Preprocessing("pie", modified_clahe(0.02, stages=3))
    item = results.record("demo", config, {}, data=dict.fromkeys(("name", "sha256", "split", "count")), seconds=0)
    written = json.loads(results.save(item, tmp_path).read_text())["config"]["enhancer"]
    assert written == {
        "name": "modified_clahe",
        "settings": {"clip_limit": 0.02, "convention": "matlab", "grid_size": [8, 8], "stages": 3},
    }
    assert Enhancer(**written) == config.enhancer


def test_variants_leave_the_original_alone():
    first = clahe(0.01)
    assert first.but(clip_limit=0.02) == clahe(0.02)
    assert first == clahe(0.01)
    settings = {"clip_limit": 1.0}
    kept = Enhancer("clahe", settings)
    settings["clip_limit"] = 2.0
    assert kept.settings["clip_limit"] == 1.0


def test_the_family_is_a_part_of_what_there_is_and_has_no_twins():
    assert len(set(FAMILY.values())) == len(FAMILY) == 22
    assert {e.name for e in FAMILY.values()} <= set(names())


def test_signed_are_those_of_the_family_with_a_neutral_value():
    assert {e.name for e in FAMILY.values() if is_signed(e)} == set(SIGNED)


MEASURED = {enhancer.name for enhancer in FAMILY.values()}
ALL = FAMILY | {name: Enhancer(name, SETTINGS[name]) for name in names() if name not in MEASURED}


@pytest.mark.parametrize("label", ALL)
def test_every_enhancer_keeps_shape_type_and_range(label):
    x = picture()
    y = ALL[label](x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.min() >= 0
    assert y.max() <= 1
    if label != "Input":
        assert not torch.allclose(y, x, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Enhancer("he"), "enhancer: expected one of 'identity'"),
        (lambda: Enhancer("clip_count"), "enhancer: expected one of 'identity'"),
        (lambda: Enhancer("identity", {"sigma": 1.0}), r"identity does not know \['sigma'\]; it takes no settings"),
        (lambda: Enhancer("gbie", {"size": 1}), r"gbie does not know \['size'\]; it takes sigma"),
        (lambda: Enhancer("gamma"), "gamma needs gamma: give it a value"),
        (lambda: clahe().but(x=1), r"clahe does not know \['x'\]; it takes clip_limit, grid_size"),
    ],
)
def test_what_is_no_enhancer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_fingerprints_tell_the_family_apart_and_notice_a_changed_default():
    found = {label: tuple(fingerprint(enhancer)) for label, enhancer in FAMILY.items()}
    # Without a limit that clips, CLAHE is AHE; the fixed picture has no tall bins.
    same = {"AHE", "CLAHE 40, OpenCV"}
    assert len(set(found.values())) == len(found) - 1
    assert len({found[label] for label in same}) == 1
    assert fingerprint(Enhancer("tan_triggs", {"gamma": 0.21})) != list(found["Tan-Triggs"])
    assert fingerprint(Enhancer("log_contrast", {"window": 9})) != list(found["ln minus local mean"])
    assert fingerprint(FAMILY["HE"]) == list(found["HE"])
