"""Shares of evidence by region, on maps and regions drawn by hand: every number is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.dataset.regions import iterate_maps, read_evidence, region_masks
from fiftyone_saliency.metrics.share import area_share, evidence_share
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


def told(shares):
    """Mean, area and numbers of samples, by region."""
    return {name: (share.mean, share.area, share.n, share.undefined) for name, share in shares.items()}


def test_shares_and_areas_by_hand(two):
    shares = fos.region_shares(two, regions="regions")
    assert told(shares.overall) == {
        "1": (pytest.approx((0.75 + 0.25) / 2), pytest.approx(0.25), 2, 0),
        "background": (pytest.approx((0.25 + 0.75) / 2), pytest.approx(0.75), 2, 0),
    }
    assert shares["1"] is shares.overall["1"]
    assert shares.groups == {}
    assert [line.split() for line in str(shares).splitlines()] == [
        ["region", "evidence", "interval", "area", "samples"],
        ["1", "0.500", "too", "few", "0.250", "2"],
        ["background", "0.500", "too", "few", "0.750", "2"],
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
    assert told(shares)["uniform"] == (None, None, 0, 2)


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
    assert told(shares) == {
        "1": (pytest.approx(0.25), pytest.approx(0.25), 1, 1),
        "background": (pytest.approx(0.75), pytest.approx(0.75), 1, 1),
    }


def test_a_region_that_some_masks_lack_is_measured_where_it_is(two, fo):
    sample = two.first()
    sample["regions"] = fo.Segmentation(mask=np.zeros_like(LEFT))
    sample.save()
    shares = fos.region_shares(two, regions="regions").overall
    assert told(shares)["1"] == (pytest.approx(0.25), pytest.approx(0.25), 1, 1)
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
    assert told(shares) == {
        "background": (pytest.approx(((5 + 10 + 10) / 120 + 3 / 4) / 2), pytest.approx(0.6875), 2, 0),
        "head": (pytest.approx((90 + 5) / 120), pytest.approx(0.375), 1, 1),
        "uniform": (pytest.approx(1 / 4), pytest.approx(0.25), 1, 1),
    }


def test_boxes_of_one_label_count_once_where_they_overlap(two, fo):
    label = boxes_of(fo, ("head", [0, 0, 0.5, 1]), ("head", [0.25, 0, 0.5, 1]))
    two.set_values("boxes", [label, None])
    shares = fos.region_shares(two, regions="boxes").overall
    assert told(shares)["head"] == (pytest.approx((90 + 10 + 10) / 120), pytest.approx(0.75), 1, 1)


def test_an_image_without_boxes_is_all_background(two, fo):
    two.set_values("boxes", [boxes_of(fo, ("head", [0, 0, 0.25, 1])), fo.Detections()])
    shares = fos.region_shares(two, regions="boxes").overall
    assert told(shares)["head"] == (pytest.approx(0.75), pytest.approx(0.25), 1, 1)
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


@pytest.fixture
def people(two, fo):
    """A person in the right half of the first picture, none in the second; and what else samples carry."""
    two.set_values("people", [boxes_of(fo, ("person", [0.5, 0, 0.5, 1])), fo.Detections()])
    outline = [[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]]
    two.set_values("areas", [fo.Polylines(polylines=[fo.Polyline(label="left half", points=outline)]), None])
    points = fo.Keypoint(label="eye", points=[(0.25, 0.5), (float("nan"), float("nan"))])
    two.set_values("face", [fo.Keypoints(keypoints=[points]), None])
    return two


def test_defined_regions_are_measured_by_name_in_their_order(people):
    """Of the first map, 90 10 10 10, the left pixel of the person holds 10 of 120, her other half 10 more."""
    fos.define_regions(people, "outfit", {"head": "left(people.person, 0.5)", "uniform": "people.person - head"})
    shares = fos.region_shares(people, regions="outfit")
    assert list(shares.overall) == ["head", "uniform"]
    assert told(shares.overall) == {
        "head": (pytest.approx(10 / 120), 0.25, 1, 1),
        "uniform": (pytest.approx(10 / 120), 0.25, 1, 1),
    }


def test_a_label_that_is_absent_leaves_undefined_what_needs_it_and_an_empty_one_does_not(people):
    regions = {"area": "areas", "person": "people.person", "around": "~people.person", "frame": "border(0.25)"}
    fos.define_regions(people, "mixed", regions)
    evidence = read_evidence(people, "saliency", "mixed")
    assert evidence.areas["area"] == [pytest.approx(0.5, abs=1e-2), None]
    assert evidence.areas["person"] == [0.5, 0]
    assert evidence.shares["person"] == [pytest.approx(20 / 120), None]
    assert evidence.areas["around"] == [0.5, 1]
    assert evidence.areas["frame"] == [0.75, 0.75]


def test_defined_regions_without_any_map_are_undefined_and_not_gone(people):
    fos.define_regions(people, "outfit", {"head": "left(people.person, 0.5)"})
    people.set_values("saliency", [None, None])
    assert told(fos.region_shares(people, regions="outfit").overall) == {"head": (None, None, 0, 2)}


def test_polygons_are_regions_and_points_only_once_they_are_grown(people, fo):
    shares = fos.region_shares(people, regions="areas")
    assert shares["left half"].mean == pytest.approx(100 / 120, abs=0.01)
    assert (shares["left half"].n, shares["left half"].undefined) == (1, 1)
    with pytest.raises(FieldError, match=r"'face' is a Keypoints field. Say how large .*grow\(face, 0.03\)"):
        fos.region_shares(people, regions="face")
    fos.define_regions(people, "eyes", {"eye": "grow(face.eye, 0.2)"})
    people.set_values("metadata", [fo.ImageMetadata(width=200, height=100), None])
    area = read_evidence(people, "saliency", "eyes").areas["eye"]
    assert area == [pytest.approx(np.pi * 0.2**2 * 2, rel=0.02), None], "a disc of 40 pixels in 200 × 100"


def test_instance_masks_are_regions_on_request(people, fo):
    mask = np.array([[1, 0]], np.uint8)
    for_all = [fo.Detection(label="person", bounding_box=[0.5, 0, 0.5, 1], mask=mask)]
    people.set_values("masked", [fo.Detections(detections=for_all), fo.Detections()])
    fos.define_regions(people, "shape", {"box": "masked.person", "mask": "instances(masked.person)"})
    evidence = read_evidence(people, "saliency", "shape")
    assert evidence.areas == {"box": [0.5, 0], "mask": [pytest.approx(0.25), 0]}


def test_a_mask_of_colours_is_named_by_its_targets(two, fo, tmp_path):
    """OpenCV writes blue first: the file's left quarter is pure red."""
    two.mask_targets = {"regions": {"#ff0000": "head", "#0000ff": "sky"}}
    two.save()
    cv2.imwrite(str(tmp_path / "colours.png"), LEFT[:, :, None] * np.array([0, 0, 255], np.uint8))
    rgb = LEFT[:, :, None] * np.array([255, 0, 0], np.uint8)
    two.set_values("regions", [fo.Segmentation(mask_path=str(tmp_path / "colours.png")), fo.Segmentation(mask=rgb)])
    shares = fos.region_shares(two, regions="regions").overall
    assert told(shares)["head"] == (pytest.approx(0.5), 0.25, 2, 0)
    assert told(shares)["sky"] == (None, None, 0, 2)


