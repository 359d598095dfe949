"""Regions of one image: boxes and mask pixels are exact, what is drawn is off by one cell of the canvas at most."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from fiftyone_saliency.core.region_labels import Boxes, LabelMask, Points, Polygons
from fiftyone_saliency.core.region_spec import Labelled, RegionSpec
from fiftyone_saliency.core.region_text import parse_regions
from fiftyone_saliency.core.regions import CANVAS, canvas_of, draw_regions, weights_from_boxes
from fiftyone_saliency.metrics.share import area_share, evidence_share

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


def weights_from_mask(mask, names, size):
    """The weights of each name of a mask, and of each value without one."""
    called = {0: "background"} | names
    labels = {*called.values(), *(str(v) for v in np.unique(mask) if v not in called)}
    spec = RegionSpec({label: Labelled("mask", label) for label in sorted(labels)})
    return draw_regions(spec, {"mask": LabelMask(mask, called)}, size).weights(size)


def drawn(regions, contents, image=(30, 60), size=None):
    """The weights of regions that are written as text."""
    return draw_regions(parse_regions(regions), contents, image).weights(size or image)


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
    assert set(weights) == {"background", "head", "uniform"}


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


# One person whose box is the right two thirds of an image of 30 × 60 pixels, lower half.
PERSON = Boxes(["person"], [(1 / 3, 0.5, 2 / 3, 0.5)])


def block(rows, columns, size=(30, 60)):
    """A region of whole pixels."""
    weights = np.zeros(size)
    weights[slice(*rows), slice(*columns)] = 1
    return weights


@pytest.mark.parametrize(
    ("expression", "rows", "columns"),
    [
        ("top(people.person, 0.2)", (15, 18), (20, 60)),
        ("bottom(people.person, 0.2)", (27, 30), (20, 60)),
        ("left(people.person, 0.25)", (15, 30), (20, 30)),
        ("right(people.person, 0.25)", (15, 30), (50, 60)),
        ("left(top(people.person, 0.2), 0.25)", (15, 18), (20, 30)),
        ("people.person - top(people.person, 0.2)", (18, 30), (20, 60)),
        ("people.person & left(people.person, 0.25)", (15, 30), (20, 30)),
        ("left(people.person, 0.25) | right(people.person, 0.75)", (15, 30), (20, 60)),
        ("~people.person & top(people, 1)", (0, 0), (0, 0)),
        ("people.dog", (0, 0), (0, 0)),
    ],
)
def test_parts_of_a_box_and_their_algebra_in_a_frame_that_is_not_square(expression, rows, columns):
    weights = drawn({"it": expression}, {"people": PERSON})
    assert_allclose(weights["it"], block(rows, columns), atol=1e-6)


def test_a_part_is_taken_of_each_instance_and_not_of_the_box_around_all():
    people = Boxes(["person", "person"], [(0, 0, 0.5, 1), (0.5, 0.5, 0.5, 0.5)])
    weights = drawn({"head": "top(people.person, 0.5)"}, {"people": people}, size=(4, 2))
    assert_array_equal(weights["head"], [[1, 0], [1, 0], [0, 1], [0, 0]])


def test_half_covered_pixels_are_combined_by_where_they_are_covered():
    """Left and right half of one pixel: their weights are equal, but nothing lies in both."""
    boxes = Boxes(["a", "b"], [(0, 0, 0.5, 1), (0.5, 0, 0.5, 1)])
    weights = drawn({"both": "f.a & f.b", "any": "f.a | f.b", "only": "f.a - f.b"}, {"f": boxes}, size=(1, 1))
    assert {name: w.item() for name, w in weights.items()} == {"both": 0, "any": 1, "only": 0.5}


def test_a_difference_of_the_same_edges_computed_in_two_ways_is_empty():
    """0.1 + 0.2 is not 0.3 to a computer; a sliver between the two would be a region."""
    boxes = Boxes(["a", "b"], [(0, 0, 0.1 + 0.2, 1), (0, 0, 0.3, 1)])
    regions = draw_regions(parse_regions({"sliver": "f.a - f.b"}), {"f": boxes}, (9, 9))
    assert regions.shares(np.ones((9, 9), np.float32)) == {"sliver": (None, 0, None)}


def test_the_longest_chain_of_operators_is_evaluated():
    weights = drawn({"it": "~" * 400 + "people.person"}, {"people": PERSON})
    assert_allclose(weights["it"], block((15, 30), (20, 60)), atol=1e-6)


def test_the_rest_is_what_no_other_region_covers_whatever_the_order():
    regions = {"ground": "rest", "head": "top(people.person, 0.2)", "body": "people.person - head", "near": "ground"}
    weights = drawn(regions, {"people": PERSON})
    assert list(weights) == list(regions)
    assert_allclose(weights["ground"], 1 - block((15, 30), (20, 60)), atol=1e-6)
    assert_array_equal(weights["near"], weights["ground"])


def test_the_border_runs_along_all_edges():
    weights = drawn({"frame": "border(0.1)"}, {})
    assert_allclose(weights["frame"], 1 - block((3, 27), (6, 54)), atol=1e-6)


def test_a_box_that_reaches_outside_keeps_its_parts_where_they_are():
    """The upper half of a box from y = -0.5 to 0.5 is outside."""
    people = Boxes(["person"], [(-0.5, -0.5, 1, 1)])
    weights = drawn({"head": "top(people.person, 0.5)", "body": "people.person - head"}, {"people": people})
    assert weights["head"].max() == 0
    assert_allclose(weights["body"], block((0, 15), (0, 30)), atol=1e-6)


def test_a_missing_label_leaves_undefined_what_needs_it_and_nothing_else():
    regions = {"head": "heads.head", "body": "people.person", "both": "head | body", "ground": "rest"}
    weights = drawn(regions | {"frame": "border(0.1)"}, {"people": PERSON, "heads": None})
    assert {name for name, w in weights.items() if w is None} == {"head", "both", "ground"}
    assert drawn(regions, {"people": PERSON, "heads": Boxes([], [])})["head"].max() == 0


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([(40, 80), (80, 40), (50, 50)]), st.floats(0.05, 0.3))
def test_a_grown_point_is_a_disc_in_pixels_of_the_image(image, share):
    weights = drawn({"eye": f"grow(face.eye, {share:.6f})"}, {"face": Points(["eye"], [[(0.5, 0.5)]])}, image)
    y, x = ((np.arange(n) + 0.5 - n / 2) / max(image) for n in image)
    distance = np.hypot(y[:, None], x[None, :])
    off = math.sqrt(0.5) / max(image) + 2 / CANVAS
    assert weights["eye"][distance < share - off].min(initial=1) == 1
    assert weights["eye"][distance > share + off].max(initial=0) == 0


def test_a_grown_box_has_round_corners_and_keeps_its_exact_inside():
    box = Boxes(["a"], [(0.4, 0.4, 0.2, 0.2)])
    weights = drawn({"a": "grow(f.a, 0.1)"}, {"f": box}, (200, 200))
    assert weights["a"].mean(dtype=float) == pytest.approx(0.2**2 + 4 * 0.2 * 0.1 + math.pi * 0.1**2, abs=4 / CANVAS)
    assert weights["a"][62, 62] == 0
    assert weights["a"][62, 100] == 1


def test_points_that_are_not_visible_or_outside_are_left_out():
    group = [(math.nan, math.nan), (0.25, 0.5), (1.5, 0.5)]
    weights = drawn({"eye": "grow(face, 0.1)", "box": "top(face.eye, 1)"}, {"face": Points(["eye"], [group])}, (50, 50))
    assert weights["eye"][25, 12] == 1
    assert weights["eye"].mean(dtype=float) == pytest.approx(math.pi * 0.1**2, abs=2 / CANVAS)
    assert weights["box"].max() == 0, "a row of points has no height"


def test_nothing_grows_to_nothing():
    assert drawn({"eye": "grow(face.eye, 0.5)"}, {"face": Points([], [])})["eye"].max() == 0


def test_a_polygon_is_filled_and_a_second_outline_inside_is_a_hole():
    """The lower left triangle of the image, and a square with a hole."""
    triangle = [[(0, 0), (1, 1), (0, 1)]]
    ring = [[(0, 0), (1, 0), (1, 1), (0, 1)], [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]]
    polygons = Polygons(["half", "ring", "none"], [triangle, ring, []])
    weights = drawn({"half": "p.half", "ring": "p.ring", "none": "p.none", "box": "left(p.half, 0.5)"}, {"p": polygons})
    assert weights["half"].mean(dtype=float) == pytest.approx(0.5, abs=3 / CANVAS)
    assert (weights["half"][25, 5], weights["half"][5, 50]) == (1, 0)
    assert weights["ring"].mean(dtype=float) == pytest.approx(0.75, abs=4 / CANVAS)
    assert weights["none"].max() == 0
    assert_allclose(weights["box"], block((0, 30), (0, 30)), atol=1e-6)


def test_instance_masks_fill_their_box_and_a_box_without_one_counts_whole():
    """A mask of 2 × 1 pixels whose lower one is set, in the right half; the left eighth is a box without a mask."""
    mask = np.array([[False], [True]])
    boxes = Boxes(["a", "a"], [(0.5, 0, 0.5, 1), (0, 0, 0.125, 1)], [mask, None])
    weights = drawn({"masks": "instances(f.a)", "boxes": "f.a"}, {"f": boxes}, (32, 64), (4, 8))
    expected = block((2, 4), (4, 8), (4, 8)) + block((0, 4), (0, 1), (4, 8))
    assert_allclose(weights["masks"], expected, atol=1e-6)
    assert_allclose(weights["boxes"], block((0, 4), (4, 8), (4, 8)) + block((0, 4), (0, 1), (4, 8)), atol=1e-6)


def test_instance_masks_that_reach_outside_are_cut_off_and_not_squeezed():
    """The box's right half is outside: of the mask's two columns only the left one is seen."""
    boxes = Boxes(["a"], [(0.5, 0, 1, 1)], [np.array([[True, False]])])
    assert_array_equal(drawn({"a": "instances(f)"}, {"f": boxes}, (4, 4))["a"], block((0, 4), (2, 4), (4, 4)))


def test_the_whole_of_a_mask_is_what_is_not_zero_and_zero_where_it_has_a_name():
    mask = np.array([[0, 1, 2, 9]])
    assert_array_equal(drawn({"all": "m"}, {"m": LabelMask(mask, {1: "a"})}, (1, 4))["all"], [[0, 1, 1, 1]])
    assert_array_equal(drawn({"all": "m"}, {"m": LabelMask(mask, {0: "sky"})}, (1, 4))["all"], [[1, 1, 1, 1]])
    assert_array_equal(drawn({"all": "m['9']"}, {"m": LabelMask(mask, {1: "a"})}, (1, 4))["all"], [[0, 0, 0, 1]])


def test_exact_and_drawn_shapes_meet_on_one_lattice():
    """Box edges stay exact beside a mask of another size and a polygon."""
    contents = {
        "people": Boxes(["person"], [(0.1234, 0, 0.5, 1)]),
        "mask": LabelMask(np.array([[0, 1, 1], [0, 0, 0]]), {1: "sky"}),
        "poly": Polygons(["all"], [[[(-1, -1), (2, -1), (2, 2), (-1, 2)]]]),
    }
    regions = {"box": "people.person & poly.all", "sky": "mask.sky & poly.all", "both": "box & mask.sky"}
    areas = {name: area_share(w) for name, w in drawn(regions, contents, (7, 5)).items()}
    assert areas == pytest.approx({"box": 0.5, "sky": 1 / 3, "both": (0.6234 - 1 / 3) / 2}, abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.tuples(corner, corner, extent, extent)), max_size=4),
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.floats(0, 9, width=32))
    ),
)
def test_shares_are_those_of_the_weights(boxes, values):
    spec = parse_regions({"one": "f.a", "other": "top(f.b, 0.3) - f.a", "none": "~(f.a | f.b)"})
    labels, rectangles = ([label for label, _ in boxes], [box for _, box in boxes])
    regions = draw_regions(spec, {"f": Boxes(labels, rectangles)}, (3, 4))
    shares = regions.shares(values)
    for name, weights in regions.weights(values.shape).items():
        share, area, _ = shares[name]
        assert area == pytest.approx(area_share(weights), abs=1e-6)
        if area > 1e-5 and values.sum() > 1e-3:
            assert share == pytest.approx(evidence_share(values, weights), abs=1e-5)


def test_shares_of_nothing_are_undefined_and_of_everything_exactly_one():
    boxes = Boxes(["a", "b"], [(0.1, 0.2, 0.3, 0.7), (0.6, 0.1, 0.7, 0.3)])
    regions = draw_regions(
        parse_regions({"all": "f | ~f", "none": "f & ~f", "gone": "g"}), {"f": boxes, "g": None}, (7, 9)
    )
    values = np.random.default_rng(0).random((7, 9), np.float32)
    nothing = {"none": (None, 0, None), "gone": None}
    assert regions.shares(values) == {"all": (1, 1, 1)} | nothing
    assert regions.shares(np.zeros((7, 9), np.float32)) == {"all": (None, 1, None)} | nothing


@pytest.mark.parametrize(
    ("image", "canvas"), [((100, 50), (512, 256)), ((3, 4), (384, 512)), ((1, 9999), (1, 512)), ((9, 9), (512, 512))]
)
def test_a_canvas_has_the_proportions_of_its_image(image, canvas):
    assert canvas_of(image) == canvas
