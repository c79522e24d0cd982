"""Labels beside points: they are all written, cover neither points nor each other, and stay inside."""

import base64
import io
import itertools

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from PIL import Image

from facelight_lab import plot, style


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
    return {t.get_text(): t.get_window_extent() for t in axes.texts if t.get_text()}


def test_labels_of_crowded_points_overlap_neither_each_other_nor_points(axes):
    x, y = [2.0, 2.1, 2.2, 5.3, 5.0, 8.1, 8.2, 9.9, 0.05], [5.0, 5.1, 5.0, 4.9, 5.2, 5.3, 5.4, 9.9, 0.05]
    labels = [f"label {i}" for i in range(len(x))]
    axes.plot(x, y, "o")
    plot.label_points(axes, x, y, labels)
    boxes = written(axes)
    assert sorted(boxes) == sorted(labels)
    points = axes.transData.transform(list(zip(x, y, strict=True)))
    for name, box in boxes.items():
        assert axes.bbox.contains(*box.min)
        assert axes.bbox.contains(*box.max)
        assert not any(box.contains(*point) for point in points)
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)


def test_an_empty_label_is_not_written_but_its_point_stays_free(axes):
    plot.label_points(axes, [5, 5.4], [5, 5], ["here", ""])
    ((name, box),) = written(axes).items()
    assert name == "here"
    assert not box.contains(*axes.transData.transform((5.4, 5)))


def test_the_same_figure_twice(axes):
    places = []
    for _ in range(2):
        figure, again = plt.subplots()
        plot.label_points(again, [0.5, 0.51, 0.52], [0.5, 0.51, 0.5], ["one", "two", "three"])
        places.append([box.min for box in written(again).values()])
        plt.close(figure)
    for first, second in zip(*places, strict=True):
        assert second == pytest.approx(first)


def test_labels_must_be_as_many_as_points(axes):
    with pytest.raises(ValueError, match="expected as many x and y as labels, got 1, 1 and 2"):
        plot.label_points(axes, [1], [1], ["a", "b"])


def test_factors_stand_at_their_ticks_and_nothing_else_does(axes):
    axes.plot([1.5, 25], [1, 1])
    plot.factor_axis(axes, (1.5, 6, 25))
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1.5", "6", "25"]
    assert axes.get_xscale() == "log"
    assert len(axes.xaxis.get_minorticklocs()) == 0


def test_one_legend_has_each_label_once():
    figure, axes = plt.subplots(1, 2, layout="constrained")
    for ax, names in zip(axes, (("a", "b"), ("b", "c")), strict=True):
        for name in names:
            ax.plot([0, 1], label=name)
    plot.legend_below(figure, columns=3)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    plt.close(figure)


def test_ranges_reach_from_the_least_to_the_greatest_run_around_the_mean(axes):
    values = pd.DataFrame({"x1": [1.0, 2.0, 6.0], "/6": [4.0, 4.0, 4.0]})
    plot.ranges(axes, {"linear": values, "ln(1 + x)": values + 1})
    points, _, (bars,) = axes.containers[0]
    assert points.get_xydata().tolist() == [[pytest.approx(-0.2), 3.0], [pytest.approx(0.8), 4.0]]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1.0, 6.0], [4.0, 4.0]]
    assert axes.containers[1][0].get_marker() == style.layer("ln(1 + x)").mark
    assert [one.get_label() for one in axes.containers] == ["plain network", "log layer"]
    assert axes.containers[1][0].get_xdata()[0] == pytest.approx(0.2)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x1", "/6"]


def test_a_band_is_the_mean_within_the_range_over_runs(axes):
    values = pd.DataFrame({"x1": [1.0, 2.0, 6.0], "/6": [4.0, 4.0, 7.0]})
    plot.band(axes, [1, 6], {"linear": values})
    (line,), (shade,) = axes.lines, axes.collections
    assert (line.get_xydata().tolist(), line.get_label()) == ([[1, 3], [6, 5]], "plain network")
    corners = {tuple(corner) for corner in shade.get_paths()[0].vertices.tolist()}
    assert corners == {(1, 1), (1, 6), (6, 4), (6, 7)}


