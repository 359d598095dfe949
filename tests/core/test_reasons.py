"""The matrix of reasons, on tables whose answers are known by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.reasons import find_reasons

# head 20 % of the picture, uniform 30 %, background 50 %: (head, uniform, background) shares of six samples.
ROWS = [
    ("cook", "cook", (0.8, 0.1, 0.1)),
    ("cook", "cook", (0.6, 0.3, 0.1)),
    ("cook", "judge", (0.1, 0.8, 0.1)),
    ("judge", "judge", (0.1, 0.7, 0.2)),
    ("judge", "judge", (None, None, None)),
    (None, "judge", (0.2, 0.3, 0.5)),
]
AREAS = {"head": 0.2, "uniform": 0.3, "background": 0.5}


@pytest.fixture
def evidence():
    shares = {name: [row[2][i] for row in ROWS] for i, name in enumerate(AREAS)}
    areas = {name: [area] * len(ROWS) for name, area in AREAS.items()}
    ids = [f"s{i}" for i in range(len(ROWS))]
    return Evidence("saliency", "regions", ids, [r[0] for r in ROWS], [r[1] for r in ROWS], shares, areas)


def test_each_sample_has_the_region_that_holds_most_evidence_for_its_size(evidence):
    # The last sample's shares are exactly the areas: it prefers nothing. The one before has no map.
    assert evidence.dominant() == ["head", "head", "uniform", "uniform", None, None]


def test_a_large_background_does_not_win_by_its_size(evidence):
    rows = Evidence("f", "r", ["a"], [None], [None], {"small": [0.4], "large": [0.6]}, {"small": [0.1], "large": [0.9]})
    assert rows.dominant() == ["small"]


def test_cells_carry_mean_shares_their_chance_and_counts(evidence):
    cell = find_reasons(evidence).cells["cook", "cook"]
    assert (cell.count, cell.n, cell.dominant) == (2, 2, "head")
    assert cell.shares["head"].mean == pytest.approx(0.7)
    assert cell.shares["head"].area == pytest.approx(0.2)
    assert cell.shares["head"].enrichment == pytest.approx(3.5)
    assert cell.shares["head"].corrected == pytest.approx((0.7 - 0.2) / 0.8)
    assert (cell.shares["head"].low, cell.shares["head"].high) == (None, None), "two samples are too few"
    assert cell.right is None


def test_undefined_samples_are_counted_apart(evidence):
    cell = find_reasons(evidence, ["uniform"]).cells["judge", "judge"]
    assert (cell.count, cell.n, cell.shares["head"].undefined) == (2, 1, 1)
    assert (cell.right.mean, cell.right.n, cell.right.undefined) == (1.0, 1, 1)


def test_predictions_can_be_right_for_the_wrong_reason_and_wrong_for_the_right_one(evidence):
    reasons = find_reasons(evidence, ["uniform"])
    assert reasons.right_for_wrong_reason == ["s0", "s1"]
    assert reasons.wrong_for_right_reason == ["s2"]
    assert reasons.right_without_preference == [], "the last sample prefers nothing, but has no truth"
    overall = reasons.overall
    assert (overall.right.mean, overall.wrong.mean, overall.no_preference.mean) == (2 / 5, 2 / 5, 1 / 5)
    assert (overall.right.n, overall.no_preference.undefined) == (5, 1)


def test_no_preference_is_a_state_of_its_own(evidence):
    """Of a cell whose shares are its areas, and of a class in which only one of two maps prefers a region."""
    reasons = find_reasons(replace(evidence, truths=["cook"] * 6), ["uniform"])
    cell = reasons.cells["cook", "judge"]
    assert (cell.count, cell.n) == (4, 3)
    assert (cell.right.mean, cell.wrong.mean, cell.no_preference.mean) == pytest.approx((2 / 3, 0, 1 / 3))
    nothing = find_reasons(evidence, ["uniform"]).cells[None, "judge"]
    assert (nothing.dominant, nothing.state) == (None, "no preference")
    assert (nothing.right.mean, nothing.wrong.mean, nothing.no_preference.mean) == (0, 0, 1)
    undefined = find_reasons(evidence.select([4]), ["uniform"]).overall
    assert (undefined.state, undefined.right.mean, undefined.no_preference.n) == (None, None, 0)
    right = find_reasons(replace(evidence, truths=["judge"] * 6, predictions=["judge"] * 6), ["uniform"])
    assert right.right_without_preference == ["s5"]
    assert right.to_json()["right_without_preference"] == 1
    assert right.overall.to_json()["no_preference"]["mean"] == pytest.approx(1 / 5)
    assert "no preference: 0.200" in str(right)
    assert "right without a preference: 1" in str(right)


def test_no_reason_is_wrong_where_no_region_was_named_right(evidence):
    assert find_reasons(evidence).right_for_wrong_reason == []


def test_the_worst_cells_come_first(evidence):
    assert find_reasons(evidence, ["uniform"]).worst_cells() == [("cook", "cook"), (None, "judge")]
    assert find_reasons(evidence, ["uniform"]).worst_cells(min_count=2) == [("cook", "cook")]
    # Without right regions the cells of mistakes count, the larger first; a missing label is one.
    assert find_reasons(evidence).worst_cells() == [(None, "judge"), ("cook", "judge")]
    assert find_reasons(evidence).worst_cells(min_count=2) == []


def test_a_missing_truth_is_a_class_of_its_own_and_stands_last(evidence):
    assert list(find_reasons(evidence).classes) == ["cook", "judge", None]


def test_an_unknown_right_region_is_answered_with_the_nearest(evidence):
    with pytest.raises(UnknownNameError, match=r"region, but got 'unifrm'. Did you mean `uniform`"):
        find_reasons(evidence, ["unifrm"])


def test_everything_is_plain_json(evidence):
    data = json.loads(json.dumps(find_reasons(evidence, ["uniform"]).to_json()))
    assert [(c["truth"], c["prediction"], c["count"]) for c in data["cells"]] == [
        (None, "judge", 1),
        ("cook", "cook", 2),
        ("cook", "judge", 1),
        ("judge", "judge", 2),
    ]
    assert data["right_for_wrong_reason"] == 2


def test_the_text_names_regions_intervals_and_the_wrong_reasons(evidence):
    text = str(find_reasons(evidence, ["uniform"]))
    assert "head" in text
    assert "right for the wrong reason: 2 samples" in text
    assert "cook → cook: 2 samples, evidence mostly: head" in text


def test_no_samples_are_no_reasons():
    reasons = find_reasons(Evidence("f", "r", [], [], [], {}, {}))
    assert (reasons.overall.count, reasons.overall.n, dict(reasons.cells)) == (0, 0, {})
