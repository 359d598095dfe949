"""The gate on tables whose verdict is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.gate import Limits, judge
from fiftyone_saliency.core.reasons import Reasons, find_reasons

AREA = 0.25


def reasons(heads: list[float | None], truths: list[str | None], predictions: list[str | None]) -> Reasons:
    """Samples whose evidence lies on the head by a given share, and else on the uniform; both have the same area."""
    uniforms = [None if head is None else 1 - head for head in heads]
    areas = [None if head is None else AREA for head in heads]
    ids = [str(i) for i in range(len(heads))]
    shares, covered = {"head": heads, "uniform": uniforms}, {"head": areas, "uniform": areas}
    return find_reasons(Evidence("saliency", "regions", ids, truths, predictions, shares, covered), ["uniform"])


def steady(head: float | None, count: int = 20) -> Reasons:
    return reasons([head] * count, ["a"] * count, ["a"] * count)


# Ten at 0.2 and ten at 0.4: the mean is 0.3, and its interval reaches beyond on both sides.
SPREAD = reasons([0.2, 0.4] * 10, ["a", "b"] * 10, ["a", "a"] * 10)


@pytest.mark.parametrize(
    ("limits", "passed"),
    [
        ({"max_share": {"head": 0.2}}, True),
        ({"max_share": {"head": 0.19}}, False),
        ({"min_share": {"uniform": 0.8}}, True),
        ({"min_share": {"uniform": 0.81}}, False),
        ({"max_share": {"head": 0.2}, "min_share": {"uniform": 0.81}}, False),
    ],
)
def test_a_limit_is_kept_up_to_its_own_value(limits, passed):
    assert judge(steady(0.2), Limits(**limits, bound="mean")).passed is passed


def test_an_interval_keeps_a_limit_up_to_its_end():
    """Twenty equal shares: one in ten that is not may have been missed, so that the mean is not surely 0.2."""
    head = steady(0.2).overall.shares["head"]
    assert 0.25 < head.high < 0.35
    assert judge(steady(0.2), Limits(max_share={"head": head.high})).passed
    assert not judge(steady(0.2), Limits(max_share={"head": head.high - 1e-6})).passed
    assert judge(steady(0.2), Limits(min_share={"head": head.low})).passed
    assert not judge(steady(0.2), Limits(min_share={"head": head.low + 1e-6})).passed


def test_the_whole_interval_has_to_keep_a_limit_unless_the_mean_is_asked_for():
    between = (SPREAD.overall.shares["head"].mean + SPREAD.overall.shares["head"].high) / 2
    assert SPREAD.overall.shares["head"].mean == pytest.approx(0.3)
    assert not judge(SPREAD, Limits(max_share={"head": between})).passed
    assert judge(SPREAD, Limits(max_share={"head": between}, bound="mean")).passed
    assert not judge(SPREAD, Limits(min_share={"uniform": 1 - between})).passed
    assert judge(SPREAD, Limits(min_share={"uniform": 1 - between}, bound="mean")).passed


def test_each_class_is_held_to_the_limits_where_that_is_asked_for():
    """All together lie below 0.5 on the head, class b alone lies above 0.3."""
    gate = judge(SPREAD, Limits(max_share={"head": 0.3}, by="class", bound="mean"))
    assert {check.label: check.passed for check in gate.checks} == {None: True, "a": True, "b": False}
    assert {check.label: check.value.n for check in gate.checks} == {None: 20, "a": 10, "b": 10}


def test_what_is_undefined_keeps_no_limit():
    (check,) = judge(steady(None), Limits(max_share={"head": 1.0})).checks
    assert not check.passed
    assert check.value.undefined == 20
    assert check.text.endswith("at most 1: undefined in every sample")


@pytest.mark.parametrize(
    ("count", "least", "passed"), [(9, 10, False), (10, 10, True), (4, 4, True), (3, 3, False), (1, 1, False)]
)
def test_few_samples_prove_nothing(count, least, passed):
    """Three samples have no interval at all."""
    gate = judge(steady(0.1, count), Limits(max_share={"head": 0.9}, min_samples=least))
    assert gate.passed is passed
    assert passed or gate.checks[0].text.endswith(f": fewer than {max(4, least)} samples")


def test_a_gate_at_its_bound_passes_by_luck_as_seldom_as_it_says():
    """Ten shares whose true mean is the limit: nominal 2.5 %; a percentile bootstrap let 8 to 13 % pass."""
    rng = np.random.default_rng(0)
    shapes = {0.2: lambda: rng.beta(1, 4, 10), 0.5: lambda: rng.beta(0.5, 0.5, 10), 0.1: lambda: rng.beta(0.2, 1.8, 10)}
    for mean, draw in shapes.items():
        tables = [reasons(draw().tolist(), ["a"] * 10, ["a"] * 10) for _ in range(150)]
        below = sum(judge(table, Limits(max_share={"head": mean})).passed for table in tables)
        above = sum(judge(table, Limits(min_share={"head": mean})).passed for table in tables)
        assert max(below, above) <= 0.025 * 150 + 4


def test_accuracy_counts_a_missing_prediction_as_wrong_and_leaves_out_a_missing_truth():
    found = reasons([0.1] * 12, ["a"] * 11 + [None], ["a"] * 10 + [None, "a"])
    (check,) = judge(found, Limits(min_accuracy=0.9, bound="mean")).checks
    assert check.value.mean == pytest.approx(10 / 11)
    assert (check.value.n, check.value.undefined, check.passed) == (11, 1, True)


def test_wrong_reasons_are_counted_among_right_predictions_alone():
    """Of 16 right predictions 4 rest on the head; the wrong predictions, all on the head, do not count."""
    found = reasons([0.9] * 4 + [0.1] * 12 + [0.9] * 8, ["a"] * 24, ["a"] * 16 + ["b"] * 8)
    (check,) = judge(found, Limits(max_wrong_reason=0.25, bound="mean")).checks
    assert (check.value.mean, check.value.n, check.passed) == (0.25, 16, True)
    assert len(found.right_for_wrong_reason) == 4


def test_the_verdict_reads_as_lines_and_as_json():
    gate = judge(steady(0.2), Limits(max_share={"head": 0.4}, min_share={"uniform": 0.9}))
    assert str(gate).splitlines() == [
        "ok   evidence: head 0.200 [0.166, 0.335] (n=20), at most 0.4",
        "FAIL evidence: uniform 0.800 [0.665, 0.834] (n=20), at least 0.9",
        "failed: 1 of 2 checks",
        gate.proposal,
    ]
    written = gate.to_json()
    assert written["passed"] is False
    assert [(c["rule"], c["region"], c["limit"], c["passed"]) for c in written["checks"]] == [
        ("max_share", "head", 0.4, True),
        ("min_share", "uniform", 0.9, False),
    ]
    assert written["checks"][0]["value"] == gate.checks[0].value.to_json()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "at least one limit"),
        ({"max_share": {"head": 30}}, r"`max_share\['head'\]` to be a number from 0 to 1, but got 30"),
        ({"min_share": {"head": math.nan}}, "from 0 to 1, but got nan"),
        ({"min_accuracy": -0.1}, "`min_accuracy`"),
        ({"min_accuracy": 0.5, "min_samples": 0}, "`min_samples`"),
        ({"min_accuracy": 0.5, "by": "cell"}, "`by`"),
        ({"min_accuracy": 0.5, "bound": "low"}, "`bound`"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, message):
    with pytest.raises(ArgumentError, match=message):
        Limits(**limits)


def test_an_unknown_region_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"got 'heads'\. Did you mean `head`"):
        judge(SPREAD, Limits(max_share={"heads": 0.3}))


def test_wrong_reasons_need_right_regions():
    found = find_reasons(SPREAD.evidence)
    with pytest.raises(ArgumentError, match="`right`"):
        judge(found, Limits(max_wrong_reason=0.1))
