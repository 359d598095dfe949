"""How concentrated a map is: normalised entropy and Gini index of its positive evidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.metrics._arrays import positive_evidence


def entropy(values: NDArray[np.float32]) -> float | None:
    """Measure how evenly positive evidence is spread over the map.

    Maps of different sizes are comparable: the entropy is divided by that of a map which is equal everywhere.

    Args:
        values: saliency map (H, W), any range, finite; negative values are ignored.

    Returns:
        Entropy in [0, 1]: 0 if one pixel holds all evidence, 1 if all hold the same; None if no value is positive or
        the map has a single pixel.

    References:
        Bhatt, Weller, Moura. Evaluating and Aggregating Feature-based Model Explanations. IJCAI 2020 (complexity).
        The paper takes magnitudes and does not normalise. https://arxiv.org/abs/2005.00631
    """
    evidence = positive_evidence(values)
    if evidence is None or evidence.size < 2:
        return None
    shares = evidence[evidence > 0] / evidence.sum()
    # Rounding may leave the range by a hair.
    return float(np.clip(-(shares * np.log(shares)).sum() / np.log(evidence.size), 0, 1))


def gini(values: NDArray[np.float32]) -> float | None:
    """Measure how unevenly positive evidence is spread over the map.

    Args:
        values: saliency map (H, W) of N pixels, any range, finite; negative values are ignored.

    Returns:
        Gini index in [0, 1 - 1/N]: 0 if all pixels hold the same evidence, 1 - 1/N if one holds all; None if no value
        is positive.

    References:
        Hurley, Rickard. Comparing Measures of Sparsity. IEEE Transactions on Information Theory 55(10), 2009.
        https://doi.org/10.1109/TIT.2009.2027527
        Chalasani et al. Concise Explanations of Neural Networks using Adversarial Training. ICML 2020, where it is
        taken of magnitudes. https://arxiv.org/abs/1810.06583
    """
    evidence = positive_evidence(values)
    if evidence is None:
        return None
    count = evidence.size
    shares = np.sort(evidence, axis=None) / evidence.sum()
    # Rounding may leave the range by a hair.
    return max(0.0, float(1 - 2 * (shares * (count - np.arange(count) - 0.5)).sum() / count))
