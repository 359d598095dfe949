"""The gate on stored maps: the numbers of `reasons`, held to limits, and maps that nobody checked."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from tests.reasoned import make, trust

LIMITS = {"field": "saliency_after", "regions": "regions", "pred_field": "after"}


@pytest.fixture(scope="module")
def made(fo, pictures):
    dataset = make(pictures)
    yield dataset
    dataset.delete()


@pytest.fixture
def dataset(made):
    """The dataset as it was made: nobody checked its maps."""
    yield made
    trust(made, "saliency_after", None)


def test_the_numbers_are_those_of_reasons(dataset):
    found = fos.reasons(dataset, "saliency_after", regions="regions", pred_field="after")
    gate = fos.gate(dataset, **LIMITS, min_share={"square": 0.5}, max_share={"background": 0.1}, require_trust=False)
    for check in gate.checks:
        share = found.overall.shares[check.region]
        assert (check.value.mean, check.value.low, check.value.high) == (share.mean, share.low, share.high)
        assert (check.value.n, check.value.undefined) == (share.n, share.undefined)
    assert {check.region: check.passed for check in gate.checks} == {"square": True, "background": False}
    assert not gate.passed


def test_maps_without_evidence_keep_no_limit(dataset):
    """All are called red, and only four of the twelve have evidence for it: too few for a verdict."""
    gate = fos.gate(dataset, regions="regions", min_share={"square": 0.1}, require_trust=False)
    (check,) = gate.checks
    assert (check.value.n, check.value.undefined, check.passed) == (4, 8, False)
    assert fos.gate(dataset, regions="regions", min_share={"square": 0.1}, require_trust=False, min_samples=4).passed


def test_maps_have_to_be_checked_and_to_pass(dataset):
    limits = LIMITS | {"min_share": {"square": 0.5}}
    unchecked = fos.gate(dataset, **limits)
    assert [check.rule for check in unchecked.checks if not check.passed] == ["trust"]
    assert "call check_trust" in unchecked.checks[0].text
    reason = trust(dataset, "saliency_after", passed=False)
    failed = fos.gate(dataset, **limits)
    assert not failed.passed
    assert reason in failed.checks[0].text
    trust(dataset, "saliency_after", passed=True)
    assert fos.gate(dataset, **limits).passed


def test_maps_of_no_run_cannot_be_checked(fo, dataset):
    dataset.clone_sample_field("saliency_after", "others")
    gate = fos.gate(dataset, **LIMITS | {"field": "others"}, min_share={"square": 0.5})
    assert "belongs to no run" in gate.checks[0].text
    assert not gate.passed
    dataset.delete_sample_field("others")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_share": {"squares": 0.5}}, UnknownNameError, "known region, but got 'squares'. Did you mean `square`"),
        ({}, ArgumentError, "at least one limit"),
        ({"min_accuracy": 0.5, "regions": "region"}, UnknownNameError, "Did you mean `regions`"),
        ({"min_accuracy": 0.5, "field": "predictions"}, FieldError, "Heatmap"),
        ({"min_accuracy": 0.5, "right": "square"}, ArgumentError, r"Pass \['square'\]"),
    ],
)
def test_bad_arguments_are_refused(dataset, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.gate(dataset, **LIMITS | arguments)
