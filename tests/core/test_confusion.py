from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fiftyone_saliency.core.confusion import ConfusionCounts, show

labels = st.sampled_from([None, "a", "b", "c", "", "(none)"])
drawn_pairs = st.lists(st.tuples(labels, labels), max_size=40)

#          prediction: a  b  c  none     truth:
TABLE = np.array([[3, 2, 0, 1], [0, 4, 0, 0], [0, 0, 0, 0], [2, 0, 5, 1]])  # a, b, c, none
NAMES = ["a", "b", "c", None]
COUNTS = ConfusionCounts(
    {(t, p): int(TABLE[i, j]) for i, t in enumerate(NAMES) for j, p in enumerate(NAMES) if TABLE[i, j]}
)


def test_rows_are_the_truth_and_columns_the_prediction_with_the_missing_last():
    assert COUNTS.labels == NAMES
    assert_array_equal(COUNTS.counts, TABLE)


def test_totals_of_a_table_that_was_counted_by_hand():
    assert COUNTS.total == 18
    assert COUNTS.judged == 9
    assert COUNTS.correct == 7
    assert COUNTS.accuracy == 7 / 9


def test_two_missing_labels_are_no_correct_prediction():
    counts = ConfusionCounts({(None, None): 5})
    assert counts.correct == 0
    assert counts.accuracy is None
    assert counts.top_confusions() == []


def test_of_nothing_there_is_an_empty_table():
    counts = ConfusionCounts({})
    assert counts.labels == []
    assert counts.counts.shape == (0, 0)
    assert counts.normalised("row").shape == (0, 0)
    assert counts.total == 0
    assert counts.accuracy is None
    assert counts.top_confusions() == []


def test_recall_divides_by_the_row_and_an_empty_row_is_undefined():
    expected = [[3 / 6, 2 / 6, 0, 1 / 6], [0, 1, 0, 0], [np.nan] * 4, [2 / 8, 0, 5 / 8, 1 / 8]]
    assert_allclose(COUNTS.normalised("row"), expected)


def test_precision_divides_by_the_column_and_an_empty_column_is_undefined():
    counts = ConfusionCounts({("a", "b"): 1, ("b", "b"): 3})
    assert_allclose(counts.normalised("column"), [[np.nan, 0.25], [np.nan, 0.75]])


def test_without_normalisation_the_counts_stay_as_they_are():
    assert_array_equal(COUNTS.normalised("none"), TABLE)
    assert COUNTS.normalised().dtype == np.float64


def test_top_confusions_are_the_errors_by_frequency_then_by_name():
    assert COUNTS.top_confusions() == [
        ((None, "c"), 5),
        ((None, "a"), 2),
        (("a", "b"), 2),
        (("a", None), 1),
    ]
    assert COUNTS.top_confusions(1) == [((None, "c"), 5)]
    assert COUNTS.top_confusions(min_count=2) == COUNTS.top_confusions()[:3]


def test_a_missing_label_reads_as_none_in_brackets():
    assert show(None) == "(none)"
    assert show("cake") == "cake"


@settings(deadline=None)
@given(drawn_pairs)
def test_the_table_counts_every_pair_once(pairs):
    counts = ConfusionCounts(Counter(pairs))
    position = {label: i for i, label in enumerate(counts.labels)}
    expected = np.zeros((len(position), len(position)), int)
    for truth, prediction in pairs:
        expected[position[truth], position[prediction]] += 1
    assert_array_equal(counts.counts, expected)
    assert counts.total == len(pairs)


@settings(deadline=None)
@given(drawn_pairs)
def test_correct_and_confused_samples_are_the_judged_ones_and_those_with_one_label(pairs):
    counts = ConfusionCounts(Counter(pairs))
    errors = sum(n for _, n in counts.top_confusions())
    half_labelled = sum((t is None) != (p is None) for t, p in pairs)
    assert counts.correct + errors == counts.judged + half_labelled


@settings(deadline=None)
@given(drawn_pairs, st.sampled_from(["row", "column"]))
def test_normalised_lines_add_up_to_one_or_are_undefined(pairs, by):
    counts = ConfusionCounts(Counter(pairs))
    axis = 1 if by == "row" else 0
    sums = counts.normalised(by).sum(axis=axis)
    empty = counts.counts.sum(axis=axis) == 0
    assert_array_equal(np.isnan(sums), empty)
    assert_allclose(sums[~empty], 1)


@pytest.mark.parametrize("count", [0, 2, 99])
def test_top_confusions_are_at_most_as_many_as_asked_for(count):
    assert COUNTS.top_confusions(count) == COUNTS.top_confusions()[:count]
