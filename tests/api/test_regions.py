"""Regions that a dataset defines: stored as plain JSON, checked against what is there, drawn in the App."""

from __future__ import annotations

import json

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from tests.models_for_tests import add_pictures

OUTFIT = {"head": "top(people.person, 0.25)", "uniform": "people.person - head", "ground": "rest"}


@pytest.fixture
def people(dataset, pictures):
    """Three pictures of 64 × 48: a person in the right half, none, and one that was never looked for."""
    add_pictures(dataset, pictures[:3], ["cake", "bread", "cake"])
    person = fo.Detection(label="person", bounding_box=[0.5, 0, 0.5, 1])
    dataset.set_values("people", [fo.Detections(detections=[person]), fo.Detections(), None])
    dataset.set_values("scene", [fo.Segmentation(mask=np.eye(4, dtype=np.uint8)), None, None])
    dataset.mask_targets = {"scene": {1: "sky"}}
    eye = fo.Keypoint(label="eye", points=[(0.5, 0.5)])
    dataset.set_values("face", [fo.Keypoints(keypoints=[eye]), None, None])
    dataset.save()
    return dataset


def test_regions_are_stored_on_the_dataset_as_plain_json_and_survive_it(people):
    fos.define_regions(people, "outfit", OUTFIT)
    assert people.info["saliency_regions"] == {"outfit": OUTFIT}
    people.persistent = True
    people.save()
    again = fo.load_dataset(people.name)
    again.reload()
    assert fos.list_regions(again) == {"outfit": OUTFIT}
    assert list(fos.list_regions(again)["outfit"]) == list(OUTFIT), "in order"
    fos.define_regions(people, "copy", json.loads(json.dumps(fos.list_regions(people)["outfit"])))
    assert fos.list_regions(people)["copy"] == OUTFIT


def test_a_definition_replaces_the_one_of_its_name_and_leaves_others(people):
    people.info["mine"] = 1
    people.save()
    fos.define_regions(people, "outfit", OUTFIT)
    fos.define_regions(people.limit(1), "frame", {"frame": "border(0.1)"})
    fos.define_regions(people, "outfit", {"person": "people.person"})
    assert fos.list_regions(people) == {"outfit": {"person": "people.person"}, "frame": {"frame": "border(0.1)"}}
    fos.delete_regions(people, "outfit")
    assert fos.list_regions(people) == {"frame": {"frame": "border(0.1)"}}
    assert people.info["mine"] == 1


def test_there_are_no_regions_at_first(dataset):
    assert fos.list_regions(dataset) == {}
    with pytest.raises(UnknownNameError, match="known name of regions, but got 'outfit'"):
        fos.delete_regions(dataset, "outfit")


@pytest.mark.parametrize(
    ("regions", "error", "message"),
    [
        ({"a": "peple.person"}, UnknownNameError, "got 'peple'. Did you mean `people`"),
        ({"a": "people.persn"}, UnknownNameError, "label in field 'people', but got 'persn'. Did you mean `person`"),
        ({"head": "people", "a": "haed"}, UnknownNameError, "got 'haed'. Did you mean `head`"),
        ({"a": "scene.ski"}, UnknownNameError, "label in field 'scene', but got 'ski'. Did you mean `sky`"),
        ({"a": "ground_truth"}, FieldError, "Detections field, but 'ground_truth' is a Classification field"),
        ({"a": "top(scene.sky, 0.3)"}, FieldError, r"Expected top\(scene.sky, 0.3\) to take labels with boxes"),
        ({"a": "instances(scene.sky)"}, FieldError, "to take a Detections field, but 'scene' is a Segmentation field"),
        (
            {"a": "face.eye"},
            FieldError,
            r"'face' is a Keypoints field. Say how large a point is, such as grow\(face.eye",
        ),
        ({"a": "~(grow(face.eye, 0.1) | face)"}, FieldError, r"such as grow\(face, 0.03\)"),
        ({"people": "border(0.1)"}, FieldError, "not called as a field, but 'people' is one"),
        ({"a": "top(people.person"}, ArgumentError, "which cannot be read"),
        ({}, ArgumentError, "at least one region"),
    ],
)
def test_what_the_dataset_does_not_have_is_refused_and_nothing_is_stored(people, regions, error, message):
    with pytest.raises(error, match=message):
        fos.define_regions(people, "outfit", regions)
    assert fos.list_regions(people) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [("people", "'people' is one. Choose another"), ("my outfit", "a field name like"), (3, "got 3")],
)
def test_a_name_that_is_taken_or_unusable_is_refused(people, name, message):
    with pytest.raises(FieldError, match=message):
        fos.define_regions(people, name, OUTFIT)


