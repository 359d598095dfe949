from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from fiftyone_saliency.core.regions import weights_from_boxes, weights_from_mask

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3))
)
corner = st.floats(-0.5, 1.5)
extent = st.floats(0, 1.5)
# Boxes on a lattice of sixtieths, and maps whose cells are whole numbers of them: shares are counted exactly.
LATTICE = 60
coarse_sizes = st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 6, 10])] * 2)
drawn_boxes = st.lists(
    st.tuples(st.sampled_from("ab"), st.tuples(*[st.integers(-30, 90)] * 2, *[st.integers(0, 90)] * 2)), max_size=4
)


def test_a_box_on_whole_cells_of_a_frame_that_is_not_square():
    """x and width go with columns, y and height with rows: an image of 2 × 4 cells, the box in its lower left."""
    weights = weights_from_boxes([("head", (0.0, 0.5, 0.75, 0.5))], (2, 4))
    assert_array_equal(weights["head"], [[0, 0, 0, 0], [1, 1, 1, 0]])
    assert_array_equal(weights["background"], [[1, 1, 1, 1], [0, 0, 0, 1]])


def test_a_partly_covered_cell_weighs_its_covered_share():
    weights = weights_from_boxes([("head", (0.125, 0.25, 0.5, 0.5))], (2, 4))
    assert_allclose(weights["head"], [[0.25, 0.5, 0.25, 0], [0.25, 0.5, 0.25, 0]])
    assert_allclose(weights["background"], 1 - weights["head"])


@settings(deadline=None)
@given(sizes, corner, corner, extent, extent)
def test_a_box_has_exactly_its_area_inside_the_image(size, x, y, width, height):
    weights = weights_from_boxes([("head", (x, y, width, height))], size)
    inside = max(0.0, min(1, x + width) - max(0, x)) * max(0.0, min(1, y + height) - max(0, y))
    assert weights["head"].mean(dtype=np.float64) == pytest.approx(inside, abs=1e-6)


@pytest.mark.parametrize("box", [(1.1, 0, 0.5, 1), (-0.6, 0, 0.5, 1), (0, 1.1, 1, 0.5), (0.2, 0.2, 0, 0)])
def test_a_box_outside_the_image_or_without_an_area_is_empty(box):
    weights = weights_from_boxes([("head", box)], (3, 5))
    assert_array_equal(weights["head"], np.zeros((3, 5)))
    assert_array_equal(weights["background"], np.ones((3, 5)))


def test_boxes_of_one_label_are_united_and_others_may_overlap():
    boxes = [("head", (0, 0, 0.5, 1)), ("head", (0.25, 0, 0.5, 1)), ("hat", (0, 0, 0.25, 1))]
    weights = weights_from_boxes(boxes, (1, 4))
    assert_array_equal(weights["head"], [[1, 1, 1, 0]])
    assert_array_equal(weights["hat"], [[1, 0, 0, 0]])
    assert_array_equal(weights["background"], [[0, 0, 0, 1]])


def test_boxes_of_one_label_are_united_inside_a_cell_too():
    """Two halves of one cell are the whole cell."""
    weights = weights_from_boxes([("head", (0, 0, 0.25, 1)), ("head", (0.25, 0, 0.25, 1))], (1, 2))
    assert_allclose(weights["head"], [[1, 0]])


def test_the_background_is_what_no_box_covers_inside_a_cell_too():
    """Head above uniform: the cell that they share has no background in it."""
    weights = weights_from_boxes([("head", (0, 0, 1, 0.5)), ("uniform", (0, 0.5, 1, 0.5))], (1, 1))
    assert_allclose(weights["background"], [[0]], atol=1e-6)


