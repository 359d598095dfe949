"""The table of evidence: what it says of all samples, of groups, and of one sample, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scipy.stats import binom, binomtest

from fiftyone_saliency.core.evidence import Evidence, RegionShare, group_rows


@pytest.fixture
def table():
    """Five samples: the second has no uniform, the fourth no map at all, the last prefers nothing."""
    return Evidence(
        "saliency",
        "parts",
        ids=["a", "b", "c", "d", "e"],
        truths=["chef", "chef", "judge", None, "judge"],
        predictions=["chef", "judge", "judge", "chef", "judge"],
        shares={"head": [0.8, 0.6, 0.1, None, 0.25], "uniform": [0.1, None, 0.7, None, 0.5]},
        areas={"head": [0.2, 0.4, 0.25, None, 0.25], "uniform": [0.5, None, 0.25, None, 0.5]},
    )


def test_shares_and_areas_are_averaged_over_the_same_samples(table):
    summary = table.summary()
    assert summary["head"].mean == pytest.approx((0.8 + 0.6 + 0.1 + 0.25) / 4)
    assert summary["head"].area == pytest.approx((0.2 + 0.4 + 0.25 + 0.25) / 4)
    assert (summary["head"].n, summary["head"].undefined) == (4, 1)
    assert summary["uniform"].mean == pytest.approx((0.1 + 0.7 + 0.5) / 3)
    assert (summary["uniform"].n, summary["uniform"].undefined) == (3, 2)
    assert summary["head"].low < summary["head"].mean < summary["head"].high


def test_an_area_without_a_share_is_no_chance_level():
    """The second map has a region but no evidence: its area must not pull the level that the mean is held to."""
    table = Evidence("f", "r", ["a", "b"], [None] * 2, [None] * 2, {"head": [0.5, None]}, {"head": [0.1, 0.9]})
    assert table.summary()["head"].area == pytest.approx(0.1)


def test_groups_are_the_true_labels_or_the_cells(table):
    classes = {group: list(part.ids) for group, part in table.groups("class").items()}
    assert classes == {"chef": ["a", "b"], "judge": ["c", "e"], None: ["d"]}
    cells = {group: list(part.ids) for group, part in table.groups("cell").items()}
    assert cells == {
        ("chef", "chef"): ["a"],
        ("chef", "judge"): ["b"],
        ("judge", "judge"): ["c", "e"],
        (None, "chef"): ["d"],
    }
    assert group_rows("class", ["x", "y", "x"], [None] * 3) == {"x": [0, 2], "y": [1]}


def test_a_group_is_a_table_of_its_own(table):
    part = table.groups("class")["judge"]
    assert (part.field, part.regions, part.names, len(part)) == ("saliency", "parts", ["head", "uniform"], 2)
    assert part.truths == ["judge", "judge"]
    assert part.summary()["uniform"].mean == pytest.approx(0.6)


def test_a_selection_keeps_the_order_that_was_asked_for(table):
    part = table.select([2, 0])
    assert (list(part.ids), list(part.shares["head"]), list(part.areas["uniform"])) == (
        ["c", "a"],
        [0.1, 0.8],
        [0.25, 0.5],
    )


def test_joined_tables_are_the_rows_of_both_and_what_one_lacks_is_undefined(table):
    other = Evidence("saliency", "parts", ["x"], ["chef"], [None], {"tool": [0.3]}, {"tool": [0.1]})
    both = table.select([0]).join(other)
    assert (both.names, list(both.ids), list(both.predictions)) == (
        ["head", "uniform", "tool"],
        ["a", "x"],
        ["chef", None],
    )
    assert (both.shares["head"], both.shares["tool"]) == ([0.8, None], [None, 0.3])
    assert (both.areas["uniform"], both.areas["tool"]) == ([0.5, None], [None, 0.1])


def test_the_dominant_region_holds_most_for_its_size(table):
    """Of the last sample, each region holds what its size would get: none dominates."""
    assert table.dominant() == ["head", "head", "uniform", None, None]


def test_what_prefers_nothing_is_defined_and_no_right_reason(table):
    assert table.defined() == [True, True, True, False, True]
    assert table.right(["head"]) == [1, 1, 0, None, 0]


def test_a_share_within_reach_of_shifted_copies_is_no_preference(table):
    far = replace(table, reaches={"head": [0.85, 0.55, 0.5, None, 0.5], "uniform": [0.7, None, 0.6, None, 0.9]})
    assert far.dominant() == ["head", "head", "uniform", None, None], "0.8 on a fifth of the area is most of it"
    wide = replace(far, areas={**table.areas, "head": [0.5, 0.4, 0.25, None, 0.25]})
    assert wide.dominant()[0] is None
    assert wide.select([2, 1]).reaches["head"] == [0.5, 0.55]
    assert far.join(table).reaches["head"] == [0.85, 0.55, 0.5, None, 0.5, *[None] * 5]


def test_the_reach_of_a_mean_falls_with_the_number_of_maps():
    table = Evidence("f", "r", list("abcd"), ["x"] * 4, ["x"] * 4, {"a": [0.4] * 4}, {"a": [0.2] * 4}, {"a": [0.6] * 4})
    assert table.select([0]).summary()["a"].reach == pytest.approx(0.6)
    assert table.summary()["a"].reach == pytest.approx(0.2 + 0.4 / 2)
    assert table.groups("class")["x"].dominant() == [None] * 4
    assert table.summary()["a"].measured == pytest.approx((0.4, 0.2, 0.4))


def test_enrichment_and_correction_of_a_mean():
    share = RegionShare(0.6, None, None, 0.2, 1, 0)
    assert share.enrichment == pytest.approx(3)
    assert share.corrected == pytest.approx(0.5)
    assert RegionShare(None, None, None, None, 0, 2).enrichment is None
    assert RegionShare(0.0, None, None, 0.0, 1, 0).enrichment is None, "of no area, no share can be expected"
    values = share.to_json()
    assert json.loads(json.dumps(values)) == values
    assert (values["enrichment"], values["corrected"]) == (share.enrichment, share.corrected)


def test_a_table_without_rows_is_a_table(table):
    empty = table.select([])
    assert (len(empty), empty.dominant(), empty.groups("cell")) == (0, [], {})
    assert empty.summary()["head"] == RegionShare(None, None, None, None, 0, 0)


@pytest.mark.parametrize("count", [4, 8, 10, 15])
def test_shares_of_nothing_or_all_have_the_exact_interval(count):
    """Wilson's covers .85 of them for eight maps of which one in fifty lies in the region."""
    covered = {}
    for full in range(count + 1):
        shares = [1.0] * full + [0.0] * (count - full)
        labels = [None] * count
        table = Evidence(
            "f", "r", list(map(str, range(count))), labels, labels, {"head": shares}, {"head": [0.1] * count}
        )
        found = table.summary()["head"]
        exact = binomtest(full, count).proportion_ci(0.95, "exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
        covered[full] = (found.low, found.high)
    for rate in (0.02, 0.07, 0.1, 0.3, 0.93):
        chance = sum(binom.pmf(full, count, rate) for full, (low, high) in covered.items() if low <= rate <= high)
        assert chance >= 0.95
