"""What every measure needs of a map and a region: the positive evidence, and the pixels that belong to the region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError

HALF = 0.5
# Coverage that is left of nothing where float32 shares are subtracted from 1.
_NOTHING = 1e-6


def positive_evidence(values: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return ``max(values, 0)`` in double precision, (H, W); None if no value is positive."""
    evidence = np.maximum(values, 0, dtype=np.float64)
    return evidence if evidence.any() else None


def is_flat(evidence: NDArray[np.float64]) -> bool:
    """Return whether a map is equal everywhere, so that it has no order of pixels."""
    return bool(evidence.min() == evidence.max())


def region_pixels(values: NDArray[np.float32], region: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return the pixels of a map that belong to a region: those that it covers at least to the half.

    Of a region that covers no pixel to the half, it is the pixels that it covers most.

    Args:
        values: saliency map (H, W).
        region: region (H, W) in [0, 1], in the same frame.

    Returns:
        bool (H, W) with at least one pixel; None if the region is empty.

    Raises:
        ArgumentError: if the two shapes differ.
    """
    check_shapes(values, region)
    if is_empty(region):
        return None
    return np.asarray(region >= min(HALF, float(region.max())))


def is_empty(region: NDArray[np.float32]) -> bool:
    """Return whether a region covers nothing."""
    return not (region > _NOTHING).any()


def check_shapes(values: NDArray[np.float32], region: NDArray[np.float32]) -> None:
    """Raise unless map and region are of one shape, also where NumPy would broadcast them.

    Raises:
        ArgumentError: if they are not.
    """
    if values.shape != region.shape:
        raise ArgumentError(f"Expected map and region of one shape, but got {values.shape} and {region.shape}.")