def test_curves_are_labeled_lines_without_markers_over_one_x(axes):
    lines = {"rising": [1.0, 2.0], "falling": [2.0, 1.0]}
    plot.curves(axes, [1, 10], lines, styles={"falling": {"color": "black"}}, xscale="log", ylabel="y (m)")
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 1], [10, 2]], [[1, 2], [10, 1]]]
    assert {line.get_marker() for line in axes.lines} == {""}
    assert axes.lines[1].get_color() == "black" != axes.lines[0].get_color()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)
    assert (axes.get_xscale(), axes.get_ylabel()) == ("log", "y (m)")


def test_curves_do_without_a_legend(axes):
    plot.curves(axes, [0, 1], {"alone": [0, 1]}, legend=False)
    assert axes.get_legend() is None


def test_a_legend_of_curves_has_a_title(axes):
    plot.curves(axes, [0, 1], {"two": [0, 2]}, legend={"title": "slope"})
    assert axes.get_legend().get_title().get_text() == "slope"


def test_a_frame_is_drawn_as_curves_and_each_point_has_a_mark_where_asked(axes):
    with plt.rc_context({"lines.marker": "s"}):
        plot.curves(axes, [1, 2], pd.DataFrame({"a": [3, 4], "b": [5, 6]}), markers=True)
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 4], [5, 6]]
    assert {line.get_marker() for line in axes.lines} == {"s"}


def test_a_line_may_be_shown_by_another_name(axes):
    plot.curves(axes, [0, 1], {"linear": [0, 1]}, styles={"linear": style.layer("linear").as_line()})
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["plain network"]


def test_labels_at_the_ends_of_lines_have_their_colors_and_do_not_overlap(axes):
    for name, end in (("a", 5.0), ("b", 5.05), ("c", 5.1), ("d", 9.0), ("_hidden", 1.0)):
        axes.plot([0, 10], [0, end], label=name)
    plot.label_ends(axes)
    boxes = written(axes)
    assert sorted(boxes) == ["a", "b", "c", "d"]
    assert [text.get_color() for text in axes.texts] == [
        line.get_color() for name in "abcd" for line in axes.lines if line.get_label() == name
    ]
    heights = [(boxes[name].y0 + boxes[name].y1) / 2 for name in "abcd"]
    assert heights == sorted(heights)
    ends = [axes.transData.transform((10, end))[1] for end in (5.0, 5.05, 5.1, 9.0)]
    assert heights[3] == pytest.approx(ends[3], abs=1)  # far from the others, it stays
    assert sum(heights[:3]) == pytest.approx(sum(ends[:3]), abs=3)
    assert not any(boxes[one].overlaps(boxes[other]) for one, other in itertools.combinations(boxes, 2))
    assert min(box.x0 for box in boxes.values()) >= axes.bbox.x1


def test_pictures_take_as_many_rows_as_they_need_to_be_no_wider_than_the_page():
    picture = np.zeros((8, 8), np.uint8)
    figure = plot.image_grid([picture] * 7, [f"n\n{i}" for i in range(7)])
    assert figure.get_figwidth() <= plot.WIDTH
    assert figure.axes[0].get_gridspec().get_geometry() == (3, 3)
    assert plot.image_grid([picture] * 7, columns=7).get_figwidth() == pytest.approx(plot.WIDTH)
    assert plot.image_grid([picture] * 2).get_figwidth() == pytest.approx(2 * 1.6)
    plt.close("all")


SHOWN = """
import matplotlib.pyplot as plt
import numpy as np

from facelight_lab import plot

plot.use_style()
plt.plot([0, 1])
plt.show()
plot.image_grid([np.zeros((8, 8), np.uint8)])
plt.show()
"""


def executed(code):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    return NotebookClient(notebook, timeout=900, kernel_name="python3").execute()


def test_a_notebook_shows_lines_as_svg_and_pictures_at_two_pixels_for_one():
    notebook = executed(SHOWN)
    lines, pictures = (output for output in notebook.cells[0].outputs if output.output_type == "display_data")
    assert set(lines.data) == {"image/svg+xml", "text/plain"}
    assert "<svg" in lines.data["image/svg+xml"]
    assert "dc:date" not in lines.data["image/svg+xml"]
    assert set(pictures.data) == {"image/png", "text/plain"}
    shown = pictures.metadata["image/png"]["width"]
    assert shown == round(96 * 1.6)
    assert Image.open(io.BytesIO(base64.b64decode(pictures.data["image/png"]))).width == pytest.approx(2 * shown, abs=1)
