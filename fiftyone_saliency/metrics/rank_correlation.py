"""Whether two maps of one image put its pixels in the same order."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# SciPy has no types.

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError


def rank_correlation(one: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Measure Spearman's rank correlation of two maps over their pixels; equal values share their mean rank.

    Args:
        one: a map (H, W), finite.
        other: another map (H, W).

    Returns:
        Correlation in [-1, 1] (no unit): 1 for one order, 0 for no relation; None if one of the maps is flat, which
        has no order.

    Raises:
        ArgumentError: if the two shapes differ.

    References:
        Spearman. The Proof and Measurement of Association between Two Things. American Journal of Psychology 15(1),
        1904. https://doi.org/10.2307/1412159
    """
    from scipy.stats import rankdata

    if one.shape != other.shape:
        raise ArgumentError(f"Expected two maps of one shape, but got {one.shape} and {other.shape}.")
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
