"""One look for each method: it can be told from the others, by every reader, on white."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.markers import MarkerStyle

from facelight_lab import style
from facelight_lab.enhancers import FAMILY
from facelight_lab.landmarks import beyond
from facelight_lab.recognition.competitors import METHODS
from facelight_lab.stems import VARIANTS

TABLES = {
    "layers": style.FIRST_LAYERS,
    "enhancers": style.ENHANCERS,
    "families": style.FAMILIES,
    "recognizers": style.RECOGNIZERS,
    "losses": style.LOSSES,
}

# Machado, Oliveira, Fernandes (2009), doi:10.1109/TVCG.2009.113: linear light as it is seen without one kind of cone.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear_light(color):
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast_with_white(color):
    return 1.05 / (linear_light(color) @ [0.2126, 0.7152, 0.0722] + 0.05)


def cielab(light):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one, other):
    """The least difference of two colors over the kinds of sight, CIE 1976."""
    seen = [[cielab((np.array(m) @ linear_light(c)).clip(0, 1)) for c in (one, other)] for m in SIGHT.values()]
    return min(np.linalg.norm(a - b) for a, b in seen)


def test_the_measures_of_color_are_the_standard_ones():
    assert contrast_with_white("#000000") == pytest.approx(21)
    assert contrast_with_white("#767676") == pytest.approx(4.54, abs=0.01)
    assert cielab(linear_light("#FF0000")) == pytest.approx([53.2, 80.1, 67.2], abs=0.3)
    assert apart("#FFFFFF", "#000000") == pytest.approx(100, abs=1)
    assert (
        apart("#D02020", "#108010")
        < 25
        < np.linalg.norm(cielab(linear_light("#D02020")) - cielab(linear_light("#108010")))
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_two_methods_look_alike_or_have_one_name(table):
    looks = [(s.color.lower(), s.mark, s.filled) for s in table.values()]
    assert len(set(looks)) == len(looks)
    labels = [s.label for s in table.values()]
    assert len(set(labels)) == len(labels)
    assert not [label for label in labels if label != label.strip() or "ours" in label.lower()]


@pytest.mark.parametrize("name", ["layers", "families", "recognizers", "losses"])
def test_colors_can_be_told_apart_and_seen(name):
    table = TABLES[name]
    for one in table.values():
        assert contrast_with_white(one.color) >= 3, one
        MarkerStyle(one.mark)
    for one, other in itertools.combinations(table.values(), 2):
        assert apart(one.color, other.color) >= 14, (one, other)
        assert one.mark != other.mark or one.filled != other.filled, (one, other)


def test_every_first_layer_that_chapters_compare_has_a_style_and_no_unknown_one_does():
    names = {name.removesuffix(" evenly").removesuffix(", lit") for name in style.FIRST_LAYERS}
    assert names <= set(VARIANTS)
    assert {*beyond.HEADLINE, *beyond.REFERENCES, "linear, lit", "ln(1 + x), gamma fixed"} <= set(style.FIRST_LAYERS)


def test_every_enhancer_has_the_color_of_its_family_and_a_label_that_can_stand_in_a_list():
    assert list(style.ENHANCERS) == list(FAMILY)
    for name, one in style.ENHANCERS.items():
        assert one.color == style.FAMILIES[style.family(name)].color
        assert "," not in one.label
    assert style.enhancer("GBIE, corrected").label == "GBIE (corrected)"


def test_every_method_of_recognition_in_a_figure_has_a_style():
    assert set(METHODS) - {"pca", "ridge without offset"} <= set(style.RECOGNIZERS)


@pytest.mark.parametrize("look", [style.layer, style.enhancer, style.recognizer, style.loss])
def test_an_unknown_method_is_refused_with_the_place_to_put_it(look):
    with pytest.raises(KeyError, match="'nothing like it' has no style yet: give it a line"):
        look("nothing like it")


def test_a_style_is_drawn():
    figure, axes = plt.subplots()
    one = style.layer("linear, lit")
    (line,) = axes.plot([0, 1], **one.as_line())
    (points,) = axes.plot([0, 1], **one.as_points(ms=9))
    assert (line.get_label(), line.get_color(), line.get_marker()) == (one.label, one.color, "")
    assert (points.get_linestyle(), points.get_marker(), points.get_markersize()) == ("None", one.mark, 9)
    assert points.get_markerfacecolor() == "white"
    plt.close(figure)
