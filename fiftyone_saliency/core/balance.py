"""Sample weights that give each group the same say in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def balanced_weights(groups: Sequence[str]) -> list[float]:
    """Weight each sample by how rare its group is: N / (G · n) for N samples, G groups and n samples in its own.

    The weights of each group add up to N / G, and all have the mean 1, so that the learning rate can stay.

    Args:
        groups: one name per sample.

    References:
        Idrissi et al. Simple data balancing achieves competitive worst-group-accuracy. CLeaR 2022, sec. 3 (RWG).
        https://arxiv.org/abs/2110.14503
    """
    counts = Counter(groups)
    return [len(groups) / (len(counts) * counts[group]) for group in groups]
