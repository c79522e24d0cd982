"""Labels beside points: they are all written, cover neither points nor each other, and stay inside."""

import math
import random

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Annotation

from facelight import plot


@pytest.fixture
def axes():
    before = matplotlib.get_backend()
    plt.switch_backend("Agg")
    _, axes = plt.subplots(figsize=(6, 4))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    yield axes
    plt.close(axes.figure)
    plt.switch_backend(before)


def written(axes):
    notes = [t for t in axes.texts if isinstance(t, Annotation) and t.get_text()]
    return {t.get_text(): matplotlib.text.Text.get_window_extent(t) for t in notes}


def test_labels_of_crowded_points_overlap_neither_each_other_nor_points(axes):
    x, y = [5.0, 5.1, 5.2, 5.3, 5.0, 5.1, 5.2, 9.9, 0.05], [5.0, 5.1, 5.0, 4.9, 5.2, 5.3, 5.4, 9.9, 0.05]
    labels = [f"label number {i}" for i in range(len(x))]
    axes.plot(x, y, "o")
    plot.label_points(axes, x, y, labels)
    boxes = written(axes)
    assert sorted(boxes) == sorted(labels)
    assert len(axes.texts) > len(labels)  # some are far away and have a line
    points = axes.transData.transform(list(zip(x, y, strict=True)))
    for name, box in boxes.items():
        assert axes.bbox.contains(*box.min)
        assert axes.bbox.contains(*box.max)
        assert not any(box.contains(*point) for point in points)
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)


def test_a_lonely_point_has_its_label_beside_it_and_no_line(axes):
    plot.label_points(axes, [5], [5], ["alone"])
    (note,) = axes.texts
    box, (across, down) = written(axes)["alone"], axes.transData.transform((5, 5))
    assert 0 < box.x0 - across < 12 * axes.figure.dpi / 72
    assert box.y0 < down < box.y1
    assert note.get_text() == "alone"


def test_an_empty_label_is_not_written_but_its_point_stays_free(axes):
    plot.label_points(axes, [5, 5.2], [5, 5], ["here", ""])
    ((name, box),) = written(axes).items()
    assert name == "here"
    assert not box.contains(*axes.transData.transform((5.2, 5)))


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_a_label_without_a_line_is_nearest_to_its_own_point(axes, seed):
    draw = random.Random(seed)
    x, y = ([5 + draw.uniform(-0.25, 0.25) for _ in range(9)] for _ in range(2))
    plot.label_points(axes, x, y, ["in the middle", *[""] * 8])
    ((_, box),) = written(axes).items()
    points = axes.transData.transform(list(zip(x, y, strict=True)))
    away = [math.dist(p, (min(max(p[0], box.x0), box.x1), min(max(p[1], box.y0), box.y1))) for p in points]
    assert min(away) == away[0] or len(axes.texts) == 2


def test_labels_must_be_as_many_as_points(axes):
    with pytest.raises(ValueError, match="expected as many x and y as labels, got 1, 1 and 2"):
        plot.label_points(axes, [1], [1], ["a", "b"])