@settings(deadline=None)
@given(coarse_sizes, drawn_boxes)
def test_boxes_weigh_as_much_as_counting_points_says(size, boxes):
    at = np.arange(LATTICE) + 0.5
    counted = {label: np.zeros((LATTICE, LATTICE), bool) for label in "ab"}
    for label, (x, y, width, height) in boxes:
        counted[label] |= np.outer((at > y) & (at < y + height), (at > x) & (at < x + width))
    counted["background"] = ~(counted["a"] | counted["b"])
    relative = [(label, tuple(n / LATTICE for n in box)) for label, box in boxes]
    weights = weights_from_boxes(relative, size, names="ab")
    assert set(weights) == set(counted)
    for name, region in counted.items():
        cells = region.reshape(size[0], LATTICE // size[0], size[1], LATTICE // size[1])
        assert_allclose(weights[name], cells.mean(axis=(1, 3)), atol=1e-5)


def test_a_named_region_is_present_even_without_a_box():
    weights = weights_from_boxes([], (2, 3), names=["head"])
    assert_array_equal(weights["head"], np.zeros((2, 3)))
    assert_array_equal(weights["background"], np.ones((2, 3)))


def test_a_mask_of_the_maps_size_is_taken_as_it_is():
    mask = np.array([[0, 1, 1], [2, 2, 0]])
    weights = weights_from_mask(mask, {1: "head", 2: "uniform"}, (2, 3))
    assert_array_equal(weights["head"], mask == 1)
    assert_array_equal(weights["uniform"], mask == 2)
    assert_array_equal(weights["background"], mask == 0)
    assert list(weights) == ["background", "head", "uniform"]


def test_a_fine_mask_weighs_by_covered_share_on_a_coarse_map():
    """4 × 6 pixels on 2 × 3 cells; the region covers 1, 3 and 4 of the four pixels of a cell."""
    mask = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0] * 6, [0] * 6])
    weights = weights_from_mask(mask, {1: "head"}, (2, 3))
    assert_allclose(weights["head"], [[0.25, 0.75, 1], [0, 0, 0]])


def test_a_mask_shrinks_exactly_by_a_ratio_that_is_not_whole():
    """Three pixels on two cells: the middle one is shared."""
    weights = weights_from_mask(np.array([[1, 0, 0]] * 3), {1: "head"}, (2, 2))
    assert_allclose(weights["head"], [[2 / 3, 0], [2 / 3, 0]], atol=1e-6)


def test_a_coarse_mask_keeps_hard_edges_on_a_fine_map():
    weights = weights_from_mask(np.array([[1, 0], [0, 2]]), {1: "head"}, (4, 6))
    expected = np.zeros((4, 6))
    expected[:2, :3] = 1
    assert_array_equal(weights["head"], expected)
    assert_array_equal(weights["2"], expected[::-1, ::-1])


def test_values_without_a_name_are_called_by_their_number_and_names_without_a_value_are_empty():
    weights = weights_from_mask(np.array([[0, 7]]), {3: "head"}, (1, 2))
    assert set(weights) == {"background", "head", "7"}
    assert_array_equal(weights["head"], [[0, 0]])
    assert_array_equal(weights["7"], [[0, 1]])


def test_zero_may_have_a_name_of_its_own():
    weights = weights_from_mask(np.array([[0, 1]]), {0: "sky", 1: "head"}, (1, 2))
    assert set(weights) == {"sky", "head"}
    assert_array_equal(weights["sky"], [[1, 0]])


def test_two_values_of_one_name_are_one_region():
    """Left and right hand may both be called "hand": none of them may vanish."""
    weights = weights_from_mask(np.array([[0, 1, 2]]), {1: "hand", 2: "hand"}, (1, 3))
    assert_array_equal(weights["hand"], [[0, 1, 1]])


@settings(deadline=None)
@given(masks, sizes)
def test_the_weights_of_a_mask_add_up_to_one_in_each_pixel(mask, size):
    weights = weights_from_mask(mask, {0: "a", 1: "b", 2: "b"}, size)
    assert all(w.shape == size and w.dtype == np.float32 for w in weights.values())
    assert_allclose(np.sum(list(weights.values()), axis=0), np.ones(size), atol=1e-5)
