from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.regions import weights_from_boxes
from fiftyone_saliency.metrics.share import area_share, evidence_share

LEFT = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], np.float32)


def test_evidence_that_is_all_inside_scores_one():
    assert evidence_share(LEFT * 5, LEFT) == 1.0


def test_evidence_that_is_all_outside_scores_zero():
    assert evidence_share(1 - LEFT, LEFT) == 0.0


def test_a_map_that_is_equal_everywhere_scores_the_regions_area():
    region = weights_from_boxes([("head", (0.1, 0.2, 0.33, 0.5))], (7, 9))["head"]
    share = evidence_share(np.full((7, 9), 0.4, np.float32), region)
    assert share == pytest.approx(area_share(region), rel=1e-6)
    assert share == pytest.approx(0.33 * 0.5, rel=1e-6)


def test_the_share_of_a_map_that_is_not_square_against_a_box_that_is_not_central():
    """Counted by hand; a measure with its axes swapped says 4/10 or fails."""
    values = np.array([[1, 2, 0, 0, 1], [0, 4, 0, 2, 0]], np.float32)
    box = weights_from_boxes([("head", (0.2, 0.0, 0.4, 1.0))], (2, 5))["head"]
    assert evidence_share(values, box) == pytest.approx(6 / 10)


def test_a_partly_covered_pixel_counts_by_its_share():
    assert evidence_share(np.array([[2.0, 2.0]], np.float32), np.array([[0.25, 0.0]], np.float32)) == 0.125


def test_negative_values_are_ignored():
    """With them the quotient would be 3 / −1."""
    values = np.array([[3.0, -5.0, 1.0]], np.float32)
    assert evidence_share(values, np.array([[1, 0, 0]], np.float32)) == 0.75
    assert evidence_share(values, np.array([[1, 1, 0]], np.float32)) == 0.75


@pytest.mark.parametrize("values", [np.zeros((2, 4)), -np.ones((2, 4))])
def test_without_positive_evidence_the_share_is_undefined(values):
    assert evidence_share(values.astype(np.float32), LEFT) is None


def test_of_an_empty_region_the_share_is_undefined():
    assert evidence_share(np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)) is None


def test_a_mask_of_truth_values_is_a_region_too():
    assert evidence_share(LEFT, LEFT > 0) == 1.0
    assert area_share(LEFT > 0) == 0.5


@pytest.mark.parametrize("shape", [(4, 2), (2, 1), (1, 4), (4,)])
def test_map_and_region_of_unlike_shapes_are_refused(shape):
    """Shapes that NumPy would broadcast are refused as well."""
    with pytest.raises(ArgumentError, match="map and region of one shape"):
        evidence_share(LEFT, np.ones(shape, np.float32))


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=8, max_size=8), st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**20]))
def test_the_share_lies_in_0_1_does_not_depend_on_scale_and_complements_the_rest(values, scale):
    values = np.array(values, np.float32).reshape(2, 4)
    share = evidence_share(values, LEFT)
    if values.max() <= 0:
        assert share is None
        return
    assert 0 <= share <= 1
    assert evidence_share((values.astype(np.float64) * scale), LEFT) == pytest.approx(share, rel=1e-6)
    assert evidence_share(values, 1 - LEFT) == pytest.approx(1 - share, abs=1e-6)
