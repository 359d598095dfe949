"""Clusters of maps: planted kinds are found exactly, one kind stays one, and what does not matter changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from fiftyone_saliency.core.clustering import UNDEFINED, cluster_maps, distribution
from fiftyone_saliency.core.errors import ArgumentError

PLACES = ((0.25, 0.5), (0.75, 0.3), (0.6, 0.85))


def blob(row, column, width):
    down, across = (np.mgrid[:16, :16] + 0.5) / 16
    return np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * width**2))


def planted(sizes, seed=0):
    """Maps of as many kinds as there are sizes: a blob near the place of its kind, of any strength, on noise."""
    rng = np.random.default_rng(seed)
    maps, kinds = [], []
    for kind, size in enumerate(sizes):
        for _ in range(size):
            row, column = rng.normal(PLACES[kind], 0.03)
            noise = 0.1 * rng.random((16, 16))
            maps.append(rng.uniform(0.5, 3) * (blob(row, column, rng.uniform(0.1, 0.15)) + noise))
            kinds.append(kind)
    return np.array(maps, np.float32), np.array(kinds)


@pytest.mark.parametrize("sizes", [(6, 6), (20, 8), (50, 50), (400, 60), (10, 10, 10), (100, 40, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_planted_kinds_are_recovered_exactly(sizes, seed):
    maps, kinds = planted(sizes, seed)
    found = cluster_maps(maps)
    assert found.count == len(sizes)
    assert adjusted_rand_score(kinds, found.labels) == 1


@pytest.mark.parametrize("size", [10, 40, 200, 800])
@pytest.mark.parametrize("seed", range(3))
def test_one_kind_is_one_cluster(size, seed):
    found = cluster_maps(planted((size,), seed)[0])
    assert found.count == 1
    assert set(found.labels) == {0}


@pytest.mark.parametrize("size", [50, 300])
def test_a_place_that_varies_without_a_gap_is_one_kind(size):
    rng = np.random.default_rng(0)
    sheet = np.array([blob(*rng.uniform(0.1, 0.9, 2), 0.1) for _ in range(size)], np.float32)
    assert cluster_maps(sheet).count == 1


def test_pure_noise_is_one_kind():
    assert cluster_maps(np.random.default_rng(0).random((200, 16, 16), np.float32)).count == 1


def test_the_largest_cluster_comes_first():
    found = cluster_maps(planted((20, 60, 40))[0])
    assert [int((found.labels == label).sum()) for label in range(3)] == [60, 40, 20]
    assert found.labels[0] == 2


def test_the_order_of_the_maps_does_not_matter():
    maps, _ = planted((40, 25, 15))
    order = np.random.default_rng(7).permutation(len(maps))
    assert adjusted_rand_score(cluster_maps(maps).labels[order], cluster_maps(maps[order]).labels) == 1


def test_the_scale_of_a_map_does_not_matter():
    maps, _ = planted((30, 30))
    scales = np.float32(2) ** np.random.default_rng(3).integers(-8, 8, len(maps))
    assert (cluster_maps(maps).labels == cluster_maps(maps * scales[:, None, None]).labels).all()


def test_negative_values_do_not_matter():
    maps, _ = planted((30, 30))
    holes = np.random.default_rng(4).random(maps.shape) < 0.2
    without = np.where(holes, 0, maps)
    with_negative = np.where(holes, -5, maps)
    assert (cluster_maps(without).labels == cluster_maps(with_negative).labels).all()


def test_equal_seeds_give_equal_clusters():
    maps, _ = planted((33, 21, 12))
    first, second = cluster_maps(maps, seed=3), cluster_maps(maps, seed=3)
    assert (first.labels == second.labels).all()
    assert (first.eigenvalues == second.eigenvalues).all()


def test_exact_duplicates_are_kinds_of_their_own():
    maps = np.array([blob(*PLACES[kind], 0.1) for kind in range(3) for _ in range(12)], np.float32)
    found = cluster_maps(maps)
    assert found.labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert found.eigenvalues[:4].tolist() == pytest.approx([0, 0, 0, 1]), "three graphs, each complete"


def test_no_more_clusters_than_allowed():
    maps, kinds = planted((30, 30, 30))
    two = cluster_maps(maps, max_clusters=2)
    assert two.count == 2
    assert adjusted_rand_score(kinds, two.labels) > 0.5, "two kinds are merged, none is torn apart"
    assert cluster_maps(maps, max_clusters=1).count == 1


def test_maps_that_name_no_place_belong_to_no_cluster():
    maps, kinds = planted((20, 20))
    maps[3], maps[25] = 0, 0.5
    maps[30] = -maps[30]
    found = cluster_maps(maps)
    nowhere = np.isin(np.arange(40), (3, 25, 30))
    assert (found.labels == UNDEFINED).tolist() == nowhere.tolist()
    assert found.undefined == 3
    assert adjusted_rand_score(kinds[~nowhere], found.labels[~nowhere]) == 1


def test_fewer_than_ten_maps_are_one_cluster():
    found = cluster_maps(planted((5, 4))[0])
    assert (found.count, found.labels.tolist(), len(found.eigenvalues)) == (1, [0] * 9, 0)


@pytest.mark.parametrize("maps", [np.zeros((0, 16, 16)), np.zeros((12, 16, 16)), np.ones((12, 16, 16))])
def test_nothing_to_compare_is_no_cluster(maps):
    found = cluster_maps(maps.astype(np.float32))
    assert (found.count, found.undefined) == (0, len(maps))


def test_eigenvalues_are_those_of_a_normalised_laplacian():
    values = cluster_maps(planted((60, 40))[0]).eigenvalues
    assert len(values) == 32
    assert (np.diff(values) >= 0).all()
    assert values[1] < 1e-9 < 0.01 < values[2], "as many zeros as parts"
    assert values.max() <= 2


def test_a_distribution_by_hand():
    assert distribution(np.array([[1, -4], [3, 0]], np.float32)).tolist() == [[0.25, 0], [0.75, 0]]
    assert distribution(np.array([[-1, 0]], np.float32)) is None
    assert distribution(np.array([[2, 2]], np.float32)) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": np.zeros((16, 16), np.float32)}, r"maps of shape \(N, h, w\), but got shape \(16, 16\)"),
        ({"max_clusters": 0}, "`max_clusters` to be an integer of at least 1, but got 0"),
        ({"seed": -1}, "`seed` to be an integer of at least 0, but got -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        cluster_maps(**{"maps": np.zeros((12, 16, 16), np.float32), **arguments})
