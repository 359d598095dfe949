"""Whether two methods find the evidence in the same places, beside the other method's maps of other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch.nn.functional import adaptive_avg_pool2d

from fiftyone_saliency.core.maps import select_sign
from fiftyone_saliency.core.types import Sign
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.metrics.rank_correlation import rank_correlation
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.examples import maps_of

# The grid of a CAM of 224 × 224 pixels: finer than that, families differ by their nature.
GRID = 7
Maps = list[NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pooled maps of two methods, one of each per image.

    Args:
        maps: of the first method, float32 (7, 7) each.
        others: of the second method, of the same images.
    """

    maps: Maps = field(default_factory=Maps)
    others: Maps = field(default_factory=Maps)

    def __add__(self, more: Agreement) -> Agreement:
        return Agreement(self.maps + more.maps, self.others + more.others)

    @property
    def together(self) -> list[float | None]:
        """Rank correlation of the two maps of each image; None where one is empty."""
        return [rank_correlation(a, b) for a, b in zip(self.maps, self.others, strict=True)]

    @property
    def by_chance(self) -> list[float | None]:
        """Mean rank correlation of each map with the other method's maps of all other images.

        That is what smooth maps reach which lean to the same part of the frame, whatever is in the image. None where
        the map is empty, or there is no other image.
        """
        if not self.maps:
            return []
        correlations = _ordered(self.maps) @ _ordered(self.others).T
        np.fill_diagonal(correlations, np.nan)
        defined = ~np.isnan(correlations)
        sums, counts = np.where(defined, correlations, 0).sum(axis=1), defined.sum(axis=1)
        return [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]


def agreement(method: Method, other: Method, model: ModelAdapter, batch: Batch, sign: Sign) -> Agreement:
    """Compare where two methods see evidence of the given sign, on a grid of 7 × 7."""
    one, two = (_pooled(maps_of(each, model, batch), sign) for each in (method, other))
    return Agreement(one, two)


def _ordered(maps: Maps) -> NDArray[np.float64]:
    """Return the ranks of each map's pixels (N, 49) about 0, of length 1; NaN for a flat map, which has no order."""
    ranks = rankdata(np.stack(maps).reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, lengths, out=np.full_like(ranks, np.nan), where=lengths > 0)


def _pooled(maps: Sequence[NDArray[np.float32]], sign: Sign) -> Maps:
    values = select_sign(np.nan_to_num(np.stack(maps), posinf=0, neginf=0), sign)
    return list(adaptive_avg_pool2d(torch.from_numpy(values)[:, None], GRID)[:, 0].numpy())
