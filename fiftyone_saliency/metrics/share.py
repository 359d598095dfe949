"""The share of positive evidence in a region (energy pointing game, relevance mass)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError


def evidence_share(values: NDArray[np.float32], region: NDArray[np.float32]) -> float | None:
    """Measure the share of positive saliency that falls inside a region.

    Negative values are ignored; the result does not depend on the map's scale. A map that is equal everywhere
    scores the region's area, which is the chance level.

    Args:
        values: saliency map (H, W), any range, finite.
        region: region (H, W) in [0, 1], in the same frame: the covered share of each pixel, or a bool mask.

    Returns:
        Share in [0, 1] (no unit); None if the region is empty or no value is positive.

    Raises:
        ArgumentError: if the two shapes differ.

    References:
        Wang et al. Score-CAM. CVPR Workshops 2020, sec. 4.3 (energy-based pointing game).
        https://arxiv.org/abs/1910.01279
        Arras, Osman, Samek. CLEVR-XAI. Information Fusion 81 (2022) (relevance mass accuracy).
        https://arxiv.org/abs/2003.07258
    """
    if values.shape != region.shape:
        raise ArgumentError(f"Expected map and region of one shape, but got {values.shape} and {region.shape}.")
    evidence = np.maximum(values, 0, dtype=np.float64)
    total = evidence.sum()
    if total <= 0 or not region.any():
        return None
    return float((evidence * region).sum() / total)


def area_share(region: NDArray[np.float32]) -> float:
    """Return the share of the frame that a region covers, in [0, 1]: the chance level of its evidence."""
    return float(np.mean(region, dtype=np.float64))
