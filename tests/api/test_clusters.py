"""Clusters of real maps, from a network that is right about one colour and sees it at two places."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, state_of


@pytest.fixture(scope="module")
def placed(fo, tmp_path_factory):
    """Twenty red squares: the first twelve at the top left, called blue in truth, the others at the bottom right."""
    folder = tmp_path_factory.mktemp("placed")
    rng = np.random.default_rng(51)
    paths = []
    for i in range(20):
        drawn = rng.integers(0, 40, (48, 48, 3), np.uint8)
        row = column = 4 if i < 12 else 32
        drawn[row : row + 12, column : column + 12, 0] = 200 + rng.integers(50)
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(drawn).save(paths[-1])
    dataset = add_pictures(fo.Dataset(), paths, ["blue"] * 12 + ["red"] * 8, ["red"] * 20)
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    fos.compute_saliency(dataset, model, progress=False, num_workers=2)
    yield dataset
    dataset.delete()


def test_two_places_are_two_clusters_and_one_of_them_is_the_mistake(placed):
    found = fos.cluster_maps(placed)
    ids = placed.values("id")
    assert [cluster.ids for cluster in found.clusters] == [ids[:12], ids[12:]]
    assert [cluster.mistakes.mean for cluster in found.clusters] == [1, 0]
    assert [cluster.dominant for cluster in found.clusters] == [("blue", "red"), ("red", "red")]


def test_the_mean_map_lies_on_the_square(placed):
    mean = fos.mean_map(placed.limit(12))
    height, width = mean.map.shape
    assert mean.map[: height // 2, : width // 2].sum() > 0.95
    assert (mean.n, mean.undefined) == (12, 0)


def test_a_cell_is_as_good_as_its_view(placed):
    cell = fos.confusion(placed).cells["blue", "red"]
    found = fos.cluster_maps(cell)
    assert [cluster.ids for cluster in found.clusters] == [placed.limit(12).values("id")]
    assert (fos.mean_map(cell).map == fos.mean_map(placed.limit(12)).map).all()


def test_a_cell_brings_its_label_fields(placed, fo):
    placed.set_values("reviewed", [fo.Classification(label="red")] * 20)
    cell = fos.confusion(placed, gt_field="reviewed").cells["red", "red"]
    assert [cluster.mistakes.mean for cluster in fos.cluster_maps(cell).clusters] == [0, 0]
    assert [c.mistakes.mean for c in fos.cluster_maps(cell, gt_field="ground_truth").clusters] == [1, 0]


def test_without_labels_there_are_clusters_and_no_mistakes(fo, placed):
    bare = placed.select_fields("saliency").clone()
    found = fos.cluster_maps(bare)
    assert [cluster.name for cluster in found.clusters] == ["cluster 1 of 2", "cluster 2 of 2"]
    assert [(cluster.mistakes.mean, cluster.mistakes.undefined) for cluster in found.clusters] == [
        (None, 12),
        (None, 8),
    ]
    bare.delete()


def test_clusters_read_as_a_table(placed):
    lines = str(fos.cluster_maps(placed)).splitlines()
    assert lines[0] == "The 20 maps fall into 2 kinds."
    row = "cluster 1 of 2: blue → red 12 samples, mistakes 1.000 [0.758, 1.000] (n=12)"
    assert " ".join(lines[1].split()) == row


def test_few_maps_say_that_they_are_few_and_one_kind_that_it_is_one(placed):
    few = fos.cluster_maps(placed.limit(9))
    assert (len(few), str(few).splitlines()[0]) == (1, "9 maps are too few to tell kinds apart; 10 are needed.")
    one = fos.cluster_maps(placed.limit(12))
    assert (len(one), one.reason) == (1, "The 12 maps fall into no kinds.")


def test_a_cluster_is_tagged_and_untagged(placed):
    first, second = fos.cluster_maps(placed).clusters
    assert fos.tag_cluster(first, "corner") == 12
    assert placed.match_tags("corner").values("id") == first.ids
    assert fos.untag_cluster(second, "corner") == 0
    assert fos.untag_cluster(first, "corner") == 12
    assert placed.count_sample_tags() == {}


def test_progress_counts_the_samples(placed):
    seen = []
    fos.cluster_maps(placed, progress=lambda bar: seen.append((bar.iteration, bar.total)))
    assert seen[-1] == (20, 20)


def test_looking_changes_nothing(placed):
    before = state_of(placed)
    fos.mean_map(placed)
    assert fos.cluster_maps(placed).clusters[0].mean.n == 12
    assert state_of(placed) == before


@pytest.mark.parametrize("verb", [fos.mean_map, fos.cluster_maps])
@pytest.mark.parametrize(
    ("field", "error", "message"),
    [
        ("salience", UnknownNameError, "Heatmap field for `field`, but got 'salience'. Did you mean `saliency`"),
        ("predictions", FieldError, "`field` to name a Heatmap field, but 'predictions' is a Classification"),
    ],
)
def test_bad_fields_are_refused(placed, verb, field, error, message):
    with pytest.raises(error, match=message):
        verb(placed, field)


@pytest.mark.parametrize("verb", [fos.mean_map, fos.cluster_maps])
def test_no_samples_are_refused(placed, verb):
    with pytest.raises(FieldError, match="Expected `samples` to hold at least one sample"):
        verb(placed.match_tags("nothing"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ArgumentError, "`seed` to be an integer of at least 0"),
        ({"max_clusters": 0}, ArgumentError, "`max_clusters` to be an integer of at least 1"),
        ({"gt_field": "truth"}, UnknownNameError, "Classification field for `gt_field`, but got 'truth'"),
        ({"pred_field": "saliency"}, FieldError, "`pred_field` to name a Classification field"),
    ],
)
def test_bad_arguments_are_refused(placed, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.cluster_maps(placed, **arguments)


@pytest.mark.parametrize("name", ["", "  ", 3])
def test_a_view_without_a_name_is_refused(placed, name):
    with pytest.raises(ArgumentError, match="Expected `name` to be a non-empty string or None"):
        fos.save_cluster_view(fos.cluster_maps(placed).clusters[0], name)
    assert placed.list_saved_views() == []
