"""The form that names regions: what is wrong is said while it is typed; what is right is defined and drawn."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e.app_page import execute_form, open_form


@pytest.fixture(scope="module", autouse=True)
def boxes(fo, app_dataset):
    """A person in the left half of each picture."""
    box = fo.Detection(label="person", bounding_box=[0, 0, 0.5, 1])
    app_dataset.set_values("people", [fo.Detections(detections=[box.copy()]) for _ in range(len(app_dataset))])


def test_regions_are_defined_in_the_form_and_drawn_over_the_images(page, app_dataset):
    form = open_form(page, "Saliency: define regions")
    text = form.locator("textarea").first
    name = form.locator("input").first

    name.fill("outfit")
    text.fill("head = top(people.persn, 0.3)")
    expect(form).to_contain_text("persn")
    expect(form.get_by_role("button", name="Execute").first).to_be_disabled()
    text.fill("head = top(people.person, 0.3)\nuniform = people.person - head\nbackground = rest")
    expect(form.get_by_role("button", name="Execute").first).to_be_enabled()
    execute_form(page)
    expect(page.get_by_text(re.compile("Defined regions 'outfit' and drew them over 24 samples")).first).to_be_visible()

    app_dataset.reload()
    assert fos.list_regions(app_dataset)["outfit"] == {
        "head": "top(people.person, 0.3)",
        "uniform": "people.person - head",
        "background": "rest",
    }
    share = fos.region_shares(app_dataset, regions="outfit").overall["head"]
    assert share.area == pytest.approx(0.15, abs=0.02)
    fos.delete_regions(app_dataset, "outfit")
