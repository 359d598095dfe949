"""The matrix as Plotly gets it, at two, ten and two hundred classes."""

from __future__ import annotations

import pytest

from fiftyone_saliency.core.confusion import ConfusionCounts, shown_labels
from panels._plots import MOST_LABELS, confusion_figure, unique_names

PAIRS = {("cake", "cake"): 8, ("cake", "pie"): 2, ("pie", "pie"): 5, ("pie", None): 1}


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
