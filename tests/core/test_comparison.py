"""Outcomes, cells and shares of two runs, against numbers known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fiftyone_saliency.core.comparison import (
    OUTCOMES,
    Sides,
    accuracy_change,
    balance,
    confusion_delta,
    correctness,
    count_outcomes,
    movement_of,
    outcome,
    right_reasons,
    room,
    share_changes,
    share_changes_by,
)
from fiftyone_saliency.core.confusion import ConfusionCounts
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.statistics import difference, holm, mcnemar, summarise
from fiftyone_saliency.core.verdict import GOOD_ACCURACY, GOOD_REASON, SLACK, Axis, Verdict, least_effect

AREAS = {"head": 0.3, "uniform": 0.2, "rest": 0.5}


def evidence(heads, uniforms, truths=None, predictions=None):
    """A table whose regions are always as large; the rest of the evidence lies in the rest."""
    count = len(heads)
    rest = [None if h is None else 1 - h - u for h, u in zip(heads, uniforms, strict=True)]
    return Evidence(
        "saliency",
        "regions",
        [str(i) for i in range(count)],
        truths or ["a"] * count,
        predictions or ["a"] * count,
        {"head": heads, "uniform": uniforms, "rest": rest},
        {name: [None if h is None else area for h in heads] for name, area in AREAS.items()},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("cake", "cake", "still right"),
        ("cake", "bread", "broken"),
        ("bread", "cake", "fixed"),
        ("bread", "pie", "still wrong"),
        (None, "cake", None),
        ("cake", None, None),
        (None, None, None),
    ],
)
def test_outcome_of_a_cake(before, after, expected):
    assert outcome("cake", before, after) == expected


def test_counts_name_every_outcome_and_leave_out_samples_that_lack_a_label():
    samples = [
        ("a", "a", None),
        ("a", None, "b"),
        ("a", "a", "a"),
        ("a", "b", "a"),
        ("a", "b", "a"),
        (None, None, None),
        (None, "a", "b"),
    ]
    assert count_outcomes(samples) == {"fixed": 2, "broken": 0, "still right": 1, "still wrong": 0}
    assert tuple(count_outcomes([])) == OUTCOMES


def test_accuracy_is_tested_by_mcnemar_on_the_samples_that_changed():
    before = correctness(["a"] * 10 + [None], ["b"] * 7 + ["a"] * 3 + ["a"])
    after = correctness(["a"] * 10 + [None], ["a"] * 6 + [None] + ["a"] * 2 + ["b", "a"])
    change = accuracy_change(before, after)
    assert (change.mean, change.n, change.undefined) == (pytest.approx(0.5), 10, 1)
    assert change.p == mcnemar(6, 1) == pytest.approx(2 * (1 + 7) / 2**7)
    assert change.low <= 0.5 <= change.high


def test_delta_counts_every_cell_that_either_matrix_has():
    before = ConfusionCounts({("a", "a"): 5, ("a", "b"): 3})
    after = ConfusionCounts({("a", "a"): 7, ("b", None): 1})
    assert confusion_delta(before, after) == {("a", "a"): 2, ("a", "b"): -3, ("b", None): 1}


def test_shares_are_compared_over_the_samples_that_have_both():
    before, after = evidence([0.8, 0.6, None], [0.1, 0.3, None]), evidence([0.2, 0.2, 0.9], [0.7, 0.7, 0.1])
    head = share_changes(before, after)["head"]
    assert (head.before, head.after) == (pytest.approx(0.7), pytest.approx(0.2))
    assert (head.change.mean, head.change.n, head.change.undefined) == (pytest.approx(-0.5), 2, 1)


def test_p_values_are_corrected_for_all_regions_and_groups_at_once():
    wave = [0.01 * i for i in range(12)]
    before = evidence([0.5 + w for w in wave], [0.1] * 12, ["a"] * 6 + ["b"] * 6)
    after = evidence([0.4 + 2 * w for w in wave], [0.1 + w / 2 for w in wave], ["a"] * 6 + ["b"] * 6)
    found = share_changes_by(before, after, "class")
    assert list(found) == ["a", "b"]
    flat = [change for by_region in found.values() for change in by_region.values()]
    assert [change.p for change in flat] == holm([change.change.p for change in flat])
    assert found["a"]["head"].before == pytest.approx(0.525)
    assert found["b"]["head"].change.n == 6


def test_groups_are_the_cells_of_the_first_run():
    before = evidence([0.8, 0.7], [0.1, 0.1], ["a", "a"], ["a", "b"])
    after = evidence([0.2, 0.4], [0.6, 0.4], ["a", "a"], ["a", "a"])
    found = share_changes_by(before, after, "cell")
    assert found["a", "b"]["head"].change.mean == pytest.approx(-0.3)


def test_region_that_one_run_lacks_is_undefined_not_zero():
    nothing = Evidence("other", "regions", ["0"], ["a"], ["a"], {}, {})
    change = share_changes(evidence([0.8], [0.1]), nothing)["head"]
    assert (change.before, change.after, change.change.mean, change.p) == (None, None, None, None)


def test_tables_of_other_samples_are_refused():
    with pytest.raises(ArgumentError, match="two tables of the same samples"):
        share_changes(evidence([0.8, 0.1], [0.1, 0.1]), evidence([0.8], [0.1]))


def test_balance_counts_a_movement_between_the_sides_once():
    before, after = evidence([0.8, 0.8], [0.1, 0.1]), evidence([0.5, None], [0.4, None])
    both = Sides(("head",), ("uniform",))
    assert balance(before, both) == [pytest.approx(-0.35)] * 2
    assert balance(after, both) == [pytest.approx(-0.05), None]
    assert balance(before, Sides(("head",), ())) == [pytest.approx(-0.8)] * 2
    assert balance(before, Sides((), ("uniform", "rest"))) == [pytest.approx(0.2)] * 2


def test_another_crop_alone_is_no_movement():
    """A map without preference scores the area, and the area grows where the network sees less around the head."""
    before = evidence([0.3] * 6, [0.2] * 6)
    flat = {"head": [0.6] * 6, "uniform": [0.3] * 6, "rest": [0.1] * 6}
    both = Sides(("head",), ("uniform",))
    assert movement_of(before, replace(before, shares=flat, areas=flat), both).mean == pytest.approx(0)
    assert movement_of(before, replace(before, shares=flat), both).mean == pytest.approx((-0.3 + 0.1) / 2)


def test_evidence_that_left_the_wrong_region_for_no_right_one_is_no_right_reason():
    """Shares 0.2, 0.12 and 0.68 of areas 0.3, 0.2 and 0.5: the rest leads, however far the head fell."""
    moved_on, fixed = evidence([0.2], [0.12]), evidence([0.2], [0.5])
    assert right_reasons(moved_on, Sides(("head",), ("uniform",))) == [0.0]
    assert right_reasons(moved_on, Sides(("head",), ())) == [1.0], "not the head is all that was asked for"
    assert right_reasons(fixed, Sides(("head",), ("uniform",))) == [1.0]
    assert right_reasons(evidence([None], [None]), Sides(("head",), ())) == [None]


def test_evidence_that_prefers_nothing_rests_on_nothing_right():
    nowhere = evidence([0.3], [0.22])
    assert right_reasons(nowhere, Sides(("head",), ("uniform",))) == [0.0]
    assert right_reasons(nowhere, Sides(("head",), ())) == [0.0]


def test_sides_name_known_regions_once():
    with pytest.raises(ArgumentError, match="both are empty"):
        Sides((), ())
    with pytest.raises(ArgumentError, match=r"\['head'\] should do both"):
        Sides(("head",), ("head", "uniform"))
    with pytest.raises(UnknownNameError, match=r"got 'hed'. Did you mean `head`"):
        Sides(("hed",), ()).check(AREAS)


def test_a_sample_is_right_where_the_cue_holds_no_more_than_chance_and_the_object_more():
    """Chance is .3 for the head and .2 for the uniform."""
    table = evidence([0.3, 0.31, 0.1, 0.1, None], [0.5, 0.5, 0.2, 0.21, None])
    assert right_reasons(table, Sides(("head",), ())) == [1, 0, 1, 1, None]
    assert right_reasons(table, Sides((), ("uniform",))) == [1, 1, 0, 0, None], "of the last two rest is the region"
    assert right_reasons(table, Sides(("head",), ("uniform",))) == [1, 0, 0, 0, None]
    assert right_reasons(table, Sides((), ("uniform", "rest"))) == [0, 0, 1, 1, None], "together they cover .7"


def test_room_is_what_the_smaller_side_can_still_give():
    table = evidence([0.1, 0.1], [0.3, 0.5])
    assert room(table, Sides(("head",), ())) == pytest.approx(0.1)
    assert room(table, Sides((), ("uniform",))) == pytest.approx(0.6)
    assert room(table, Sides(("head",), ("uniform",))) == pytest.approx(0.05), "half of it, as the balance is"
    assert room(evidence([None], [None]), Sides(("head",), ())) is None


def small_pair(seed, cue_after, free_after, accuracy_after):
    """140 samples of a cheater, with a tenth of the evidence on a cue of .035, and of what became of it."""
    rng = np.random.default_rng(seed)
    columns = {"before": np.clip(rng.normal(0.097, 0.02, 140), 0, 1)}
    free = rng.random(140) < free_after
    columns["after"] = np.where(free, rng.uniform(0, 2 * cue_after, 140).clip(0, 0.034), rng.uniform(0.04, 0.2, 140))
    tables = {}
    for name, cue in columns.items():
        shares = {"head": cue.tolist(), "rest": (1 - cue).tolist()}
        areas = {"head": [0.035] * 140, "rest": [0.965] * 140}
        ids, labels = [str(i) for i in range(140)], ["a"] * 140
        tables[name] = Evidence("saliency", "regions", ids, labels, labels, shares, areas)
    right = [(rng.random(140) < share).astype(float).tolist() for share in (0.1, accuracy_after)]
    sides = Sides(("head",), ())
    movement = difference(*(balance(tables[name], sides) for name in ("before", "after")), sides.bounds)
    floor = max(1 / 255, least_effect(0.05, room(tables["before"], sides)))
    reason = Axis("reason", movement, floor, summarise(right_reasons(tables["after"], sides)), GOOD_REASON, SLACK)
    accuracy = Axis("accuracy", accuracy_change(*right), 0.05, summarise(right[1]), GOOD_ACCURACY, SLACK)
    return Verdict(reason, accuracy).word


def test_a_real_fix_of_140_samples_is_called_fixed_and_half_of_one_is_not():
    """As measured on networks with a planted cue: clean, and trained with the cue in nine of ten pictures."""
    assert sum(small_pair(seed, 0.012, 0.93, 0.955) == "fixed" for seed in range(20)) >= 18
    assert not any(small_pair(seed, 0.012, 0.5, 0.75) == "fixed" for seed in range(20))
    assert not any(small_pair(seed, 0.012, 0.55, 0.95) == "fixed" for seed in range(20))
    assert not any(small_pair(seed, 0.012, 0.0, 0.1) == "fixed" for seed in range(20))
