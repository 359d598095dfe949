"""Whether two methods find the evidence in the same places, compared with random maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from fiftyone_saliency.core.maps import select_sign
from fiftyone_saliency.core.types import Sign
from fiftyone_saliency.methods._registry import Method, get_method
from fiftyone_saliency.metrics.rank_correlation import rank_correlation
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.examples import maps_of

# The grid of a CAM of 224 × 224 pixels: finer than that, families differ by their nature.
GRID = 7


@dataclass(frozen=True, eq=False)
class Agreement:
    """Rank correlations of pooled maps, one per image; None where a map is empty.

    Args:
        together: of the two methods.
        by_chance: of the second method with a random map.
    """

    together: list[float | None] = field(default_factory=list)
    by_chance: list[float | None] = field(default_factory=list)

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.together + other.together, self.by_chance + other.by_chance)


def agreement(method: Method, other: Method, model: ModelAdapter, batch: Batch, sign: Sign) -> Agreement:
    """Compare where two methods see evidence of the given sign, on a grid of 7 × 7."""
    random = get_method("random_map")[1]
    one, two, drawn = (_pooled(maps_of(each, model, batch), sign) for each in (method, other, random))
    return Agreement(
        [rank_correlation(a, b) for a, b in zip(one, two, strict=True)],
        [rank_correlation(a, b) for a, b in zip(drawn, two, strict=True)],
    )


def _pooled(maps: Sequence[NDArray[np.float32]], sign: Sign) -> list[NDArray[np.float32]]:
    values = select_sign(np.nan_to_num(np.stack(maps), posinf=0, neginf=0), sign)
    return list(adaptive_avg_pool2d(torch.from_numpy(values)[:, None], GRID)[:, 0].numpy())
