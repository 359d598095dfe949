"""How much of the hottest part of a map is the region (relevance rank accuracy)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.metrics._arrays import is_flat, positive_evidence, region_pixels


def rank_accuracy(values: NDArray[np.float32], region: NDArray[np.float32]) -> float | None:
    """Measure how many of the K hottest pixels lie in a region of K pixels.

    Only the order of the positive values counts, so one extreme pixel weighs no more than any other. The chance level
    is the region's area.

    Args:
        values: saliency map (H, W), any range, finite; negative values rank as 0.
        region: region (H, W) in [0, 1], in the same frame; the K pixels that it covers at least to the half belong
            to it.

    Returns:
        Share in [0, 1]. Of equal values at rank K, as many as are still needed count with the share of them that
        lies in the region: the expected value if ties were broken at random. None if the region is empty, no value
        is positive, or the map is equal everywhere and so has no order.

    Raises:
        ArgumentError: if the two shapes differ.

    References:
        Arras, Osman, Samek. CLEVR-XAI. Information Fusion 81 (2022) (relevance rank accuracy).
        https://arxiv.org/abs/2003.07258
    """
    pixels, evidence = region_pixels(values, region), positive_evidence(values)
    if pixels is None or evidence is None or is_flat(evidence):
        return None
    count = int(pixels.sum())
    last = np.partition(evidence, -count, axis=None)[-count]
    above, tied = evidence > last, evidence == last
    hits = pixels[above].sum() + (count - above.sum()) * pixels[tied].mean()
    return float(hits / count)
