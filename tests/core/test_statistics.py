"""Means, intervals and tests against answers known by hand, or from scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_saliency.core import statistics
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.statistics import (
    Difference,
    Summary,
    difference,
    holm,
    mcnemar,
    summarise,
    summarise_groups,
)


def test_a_mean_of_the_defined_values_and_the_number_of_the_others():
    summary = summarise([0.25, None, 0.75, None, None])
    assert (summary.mean, summary.n, summary.undefined) == (0.5, 2, 3)


@pytest.mark.parametrize(("values", "undefined"), [([], 0), ([None, None], 2)])
def test_of_nothing_the_mean_is_undefined(values, undefined):
    assert summarise(values) == Summary(None, None, None, 0, undefined)
    assert str(summarise(values)) == f"– (n=0, {undefined} undefined)"


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.4], [0.0, 1.0, 1.0]])
def test_fewer_than_four_values_are_too_few_for_an_interval(values):
    found = summarise([*values, None])
    assert (found.low, found.high, found.n, found.undefined) == (None, None, len(values), 1)
    assert str(found).endswith(f"(n={len(values)}, 1 undefined, too few for an interval)")
    assert difference([0.0] * len(values), values).low is None
    assert summarise([0.3] * 4).low is not None


def test_equal_shares_exclude_no_rare_exception():
    """Of twenty values at 0.1 an unseen one in ten may be at 0.9: one sample in eight of such a mixture looks so."""
    found = summarise([0.1] * 20)
    # By hand: the lowest value, and as much of the way to 1 as a Beta(1, 20) variable reaches in 97.5 % of all cases.
    assert found.high == pytest.approx(0.1 + 0.9 * (1 - 0.025 ** (1 / 20)))
    assert found.low == pytest.approx(0.1 - 0.1 * (1 - 0.025 ** (1 / 20)))
    assert found.low < found.mean == 0.1 < 0.1 + 0.1 * 0.8 < found.high
    assert str(found) == "0.100 [0.083, 0.252] (n=20)"


def test_values_in_two_places_have_the_exact_interval_of_a_share():
    """Clopper and Pearson's, drawn into the range from the lowest value to the bound."""
    from scipy.stats import binomtest

    found = summarise([0.2] * 9 + [1.0] * 3)
    assert found.high == pytest.approx(0.2 + 0.8 * binomtest(3, 12).proportion_ci(0.95, "exact").high)
    assert summarise([0.0] * 9 + [0.5] * 3).low == pytest.approx(0.5 * binomtest(3, 12).proportion_ci(0.95).low)


def test_a_summary_is_plain_json():
    values = summarise([1.0, 2.0, None]).to_json()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == ["mean", "low", "high", "n", "undefined"]


def test_zero_is_a_value_and_not_a_missing_one():
    found = summarise([0.0] * 4)
    assert (found.mean, found.low, found.n, found.undefined) == (0.0, 0.0, 4, 0)


def test_ten_of_ten_are_no_proof_of_all():
    # Wilson's interval by hand: n / (n + z²) with z = 1.96.
    found = summarise([1.0] * 10)
    assert found.low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    assert found.high == 1.0
    assert summarise([0.0] * 10).high == pytest.approx(1 - found.low)


@pytest.mark.parametrize("count", [200, 1024, 1025, 6000])
def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution(count):
    """Values that lie beyond 0 to 1 have no bounds that an interval could know of."""
    values = np.random.default_rng(1).normal(size=count)
    summary = summarise(list(values))
    half = 1.96 * values.std() / np.sqrt(count)
    assert summary.mean == pytest.approx(values.mean())
    assert summary.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert summary.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def draw_shape(rng, shape, size):
    """Draw (size) shares of a shape; return them with their true mean."""
    kind, *numbers = shape
    if kind == "beta":
        a, b = numbers
        return rng.beta(a, b, size), a / (a + b)
    if kind == "zeros":
        rate, a, b = numbers
        return (rng.random(size) >= rate) * rng.beta(a, b, size), (1 - rate) * a / (a + b)
    low, high, rate = numbers
    return np.where(rng.random(size) < rate, high, low), low + (high - low) * rate


SHAPES = [
    *(
        ("beta", a, b)
        for a, b in ((0.5, 0.5), (0.2, 2), (1, 9), (2, 6), (1, 1), (0.1, 0.1), (0.1, 0.9), (10, 20), (2, 0.2))
    ),
    *(("zeros", rate, a, b) for rate in (0.7, 0.8, 0.9, 0.95) for a, b in ((1, 1), (2, 6), (5, 2))),
    *(
        ("points", *numbers)
        for numbers in ((0.1, 0.9, 0.1), (0.1, 0.9, 0.5), (0.05, 0.95, 0.05), (0, 0.5, 0.1), (0.1, 1, 0.2))
    ),
]


