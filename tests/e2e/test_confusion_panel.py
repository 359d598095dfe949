"""The panel, as a person uses it: every click against what the database says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from fiftyone import ViewField as F
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e.app_page import (
    click_cell,
    counts,
    execute_form,
    expect_count,
    fill_form,
    open_panel,
    pixels,
    wait_for_plot,
)
from tests.e2e.conftest import MODEL


def matrix_of(dataset):
    return fos.confusion(dataset, "predictions")


def test_matrix_shows_the_counts_of_the_database(page, app_dataset):
    open_panel(page)

    expected = {cell.name: cell.count for cell in matrix_of(app_dataset).cells.values()}

    assert counts(page) == expected
    assert sum(expected.values()) == 24


def test_click_on_a_cell_shows_exactly_its_samples(page, app_dataset):
    cell = matrix_of(app_dataset).cells["red", "green"]
    panel = open_panel(page)

    click_cell(page, "red", "green")

    expect_count(page, cell.count)
    expect(panel).to_contain_text("red → green")
    panel.get_by_role("button", name="All samples").click()
    expect_count(page, 24)


def test_cell_without_prediction_opens_its_samples(page, app_dataset):
    cell = matrix_of(app_dataset).cells["green", None]
    open_panel(page)

    click_cell(page, "green", "(none)")

    expect_count(page, cell.count)


def test_heatmap_pixels_are_drawn_over_the_pictures(page, app_dataset):
    """The checkbox alone proves nothing: the pixels must change, and towards the map's colour."""
    open_panel(page)
    click_cell(page, "red", "green")
    expect_count(page, matrix_of(app_dataset).cells["red", "green"].count)
    box = page.locator('[data-cy="checkbox-saliency"] input')
    expect(box).to_be_checked()
    grid = page.locator('[data-cy="fo-grid"]')
    page.wait_for_timeout(3000)

    with_maps = pixels(grid)
    box.uncheck()
    page.wait_for_timeout(3000)
    without = pixels(grid)

    change = with_maps - without
    changed = np.abs(change).max(axis=2) > 40
    assert 0.002 < changed.mean() < 0.5
    redder = change[changed][:, 0] - change[changed][:, 2]
    assert redder.mean() > 20


def test_next_mistake_and_table_lead_to_cells(page, app_dataset):
    order = matrix_of(app_dataset).counts.top_confusions()
    panel = open_panel(page)

    panel.get_by_role("button", name="Next mistake").click()
    expect_count(page, order[0][1])
    panel.locator("table tbody tr").nth(2).get_by_role("button").click()
    expect_count(page, order[2][1])
    expect(panel).to_contain_text(f"{order[2][0][0]} → {order[2][0][1] or '(none)'}")


def test_saved_view_appears_in_the_selector(page, app_dataset):
    panel = open_panel(page)
    click_cell(page, "red", "green")
    expect_count(page, matrix_of(app_dataset).cells["red", "green"].count)

    panel.get_by_role("button", name="Save view").click()

    expect(page.get_by_text("Saved view “red → green (predictions)”")).to_be_visible()
    expect_count(page, 2)
    page.locator('[data-cy="saved-views-selection"]').click()
    expect(page.locator('[data-cy="saved-views-red-green-predictions-selection-option"]')).to_be_visible()
    app_dataset.reload()
    view = app_dataset.load_saved_view("red → green (predictions)")
    assert view.values("id") == matrix_of(app_dataset).cells["red", "green"].view().values("id")


def test_tag_from_the_panel_lands_in_the_database_and_untag_takes_it_back(page, app_dataset):
    cell = matrix_of(app_dataset).cells["red", "green"]
    panel = open_panel(page)
    click_cell(page, "red", "green")
    expect_count(page, cell.count)

    panel.get_by_role("button", name="Tag", exact=True).click()
    expect(page.get_by_text(f"Tagged {cell.count} samples “enrich”")).to_be_visible()
    tagged = app_dataset.match_tags("enrich").values("id")
    panel.get_by_role("button", name="Untag", exact=True).click()
    expect(page.get_by_text(f"Took “enrich” from {cell.count} samples")).to_be_visible()

    assert sorted(tagged) == sorted(cell.view().values("id"))
    assert app_dataset.match_tags("enrich").values("id") == []


def test_mistakes_only_leaves_out_the_diagonal(page, app_dataset):
    panel = open_panel(page)

    panel.get_by_role("checkbox").first.check()
    page.wait_for_function(
        "document.querySelector('.js-plotly-plot')?.data?.[1]?.z.flat().every(z => z === null) === true"
    )
    page.wait_for_timeout(2000)  # events of before must not draw the diagonal again
    wait_for_plot(page)

    errors = {cell.name: cell.count for cell in matrix_of(app_dataset).cells.values() if cell.is_error}
    assert counts(page) == errors


def test_export_form_writes_files_that_import_again(page, app_dataset, tmp_path):
    fos.tag_cell(matrix_of(app_dataset).cells["red", "green"], "enrich")
    panel = open_panel(page)
    folder = tmp_path / "retraining"

    panel.get_by_role("button", name="Export tagged").click()
    fill_form(page, "Folder on the server", str(folder))
    execute_form(page)
    expect(page.get_by_text(re.compile("Exported .* samples")).first).to_be_visible()

    exported = fos.load_export(folder)
    assert sorted(exported.values("ground_truth.label")) == ["red"] * len(exported)
    assert len(exported) == matrix_of(app_dataset).cells["red", "green"].count
    assert all(Path(path).is_file() for path in exported.values("saliency.map_path"))
    exported.delete()
    app_dataset.untag_samples("enrich")


def test_compute_form_draws_new_maps(page, app_dataset):
    panel = open_panel(page)
    click_cell(page, "red", "green")
    cell = matrix_of(app_dataset).cells["red", "green"]
    expect_count(page, cell.count)

    panel.get_by_role("button", name="Compute maps").click()
    fill_form(page, "Heatmap field", "from_the_form")
    execute_form(page)
    expect(page.get_by_text(re.compile("maps in field 'from_the_form'")).first).to_be_visible()

    app_dataset.reload()
    run = fos.load_run(app_dataset, "from_the_form")
    assert run.model_name == MODEL
    assert len(app_dataset.exists("from_the_form")) == cell.count == run.counts.done
    fos.delete_run(app_dataset, "from_the_form")


def test_matrix_follows_the_view(page, app_dataset):
    """A smaller matrix must not keep rows of the larger one."""
    app_dataset.save_view("only red", app_dataset.match(F("ground_truth.label") == "red"), overwrite=True)
    page.reload()
    panel = open_panel(page)
    page.locator('[data-cy="saved-views-selection"]').click()
    page.locator('[data-cy="saved-views-only-red-selection-option"]').click()
    expect(panel).to_contain_text("8 samples")
    wait_for_plot(page)

    expected = {cell.name: cell.count for cell in matrix_of(app_dataset).cells.values() if cell.truth == "red"}

    assert counts(page) == expected
