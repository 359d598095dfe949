"""Fill removed pixels in from their neighbours, so that a network cannot tell what was removed (ROAD)."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# SciPy's sparse matrices have no types.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError

_DIRECT, _DIAGONAL = 1 / 6, 1 / 12
_NEIGHBOURS = {
    (down, across): _DIAGONAL if down and across else _DIRECT
    for down in (-1, 0, 1)
    for across in (-1, 0, 1)
    if down or across
}


def impute(image: NDArray[np.float32], removed: NDArray[np.bool_], noise: float, seed: int) -> NDArray[np.float32]:
    """Replace removed pixels by noisy linear imputation.

    Each removed pixel is the weighted mean of its neighbours, 1/6 for the direct and 1/12 for the diagonal ones,
    removed ones among them: all are solved for jointly. At the border the weights of the neighbours that exist are
    scaled to add up to 1. Then noise is added, which hides that the pixels were interpolated.

    Args:
        image: image (C, H, W), finite.
        removed: mask (H, W) of the pixels to replace; at least one pixel stays.
        noise: standard deviation of the Gaussian noise, in the image's unit, at least 0.
        seed: seed of the noise.

    Returns:
        float32 (C, H, W); pixels that were not removed are as they were.

    Raises:
        ArgumentError: if the shapes differ or no pixel stays.

    References:
        Rong, Leemann, Borisov, Kasneci, Kasneci. A Consistent and Efficient Evaluation Strategy for Attribution
        Methods. ICML 2022, sec. 4.3 and app. A. https://arxiv.org/abs/2202.00449
    """
    if image.shape[1:] != removed.shape:
        raise ArgumentError(f"Expected image and mask of one size, but got {image.shape[1:]} and {removed.shape}.")
    if removed.all():
        raise ArgumentError("Expected at least one pixel to stay, but all are removed. Remove a smaller share.")
    filled = image.copy()
    count = int(removed.sum())
    if count:
        drawn = np.random.default_rng(seed).normal(0, noise, (len(image), count)) if noise else 0.0
        filled[:, removed] = _solve(image, removed) + drawn
    return filled


def _solve(image: NDArray[np.float32], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the values (C, M) of the removed pixels: each one the weighted mean of its neighbours."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    count = int(removed.sum())
    unknown = np.full(removed.shape, -1)
    unknown[removed] = np.arange(count)
    rows, columns = np.nonzero(removed)
    diagonal, known = np.zeros(count), np.zeros((count, len(image)))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for (down, across), weight in _NEIGHBOURS.items():
        y, x = rows + down, columns + across
        (inside,) = np.nonzero((y >= 0) & (y < removed.shape[0]) & (x >= 0) & (x < removed.shape[1]))
        y, x = y[inside], x[inside]
        diagonal[inside] += weight
        other = unknown[y, x]
        known[inside] += weight * np.where(other < 0, image[:, y, x], 0).T
        entries.append((inside[other >= 0], other[other >= 0], np.full(int((other >= 0).sum()), -weight)))
    entries.append((np.arange(count), np.arange(count), diagonal))
    i, j, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    solution: NDArray[np.float64] = splu(coo_array((values, (i, j)), (count, count)).tocsc()).solve(known)
    return solution.T
