from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn.functional import interpolate

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.maps import dequantise, drawn_range, frame_size, place, quantise, select_sign
from fiftyone_saliency.core.types import SIGNS, Placement

FULL = Placement()
sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
levels = st.just(0.0) | st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
maps = sizes.flatmap(lambda size: arrays(np.float32, size, elements=levels))
placements = st.builds(
    Placement, st.floats(-1, 0.9), st.floats(-1, 0.9), st.floats(0.1, 3, exclude_min=True), st.floats(0.1, 3)
)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(51).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("grid", "size"),
    [((7, 7), (112, 75)), ((5, 9), (5, 9)), ((40, 30), (13, 7)), ((3, 40), (20, 11)), ((1, 1), (4, 6))],
)
def test_place_on_the_full_frame_equals_torch_bilinear_resizing(grid, size):
    values = drawn(*grid)
    expected = interpolate(
        torch.from_numpy(values)[None, None], size, mode="bilinear", align_corners=False, antialias=True
    )[0, 0]
    assert_allclose(place(values, FULL, size), expected, atol=1e-5)


def test_place_on_the_full_frame_equals_torch_without_antialias_when_it_enlarges():
    values = drawn(7, 5)
    expected = interpolate(torch.from_numpy(values)[None, None], (33, 61), mode="bilinear", align_corners=False)[0, 0]
    assert_allclose(place(values, FULL, (33, 61)), expected, atol=1e-5)


def test_place_puts_a_crop_where_it_was_cut_out():
    """A frame of 4 × 5, the crop in its lower middle: rows and columns are told apart."""
    values = drawn(2, 3)
    expected = np.zeros((4, 5), np.float32)
    expected[2:4, 1:4] = values
    assert_allclose(place(values, Placement(x=0.2, y=0.5, width=0.6, height=0.5), (4, 5)), expected, atol=1e-6)


def test_place_drops_the_bars_of_a_letterbox():
    """A wide image in a square input: only the two middle rows of the input show it."""
    values = drawn(4, 6)
    assert_allclose(place(values, Placement(y=-0.5, height=2), (2, 6)), values[1:3], atol=1e-6)


def test_place_follows_a_letterbox_with_bars_on_one_side_only():
    """Padding to the right and below, as detectors do it."""
    values = drawn(6, 8)
    assert_allclose(place(values, Placement(0, 0, 2, 1.5), (4, 4)), values[:4, :4], atol=1e-6)


@settings(deadline=None)
@given(maps, placements, sizes)
def test_place_gives_finite_float32_of_the_size_asked_for(values, placement, size):
    placed = place(values, placement, size)
    assert placed.shape == size
    assert placed.dtype == np.float32
    assert np.isfinite(placed).all()


@settings(deadline=None)
@given(maps, placements, sizes)
def test_place_never_exceeds_the_values_it_was_given(values, placement, size):
    placed = place(values, placement, size)
    slack = 1e-5 * max(1.0, float(np.abs(values).max()))
    assert placed.max() <= max(0.0, values.max()) + slack
    assert placed.min() >= min(0.0, values.min()) - slack


@settings(deadline=None)
@given(sizes, placements, sizes)
def test_place_keeps_a_constant_map_constant_inside_the_crop_and_zero_outside(grid, placement, size):
    placed = place(np.full(grid, 3, np.float32), placement, size)
    rows = (np.arange(size[0]) + 0.5) / size[0]
    columns = (np.arange(size[1]) + 0.5) / size[1]
    inside = np.outer(
        (rows > placement.y + 1e-6) & (rows < placement.y + placement.height - 1e-6),
        (columns > placement.x + 1e-6) & (columns < placement.x + placement.width - 1e-6),
    )
    outside = ~np.outer(
        (rows > placement.y - 1e-6) & (rows < placement.y + placement.height + 1e-6),
        (columns > placement.x - 1e-6) & (columns < placement.x + placement.width + 1e-6),
    )
    assert_allclose(placed[inside], 3, rtol=1e-6)
    assert_array_equal(placed[outside], 0)


@settings(deadline=None)
@given(st.data())
def test_place_loses_no_evidence_when_it_shrinks(data):
    """One cell alone keeps its mass: at the border within the filter's renormalisation, elsewhere exactly."""
    factor = data.draw(st.integers(1, 8), "factor")
    size = data.draw(st.tuples(st.integers(2, 8), st.integers(2, 8)), "size")
    grid = (factor * size[0], factor * size[1])
    cell = data.draw(st.tuples(st.integers(0, grid[0] - 1), st.integers(0, grid[1] - 1)), "cell")
    values = np.zeros(grid, np.float32)
    values[cell] = 1
    mass = float(place(values, FULL, size).sum()) * factor**2
    assert 0.58**2 <= mass <= 1.34**2
    if all(factor * 1.5 <= at < side - factor * 1.5 for at, side in zip(cell, grid, strict=True)):
        assert mass == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3), ()])
def test_place_refuses_what_is_no_map(shape):
    with pytest.raises(ArgumentError, match=r"a map of shape \(h, w\)"):
        place(np.zeros(shape, np.float32), FULL, (4, 4))


