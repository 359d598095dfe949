"""What stays on the screen after long work: an answer, or what failed; and the button that stops it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e import colour_model
from tests.e2e.app_page import execute_form, fill_form, open_form

SLOW = "slow-model"


@pytest.fixture(scope="module", autouse=True)
def slow():
    fos.register_model(SLOW, f"{colour_model.__file__}:load_slow")
    yield
    fos.unregister_model(SLOW)


def test_the_answer_stays(page, app_dataset):
    open_form(page, "Saliency: measure maps")
    execute_form(page)

    answer = page.get_by_text("24 samples measured", exact=True).first
    expect(answer).to_be_visible()
    page.wait_for_timeout(6000)  # longer than a toast
    expect(answer).to_be_visible()


def test_what_comes_from_a_person_is_shown_as_it_is(page, app_dataset):
    open_form(page, "Saliency: tag a confusion cell")
    fill_form(page, "Tag", "**bold** <b>x</b>")
    page.wait_for_timeout(1500)
    execute_form(page)

    expect(page.get_by_text("the tag '**bold** <b>x</b>'").first).to_be_visible()
    app_dataset.untag_samples("**bold** <b>x</b>")


def test_what_failed_is_said_in_the_dialog(page, app_dataset):
    open_form(page, "Saliency: compute maps")
    fill_form(page, "Heatmap field", "saliency")
    page.wait_for_timeout(1500)
    execute_form(page)

    expect(page.get_by_text("Failed: Expected field 'saliency' to be free").first).to_be_visible()
    expect(page.get_by_text("Computing saliency maps", exact=True)).to_have_count(0)


def test_a_run_is_stopped_by_the_button_under_its_bar(page, app_dataset):
    open_form(page, "Saliency: compute maps")
    fill_form(page, "Heatmap field", "stopped_here")
    fill_form(page, "Batch size", "1")
    page.wait_for_timeout(1500)
    execute_form(page)

    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("was stopped").first).to_be_visible()

    app_dataset.reload()
    run = fos.load_run(app_dataset, "stopped_here")
    assert run.status == "interrupted"
    assert 0 < run.counts.done == len(app_dataset.exists("stopped_here")) < 24
    fos.delete_run(app_dataset, "stopped_here")
