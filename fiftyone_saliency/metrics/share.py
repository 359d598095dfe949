"""The share of positive evidence in a region (energy pointing game, relevance mass)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.metrics._arrays import check_shapes, is_empty, positive_evidence


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
    check_shapes(values, region)
    evidence = positive_evidence(values)
    if evidence is None or is_empty(region):
        return None
    return float((evidence * region).sum() / evidence.sum())


def area_share(region: NDArray[np.float32]) -> float:
    """Return the share of the frame that a region covers, in [0, 1]: the chance level of its evidence."""
    return float(np.mean(region, dtype=np.float64))
