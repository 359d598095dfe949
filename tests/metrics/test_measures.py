"""Every measure on maps drawn by hand: the answer is known, or it must not depend on something."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.regions import weights_from_boxes
from fiftyone_saliency.metrics._registry import MEASURES, get_measures
from fiftyone_saliency.metrics.border_mass import border_mass
from fiftyone_saliency.metrics.concentration import entropy, gini
from fiftyone_saliency.metrics.overlap import overlap
from fiftyone_saliency.metrics.pointing_game import pointing_game
from fiftyone_saliency.metrics.rank_accuracy import rank_accuracy
from fiftyone_saliency.metrics.share import area_share

OF_REGIONS = [info for info in MEASURES.values() if info.needs_region]
OF_MAPS = [info for info in MEASURES.values() if not info.needs_region]
NAMED = {"ids": lambda info: info.name}
HEIGHT, WIDTH = 6, 10
CORNER = np.zeros((HEIGHT, WIDTH), np.float32)
CORNER[:2, :5] = 1
"""Two rows and five columns at the upper left of a map that is not square: with swapped axes another place."""


def one_hot(row, column, shape=(HEIGHT, WIDTH)):
    values = np.zeros(shape, np.float32)
    values[row, column] = 7
    return values


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
def test_evidence_that_is_the_region_scores_one(info):
    assert info.function(CORNER * 3, CORNER) == 1


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
def test_evidence_that_is_all_elsewhere_scores_zero(info):
    far = np.zeros_like(CORNER)
    far[4:, 5:] = 2
    far[5, 9] = 3
    assert info.function(far, CORNER) == 0


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (WIDTH, HEIGHT)])
def test_x_goes_along_columns_and_y_along_rows_of_a_map_that_is_not_square(info, shape):
    """The box is the upper right quarter; read with its axes swapped it would be the lower left one."""
    box = weights_from_boxes([("head", (0.5, 0.0, 0.5, 0.5))], shape)["head"]
    upper_right, lower_left = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    upper_right[: shape[0] // 2, shape[1] // 2 :] = 1
    lower_left[shape[0] // 2 :, : shape[1] // 2] = 1
    assert info.function(upper_right, box) == 1
    assert info.function(lower_left, box) == 0


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
def test_of_the_whole_frame_as_region_all_evidence_lies_in_it(info):
    rng = np.random.default_rng(0)
    assert info.function(rng.random((HEIGHT, WIDTH), np.float32), np.ones_like(CORNER)) == (
        1 if info.name != "overlap" else pytest.approx(0.8, abs=0.1)
    ), "of uniform noise, 80 % lies above 20 % of the maximum"


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
@pytest.mark.parametrize("rest", [0, 6e-8])
def test_of_an_empty_region_every_measure_is_undefined(info, rest):
    """What float32 leaves of nothing is nothing."""
    assert info.function(one_hot(1, 1), np.full_like(CORNER, rest)) is None


@pytest.mark.parametrize("info", MEASURES.values(), **NAMED)
@pytest.mark.parametrize("level", [0, -1])
def test_without_positive_evidence_every_measure_is_undefined(info, level):
    values = np.full_like(CORNER, level)
    assert (info.function(values, CORNER) if info.needs_region else info.function(values)) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("share", area_share(CORNER)),
        ("overlap", area_share(CORNER)),
        ("pointing_game", None),
        ("rank_accuracy", None),
        ("entropy", 1),
        ("gini", 0),
        ("border_mass", 1 - 0.8**2),
    ],
)
def test_a_map_that_is_equal_everywhere_scores_chance_or_nothing(name, expected):
    info = MEASURES[name]
    values = np.full_like(CORNER, 0.3)
    answer = info.function(values, CORNER) if info.needs_region else info.function(values)
    assert answer == (None if expected is None else pytest.approx(expected, abs=1e-6))


@pytest.mark.parametrize("info", OF_REGIONS, **NAMED)
@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT), (HEIGHT, 1), (1, WIDTH), (WIDTH,)])
def test_map_and_region_of_unlike_shapes_are_refused(info, shape):
    with pytest.raises(ArgumentError, match="map and region of one shape"):
        info.function(one_hot(0, 0), np.ones(shape, np.float32))


maps = st.lists(st.integers(-20, 20), min_size=24, max_size=24).map(
    lambda levels: np.array(levels, np.float32).reshape(4, 6)
)
regions = st.lists(st.sampled_from([0, 0, 0.25, 0.5, 1]), min_size=24, max_size=24).map(
    lambda shares: np.array(shares, np.float32).reshape(4, 6)
)


@pytest.mark.parametrize("info", MEASURES.values(), **NAMED)
@settings(deadline=None, max_examples=60)
@given(values=maps, region=regions, scale=st.sampled_from([2.0**-12, 0.5, 2.0**20]))
def test_a_value_lies_in_its_range_and_depends_on_neither_scale_nor_mirror_nor_negative_values(
    info, values, region, scale
):
    """Signed maps included; a measure that mixes up the axes does not survive the transposition."""

    def take(v, r):
        return info.function(v, r) if info.needs_region else info.function(v)

    value = take(values, region)
    assert value is None or info.range[0] <= value <= info.range[1]
    expected = None if value is None else pytest.approx(value, abs=1e-6)
    assert take(values * np.float32(scale), region) == expected
    assert take(values.T.copy(), region.T.copy()) == expected
    assert take(values[::-1, ::-1].copy(), region[::-1, ::-1].copy()) == expected
    assert take(np.where(values < 0, -99, values).astype(np.float32), region) == expected


# pointing game


@pytest.mark.parametrize(("column", "hit"), [(4, 1), (5, 1), (6, 1), (7, 0), (9, 0)])
def test_a_maximum_near_the_region_is_a_hit_up_to_the_tolerance(column, hit):
    """The region ends at column 4; a fifth of ten columns is two."""
    assert pointing_game(one_hot(1, column), CORNER, tolerance=0.2) == hit


@pytest.mark.parametrize(("row", "column", "hit"), [(3, 4, 1), (2, 5, 1), (3, 5, 0), (2, 6, 0)])
def test_the_tolerance_is_a_euclidean_distance(row, column, hit):
    """Diagonal neighbours lie 1.41 away, the knight's move 2.24."""
    assert pointing_game(one_hot(row, column), CORNER, tolerance=0.2) == hit