def coverage(values, truth, bounds=statistics.SHARE):
    """Return the share of the rows of (R, n) whose interval holds the truth, and those below and above it."""
    rows = np.repeat(np.arange(len(values)), values.shape[1])
    found = summarise_groups(values.ravel(), rows, len(values), bounds)
    below = np.mean([s.high < truth - 1e-9 for s in found])
    above = np.mean([s.low > truth + 1e-9 for s in found])
    return 1 - below - above, below, above


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_interval_of_few_shares_covers_the_true_mean_as_often_as_it_says(shape):
    """Of 2,000 samples; the percentile bootstrap covered .18 to .88 of them."""
    rng = np.random.default_rng(2)
    for count in (4, 8, 15, 30):
        values, truth = draw_shape(rng, shape, (2000, count))
        covered, below, above = coverage(values, truth)
        assert covered >= 0.94, count
        # Nominal .025: so often a gate at its bound passes by luck.
        assert max(below, above) <= 0.033, count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_difference_covers_as_often(shape):
    rng = np.random.default_rng(3)
    for count in (4, 8, 20):
        (before, was), (after, now) = draw_shape(rng, SHAPES[0], (500, count)), draw_shape(rng, shape, (500, count))
        covered, _, _ = coverage(after - before, now - was, (-1, 1))
        assert covered >= 0.93
        found = difference(list(before[0]), list(after[0]))
        rows = summarise_groups(after[0] - before[0], np.zeros(count, np.int64), 1, (-1, 1))[0]
        assert (found.low, found.high) == (rows.low, rows.high)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: rng.random(40), 0.5),
        (lambda rng: rng.beta(2, 6, 200), 0.25),
        (lambda rng: rng.binomial(1, 0.4, 60), 0.4),
    ],
    ids=["uniform", "skewed", "hit or miss"],
)
def test_the_interval_is_no_wider_than_it_must(draw, truth):
    """Of 300 samples; what makes it hold for the few costs little where there are many."""
    rng = np.random.default_rng(2)
    summaries = [summarise(list(draw(rng).astype(float))) for _ in range(300)]
    assert 0.90 <= np.mean([s.low <= truth <= s.high for s in summaries]) <= 0.98


@pytest.mark.parametrize(("count", "most"), [(10, 1.7), (40, 1.4), (200, 1.2), (2000, 1.06)])
def test_the_price_of_holding_for_all_shapes_falls_with_the_number(count, most):
    """Beside Student's interval, which covers smooth values as well and rare ones hardly."""
    values = np.random.default_rng(5).beta(2, 6, (200, count))
    rows = np.repeat(np.arange(200), count)
    wide, narrow = (summarise_groups(values.ravel(), rows, 200, bounds) for bounds in (statistics.SHARE, None))
    widths = [np.mean([s.high - s.low for s in found]) for found in (wide, narrow)]
    assert widths[0] <= most * widths[1]


def test_groups_at_once_are_what_they_are_one_by_one():
    rng = np.random.default_rng(6)
    groups = rng.integers(0, 40, 300)
    values = np.where(rng.random(300) < 0.2, np.nan, np.where(groups == 7, rng.random(300) < 0.5, rng.random(300)))
    found = summarise_groups(values, groups, 41)
    for group in range(41):
        own = [None if np.isnan(v) else float(v) for v in values[groups == group]]
        alone = summarise(own)
        assert (found[group].n, found[group].undefined) == (alone.n, alone.undefined)
        assert (found[group].mean, found[group].low, found[group].high) == pytest.approx(
            (alone.mean, alone.low, alone.high), abs=1e-12
        )
    assert found[40] == Summary(None, None, None, 0, 0)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), None])
def test_an_interval_follows_its_values_when_they_are_moved_and_stretched(bounds):
    values = np.random.default_rng(7).beta(2, 6, 12)
    scaled = None if bounds is None else (3 + 5 * bounds[0], 3 + 5 * bounds[1])
    one, other = summarise(list(values), bounds), summarise(list(3 + 5 * values), scaled)
    assert (3 + 5 * one.low, 3 + 5 * one.high) == pytest.approx((other.low, other.high))
    mirrored = summarise(list(-values), None if bounds is None else (-bounds[1], -bounds[0]))
    assert (one.low, one.high) == pytest.approx((-mirrored.high, -mirrored.low))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_the_interval_lies_in_the_bounds_around_the_mean_and_all_are_counted(values):
    summary = summarise(values)
    defined = [v for v in values if v is not None]
    assert (summary.n, summary.n + summary.undefined) == (len(defined), len(values))
    assert (summary.low is None) == (len(defined) < 4)
    if summary.low is not None:
        assert -1e-12 <= summary.low <= summary.mean <= summary.high <= 1 + 1e-12


# paired differences


def test_a_difference_is_after_minus_before_over_complete_pairs():
    change = difference([0.1, 0.2, None, 0.4], [0.5, 0.4, 0.9, None])
    assert change.mean == pytest.approx((0.4 + 0.2) / 2)
    assert (change.n, change.undefined) == (2, 2)
    assert (change.low, change.high) == (None, None), "two pairs are too few for an interval"


def test_a_difference_of_nothing_is_undefined():
    assert difference([None, 0.5], [0.5, None]) == Difference(None, None, None, 0, 2, None)
    assert difference([], []) == Difference(None, None, None, 0, 0, None)


def test_shares_cannot_change_by_more_than_one_and_other_values_can():
    few = difference([0.0] * 5, [1.0] * 5)
    assert few.high == 1.0
    # By hand: from -1 to 1 the five reach as far as a Beta(5, 1) variable in all but 2.5 %.
    assert few.low == pytest.approx(-1 + 2 * 0.025 ** (1 / 5))
    logits = difference([0.0, 1.0, 2.0, 3.0], [9.0, 8.0, 9.0, 8.0])
    half = 3.182446 * np.std([9, 7, 7, 5], ddof=1) / 2
    assert (logits.low, logits.high) == pytest.approx((7 - half, 7 + half))
    assert difference([0.0] * 5, [1.0] * 5, bounds=None).low == 1.0


def test_one_pair_has_neither_interval_nor_p():
    assert difference([0.25], [0.75]) == Difference(0.5, None, None, 1, 0, None)


def test_without_any_change_nothing_is_to_be_found():
    assert difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == Difference(0.0, None, None, 3, 0, 1.0)
    same = difference([0.1] * 50, [0.1] * 50)
    assert (same.mean, same.p, same.low) == (0, 1, pytest.approx(-same.high))
    assert 0 < same.high < 0.08


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
