"""Samples with several labels in the panel: pairs first, then one label, and from a cell to its samples."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e.app_page import choose, click_cell, counts, expect_count, open_panel

SIDES = [("ab", "a"), ("a", "ab"), ("b", "c"), ("c", "c"), ("", ""), ("abc", "abc")]


@pytest.fixture(scope="module", autouse=True)
def several(fo, app_dataset):
    for field, side in (("shown", 0), ("said", 1)):
        names = [SIDES[i % len(SIDES)][side] for i in range(app_dataset.count())]
        labels = [fo.Classifications(classifications=[fo.Classification(label=name) for name in n]) for n in names]
        app_dataset.set_values(field, labels)


def shown(page, expected):
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')?.data?.length == 2")
    for _ in range(30):
        if counts(page) == expected:
            return
        page.wait_for_timeout(500)
    assert counts(page) == expected


def cells(matrix):
    return {cell.name: cell.count for cell in matrix.cells.values() if cell.count}


def test_pairs_and_a_label_are_counted_and_opened(page, app_dataset):
    panel = open_panel(page)
    choose(page, panel, "ground_truth", "shown")
    choose(page, panel, "predictions", "said")
    pairs = fos.confusion(app_dataset, "said", gt_field="shown")
    shown(page, cells(pairs))

    choose(page, panel, "(pairs of labels)", "b")

    matrix = fos.confusion(app_dataset, "said", gt_field="shown", label="b")
    shown(page, cells(matrix))
    click_cell(page, "b", "not b")
    expect_count(page, matrix.cells["b", "not b"].count)
    expect(panel).to_contain_text("b → not b")
    panel.get_by_role("button", name="All samples").click()
    expect_count(page, 24)
