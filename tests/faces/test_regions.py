"""The form that defines regions: it begins with something true, refuses in place, and acts."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from tests.faces.test_operators import execute, refused, resolve
from tests.models_for_tests import add_pictures

OUTFIT = {"head": "top(people.person, 0.25)", "uniform": "people.person - head", "ground": "rest"}
LINES = "\n".join(f"{name} = {text}" for name, text in OUTFIT.items())


@pytest.fixture
def people(fo, dataset, pictures):
    add_pictures(dataset, pictures[:3], ["cake", "bread", "cake"])
    person = fo.Detection(label="person", bounding_box=[0.5, 0, 0.5, 1])
    dataset.set_values("people", [fo.Detections(detections=[person]) for _ in range(3)])
    return dataset


def test_the_form_begins_with_regions_that_the_dataset_can_have(people):
    form = resolve("define_regions", people)
    assert form["regions"]["default"] == "part = top(people.person, 0.3)\nbackground = rest"
    assert form["regions"]["view"]["multiline"] is True
    assert "`people.person`" in form["help"]["default"]
    assert refused(form) == set()
    assert "existing" not in form


def test_without_labels_there_is_the_border(dataset, pictures):
    add_pictures(dataset, pictures[:1], ["cake"])
    form = resolve("define_regions", dataset)
    assert form["regions"]["default"] == "edge = border(0.1)\ncentre = rest"
    assert refused(form) == set()


def test_points_and_masks_are_offered_in_a_form_that_holds(fo, dataset, pictures):
    add_pictures(dataset, pictures[:1], ["cake"])
    dataset.set_values("scene", [fo.Segmentation()])
    dataset.mask_targets = {"scene": {1: "blue sky"}}
    dataset.save()
    form = resolve("define_regions", dataset)
    assert form["regions"]["default"] == "part = scene['blue sky']\nbackground = rest"
    assert refused(form) == set()


@pytest.mark.parametrize(
    ("params", "entry", "message"),
    [
        ({"regions": "head = top(people.person"}, "regions", "which cannot be read"),
        ({"regions": "head = people.persn"}, "regions", "Did you mean `person`?"),
        ({"regions": "head"}, "regions", "Expected a line like"),
        ({"regions": ""}, "regions", "at least one region"),
        ({"name": "people"}, "name", "'people' is one. Choose another name."),
        ({"name": "my outfit"}, "name", "a field name like"),
        ({"name": None}, "name", "got None"),
    ],
)
def test_what_is_wrong_is_said_in_its_place(people, params, entry, message):
    form = resolve("define_regions", people, params)
    assert refused(form) == {entry}
    assert message in form[entry]["error_message"]


def test_regions_are_defined_and_drawn_over_the_view(people):
    execute("define_regions", people, {"name": "outfit", "regions": LINES, "preview": True}, view=people.limit(2))
    assert fos.list_regions(people) == {"outfit": OUTFIT}
    assert [mask is None for mask in people.values("regions_preview.mask")] == [False, False, True]
    assert "regions_preview" not in resolve("define_regions", people)["help"]["default"], "a drawing is no label"


def test_regions_are_defined_without_a_drawing(people):
    execute("define_regions", people, {"name": "outfit", "regions": LINES, "preview": False})
    assert fos.list_regions(people) == {"outfit": OUTFIT}
    assert "regions_preview" not in people.get_field_schema()


def test_regions_are_changed_from_what_they_are(people):
    fos.define_regions(people, "outfit", OUTFIT)
    form = resolve("define_regions", people, {"existing": "outfit"})
    assert form["existing"]["type"]["values"] == ["outfit"]
    assert form["regions__outfit"]["default"] == LINES
    assert "name" not in form
    execute("define_regions", people, {"existing": "outfit", "regions__outfit": "all = people", "preview": False})
    assert fos.list_regions(people) == {"outfit": {"all": "people"}}


def test_regions_are_deleted_with_their_drawing_once_the_name_is_typed(people):
    fos.define_regions(people, "outfit", OUTFIT)
    fos.show_regions(people, "outfit")
    params = {"existing": "outfit", "delete": True}
    assert refused(resolve("define_regions", people, params | {"confirm": "outfi"})) == {"confirm"}
    assert refused(resolve("define_regions", people, params | {"confirm": "outfit"})) == set()
    execute("define_regions", people, params | {"confirm": "outfit"})
    assert fos.list_regions(people) == {}
    assert "regions_preview" not in people.get_field_schema()
