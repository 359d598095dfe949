"""Whether a map prefers a region: measured against the map itself, shifted to every other place.

A map that has nothing to do with a region still puts some share of its evidence there. On average over all places it
puts the region's area; how far single places lie from that depends on how smooth and how concentrated the map is. So
the null is the map itself: all its circular shifts within what the network sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_PREFERENCE = "no preference"
"""What faces call the state of a map, or of a group of them, in which no region dominates."""
LEVEL = 0.95
LEAST, TIMES = 0.15, 2
MOST, HALF = 0.5, 0.5
GRID = 16
# What 8-bit levels can do to a share: less than this is no more.
_STORAGE = 1e-3


class Measured(NamedTuple):
    """One region of one map, or of the mean over a group of maps.

    Args:
        share: share of the positive evidence in the region, in [0, 1]; None if it is undefined.
        area: share of what the network sees that the region covers, in [0, 1]; None if it is undefined.
        reach: share that 95 % of the map's shifted copies do not exceed, in [0, 1]; None where it is not known.
    """

    share: float | None
    area: float | None
    reach: float | None = None


def chance_corrected(share: float | None, area: float | None) -> float | None:
    """Return ``(share − area) / (1 − area)``: 0 at chance, 1 for all evidence; None if undefined or all is region."""
    return None if share is None or area is None or area >= 1 else (share - area) / (1 - area)


def dominant(regions: Mapping[str, Measured]) -> str | None:
    """Name the region that a map prefers; None if it prefers none to chance. See `preferred`."""
    names = list(regions)
    (best,) = preferred([[regions[name] for name in names]])
    return None if best is None else names[best]


def preferred(maps: Sequence[Sequence[Measured]]) -> list[int | None]:
    """Return for each map which of its regions it prefers; None if it prefers none to chance.

    Of the regions that are preferred it is the one with the highest chance-corrected share, so that a large
    background does not win by its size. A region is preferred if

    - its chance-corrected share is at least 0.15, or its share is at least twice its area, which matters for small
      regions: less is too weak to speak of; and
    - at most 5 % of the map's shifted copies hold more there (`reaches`), or the region covers less than half of what
      the network sees and holds more than half of what lies beyond chance. The latter lets a map that is one spot
      prefer a larger object that the spot lies in, although many of its shifted copies lie in it, too.

    The margins were chosen on smooth random maps, on networks that decide by a tint of the whole image, and on
    networks whose reasons are known; `benchmarks/results/preference.json` has the numbers.

    Args:
        maps: the regions of each map, as many for each.
    """
    if not maps or not maps[0]:
        return [None] * len(maps)
    table = np.array(maps, np.float64)
    shares, areas, reach = table[..., 0], table[..., 1], table[..., 2]
    whole = areas >= 1
    corrected = np.where(whole, np.nan, (shares - areas) / np.where(whole, 1, 1 - areas))
    # Comparisons with NaN are false: what is undefined is not preferred, what reaches nowhere known is no bound.
    beyond = ~(shares < reach - _STORAGE) | ((areas < HALF) & (corrected > MOST))
    strong = (corrected >= LEAST) | (shares >= TIMES * areas)
    corrected[~(strong & beyond & (areas > 0))] = -np.inf
    best = corrected.argmax(axis=1)
    found = np.take_along_axis(corrected, best[:, None], axis=1)[:, 0] > 0
    return [int(region) if some else None for region, some in zip(best, found, strict=True)]


def reaches(evidence: NDArray[np.float64], regions: NDArray[np.float64]) -> list[float]:
    """Return the share of its evidence that 95 % of a map's shifted copies do not exceed, region by region.

    The copies are all circular shifts by whole cells; their mean is exactly the region's area.

    Args:
        evidence: (h, w), not negative, with some evidence; pooled to a small grid, see `pooling`.
        regions: (K, h, w) in [0, 1], the share of each cell that each region covers.

    Returns:
        K shares in [0, 1].
    """
    size = evidence.shape
    spectrum = np.fft.rfft2(evidence / evidence.sum()).conj()
    shifted = np.fft.irfft2(spectrum * np.fft.rfft2(regions), size).reshape(len(regions), -1)
    rank = math.ceil(LEVEL * shifted.shape[1]) - 1
    return np.clip(np.partition(shifted, rank, axis=1)[:, rank], 0, 1).tolist()


# Maps of one size share their matrices; a dataset of many sizes keeps only the latest.
@lru_cache(maxsize=64)
def pooling(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices (g, h) and (k, w) that add up a map (h, w) in a grid (g, k) of at most 16 cells a side."""
    longest = max(*size, GRID)
    return tuple(_sums(count, max(1, round(count * GRID / longest))) for count in size)  # type: ignore[return-value]


def pooled_reaches(
    areas: NDArray[np.float64], reach: NDArray[np.float64], groups: NDArray[np.int64], size: int
) -> list[float | None]:
    """Return the mean shares that 95 % of such groups do not exceed whose maps are each shifted by themselves.

    Shifts of several maps do not know of each other, so that the distances to chance add up in squares.

    Args:
        areas: area of the region in each map (N,); NaN for maps without a share, which are left out.
        reach: how far the shifted copies of each map reach (N,); NaN where it is not known.
        groups: group of each map (N,), from 0 to ``size`` − 1.
        size: number of groups.

    Returns:
        One share per group; None where the group is empty or the reach of one of its maps is not known.
    """
    defined = ~np.isnan(areas)
    groups, areas, reach = groups[defined], areas[defined], reach[defined]
    counts = np.maximum(np.bincount(groups, minlength=size), 1)
    chance, squares = (np.bincount(groups, values, size) for values in (areas, (reach - areas) ** 2))
    pooled = np.minimum((chance + np.sqrt(squares)) / counts, 1)
    known = np.isfinite(pooled) & (np.bincount(groups, minlength=size) > 0)
    return [float(value) if some else None for value, some in zip(pooled, known, strict=True)]


def _sums(count: int, cells: int) -> NDArray[np.float64]:
    """Return the share of each of ``count`` pixels that each of the cells covers, (cells, count)."""
    edges = np.arange(cells + 1)[:, None] * count / cells
    before = np.clip(edges - np.arange(count), 0, 1)
    return before[1:] - before[:-1]