def test_a_field_that_is_gone_since_is_named(people):
    fos.define_regions(people, "outfit", {"head": "people.person"})
    people.delete_sample_field("people")
    with pytest.raises(UnknownNameError, match="got 'people'"):
        fos.region_shares(people, regions="outfit")


def test_maps_come_with_their_regions_as_weights(people):
    fos.define_regions(people, "outfit", {"head": "left(people.person, 0.25)", "area": "areas"})
    people.set_values("saliency", [people.first()["saliency"], None])
    first, second = iterate_maps(people, "saliency", "outfit")
    assert [first.id, second.id] == people.values("id")
    assert (first.values.dtype, first.values.tolist()) == (np.float32, [[90, 10, 10, 10]])
    assert first.weights()["head"].tolist() == [[0, 0, 0.5, 0]]
    assert (second.values, second.place, second.weights(), second.shares()) == (None, None, {}, {})
    assert [one.weights() for one in iterate_maps(people, "saliency")] == [{}, {}]


def test_weights_and_shares_say_the_same(people):
    fos.define_regions(people, "all", {"head": "left(people.person, 0.3)", "body": "people.person - head", "r": "rest"})
    evidence = read_evidence(people, "saliency", "all")
    for i, one in enumerate(iterate_maps(people, "saliency", "all")):
        for name, covered in one.weights().items():
            share = evidence_share(one.values, covered)
            assert evidence.shares[name][i] == (None if share is None else pytest.approx(share, rel=1e-6))
            assert evidence.areas[name][i] == pytest.approx(area_share(covered), rel=1e-6)