def test_without_tolerance_only_the_region_itself_is_hit():
    assert [pointing_game(one_hot(1, column), CORNER, tolerance=0) for column in (4, 5)] == [1, 0]


def test_the_default_tolerance_is_fifteen_pixels_of_five_hundred():
    region = np.zeros((375, 500), np.float32)
    region[:, :100] = 1
    assert [pointing_game(one_hot(7, 99 + away, region.shape), region) for away in (15, 16)] == [1, 0]


def test_of_several_maxima_the_share_that_hits_counts():
    values = one_hot(0, 0) + one_hot(5, 9) + one_hot(5, 8) + one_hot(0, 1)
    assert pointing_game(values, CORNER) == 0.5
    assert pointing_game(values - one_hot(0, 1), CORNER) == pytest.approx(1 / 3)


@pytest.mark.parametrize("tolerance", [-0.1, "15", None])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance):
    with pytest.raises(ArgumentError, match="`tolerance`"):
        pointing_game(one_hot(0, 0), CORNER, tolerance)


def test_a_pixel_belongs_to_the_region_that_covers_half_of_it_or_of_a_small_region_most():
    region = np.array([[0.5, 0.49, 0, 0, 0]], np.float32)
    assert [pointing_game(one_hot(0, c, (1, 5)), region, tolerance=0) for c in (0, 1)] == [1, 0]
    assert [pointing_game(one_hot(0, c, (1, 5)), region * 0.1, tolerance=0) for c in (0, 1)] == [1, 0]


# rank accuracy


def test_rank_accuracy_by_hand():
    """K is 3; the three hottest are at 0, 2 and 3, two of them in the region."""
    region = np.array([[1, 1, 1, 0, 0]], np.float32)
    assert rank_accuracy(np.array([[9, 1, 7, 8, 2]], np.float32), region) == pytest.approx(2 / 3)


def test_one_extreme_pixel_weighs_no_more_than_any_other_in_ranks():
    region = np.array([[1, 1, 1, 0, 0]], np.float32)
    assert rank_accuracy(np.array([[9, 1, 7, 8e6, 2]], np.float32), region) == pytest.approx(2 / 3)


@pytest.mark.parametrize("values", [[5, 3, 3, 3, 1, 0], [0, 0, 0, 0, 0, 4], [2, 2, 1, 1, 1, 1]])
def test_ties_count_as_they_would_on_average_over_all_orders(values):
    """The oracle breaks the ties in each of the 720 orders."""
    values, region = np.array(values, np.float32), np.array([1, 0, 1, 0, 0, 1], np.float32)
    scores = []
    for order in itertools.permutations(range(6)):
        top = sorted(range(6), key=lambda i: (-values[i], order[i]))[:3]
        scores.append(sum(region[i] for i in top) / 3)
    assert rank_accuracy(values.reshape(2, 3), region.reshape(2, 3)) == pytest.approx(np.mean(scores))


# overlap


