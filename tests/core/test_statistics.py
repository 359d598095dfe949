"""Means, intervals and tests against answers known by hand, or from scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_saliency.core import statistics
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.statistics import Difference, Summary, difference, holm, mcnemar, summarise


def test_a_mean_of_the_defined_values_and_the_number_of_the_others():
    summary = summarise([0.25, None, 0.75, None, None])
    assert (summary.mean, summary.n, summary.undefined) == (0.5, 2, 3)
    assert 0.25 <= summary.low < 0.5 < summary.high <= 0.75


@pytest.mark.parametrize(("values", "undefined"), [([], 0), ([None, None], 2)])
def test_of_nothing_the_mean_is_undefined(values, undefined):
    assert summarise(values) == Summary(None, None, None, 0, undefined)
    assert str(summarise(values)) == f"– (n=0, {undefined} undefined)"


def test_one_value_has_no_interval():
    assert summarise([0.3, None]) == Summary(0.3, None, None, 1, 1)
    assert str(summarise([0.3])) == "0.300 (n=1)"


def test_equal_values_have_an_interval_of_no_width():
    assert summarise([0.5] * 20) == Summary(0.5, 0.5, 0.5, 20, 0)
    assert str(summarise([0.5] * 20)) == "0.500 [0.500, 0.500] (n=20)"


def test_a_summary_is_plain_json():
    values = summarise([1.0, 2.0, None]).to_json()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == ["mean", "low", "high", "n", "undefined"]


def test_zero_is_a_value_and_not_a_missing_one():
    found = summarise([0.0, 0.0])
    assert (found.mean, found.low, found.n, found.undefined) == (0.0, 0.0, 2, 0)


def test_ten_of_ten_are_no_proof_of_all():
    # Wilson's interval by hand: n / (n + z²) with z = 1.96.
    found = summarise([1.0] * 10)
    assert found.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    assert found.high == 1.0
    assert summarise([0.0] * 10).high == pytest.approx(1 - found.low)


@pytest.mark.parametrize("count", [30, statistics._BINS + 500])
def test_an_equal_seed_gives_an_equal_interval_and_another_seed_another(count):
    values = list(np.random.default_rng(0).random(count))
    assert summarise(values, seed=7) == summarise(values, seed=7)
    assert summarise(values, seed=7).low != summarise(values, seed=8).low


@pytest.mark.parametrize("count", [200, statistics._BINS, statistics._BINS + 1, 6000])
def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution(count):
    """The bins above 1,024 values must not change it."""
    values = np.random.default_rng(1).normal(size=count)
    summary = summarise(list(values))
    half = 1.96 * values.std() / np.sqrt(count)
    assert summary.mean == pytest.approx(values.mean())
    assert summary.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert summary.high == pytest.approx(values.mean() + half, abs=0.15 * half)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: rng.random(40), 0.5),
        (lambda rng: rng.beta(2, 6, 40), 0.25),
        (lambda rng: rng.binomial(1, 0.4, 60), 0.4),
    ],
    ids=["uniform", "skewed", "hit or miss"],
)
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(draw, truth):
    """Of 300 samples; a percentile bootstrap of so few values covers a little less than 95 %."""
    rng = np.random.default_rng(2)
    summaries = [summarise(list(draw(rng).astype(float)), seed=i) for i in range(300)]
    assert 0.90 <= np.mean([s.low <= truth <= s.high for s in summaries]) <= 0.98


def test_the_interval_of_the_bins_covers_as_often():
    rng = np.random.default_rng(3)
    summaries = [summarise(list(rng.beta(2, 6, 1500)), seed=i) for i in range(40)]
    assert 0.85 <= np.mean([s.low <= 0.25 <= s.high for s in summaries]) <= 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_the_interval_lies_in_the_values_and_all_are_counted(values):
    summary = summarise(values)
    defined = [v for v in values if v is not None]
    assert (summary.n, summary.n + summary.undefined) == (len(defined), len(values))
    if len(defined) > 1:
        # Of shares of samples, Wilson's interval reaches beyond the values, see above, but not beyond 0 and 1.
        share = set(defined) <= {0, 1}
        low, high = (0, 1) if share else (min(defined), max(defined))
        assert low - 1e-12 <= summary.low <= summary.mean + 1e-12
        assert summary.mean - 1e-12 <= summary.high <= high + 1e-12


# paired differences


def test_a_difference_is_after_minus_before_over_complete_pairs():
    change = difference([0.1, 0.2, None, 0.4], [0.5, 0.4, 0.9, None])
    assert change.mean == pytest.approx((0.4 + 0.2) / 2)
    assert (change.n, change.undefined) == (2, 2)
    assert 0.2 - 1e-12 <= change.low <= change.high <= 0.4 + 1e-12


def test_a_difference_of_nothing_is_undefined():
    assert difference([None, 0.5], [0.5, None]) == Difference(None, None, None, 0, 2, None)
    assert difference([], []) == Difference(None, None, None, 0, 0, None)


def test_one_pair_has_neither_interval_nor_p():
    assert difference([0.25], [0.75]) == Difference(0.5, None, None, 1, 0, None)


def test_without_any_change_nothing_is_to_be_found():
    assert difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == Difference(0.0, 0.0, 0.0, 3, 0, 1.0)


@pytest.mark.parametrize(("count", "p"), [(5, 2 / 2**5), (8, 2 / 2**8)])
def test_wilcoxon_where_all_changed_in_one_direction(count, p):
    """Of the 2^n equally likely signs only two are so extreme: all up and all down."""
    after = list(np.arange(1.0, count + 1))
    assert difference([0.0] * count, after).p == pytest.approx(p)
    assert difference(after, [0.0] * count).p == pytest.approx(p)


def test_wilcoxon_by_counting_all_signs():
    """Of the 32 equally likely signs, those whose smaller sum of ranks is at most 1 + 2."""
    change = np.array([-1.0, -2.0, 3.0, 4.0, 5.0])
    signs = (np.arange(32)[:, None] >> np.arange(5)) & 1
    smaller = np.minimum(signs @ np.arange(1, 6), (1 - signs) @ np.arange(1, 6))
    assert difference([0.0] * 5, list(change)).p == pytest.approx(np.mean(smaller <= 3))


def test_wilcoxon_is_scipys():
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(4)
    before, after = rng.random(80), rng.random(80) + 0.05
    assert difference(list(before), list(after)).p == pytest.approx(wilcoxon(before, after).pvalue)


def test_two_lists_of_unlike_length_are_no_pairs():
    with pytest.raises(ArgumentError, match="two values per sample, but got 2 before and 1 after"):
        difference([0.1, 0.2], [0.1])


def test_a_difference_is_plain_json():
    values = difference([0.1, 0.2, None], [0.5, 0.4, 0.3]).to_json()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == ["mean", "low", "high", "n", "undefined", "p"]


# McNemar and Holm


@pytest.mark.parametrize(
    ("fixed", "broken", "p"), [(0, 0, 1), (5, 5, 1), (5, 0, 2 / 32), (0, 5, 2 / 32), (8, 2, 2 * (1 + 10 + 45) / 1024)]
)
def test_mcnemar_by_hand(fixed, broken, p):
    assert mcnemar(fixed, broken) == pytest.approx(p)


def test_holm_by_hand():
    """Sorted: 0.01 · 4, 0.02 · 3, 0.03 · 2 and 0.04 · 1, and none below the one before it."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_does_not_count_questions_that_were_not_answered():
    assert holm([None, 0.01, None, 0.5]) == [None, pytest.approx(0.02), None, pytest.approx(0.5)]
    assert holm([]) == []
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.9]) == [1, 1]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for p, corrected in zip(p_values, adjusted, strict=True):
        assert p <= corrected <= 1
    assert min(adjusted) == pytest.approx(min(1.0, min(p_values) * len(p_values)))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