@pytest.mark.parametrize(
    ("grid", "placement", "image", "expected"),
    [
        # a coarse map: 112 pixels on the longer side, in the image's shape
        ((7, 7), FULL, (300, 600), (56, 112)),
        ((32, 32), FULL, (600, 300), (112, 56)),
        # a fine one: the network's resolution over the whole image
        ((33, 33), FULL, (60, 60), (33, 33)),
        ((224, 224), Placement(0.25, 0, 0.5, 1), (400, 800), (224, 448)),
        # never above the image's own, and never above 512
        ((224, 224), FULL, (60, 90), (60, 90)),
        ((224, 224), Placement(0.4, 0.4, 0.2, 0.2), (1000, 2000), (256, 512)),
        # a letterbox: 64 pixels of the input for the whole width
        ((64, 64), Placement(0, -0.5, 1, 2), (100, 200), (32, 64)),
        # never empty
        ((7, 7), FULL, (1, 5000), (1, 112)),
        ((64, 64), FULL, (1, 1), (1, 1)),
    ],
)
def test_frame_size_is_the_networks_resolution_in_the_images_shape(grid, placement, image, expected):
    assert frame_size(grid, placement, image) == expected


def test_select_sign_keeps_what_it_says():
    values = np.array([[-2.0, 0.0, 3.0]], np.float32)
    assert select_sign(values, "positive").tolist() == [[0, 0, 3]]
    assert select_sign(values, "absolute").tolist() == [[2, 0, 3]]
    assert select_sign(values, "signed").tolist() == [[-2, 0, 3]]


@settings(deadline=None)
@given(maps, st.sampled_from(SIGNS))
def test_quantise_is_undone_to_half_a_level(values, sign):
    values = select_sign(values, sign)
    levels, vmin, vmax = quantise(values, sign)
    assert levels.dtype == np.uint8
    half = (vmax - vmin) / 255 / 2
    assert_allclose(dequantise(levels, vmin, vmax), values, rtol=0, atol=half * (1 + 1e-4) + 1e-38)


@pytest.mark.parametrize("sign", ["positive", "absolute"])
def test_quantise_spreads_unsigned_values_over_all_levels(sign):
    levels, vmin, vmax = quantise(np.array([[0.0, 0.25, 4.0]], np.float32), sign)
    assert (levels.tolist(), vmin, vmax) == ([[0, 16, 255]], 0.0, 4.0)


def test_quantise_treats_both_signs_alike():
    values = np.array([[-4.0, -1.0, 1.0, 4.0]], np.float32)
    back = dequantise(*quantise(values, "signed"))
    assert_allclose(back, values, atol=4 / 127 / 2)
    assert_allclose(back, -back[:, ::-1], atol=1e-6)


def test_a_signed_zero_is_stored_as_zero():
    back = dequantise(*quantise(np.array([[-3.0, 0.0, 4.0]], np.float32), "signed"))
    assert back[0, 1] == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(maps, st.sampled_from(SIGNS))
def test_no_evidence_is_still_none_when_it_is_read_back(values, sign):
    """Half a level of false evidence in each pixel of an empty frame would outweigh a small object."""
    values = select_sign(values, sign)
    back = dequantise(*quantise(values, sign))
    assert_allclose(back[values == 0], 0, atol=1e-12 * float(np.abs(values).max()))


@pytest.mark.parametrize("sign", SIGNS)
def test_a_map_without_evidence_has_no_scale_and_stays_zero(sign):
    levels, vmin, vmax = quantise(np.zeros((2, 3), np.float32), sign)
    assert (vmin, vmax) == (0.0, 0.0)
    assert_array_equal(levels, np.zeros((2, 3), np.uint8))
    assert_array_equal(dequantise(levels, vmin, vmax), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("value", [1e-30, 0.1, 3e38])
def test_a_flat_map_keeps_its_value_at_any_scale(value):
    levels, vmin, vmax = quantise(np.full((2, 2), value, np.float32), "positive")
    assert_array_equal(levels, np.full((2, 2), 255, np.uint8))
    assert_allclose(dequantise(levels, vmin, vmax), np.full((2, 2), value, np.float32), rtol=1e-6)


def test_drawn_range_is_not_faded_by_one_hot_pixel():
    levels = np.full((40, 40), 20, np.uint8)
    levels[3, 4] = 255
    assert drawn_range(levels, "positive") == (0, 20)


def test_drawn_range_does_not_count_what_is_transparent():
    """A sparse map: nearly all pixels are 0, and the few others must not all look alike."""
    levels = np.zeros((100, 100), np.uint8)
    levels[0, :10] = np.arange(10, 110, 10)
    assert drawn_range(levels, "absolute") == (0, 100)


@pytest.mark.parametrize(
    ("levels", "sign"), [(np.zeros((3, 3), np.uint8), "positive"), (np.full((3, 3), 7, np.uint8), "signed")]
)
def test_drawn_range_is_all_levels_for_signed_and_for_empty_maps(levels, sign):
    assert drawn_range(levels, sign) == (0, 255)
