"""Shares of evidence by region, on maps and regions drawn by hand: every number is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.dataset.regions import RegionShare
from tests.models_for_tests import add_pictures

LEFT = np.zeros((10, 20), np.uint8)
LEFT[:, :5] = 1
"""The region "1" is the left quarter of a picture of 20 × 10 pixels; the rest is background."""


@pytest.fixture
def heatmap(fo, tmp_path):
    """A maker of heatmaps: levels are written to a PNG, as other tools would do it."""
    count = iter(range(100))

    def make(levels, **attributes):
        path = tmp_path / f"map-{next(count)}.png"
        cv2.imwrite(str(path), np.asarray(levels, np.uint8))
        return fo.Heatmap(map_path=str(path), **attributes)

    return make


@pytest.fixture
def two(dataset, heatmap, fo):
    """Two pictures with the region LEFT. Of the evidence it holds 3/4 in the first and 1/4 in the second."""
    add_pictures(dataset, ["/nowhere/0.png", "/nowhere/1.png"], ["cake", "bread"], ["cake", "cake"])
    dataset.add_sample_field("saliency", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    dataset.add_sample_field("regions", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    levels = ([[90, 10, 10, 10]], [[10, 10, 10, 10]])
    for sample, row in zip(dataset, levels, strict=True):
        sample["saliency"] = heatmap(row)
        sample["regions"] = fo.Segmentation(mask=LEFT)
        sample.save()
    return dataset


def test_shares_and_areas_by_hand(two):
    shares = fos.region_shares(two, regions="regions")
    assert shares.overall == {
        "1": RegionShare(mean=pytest.approx((0.75 + 0.25) / 2), area=0.25, n=2, undefined=0),
        "background": RegionShare(mean=pytest.approx((0.25 + 0.75) / 2), area=0.75, n=2, undefined=0),
    }
    assert shares["1"] is shares.overall["1"]
    assert shares.groups == {}
    assert [line.split() for line in str(shares).splitlines()] == [
        ["region", "evidence", "area", "samples"],
        ["1", "0.500", "0.250", "2"],
        ["background", "0.500", "0.750", "2"],
    ]


def test_a_view_is_measured_alone(two):
    assert fos.region_shares(two.limit(1), regions="regions")["1"].mean == pytest.approx(0.75)
    assert fos.region_shares(two.skip(1), regions="regions")["1"].mean == pytest.approx(0.25)


def test_a_mask_in_a_file_gives_the_same(two, fo, tmp_path):
    expected = fos.region_shares(two, regions="regions").overall
    cv2.imwrite(str(tmp_path / "mask.png"), LEFT)
    two.set_values("regions", [fo.Segmentation(mask_path=str(tmp_path / "mask.png")) for _ in range(2)])
    assert fos.region_shares(two, regions="regions").overall == expected


def test_a_map_in_the_database_gives_the_same(two, fo):
    expected = fos.region_shares(two, regions="regions").overall
    maps = [np.array([[9, 1, 1, 1]], np.uint8), np.array([[0.5, 0.5, 0.5, 0.5]], np.float32)]
    two.set_values("saliency", [fo.Heatmap(map=m) for m in maps])
    assert fos.region_shares(two, regions="regions").overall == expected


def test_regions_are_called_by_the_mask_targets(two):
    """Those of the field come before those of the dataset; they survive the database, where keys are text."""
    two.default_mask_targets = {1: "thing", 0: "rest"}
    two.save()
    assert list(fos.region_shares(two, regions="regions").overall) == ["rest", "thing"]
    two.mask_targets = {"regions": {1: "head", 2: "uniform"}}
    two.save()
    two.reload()
    shares = fos.region_shares(two, regions="regions").overall
    assert list(shares) == ["background", "head", "uniform"]
    assert shares["head"].mean == pytest.approx(0.5)
    assert shares["uniform"] == RegionShare(mean=None, area=None, n=0, undefined=2)


def test_a_mask_pixel_that_lies_in_two_map_pixels_is_shared_out(two, heatmap, fo):
    """Three mask columns over two map columns: the first map pixel is two thirds of column one."""
    sample = two.first()
    sample["saliency"] = heatmap([[100, 0], [0, 0]])
    sample["regions"] = fo.Segmentation(mask=np.array([[1, 0, 0], [0, 0, 0]], np.uint8))
    sample.save()
    share = fos.region_shares(two.limit(1), regions="regions")["1"]
    assert (share.mean, share.area) == (pytest.approx(2 / 3), pytest.approx(1 / 6))


def test_rows_are_not_taken_for_columns(two, heatmap, fo):
    sample = two.first()
    sample["saliency"] = heatmap([[60, 0, 0, 0], [40, 0, 0, 0]])
    sample["regions"] = fo.Segmentation(mask=np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.uint8))
    sample.save()
    assert fos.region_shares(two.limit(1), regions="regions")["1"].mean == pytest.approx(0.6)


def test_negative_evidence_is_left_out(two, heatmap):
    """Levels 0, 51, 153, 255 over [-1, 1] are -1, -0.6, 0.2, 1: of 1.2 the last holds 1."""
    sample = two.first()
    sample["saliency"] = heatmap([[255, 51, 0, 153]], vmin=-1.0, vmax=1.0)
    sample.save()
    assert fos.region_shares(two.limit(1), regions="regions")["1"].mean == pytest.approx(1 / 1.2)


def nothing_at_all(sample, heatmap, fo):
    sample["saliency"] = None


def a_map_without_evidence(sample, heatmap, fo):
    sample["saliency"] = heatmap([[0, 0, 0, 0]], vmin=0.0, vmax=0.0)


def a_map_whose_file_is_gone(sample, heatmap, fo):
    sample["saliency"] = fo.Heatmap(map_path="/nowhere/gone.png")


def a_heatmap_without_map(sample, heatmap, fo):
    sample["saliency"] = fo.Heatmap()


def no_regions(sample, heatmap, fo):
    sample["regions"] = None


def a_segmentation_without_mask(sample, heatmap, fo):
    sample["regions"] = fo.Segmentation()


@pytest.mark.parametrize(
    "spoil",
    [
        nothing_at_all,
        a_map_without_evidence,
        a_map_whose_file_is_gone,
        a_heatmap_without_map,
        no_regions,
        a_segmentation_without_mask,
    ],
)
def test_a_sample_that_cannot_be_measured_is_left_out_and_counted(two, heatmap, fo, spoil):
    sample = two.first()
    spoil(sample, heatmap, fo)
    sample.save()
    shares = fos.region_shares(two, regions="regions").overall
    assert shares == {
        "1": RegionShare(mean=pytest.approx(0.25), area=0.25, n=1, undefined=1),
        "background": RegionShare(mean=pytest.approx(0.75), area=0.75, n=1, undefined=1),
    }


def test_a_region_that_some_masks_lack_is_measured_where_it_is(two, fo):
    sample = two.first()
    sample["regions"] = fo.Segmentation(mask=np.zeros_like(LEFT))
    sample.save()
    shares = fos.region_shares(two, regions="regions").overall
    assert shares["1"] == RegionShare(mean=pytest.approx(0.25), area=0.25, n=1, undefined=1)
    assert shares["background"].mean == pytest.approx((1 + 0.75) / 2)


def test_nothing_to_measure_is_none_and_not_zero(two):
    two.set_values("saliency", [None, None])
    assert fos.region_shares(two, regions="regions").overall == {}


def boxes_of(fo, *boxes):
    return fo.Detections(detections=[fo.Detection(label=label, bounding_box=box) for label, box in boxes])


def test_boxes_are_regions(two, fo):
    """The map is 4 × 1 pixels; a box up to x = 0.375 covers one and a half of them."""
    labels = [boxes_of(fo, ("head", [0, 0, 0.375, 1])), boxes_of(fo, ("uniform", [0.75, 0, 0.5, 1]))]
    two.set_values("boxes", labels)
    shares = fos.region_shares(two, regions="boxes").overall
    assert shares == {
        "background": RegionShare(mean=pytest.approx(((5 + 10 + 10) / 120 + 3 / 4) / 2), area=0.6875, n=2, undefined=0),
        "head": RegionShare(mean=pytest.approx((90 + 5) / 120), area=0.375, n=1, undefined=1),
        "uniform": RegionShare(mean=pytest.approx(1 / 4), area=0.25, n=1, undefined=1),
    }


def test_boxes_of_one_label_count_once_where_they_overlap(two, fo):
    label = boxes_of(fo, ("head", [0, 0, 0.5, 1]), ("head", [0.25, 0, 0.5, 1]))
    two.set_values("boxes", [label, None])
    share = fos.region_shares(two, regions="boxes")["head"]
    assert share == RegionShare(mean=pytest.approx((90 + 10 + 10) / 120), area=0.75, n=1, undefined=1)


def test_an_image_without_boxes_is_all_background(two, fo):
    two.set_values("boxes", [boxes_of(fo, ("head", [0, 0, 0.25, 1])), fo.Detections()])
    shares = fos.region_shares(two, regions="boxes").overall
    assert shares["head"] == RegionShare(mean=pytest.approx(0.75), area=0.25, n=1, undefined=1)
    assert shares["background"].mean == pytest.approx((0.25 + 1) / 2)


def means(shares, region="1"):
    return {group: by_region[region].mean for group, by_region in shares.groups.items()}


def test_shares_by_class(two):
    assert means(fos.region_shares(two, regions="regions", by="class")) == {
        "cake": pytest.approx(0.75),
        "bread": pytest.approx(0.25),
    }


def test_shares_by_cell(two):
    assert means(fos.region_shares(two, regions="regions", by="cell")) == {
        ("cake", "cake"): pytest.approx(0.75),
        ("bread", "cake"): pytest.approx(0.25),
    }


def test_a_group_counts_only_its_own_samples(two):
    groups = fos.region_shares(two, regions="regions", by="class").groups
    assert {name: (shares["1"].n, shares["1"].undefined) for name, shares in groups.items()} == {
        "cake": (1, 0),
        "bread": (1, 0),
    }


@pytest.mark.parametrize("missing", ["no label", "a Classification without label"])
def test_samples_without_truth_are_a_group_and_count_once_over_all(two, fo, missing):
    expected = fos.region_shares(two, regions="regions").overall
    sample = two.first()
    sample["ground_truth"] = None if missing == "no label" else fo.Classification()
    sample.save()
    by_class = fos.region_shares(two, regions="regions", by="class")
    assert by_class.overall == expected
    assert means(by_class) == {None: pytest.approx(0.75), "bread": pytest.approx(0.25)}
    by_cell = fos.region_shares(two, regions="regions", by="cell")
    assert by_cell.overall == expected
    assert means(by_cell) == {(None, "cake"): pytest.approx(0.75), ("bread", "cake"): pytest.approx(0.25)}


def test_progress_is_told(two):
    seen = []
    fos.region_shares(two, regions="regions", progress=lambda bar: seen.append((bar.iteration, bar.total)))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"regions": "region"}, UnknownNameError, r"`regions`, but got 'region'. Did you mean `regions`"),
        ({"regions": "ground_truth"}, FieldError, "Segmentation or Detections field, but 'ground_truth' is a Class"),
        ({"field": "salience"}, UnknownNameError, r"`field`, but got 'salience'. Did you mean `saliency`"),
        ({"field": "regions"}, FieldError, "`field` to name a Heatmap field, but 'regions' is a Segmentation field"),
        ({"by": "cells"}, UnknownNameError, r"value for `by`, but got 'cells'. Did you mean `cell`"),
        ({"by": "class", "gt_field": "truth"}, UnknownNameError, "Classification field for `gt_field`"),
        ({"by": "cell", "pred_field": "regions"}, FieldError, "`pred_field` to name a Classification field"),
    ],
)
def test_bad_arguments_are_refused(steady, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.region_shares(steady, **{"regions": "regions", **arguments})


def test_an_empty_view_is_refused(steady):
    with pytest.raises(FieldError, match="Expected `samples` to hold at least one sample"):
        fos.region_shares(steady.match_tags("none"), regions="regions")
