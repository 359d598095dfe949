"""Mean maps by hand, and clusters as saved views that hold exactly their samples and leave others' views alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import RunConflictError
from fiftyone_saliency.dataset.mean_maps import MeanMap
from tests.models_for_tests import add_pictures

SIZE = (24, 32)
LEFT = "cluster 1 of 2: cake → chocolate (saliency)"
RIGHT = "cluster 2 of 2: cake → cake (saliency)"


def spot(right, strength=1.0, size=SIZE):
    """A map whose evidence is a square at the left or right end."""
    values = np.zeros(size, np.float32)
    values[:, slice(size[1] * 3 // 4, None) if right else slice(size[1] // 4)] = strength
    return values


def picture(path, colour, size=SIZE):
    Image.new("RGB", size[::-1], colour).save(path)
    return str(path)


def fill(dataset, fo, folder, maps, labels=None):
    """One sample per map, None for one without, on red pictures; heatmaps are in the database."""
    paths = [picture(folder / f"{i}.png", "red") for i in range(len(maps))]
    truths, predictions = zip(*(labels or [("cake", "cake")] * len(maps)), strict=True)
    add_pictures(dataset, paths, truths, predictions)
    dataset.add_sample_field("saliency", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    dataset.set_values("saliency", [None if m is None else fo.Heatmap(map=m) for m in maps])
    return dataset


@pytest.fixture
def bakery(dataset, fo, tmp_path):
    """Twelve maps to the left, nearly all mistakes; eight to the right, all correct; one without evidence."""
    maps = [*[spot(False, 1 + i) for i in range(12)], *[spot(True, 1 + i) for i in range(8)], np.zeros(SIZE, "f4")]
    labels = [*[("cake", "chocolate")] * 9, *[("cake", "cake")] * 3, *[("cake", "cake")] * 8, ("cake", "chocolate")]
    return fill(dataset, fo, tmp_path, maps, labels)


def test_a_strong_map_counts_like_a_weak_one(dataset, fo, tmp_path):
    mean = fos.mean_map(fill(dataset, fo, tmp_path, [spot(False, 1000.0), spot(True, 0.001)]))
    half = mean.map.shape[1] // 2
    assert (mean.n, mean.undefined) == (2, 0)
    assert mean.map[:, :half].sum() == pytest.approx(0.5, abs=1e-4)
    assert mean.map.sum() == pytest.approx(1, abs=1e-4)


def test_samples_without_map_or_evidence_are_counted_apart(dataset, fo, tmp_path):
    maps = [spot(False), None, np.zeros(SIZE, np.float32), -spot(True), np.ones(SIZE, np.float32)]
    mean = fos.mean_map(fill(dataset, fo, tmp_path, maps))
    assert (mean.n, mean.undefined) == (1, 4)
    assert mean.map[:, mean.map.shape[1] // 2 :].sum() == pytest.approx(0, abs=1e-6)


def test_nothing_to_average_gives_an_empty_map(dataset, fo, tmp_path):
    mean = fos.mean_map(fill(dataset, fo, tmp_path, [None, np.zeros(SIZE, np.float32)]))
    assert (mean.n, mean.undefined) == (0, 2)
    assert not mean.map.any()
    assert not mean.picture().any()


def test_the_frame_has_the_mean_aspect_ratio(dataset, fo, tmp_path):
    """1:2 and 2:1 meet in a square; two pictures of 3:4 keep it."""
    fill(dataset, fo, tmp_path, [spot(False, size=(16, 32)), spot(False, size=(32, 16)), spot(True), spot(True)])
    square, wide = fos.mean_map(dataset.limit(2)), fos.mean_map(dataset.skip(2))
    assert square.map.shape == square.image.shape[:2] == (224, 224)
    assert wide.map.shape == wide.image.shape[:2] == (168, 224)


def test_the_image_is_the_mean_of_the_counted_images(dataset, fo, tmp_path):
    fill(dataset, fo, tmp_path, [spot(False), spot(True), None])
    picture(tmp_path / "1.png", "blue")
    picture(tmp_path / "2.png", "white")
    assert np.unique(fos.mean_map(dataset).image.reshape(-1, 3), axis=0).tolist() == [[128, 0, 128]]


def test_an_image_that_cannot_be_read_leaves_its_map(dataset, fo, tmp_path):
    fill(dataset, fo, tmp_path, [spot(False), spot(True)])
    (tmp_path / "1.png").write_bytes(b"no picture")
    mean = fos.mean_map(dataset)
    assert mean.n == 2
    assert np.unique(mean.image.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_the_picture_is_coloured_where_the_evidence_is_and_grey_elsewhere(tmp_path):
    values = np.zeros((8, 10), np.float32)
    values[2, 3] = 1
    mean = MeanMap(values, np.full((8, 10, 3), (200, 40, 40), np.uint8), 1, 0)
    drawn = mean.picture().astype(int)
    coloured = np.ptp(drawn, axis=2) > 0
    assert np.argwhere(coloured).tolist() == [[2, 3]]
    assert drawn[2, 3, 0] > drawn[2, 3, 1] + 50
    mean.save(tmp_path / "mean.png")
    assert (np.asarray(Image.open(tmp_path / "mean.png")) == mean.picture()).all()


def test_clusters_lead_back_to_exactly_their_samples(bakery):
    ids = bakery.values("id")
    found = fos.cluster_maps(bakery)
    assert [cluster.view().values("id") for cluster in found.clusters] == [ids[:12], ids[12:20]]
    assert (len(found), found.undefined) == (2, 1)


def test_clusters_know_their_labels_and_mistakes(bakery):
    left, right = fos.cluster_maps(bakery).clusters
    assert (left.dominant, right.dominant) == (("cake", "chocolate"), ("cake", "cake"))
    assert (left.mistakes.mean, left.mistakes.n) == (9 / 12, 12)
    assert 0.4 < left.mistakes.low < 0.75 < left.mistakes.high <= 1
    assert (right.mistakes.mean, right.mistakes.undefined) == (0, 0)


def test_missing_labels_are_no_mistakes(bakery):
    bakery.limit(6).set_field("predictions", None).save()
    mistakes = fos.cluster_maps(bakery).clusters[0].mistakes
    assert (mistakes.mean, mistakes.n, mistakes.undefined) == (0.5, 6, 6)


def test_the_mean_map_of_a_cluster_is_its_own(bakery):
    left, right = fos.cluster_maps(bakery).clusters
    half = left.mean.map.shape[1] // 2
    assert left.mean.map[:, :half].sum() == pytest.approx(1, abs=1e-4)
    assert right.mean.map[:, half:].sum() == pytest.approx(1, abs=1e-4)
    assert (left.mean.n, right.mean.n) == (12, 8)


def test_a_saved_cluster_reloads_to_its_samples_whatever_becomes_of_their_labels(bakery):
    clusters = fos.cluster_maps(bakery).clusters
    assert [fos.save_cluster_view(cluster) for cluster in clusters] == [LEFT, RIGHT]
    bakery.set_field("predictions.label", "bread").save()
    for cluster, name in zip(clusters, (LEFT, RIGHT), strict=True):
        assert bakery.load_saved_view(name).values("id") == cluster.ids


def test_saving_again_updates_and_adds_nothing(bakery):
    for _ in range(2):
        for cluster in fos.cluster_maps(bakery).clusters:
            fos.save_cluster_view(cluster)
    assert sorted(bakery.list_saved_views()) == [LEFT, RIGHT]


def test_clusters_of_other_samples_do_not_replace_each_other(bakery):
    """Their names are alike, their samples are not."""
    first = fos.save_cluster_view(fos.cluster_maps(bakery).clusters[0])
    second = fos.save_cluster_view(fos.cluster_maps(bakery.skip(1)).clusters[0])
    assert (first, second) == (LEFT, f"{LEFT} 2")
    assert [len(bakery.load_saved_view(name)) for name in (first, second)] == [12, 11]


def test_a_view_of_the_user_is_never_overwritten(bakery):
    bakery.save_view("mine", bakery.limit(1), description="my own")
    cluster = fos.cluster_maps(bakery).clusters[0]
    with pytest.raises(RunConflictError, match="'mine' to be free, but another view has it"):
        fos.save_cluster_view(cluster, "mine")
    assert len(bakery.load_saved_view("mine")) == 1
    assert fos.save_cluster_view(cluster, "heads") == "heads"


def test_deleting_removes_clusters_and_nothing_else(bakery):
    bakery.save_view("mine", bakery.limit(1))
    cell = fos.save_cell_view(fos.confusion(bakery).cells["cake", "chocolate"])
    clusters = fos.cluster_maps(bakery).clusters
    for cluster in clusters:
        fos.save_cluster_view(cluster)
    assert fos.delete_cluster_views(bakery, [LEFT, cell, "mine"]) == [LEFT]
    assert fos.delete_cluster_views(bakery) == [RIGHT]
    fos.save_cluster_view(clusters[0])
    assert fos.delete_cell_views(bakery) == [cell], "cells are no clusters either"
    assert sorted(bakery.list_saved_views()) == [LEFT, "mine"]


def test_stored_numbers_filter_and_earlier_ones_go(bakery):
    assert fos.store_clusters(fos.cluster_maps(bakery)) == "saliency.cluster"
    assert bakery.values("saliency.cluster") == ["1"] * 12 + ["2"] * 8 + [None]
    fos.store_clusters(fos.cluster_maps(bakery.skip(12)))
    assert bakery.values("saliency.cluster") == [None] * 12 + ["1"] * 8 + [None]
    assert bakery.count_values("saliency.cluster") == {"1": 8, None: 13}
