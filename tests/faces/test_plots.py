"""The matrix as Plotly gets it, at two, ten and two hundred classes."""

from __future__ import annotations

import pytest

from fiftyone_saliency.core.confusion import ConfusionCounts, shown_labels
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.reasons import find_reasons
from panels._compare_plots import delta_figure
from panels._plots import MOST_LABELS, confusion_figure, unique_names
from panels._reason_plots import region_figure, rightness_figure

PAIRS = {("cake", "cake"): 8, ("cake", "pie"): 2, ("pie", "pie"): 5, ("pie", None): 1}


def some_reasons(count):
    """Reasons over so many regions, each of which holds the evidence of one sample."""
    names = [f"region {i}" for i in range(count)]
    pairs = [list(PAIRS)[i % len(PAIRS)] for i in range(count)]
    shares = {name: [float(i == j) for j in range(count)] for i, name in enumerate(names)}
    areas = {name: [1 / (count + 1)] * count for name in names}
    ids, (truths, predictions) = [str(i) for i in range(count)], zip(*pairs, strict=True)
    return find_reasons(Evidence("saliency", "boxes", ids, truths, predictions, shares, areas), names[:1])


def cells(figure, trace):
    names = figure.data[trace]["y"], figure.data[trace]["x"]
    return {
        (names[0][i], names[1][j]): figure.data[trace]["text"][i][j]
        for i, row in enumerate(figure.data[trace]["z"])
        for j, value in enumerate(row)
        if value is not None
    }


def test_mistakes_and_right_cells_have_their_own_trace():
    figure = confusion_figure(ConfusionCounts(PAIRS))

    assert cells(figure, 0) == {("cake", "pie"): "2", ("pie", "(none)"): "1"}
    assert cells(figure, 1) == {("cake", "cake"): "8", ("pie", "pie"): "5"}
    assert figure.labels == ["cake", "pie", None]


def test_mistakes_only_leaves_the_diagonal_blank():
    figure = confusion_figure(ConfusionCounts(PAIRS), errors_only=True)

    assert cells(figure, 0) == {("cake", "pie"): "2", ("pie", "(none)"): "1"}
    assert cells(figure, 1) == {}


@pytest.mark.parametrize(("by", "text"), [("row", "20%"), ("column", "29%")])
def test_shares_are_of_the_row_or_the_column(by, text):
    figure = confusion_figure(ConfusionCounts(PAIRS), normalise=by)

    assert cells(figure, 0)["cake", "pie"] == text


def test_chosen_cell_is_framed_at_row_truth_and_column_prediction():
    """Swapped axes would frame the mirror image."""
    (frame,) = confusion_figure(ConfusionCounts(PAIRS), chosen=("cake", "pie")).layout["shapes"]

    assert (frame["x0"], frame["x1"], frame["y0"], frame["y1"]) == (0.5, 1.5, -0.5, 0.5)


def test_hottest_colour_is_the_largest_number():
    figure = confusion_figure(ConfusionCounts({("a", "b"): 9, ("b", "a"): 4, ("a", "a"): 100}))

    mistakes = figure.data[0]
    assert mistakes["z"] == [[None, 3.0], [2.0, None]]
    assert mistakes["zmax"] == 3.0


def test_two_hundred_classes_show_those_with_most_mistakes():
    names = [f"class {i:03d}" for i in range(200)]
    pairs = {(name, name): 50 for name in names} | {("class 003", "class 177"): 7, ("class 120", "class 003"): 9}

    labels = shown_labels(ConfusionCounts(pairs), MOST_LABELS)
    figure = confusion_figure(ConfusionCounts(pairs))

    assert len(labels) == MOST_LABELS
    assert {"class 003", "class 120", "class 177"} <= set(labels)
    assert labels == sorted(labels)
    assert figure.hidden == 150
    assert figure.layout["height"] < 800
    assert figure.data[0]["texttemplate"] == ""


def test_chosen_cell_that_is_not_shown_is_not_framed():
    names = [f"class {i:03d}" for i in range(200)]
    pairs = {(name, name): 50 for name in names}

    assert "shapes" not in confusion_figure(ConfusionCounts(pairs), chosen=("class 199", "class 198")).layout


def test_class_that_is_called_none_keeps_its_own_line():
    assert len(set(unique_names(["(none)", "a", None]))) == 3


def test_empty_matrix_can_be_drawn():
    figure = confusion_figure(ConfusionCounts({}))

    assert figure.labels == []


def test_every_face_sends_as_many_traces_and_stops():
    """The App mixes what is sent with what was there before, item by item."""
    counts = ConfusionCounts(PAIRS)
    figures = [confusion_figure(counts), delta_figure(dict(PAIRS))]
    figures += [draw(some_reasons(count), counts) for count in (1, 12) for draw in (region_figure, rightness_figure)]

    assert {len(trace["colorscale"]) for figure in figures for trace in figure.data} == {24}
    assert {len(figure.data) for figure in figures if figure is not figures[1]} == {2}


def test_labels_are_shown_as_they_are_and_stay_apart():
    labels = ["<b>a</b>", "&lt;b&gt;a&lt;/b&gt;", "(none)", "(none)\u200b", "", None]

    names = unique_names(labels)

    assert names[:2] == ["&lt;b&gt;a&lt;/b&gt;", "&amp;lt;b&amp;gt;a&amp;lt;/b&amp;gt;"]
    assert len(set(names)) == len(labels)
    assert names[-1] == "(none)"
    assert all(names)