def test_regions_without_a_map_have_the_size_of_the_image_or_of_the_wish(people, pictures):
    fos.define_regions(people, "outfit", {"head": "top(people.person, 0.25)", "area": "areas"})
    people.set_values("filepath", [pictures[0], "/nowhere/1.png"])
    own = dict(region_masks(people, "outfit"))
    first, second = people.values("id")
    assert own[second] == {}, "the size of an image that is not there is unknown"
    expected = np.zeros((48, 64))
    expected[:12, 32:] = 1
    np.testing.assert_array_equal(own[first]["head"], expected)
    wished = dict(region_masks(people, "outfit", (4, 2)))
    assert wished[first]["head"].tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]
    assert wished[second]["area"] is None
    assert wished[second]["head"].max() == 0


@pytest.mark.parametrize("chunk", [1, 5, 12])
def test_order_and_values_do_not_depend_on_how_the_samples_are_read(steady, monkeypatch, chunk):
    expected = read_evidence(steady, "saliency", "boxes")
    monkeypatch.setattr("fiftyone_saliency.dataset.regions.CHUNK", chunk)
    monkeypatch.setattr("fiftyone_saliency.dataset.regions.GROUP", 2)
    view = steady.sort_by("filepath", reverse=True)
    evidence = read_evidence(view, "saliency", "boxes", "ground_truth", "predictions")
    assert evidence.ids == tuple(view.values("id")) == expected.ids[::-1]
    assert evidence.shares["square"] == expected.shares["square"][::-1]
    assert list(evidence.truths) == view.values("ground_truth.label")
    assert list(evidence.predictions) == view.values("predictions.label")


def test_a_view_that_hides_labels_is_read_as_it_shows_them(steady, fo):
    """The network sees a part of the box; two of the views hide it, in ways that FiftyOne tells and does not."""
    view = steady.limit(1)
    hidden = view.filter_labels("boxes", fo.ViewField("label") == "circle", only_matches=False)
    mongo = view.mongo([{"$set": {"boxes.detections": []}}])
    areas = [read_evidence(v, "saliency", "boxes").areas["background"][0] for v in (view, hidden, mongo)]
    left, top, width, height = view.first().saliency.seen
    x, y, across, down = view.first().boxes.detections[0].bounding_box
    overlap = min(left + width, x + across) - max(left, x), min(top + height, y + down) - max(top, y)
    assert areas == [pytest.approx(1 - overlap[0] * overlap[1] / (width * height), abs=0.02), 1, 1]


def test_reading_may_be_stopped_early(steady):
    maps = iterate_maps(steady, "saliency", "boxes")
    assert next(maps).id == steady.first().id
    maps.close()
    assert list(maps) == []


def test_wrong_names_are_refused_before_anything_is_read(steady):
    with pytest.raises(UnknownNameError, match="Did you mean `boxes`"):
        iterate_maps(steady, "saliency", "box")
    with pytest.raises(UnknownNameError, match="Did you mean `saliency`"):
        iterate_maps(steady, "salience")
    with pytest.raises(UnknownNameError, match="Did you mean `boxes`"):
        region_masks(steady, "box")
