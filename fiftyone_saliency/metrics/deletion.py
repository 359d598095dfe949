"""Orders of pixels, and the area under the curve of a score while pixels are taken away or put back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError


def rank_pixels(values: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Rank the pixels of a map from the most salient one on.

    Every pixel has a rank of its own: pixels of equal value come in a drawn order, so that a flat part of a map has
    no preferred corner, and a share of the pixels is exactly that share, however many are tied.

    Args:
        values: saliency map (H, W), finite; the highest value comes first.
        seed: seed of the order among equals.

    Returns:
        Ranks (H, W): 0 for the most salient pixel, H·W − 1 for the least.
    """
    drawn = np.random.default_rng(seed).permutation(values.size)
    # The last key counts first.
    order = np.lexsort((drawn, -values.ravel().astype(np.float64)))
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)


def random_ranks(size: tuple[int, int], seed: int) -> NDArray[np.int64]:
    """Return ranks (H, W) in a drawn order: what a map without any preference has."""
    return rank_pixels(np.zeros(size, np.float32), seed)


def first_pixels(ranks: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the given share of the pixels, in [0, 1], from rank 0 on."""
    return ranks < round(fraction * ranks.size)


def area_under_curve(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the area under scores at equal steps over [0, 1], by the trapezoid rule; in units of the score.

    Of probabilities while the most salient pixels are deleted first, less is better; while they are inserted first,
    more is.

    Args:
        scores: at least two scores, of the start, of each step, and of the end.

    Raises:
        ArgumentError: if there are fewer than two.

    References:
        Petsiuk, Das, Saenko. RISE: Randomized Input Sampling for Explanation of Black-box Models. BMVC 2018,
        sec. 4.2. https://arxiv.org/abs/1806.07421
    """
    if len(scores) < 2:
        raise ArgumentError(f"Expected at least two scores, of the start and the end, but got {len(scores)}.")
    values = np.asarray(scores, np.float64)
    return float((values[:-1] + values[1:]).mean() / 2)
