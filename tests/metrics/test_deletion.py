"""Orders of pixels are exact, and the area under a known curve is known."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.metrics.deletion import area_under_curve, first_pixels, random_ranks, rank_pixels


def test_ranks_follow_the_values_from_the_highest_on():
    values = np.array([[0.1, 0.9], [-2.0, 0.5]], np.float32)
    assert rank_pixels(values, 51).tolist() == [[2, 0], [3, 1]]


def test_every_pixel_has_a_rank_of_its_own_and_ties_come_in_a_drawn_order():
    """Only the last of 400 pixels is salient; the others are tied, and their order is drawn from the seed."""
    values = np.zeros((20, 20), np.float32)
    values[-1, -1] = 1
    ranks = rank_pixels(values, 51)
    assert ranks[-1, -1] == 0
    assert sorted(ranks.ravel()) == list(range(400))
    assert not np.array_equal(ranks.ravel()[:-1], np.arange(1, 400))
    assert np.array_equal(ranks, rank_pixels(values, 51))
    assert not np.array_equal(ranks, rank_pixels(values, 52))


def test_a_drawn_order_has_no_preferred_place():
    ranks = np.mean([random_ranks((4, 4), seed) for seed in range(400)], axis=0)
    assert np.abs(ranks - 7.5).max() < 4 * 4.61 / 20, "four standard errors of a uniform rank"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_share_of_the_pixels_is_that_share_however_many_are_tied(share):
    ranks = rank_pixels(np.zeros((10, 10), np.float32), 51)
    assert first_pixels(ranks, share).sum() == 100 * share


def test_all_and_no_pixels():
    ranks = random_ranks((3, 5), 51)
    assert not first_pixels(ranks, 0).any()
    assert first_pixels(ranks, 1).all()


def test_the_area_is_exact_for_straight_lines_and_converges_for_a_parabola():
    assert area_under_curve([1, 1, 1]) == 1
    assert area_under_curve([1, 0]) == 0.5
    assert area_under_curve(np.linspace(1, 0, 33)) == pytest.approx(0.5)
    parabola = np.linspace(0, 1, 101) ** 2
    assert area_under_curve(parabola) == pytest.approx(1 / 3 + 1 / (6 * 100**2)), "the trapezoid rule's own error"


def test_one_score_is_no_curve():
    with pytest.raises(ArgumentError, match="at least two scores"):
        area_under_curve([1.0])
