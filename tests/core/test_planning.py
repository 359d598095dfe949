"""What a plan asks for: counts known by hand, and proposals that keep their quotas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_saliency.core.embeddings import Embeddings, nearest_distances, rank_unlike_cues
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.planning import apportion, find_gaps, propose, table

HEAD, UNIFORM, NOWHERE = "head", "uniform", None
SHARES = {HEAD: (0.9, 0.1), UNIFORM: (0.2, 0.8), NOWHERE: (None, None)}


def evidence(*rows):
    """A table of (truth, prediction, where the evidence lies); both regions cover 0.3 of each picture."""
    shares = [SHARES[where] for *_, where in rows]
    ids = [f"s{i}" for i in range(len(rows))]
    columns = {HEAD: [head for head, _ in shares], UNIFORM: [uniform for _, uniform in shares]}
    areas = {name: [None if share is None else 0.3 for share in column] for name, column in columns.items()}
    truths, predictions = [t for t, *_ in rows], [p for _, p, _ in rows]
    return Evidence("saliency", "regions", ids, truths, predictions, columns, areas)


COOKS = [
    *[("cook", "cook", HEAD)] * 6,
    *[("cook", "cook", UNIFORM)] * 2,
    ("cook", "cook", NOWHERE),
    *[("cook", "judge", HEAD)] * 2,
    ("judge", "judge", UNIFORM),
    ("judge", "cook", NOWHERE),
]


def vectors(**by_id):
    return Embeddings(list(by_id), np.array(list(by_id.values()), np.float32))


def test_a_sample_fails_where_it_is_wrong_or_right_for_a_wrong_reason():
    gaps = {gap.name: gap for gap in find_gaps(evidence(*COOKS), [UNIFORM])}
    assert list(gaps) == ["cook → cook", "cook → judge", "judge → cook"]
    cook = gaps["cook → cook"]
    assert cook.failing == tuple(f"s{i}" for i in range(6))
    assert (cook.count, cook.region, cook.counter_examples) == (9, HEAD, 2)
    assert (cook.wrong_reason.mean, cook.wrong_reason.n, cook.wrong_reason.undefined) == (6 / 8, 8, 1)
    assert (cook.share.mean, cook.share.area) == (pytest.approx(0.9), pytest.approx(0.3))
    lost = gaps["judge → cook"]
    assert (lost.failing, lost.region, lost.share, lost.wrong_reason.mean) == (("s12",), None, None, None)


def test_as_many_are_needed_as_fail_beyond_the_good_ones_of_the_class():
    needed = {gap.name: gap.needed for gap in find_gaps(evidence(*COOKS), [UNIFORM])}
    # 8 cooks fail and 2 are good: 6 in all, 6/8 of the failing and 2/8 of them. One judge fails and one is good.
    assert needed == {"cook → cook": 5, "cook → judge": 1, "judge → cook": 0}


def test_added_to_the_data_they_balance_the_class():
    gaps = find_gaps(evidence(*COOKS), [UNIFORM])
    own = [gap for gap in gaps if gap.truth == "cook"]
    assert sum(gap.needed for gap in own) + own[0].counter_examples == sum(len(gap.failing) for gap in own)


def test_nothing_is_needed_where_all_is_right():
    assert find_gaps(evidence(("cook", "cook", UNIFORM), ("judge", "judge", UNIFORM)), [UNIFORM]) == []


def test_samples_without_a_label_are_not_judged():
    assert find_gaps(evidence((None, "cook", HEAD), ("cook", None, HEAD)), [UNIFORM]) == []


def test_clusters_split_a_cell():
    clusters = {f"s{i}": "hats" if i < 4 else None for i in range(len(COOKS))}
    gaps = find_gaps(evidence(*COOKS), [UNIFORM], clusters)
    counts = {(gap.truth, gap.prediction, gap.cluster): len(gap.failing) for gap in gaps}
    assert counts["cook", "cook", "hats"] == 4
    assert counts["cook", "cook", None] == 2
    assert gaps[0].name == "cook → cook [hats]"


def test_small_gaps_can_be_left_out():
    assert [gap.name for gap in find_gaps(evidence(*COOKS), [UNIFORM], min_count=3)] == ["cook → cook"]


def test_the_table_tells_the_numbers_and_what_to_add():
    gaps = find_gaps(evidence(*COOKS), [UNIFORM])
    text = table(gaps, [4, 1, 0])
    row = next(line for line in text.splitlines() if line.startswith("cook → cook "))
    assert "6 of 9 " in row
    assert "0.75 [" in row
    assert "head 0.90 (area 0.30)" in row
    assert row.split()[-2:] == ["5", "4"]
    assert "cook → cook: 5 pictures of 'cook' with another head than the usual one." in text
    assert "cook → judge: 1 picture of 'cook' like those taken for 'judge'." in text
    assert "judge → cook: Nothing: " in text


def test_a_long_table_shows_the_worst_and_counts_the_rest():
    rows = [(f"class {i:02d}", "cook", HEAD) for i in range(25)]
    text = table(find_gaps(evidence(*rows), [UNIFORM]), None)
    assert "class 19 → cook: 1 picture of" in text
    assert "class 20" not in text
    assert "… and 5 more" in text


def test_a_gap_is_plain_json():
    import json

    (gap,) = find_gaps(evidence(("cook", "cook", HEAD)), [UNIFORM])
    told = json.loads(json.dumps(gap.to_json()))
    assert (told["failing"], told["needed"], told["share"]["mean"]) == (["s0"], 1, pytest.approx(0.9))


@given(st.integers(0, 60), st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_shares_of_a_number_add_up_and_stay_below_their_weights(total, weights):
    shares = apportion(total, weights)
    assert sum(shares) == min(total, sum(weights))
    for share, weight in zip(shares, weights, strict=True):
        assert 0 <= share <= weight
        assert sum(weights) <= total or abs(share - total * weight / sum(weights)) < 1


def test_the_best_are_chosen_up_to_each_quota():
    table_ = vectors(a=[1, 0, 0, 0], b=[0, 1, 0, 0], c=[0, 0, 1, 0], d=[0, 0, 0, 1])
    assert propose([["c", "a", "b"], ["d"]], [2, 3], table_, 0.0) == [["c", "a"], ["d"]]
    assert propose([["c", "a"]], [0], table_, 0.0) == [[]]
    assert propose([[], ["a"]], [1, 1], table_, 0.0) == [[], ["a"]]


def test_what_two_gaps_want_goes_to_one_of_them():
    table_ = vectors(a=[1, 0, 0], b=[0, 1, 0], c=[0, 0, 1])
    assert propose([["a", "b", "c"], ["a", "b", "c"]], [2, 2], table_, 0.0) == [["a", "c"], ["b"]]


def test_of_near_duplicates_one_is_chosen():
    table_ = vectors(a=[1, 0], twin=[100, 1], b=[0, 1])
    assert propose([["a", "twin", "b"]], [3], table_, 0.001) == [["a", "b"]]
    assert propose([["a", "twin", "b"]], [3], table_, 0.0) == [["a", "twin", "b"]]
    assert propose([["a"], ["twin", "b"]], [1, 1], table_, 0.001) == [["a"], ["b"]], "across gaps too"


def test_distances_are_those_of_directions():
    queries, others = vectors(x=[2, 0], y=[0, 3], zero=[0, 0]), vectors(a=[1, 0], b=[1, 1])
    found = nearest_distances(queries, others)
    np.testing.assert_allclose(found, [0, 1 - 0.5**0.5, 1], atol=1e-12)
    assert nearest_distances(queries, others.select([])).tolist() == [np.inf] * 3


def test_many_distances_are_those_of_each_alone():
    table_ = np.random.default_rng(51).normal(size=(9000, 3)).astype(np.float32)
    queries = Embeddings([str(i) for i in range(9000)], table_)
    others = queries.select(["17", "4500", "8999"])
    found = nearest_distances(queries, others)
    unit = table_ / np.linalg.norm(table_, axis=1, keepdims=True)
    np.testing.assert_allclose(found, (1 - unit @ unit[[17, 4500, 8999]].T).min(axis=1), atol=1e-6)


def test_another_cue_in_the_same_surroundings_comes_first():
    cues = vectors(failing=[1, 0], same=[1, 0], other=[0, 1], elsewhere=[0, 1], no_rest=[0, 1])
    rests = vectors(failing=[1, 0], same=[1, 0], other=[1, 0], elsewhere=[0, 1])
    parts = {"salient": cues, "rest": rests}
    ranking = rank_unlike_cues(parts, ["same", "no_rest", "elsewhere", "other", "unknown"], ["failing"])
    assert ranking[0] == "other"
    assert set(ranking) == {"other", "same", "elsewhere"}, "who lacks an embedding is left out"
    assert rank_unlike_cues(parts, ["same"], ["unknown"]) == []


def test_where_all_cues_are_alike_the_surroundings_decide():
    cues = vectors(failing=[1, 0], near=[1, 0], far=[1, 0])
    rests = vectors(failing=[1, 0], near=[1, 0.1], far=[0, 1])
    assert rank_unlike_cues({"salient": cues, "rest": rests}, ["far", "near"], ["failing"]) == ["near", "far"]


@pytest.mark.parametrize(
    ("ids", "array", "message"),
    [
        (["a"], np.zeros((2, 3)), r"one vector per sample, an array \(1, D\), but got \(2, 3\)"),
        (["a"], np.zeros(1), "one vector per sample"),
        (["a", "a"], np.zeros((2, 3)), "distinct ids and finite vectors"),
        (["a"], np.full((1, 3), np.nan), "distinct ids and finite vectors"),
    ],
)
def test_embeddings_are_one_finite_vector_per_sample(ids, array, message):
    with pytest.raises(ArgumentError, match=message):
        Embeddings(ids, array.astype(np.float32))
