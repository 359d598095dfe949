"""Imputation solves for all removed pixels at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.metrics.deletion import first_pixels, rank_pixels
from fiftyone_saliency.metrics.road import impute

SIDE = 16


def drawn_image(seed: int = 51) -> np.ndarray:
    return np.random.default_rng(seed).random((3, SIDE, SIDE)).astype(np.float32)


def by_a_dense_solve(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Every pixel is an equation: itself, or the weighted mean of its neighbours; by the paper, without sparsity."""
    height, width = removed.shape
    matrix = np.eye(height * width)
    right = image.reshape(len(image), -1).T.astype(np.float64).copy()
    for y, x in zip(*np.nonzero(removed), strict=True):
        weights = {
            (y + dy, x + dx): 1 / 12 if dy and dx else 1 / 6
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width
        }
        for (j, i), weight in weights.items():
            matrix[y * width + x, j * width + i] = -weight / sum(weights.values())
        right[y * width + x] = 0
    return np.linalg.solve(matrix, right).T.reshape(image.shape)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("seed", [1, 2])
def test_imputation_equals_a_dense_solve(share, seed):
    image = drawn_image(seed)
    removed = first_pixels(rank_pixels(image[0], seed), share)
    assert removed[0].any() or share < 0.5, "the border is among what is removed"
    np.testing.assert_allclose(impute(image, removed, 0, 51), by_a_dense_solve(image, removed), atol=1e-6)


def test_a_hole_in_a_plane_is_filled_by_the_plane():
    """The weights are symmetric, so that a linear ramp solves the equations of every inner pixel."""
    ramp = np.add.outer(np.arange(SIDE), 2 * np.arange(SIDE))[None].astype(np.float32)
    removed = np.zeros((SIDE, SIDE), bool)
    removed[4:11, 3:9] = True
    np.testing.assert_allclose(impute(ramp, removed, 0, 51), ramp, atol=1e-4)


def test_what_is_not_removed_stays_and_noise_lies_on_the_rest_alone():
    image = drawn_image()
    removed = np.zeros((SIDE, SIDE), bool)
    removed[2:14, 2:14] = True
    plain, noisy = impute(image, removed, 0, 51), impute(image, removed, 0.1, 51)
    assert np.array_equal(noisy[:, ~removed], image[:, ~removed])
    noise = (noisy - plain)[:, removed]
    assert noise.std() == pytest.approx(0.1, rel=0.15)
    assert abs(noise.mean()) < 0.02
    assert np.array_equal(noisy, impute(image, removed, 0.1, 51))
    assert not np.array_equal(noisy, impute(image, removed, 0.1, 52))


def test_nothing_removed_changes_nothing():
    image = drawn_image()
    assert np.array_equal(impute(image, np.zeros((SIDE, SIDE), bool), 0.1, 51), image)


def test_a_sparse_map_removes_another_set_at_each_share():
    """With a threshold instead of ranks, a map of nine tenths zeros would remove the same pixels at 20, 50 and 80 %."""
    values = np.zeros((SIDE, SIDE), np.float32)
    values[:5, :5] = np.arange(1, 26).reshape(5, 5)
    removed = [first_pixels(rank_pixels(values, 51), share) for share in (0.2, 0.5, 0.8)]
    assert [int(mask.sum()) for mask in removed] == [51, 128, 205]
    images = [impute(drawn_image(), mask, 0, 51) for mask in removed]
    assert all(not np.array_equal(a, b) for a, b in pairwise(images))


def test_impossible_masks_are_refused():
    with pytest.raises(ArgumentError, match="at least one pixel to stay"):
        impute(drawn_image(), np.ones((SIDE, SIDE), bool), 0, 51)
    with pytest.raises(ArgumentError, match="of one size"):
        impute(drawn_image(), np.ones((SIDE, 3), bool), 0, 51)
