"""The panels that measure: the second face of the matrix, clusters of maps, before and after."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e.app_page import choose, choose_several, expect_count, open_panel
from tests.e2e.conftest import MODEL

EXPECTED = {"regions": "boxes", "right": ["left"]}


@pytest.fixture(scope="module", autouse=True)
def measured(fo, app_dataset):
    """The dataset with boxes left and right in each picture, a second run, and maps of two kinds: 14 and 10."""
    left = fo.Detection(label="left", bounding_box=[0, 0, 0.3, 1])
    right = fo.Detection(label="right", bounding_box=[0.7, 0, 0.3, 1])
    both = [fo.Detections(detections=[left.copy(), right.copy()]) for _ in range(len(app_dataset))]
    app_dataset.set_values("boxes", both)
    rng = np.random.default_rng(51)
    maps = rng.random((len(app_dataset), 48, 64)).astype(np.float32) / 50
    maps[:14, :20, :20] = maps[14:, 28:, 44:] = 1
    app_dataset.set_values("kinds", [fo.Heatmap(map=values) for values in maps])
    fos.compute_saliency(app_dataset, MODEL, "saliency_after", progress=False)
    return app_dataset


def test_the_matrix_of_reasons_leads_to_what_is_right_for_the_wrong_reason(page, app_dataset):
    ids = fos.reasons(app_dataset, **EXPECTED).right_for_wrong_reason
    panel = open_panel(page)

    choose(page, panel, "Counts", "Where the evidence lies")
    expect(panel).to_contain_text("Evidence by class")
    choose_several(page, panel, "Right regions", "left")
    panel.get_by_role("button", name=f"Right for the wrong reason ({len(ids)})").click()

    assert 0 < len(ids) < 24
    expect_count(page, len(ids))


def test_clusters_of_maps_are_found_and_shown(page, app_dataset):
    found = fos.cluster_maps(app_dataset, "kinds")
    panel = open_panel(page, "saliency_clusters", plot=False)

    choose(page, panel, "saliency", "kinds")
    panel.get_by_role("button", name="Find clusters").click()
    panel.get_by_role("button", name="Show").first.click()

    assert [cluster.count for cluster in found.clusters] == [14, 10]
    expect_count(page, 14)


def test_two_runs_of_one_model_are_unchanged(page, app_dataset):
    panel = open_panel(page, "saliency_comparison", plot=False)

    choose_several(page, panel, "Should fall", "background")
    panel.get_by_role("button", name="Compare").click()

    expected = fos.compare_runs(
        app_dataset, "saliency", "saliency_after", regions="boxes", should_fall=["background"]
    ).verdict.word
    assert expected is not None
    expect(panel).to_contain_text(expected, ignore_case=True)
