"""Intervals of means in closed form, for many groups of values at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
# Fewer values have no interval: whatever holds for all shapes of three values says next to nothing.
MIN_COUNT = 4
_TAIL = (1 - LEVEL) / 2
# Shares are sums of float32 numbers, which may end a little above 1.
_ROUNDING = 1e-6

Bounds = tuple[float, float] | None
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """What an interval needs to know of the values of each group; arrays (groups,), NaN for an empty group.

    Args:
        count: number of values.
        mean: their mean.
        squares: sum of the squared distances to the mean.
        lowest: the smallest value.
        highest: the largest value.
        binary: whether all values are 0 or 1.
    """

    count: Numbers
    mean: Numbers
    squares: Numbers
    lowest: Numbers
    highest: Numbers
    binary: NDArray[np.bool_]


def moments_of(values: Numbers, groups: NDArray[np.int64], size: int) -> Moments:
    """Collect the moments of each group.

    Args:
        values: values (N,), none of them NaN.
        groups: group of each value (N,), from 0 to ``size`` − 1.
        size: number of groups.
    """
    count = np.bincount(groups, minlength=size).astype(np.float64)
    filled = np.maximum(count, 1)
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(lowest, groups, values)
    np.maximum.at(highest, groups, values)
    # Kept between its ends, so that equal values have exactly their own mean.
    mean = np.clip(np.bincount(groups, values, size) / filled, lowest, np.maximum(highest, lowest))
    squares = np.bincount(groups, (values - mean[groups]) ** 2, size)
    others = np.bincount(groups, (values != 0) & (values != 1), size)
    empty = count == 0
    ends = (np.where(empty, np.nan, end) for end in (mean, squares, lowest, highest))
    return Moments(count, *ends, binary=others == 0)


def mean_interval(moments: Moments, bounds: Bounds, amounts: bool = False) -> tuple[Numbers, Numbers]:
    """Return the ends of the 95 % interval of each group's mean.

    Shares of samples (all values 0 or 1) have Wilson's interval. Other values with bounds have one that holds
    whatever their distribution: each end is that of Gaffke's test, whose one-sided error stays below 2.5 %. It
    supposes that one more value was seen, as bad as can be: at the upper bound for the upper end, and at the lower
    bound for the lower end. So equal values have an interval of some width: that ten samples agree does not
    exclude one in ten that does not. Values without bounds have Student's.

    Args:
        moments: of the groups.
        bounds: lowest and highest value that the measure can take; None if it has no bounds.
        amounts: whether the values are amounts, such as shares of evidence, also where all happen to be 0 or 1: few
            of such are missed too often by Wilson's interval.

    Returns:
        Low and high ends (groups,); NaN where there are fewer than 4 values.

    References:
        Gaffke. Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable.
        Mathematical Methods of Statistics 14(4), 2005. Its quantiles are those of a Beta distribution here, which
        has the mean and variance of Gaffke's and is the same where there are two values.
        Phan, Thomas, Learned-Miller. Towards Practical Mean Bounds for Small Samples. ICML 2021, sec. 2.
        https://arxiv.org/abs/2106.03163
        Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 22(158), 1927.
        https://doi.org/10.1080/01621459.1927.10502953
    """
    enough = moments.count >= MIN_COUNT
    low, high = np.full((2, len(enough)), np.nan)
    if bounds is None:
        low[enough], high[enough] = _student(_select(moments, enough))
        return low, high
    share = enough & moments.binary if bounds == (0, 1) and not amounts else np.zeros_like(enough)
    low[share], high[share] = _wilson(_select(moments, share))
    low[enough & ~share], high[enough & ~share] = _gaffke(_select(moments, enough & ~share), bounds)
    return low, high


def bounds_of(values: Numbers, bounds: Bounds) -> Bounds:
    """Return the bounds, or None if a value lies beyond them: a measure of that kind has none."""
    if bounds is None or not len(values):
        return bounds
    inside = values.min() >= bounds[0] - _ROUNDING and values.max() <= bounds[1] + _ROUNDING
    return bounds if inside else None


def _gaffke(moments: Moments, bounds: tuple[float, float]) -> tuple[Numbers, Numbers]:
    bottom, width = bounds[0], bounds[1] - bounds[0]
    lowest, mean, highest = (
        np.clip((end - bottom) / width, 0, 1) for end in (moments.lowest, moments.mean, moments.highest)
    )
    squares = moments.squares / width**2
    # The lower end is the upper one of the mirrored values.
    low = 1 - _upper_end(moments.count, 1 - mean, squares, 1 - highest)
    high = _upper_end(moments.count, mean, squares, lowest)
    return bottom + width * np.minimum(low, mean), bottom + width * np.maximum(high, mean)


def _upper_end(count: Numbers, mean: Numbers, squares: Numbers, lowest: Numbers) -> Numbers:
    """Return the upper end for values in [0, 1]: a quantile of the mean with Dirichlet weights, 1 among the values."""
    total = count + 1
    centre = (count * mean + 1) / total
    variance = (squares + count * (mean - centre) ** 2 + (1 - centre) ** 2) / total / (total + 1)
    # All that the weights can reach lies between the lowest value and 1.
    span = 1 - lowest
    open_ = span > 0
    scale = np.where(open_, span, 1)
    place = np.where(open_, (centre - lowest) / scale, 0.5)
    spread = np.where(open_, variance / scale**2, 1 / 8)
    weight = place * (1 - place) / spread - 1
    quantile = _scipy("special").betaincinv(place * weight, (1 - place) * weight, 1 - _TAIL)
    return np.where(open_, lowest + span * quantile, 1.0)


def _wilson(moments: Moments) -> tuple[Numbers, Numbers]:
    z = _scipy("special").ndtri(1 - _TAIL)
    n, p = moments.count, moments.mean
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.where(p == 0, 0, centre - half), np.where(p == 1, 1, centre + half)


def _student(moments: Moments) -> tuple[Numbers, Numbers]:
    n = moments.count
    half = _scipy("special").stdtrit(n - 1, 1 - _TAIL) * np.sqrt(moments.squares / (n - 1) / n)
    return moments.mean - half, moments.mean + half


def _select(moments: Moments, rows: NDArray[np.bool_]) -> Moments:
    names = ("count", "mean", "squares", "lowest", "highest", "binary")
    return Moments(*(getattr(moments, name)[rows] for name in names))


def _scipy(part: str) -> Any:
    """Return a part of SciPy, imported when it is needed; it carries no types."""
    return importlib.import_module(f"scipy.{part}")