@pytest.mark.parametrize("text", ["scene['7']", "scene[7]", "people['person']", "grow(face.eye, 0.1)", "top(face, 1)"])
def test_values_without_a_name_quoted_labels_and_grown_points_are_taken(people, text):
    fos.define_regions(people, "it", {"a": text})
    assert fos.list_regions(people) == {"it": {"a": text}}


def test_a_preview_is_a_mask_in_the_image_with_the_regions_names(people):
    fos.define_regions(people, "outfit", OUTFIT)
    assert fos.show_regions(people, "outfit") == 2
    first, second, third = people.values("regions_preview.mask")
    expected = np.full((48, 64), 3)
    expected[:12, 32:], expected[12:, 32:] = 1, 2
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, np.full((48, 64), 3))
    assert third is None, "nobody looked for people there"
    assert people.mask_targets["regions_preview"] == {1: "head", 2: "uniform", 3: "ground"}
    assert people.mask_targets["scene"] == {1: "sky"}


def test_a_preview_of_a_view_leaves_other_samples_and_later_ones_replace_it(people):
    fos.define_regions(people, "outfit", OUTFIT)
    fos.define_regions(people, "frame", {"frame": "border(0.25)"})
    fos.show_regions(people.limit(1), "outfit")
    assert [mask is None for mask in people.values("regions_preview.mask")] == [False, True, True]
    assert fos.show_regions(people, "frame") == 3
    mask = people.first()["regions_preview"].mask
    assert (mask[24, 32], mask[0, 0], mask.mean()) == (0, 1, 0.75)


def test_a_preview_of_a_large_image_is_small(people):
    fos.define_regions(people, "outfit", OUTFIT)
    people.set_values("metadata", [fo.ImageMetadata(width=4000, height=3000), None, None])
    fos.show_regions(people, "outfit")
    assert people.first()["regions_preview"].mask.shape == (192, 256)


def test_a_preview_is_switched_on_where_fields_are_chosen_and_deleted_without_a_trace(people):
    fos.define_regions(people, "outfit", OUTFIT)
    people.app_config.active_fields = fo.ActiveFields(paths=["people"])
    people.save()
    fos.show_regions(people, "outfit")
    assert people.app_config.active_fields.paths == ["people", "regions_preview"]
    fos.delete_region_preview(people)
    assert "regions_preview" not in people.get_field_schema()
    assert people.mask_targets == {"scene": {1: "sky"}}
    assert people.app_config.active_fields.paths == ["people"]
    with pytest.raises(UnknownNameError, match="known preview of regions, but got 'regions_preview'"):
        fos.delete_region_preview(people)


def test_labels_are_never_overwritten_or_deleted_as_a_preview(people):
    fos.define_regions(people, "outfit", OUTFIT)
    with pytest.raises(FieldError, match="new or a preview, but 'scene' holds labels"):
        fos.show_regions(people, "outfit", "scene")
    with pytest.raises(FieldError, match="a preview of regions, but 'scene' holds labels"):
        fos.delete_region_preview(people, "scene")
    assert people.first()["scene"].mask is not None


def test_a_segmentation_needs_no_preview(people):
    with pytest.raises(FieldError, match="The App draws a Segmentation field as it is"):
        fos.show_regions(people, "scene")
    assert fos.show_regions(people, "people") == 2, "boxes may be looked at as regions"
