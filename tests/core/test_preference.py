"""Whether a map prefers a region: against its own shifted copies, by hand and on maps that prefer nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_saliency.core.maps import dequantise, place, quantise, seen_pixels
from fiftyone_saliency.core.preference import Measured, chance_corrected, dominant, pooled_reaches, pooling, reaches
from fiftyone_saliency.core.region_labels import Boxes
from fiftyone_saliency.core.region_spec import plain_regions
from fiftyone_saliency.core.regions import draw_regions
from fiftyone_saliency.core.types import Placement


def measured(values, box, seen=None, size=None):
    """Measure one box and the background of it."""
    spec = plain_regions("boxes", {"object"})
    regions = draw_regions(spec, {"boxes": Boxes(("object",), (box,))}, size or values.shape)
    return regions.shares(values, *([] if seen is None else [seen]))


def random_maps(count, sigma, seed, side=64):
    """Draw maps of blurred noise: they have nothing to do with any region."""
    rng, pad = np.random.default_rng(seed), 2 * side
    for _ in range(count):
        noise = cv2.GaussianBlur(rng.normal(size=(pad, pad)), (0, 0), sigma)[: side + 32, : side + 32][32:, 32:]
        yield np.maximum(noise / noise.std(), 0).astype(np.float32)


# what the rule says of numbers


def one(share, area, reach=None):
    return {"object": Measured(share, area, reach)}


def test_a_large_background_does_not_win_by_its_size():
    assert dominant({"head": Measured(0.3, 0.1), "background": Measured(0.7, 0.9)}) == "head"
    assert dominant({"head": Measured(0.1, 0.1), "background": Measured(0.9, 0.9)}) is None
    assert dominant({"head": Measured(None, 0.1), "background": Measured(None, None)}) is None
    assert dominant({}) is None


def test_a_slight_excess_is_no_preference_however_surely_it_is_there():
    assert dominant(one(0.379, 0.346, 0.35)) is None
    assert dominant(one(0.46, 0.346, 0.35)) == "object"


def test_of_a_small_region_twice_chance_is_a_preference():
    assert dominant(one(0.096, 0.035, 0.08)) == "object"
    assert dominant(one(0.096, 0.035, 0.2)) is None
    assert dominant(one(0.06, 0.035, 0.05)) is None


def test_an_excess_that_shifted_copies_reach_is_no_preference():
    assert dominant(one(0.5, 0.346, 0.6)) is None
    assert dominant(one(0.5, 0.346, 0.45)) == "object"


def test_a_map_wholly_in_a_region_prefers_it_whatever_its_size():
    assert dominant(one(1.0, 0.35, 1.0)) == "object"
    assert dominant(one(0.9, 0.35, 1.0)) == "object", "a spot in a large object, as most of its copies are"
    assert dominant(one(0.9, 0.6, 1.0)) is None, "of a region this large that is no wonder"
    assert dominant(one(1.0, 1.0, 1.0)) is None, "there is nowhere else"


@pytest.mark.parametrize(
    ("share", "area", "expected"),
    [
        (1, 0.25, 1),
        (0.25, 0.25, 0),
        (0.5, 0.2, 0.375),
        (0, 0.5, -1),
        (None, 0.5, None),
        (0.5, None, None),
        (1, 1, None),
    ],
)
def test_correction_for_chance_by_hand(share, area, expected):
    assert chance_corrected(share, area) == (None if expected is None else pytest.approx(expected))


# how far shifted copies reach


def test_the_reach_is_that_of_all_shifts_one_by_one():
    rng = np.random.default_rng(3)
    evidence, regions = rng.random((5, 8)) ** 3, rng.random((2, 5, 8))
    shifts = [np.roll(evidence, (i, j), (0, 1)) for i in range(5) for j in range(8)]
    for region, reach in zip(regions, reaches(evidence, regions), strict=True):
        shares = sorted(float((one * region).sum() / evidence.sum()) for one in shifts)
        assert np.mean(shares) == pytest.approx(region.mean())
        assert reach == pytest.approx(shares[37])
        assert sum(share > reach + 1e-9 for share in shares) <= 0.05 * 40


def test_a_flat_map_reaches_its_chance_level_and_a_spot_reaches_all():
    region = np.zeros((1, 8, 8))
    region[0, :4, :4] = 1
    assert reaches(np.ones((8, 8)), region) == pytest.approx([0.25])
    assert reaches(np.eye(8)[:1].T @ np.eye(8)[:1], region) == pytest.approx([1])


def test_a_group_of_maps_reaches_less_far_than_each():
    areas = np.array([0.2, 0.2, 0.2, 0.2, 0.2, np.nan, 0.2, 0.2])
    reach = np.array([0.6, 0.6, 0.6, 0.6, 0.6, np.nan, 0.6, np.nan])
    found = pooled_reaches(areas, reach, np.array([0, 0, 0, 0, 1, 1, 2, 2]), 4)
    assert found == [pytest.approx(0.4), pytest.approx(0.6), None, None]


@given(st.integers(1, 70), st.integers(1, 70))
def test_pooling_keeps_all_evidence(height, width):
    down, across = pooling((height, width))
    assert max(len(down), len(across)) <= 16
    for sums, count in ((down, height), (across, width)):
        np.testing.assert_allclose(sums.sum(axis=0), np.ones(count), rtol=1e-12)


@pytest.mark.parametrize("sigma", [2, 4, 8])
@pytest.mark.parametrize("area", [0.1, 0.35])
def test_smooth_random_maps_seldom_prefer_a_region(area, sigma):
    """Without a margin every second one preferred the object, and the other half the background."""
    rng, side = np.random.default_rng(7), area**0.5
    states = []
    for values in random_maps(150, sigma, 5):
        x, y = rng.uniform(0, 1 - side, 2).tolist()
        states.append(dominant(measured(values, (x, y, side, side))))
    assert states.count("object") / len(states) <= 0.12
    assert states.count(None) / len(states) >= 0.75


@pytest.mark.parametrize("sigma", [1, 3, 6])
@pytest.mark.parametrize("area", [0.04, 0.2, 0.4])
def test_a_spot_in_the_middle_of_a_region_prefers_it(area, sigma):
    side, (y, x) = area**0.5, np.mgrid[:64, :64] + 0.5
    spot = np.exp(-((x - 40) ** 2 + (y - 24) ** 2) / (2 * min(sigma, 16 * side) ** 2)).astype(np.float32)
    box = (40 / 64 - side / 2, 24 / 64 - side / 2, side, side)
    assert dominant(measured(spot, box)) == "object"
    assert dominant(measured(np.roll(spot, 32, (0, 1)), box)) != "object"


# what the network sees

parts = st.floats(-0.4, 0.6), st.floats(-0.4, 0.6), st.floats(0.1, 1.6), st.floats(0.1, 1.6)
boxes = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.02, 1), st.floats(0.02, 1))


@given(
    st.builds(Placement, *parts).filter(lambda p: p.x + p.width > 0.1 and p.y + p.height > 0.1),
    st.tuples(st.integers(20, 120), st.integers(20, 120)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    boxes,
)
def test_a_map_without_preference_scores_exactly_its_chance_level(placement, size, grid, box):
    """Flat over the network's input, placed in the image, stored in 8 bits: crops, letterboxes, all proportions."""
    placed = place(np.full(grid, 0.37, np.float32), placement, size)
    flat = dequantise(*quantise(placed, "positive"))
    seen = seen_pixels(size, placement.seen)
    assert (flat[seen] > 0).all()
    assert flat.sum() == pytest.approx(flat[seen].sum()), "and nothing elsewhere"
    left, top, width, height = placement.seen
    for name, found in measured(flat, box, seen, size).items():
        assert found.share == (None if found.area == 0 else pytest.approx(found.area, abs=1e-9)), name
        assert dominant({name: found}) is None
    overlap = max(0, min(left + width, box[0] + box[2], 1) - max(left, box[0]))
    overlap *= max(0, min(top + height, box[1] + box[3], 1) - max(top, box[1]))
    pixels = 1 / (size[0] * height) + 1 / (size[1] * width)
    assert found_area(flat, box, seen, size) == pytest.approx(overlap / (width * height), abs=pixels)


def found_area(values, box, seen, size):
    return measured(values, box, seen, size)["object"].area


def test_what_the_network_cannot_see_is_undefined():
    seen = seen_pixels((40, 40), (0.0, 0.5, 1.0, 0.5))
    found = measured(np.ones((40, 40), np.float32), (0.1, 0.1, 0.3, 0.3), seen)
    assert found == {"object": (None, 0, None), "background": (1, 1, 1)}


def test_a_window_between_two_pixels_shows_nothing():
    assert seen_pixels((4, 4), (0.27, 0.0, 0.05, 1.0)) == (slice(0, 4), slice(1, 1))
    found = measured(np.ones((4, 4), np.float32), (0.1, 0.1, 0.3, 0.3), seen_pixels((4, 4), (0.27, 0.0, 0.05, 1.0)))
    assert {one.share for one in found.values()} == {None}
