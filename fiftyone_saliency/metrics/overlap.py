"""How well the hot part of a map and a region cover each other (intersection over union)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.metrics._arrays import positive_evidence, region_pixels

THRESHOLD = 0.2


def overlap(values: NDArray[np.float32], region: NDArray[np.float32], threshold: float = THRESHOLD) -> float | None:
    """Measure the intersection over union of a region and the part of a map that is hotter than a threshold.

    A map that is equal everywhere scores the region's area. The value depends on the threshold as much as on the map:
    compare only values of one threshold.

    Args:
        values: saliency map (H, W), any range, finite; negative values are ignored.
        region: region (H, W) in [0, 1], in the same frame; a pixel belongs to it that it covers at least to the half.
        threshold: share of the map's maximum from which on a pixel is hot, in [0, 1]; of 0 all pixels are.

    Returns:
        Intersection over union in [0, 1]; None if the region is empty or no value is positive.

    Raises:
        ArgumentError: if the two shapes differ, or the threshold is out of range.

    References:
        Zhou et al. Learning Deep Features for Discriminative Localization. CVPR 2016, for the threshold of
        20 % of the maximum. The paper compares boxes around the hot part; here pixels are compared.
        https://arxiv.org/abs/1512.04150
    """
    check_range(threshold, "threshold", 0, 1)
    pixels, evidence = region_pixels(values, region), positive_evidence(values)
    if pixels is None or evidence is None:
        return None
    hot = evidence >= threshold * evidence.max()
    return float((hot & pixels).sum() / (hot | pixels).sum())