def test_overlap_by_hand():
    """Hot from 2 of 10 on: columns 1, 2 and 3. Together with the region there are four, two of them common."""
    values = np.array([[1.9, 2, 10, 5, 0]], np.float32)
    region = np.array([[1, 1, 1, 0, 0]], np.float32)
    assert overlap(values, region) == pytest.approx(2 / 4)
    assert overlap(values, region, threshold=0.6) == pytest.approx(1 / 3)
    assert overlap(values, region, threshold=1) == pytest.approx(1 / 3)
    assert overlap(values, region, threshold=0) == pytest.approx(3 / 5)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "20%"])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ArgumentError, match="`threshold`"):
        overlap(one_hot(0, 0), CORNER, threshold)


# concentration


def test_one_pixel_is_as_concentrated_as_can_be():
    assert entropy(one_hot(2, 3)) == 0
    assert gini(one_hot(2, 3)) == pytest.approx(1 - 1 / 60)


@pytest.mark.parametrize("count", [2, 4, 16])
def test_evidence_on_some_of_sixteen_pixels_by_hand(count):
    values = np.zeros(16, np.float32)
    values[:count] = 0.7
    assert entropy(values.reshape(2, 8)) == pytest.approx(np.log(count) / np.log(16))
    assert gini(values.reshape(2, 8)) == pytest.approx(1 - count / 16)


def test_gini_is_half_the_relative_mean_absolute_difference():
    values = np.random.default_rng(1).gamma(0.5, size=(5, 7)).astype(np.float32)
    pairs = np.abs(np.subtract.outer(values.ravel(), values.ravel()).astype(np.float64)).mean()
    assert gini(values) == pytest.approx(pairs / (2 * values.mean(dtype=np.float64)), rel=1e-5)


def test_of_a_single_pixel_only_the_entropy_is_undefined():
    assert entropy(np.ones((1, 1), np.float32)) is None
    assert gini(np.ones((1, 1), np.float32)) == 0


# border mass


def test_border_mass_by_hand():
    """Of ten rows and twenty columns, the frame is one row and two columns wide."""
    shape = (10, 20)
    border = [(0, 10), (9, 10), (5, 0), (5, 1), (5, 18)]
    middle = [(1, 2), (8, 17), (5, 10), (1, 17)]
    assert [border_mass(one_hot(*place, shape)) for place in border] == pytest.approx([1] * 5, abs=1e-6)
    assert [border_mass(one_hot(*place, shape)) for place in middle] == pytest.approx([0] * 4, abs=1e-6)


def test_a_pixel_that_the_frame_cuts_counts_by_its_share():
    """A tenth of five columns is half a column."""
    assert border_mass(one_hot(2, 0, (5, 5))) == pytest.approx(0.5)
    assert border_mass(one_hot(2, 0, (5, 5)), margin=0.05) == pytest.approx(0.25)


def test_the_frame_grows_with_the_margin_until_it_is_the_image():
    noise = np.random.default_rng(2).random((9, 13), np.float32)
    values = [border_mass(noise, margin) for margin in (0.05, 0.1, 0.3, 0.5)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1)
    assert border_mass(noise, 0) is None


@pytest.mark.parametrize("margin", [-0.1, 0.6])
def test_a_margin_out_of_range_is_refused(margin):
    with pytest.raises(ArgumentError, match="`margin`"):
        border_mass(one_hot(0, 0), margin)


# what chance gives, and the registry


@pytest.mark.parametrize("name", ["share", "rank_accuracy", "pointing_game"])
def test_on_noise_a_measure_of_a_region_scores_its_area(name):
    rng = np.random.default_rng(3)
    region = weights_from_boxes([("head", (0.1, 0.2, 0.5, 0.4))], (10, 20))["head"]
    options = {"tolerance": 0} if name == "pointing_game" else {}
    scores = [MEASURES[name].function(rng.random((10, 20), np.float32), region, **options) for _ in range(400)]
    assert np.mean(scores) == pytest.approx(0.2, abs=0.07 if name == "pointing_game" else 0.01)


@pytest.mark.parametrize("info", MEASURES.values(), **NAMED)
def test_the_registry_says_of_each_measure_what_people_need(info):
    assert MEASURES[info.name] is info
    assert info.name.isidentifier()
    assert info.summary.endswith(".")
    assert info.paper.startswith("https://")
    assert info.range[0] < info.range[1]
    assert info.needs_region == (info in OF_REGIONS)
    assert info in OF_REGIONS + OF_MAPS


def test_an_unknown_measure_is_answered_with_the_nearest():
    assert [info.name for info in get_measures(["gini", "share"])] == ["gini", "share"]
    with pytest.raises(UnknownNameError, match="Did you mean `pointing_game`"):
        get_measures(["pointing_gme"])
