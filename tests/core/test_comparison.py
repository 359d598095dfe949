from __future__ import annotations

import pytest

from fiftyone_saliency.core.comparison import OUTCOMES, count_outcomes, outcome


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("cake", "cake", "still right"),
        ("cake", "bread", "broken"),
        ("bread", "cake", "fixed"),
        ("bread", "pie", "still wrong"),
        (None, "cake", "fixed"),
        ("cake", None, "broken"),
        (None, None, "still wrong"),
    ],
)
def test_outcome_of_a_cake(before, after, expected):
    assert outcome("cake", before, after) == expected


def test_counts_name_every_outcome_and_leave_out_samples_without_a_truth():
    samples = [("a", "a", "a"), ("a", "b", "a"), ("a", "b", "a"), (None, None, None), (None, "a", "b")]
    assert count_outcomes(samples) == {"fixed": 2, "broken": 0, "still right": 1, "still wrong": 0}
    assert tuple(count_outcomes([])) == OUTCOMES
