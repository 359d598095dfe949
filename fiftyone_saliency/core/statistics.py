"""Means with their uncertainty, and tests of what changed; what is undefined is None and counted apart."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.intervals import Bounds, Numbers, bounds_of, mean_interval, moments_of

SHARE = (0.0, 1.0)
TOO_FEW = "too few for an interval"


@dataclass(frozen=True, slots=True)
class Summary:
    """The mean of a measure over samples.

    Args:
        mean: mean of the defined values; None if there is none.
        low: lower end of the mean's 95 % interval; None with fewer than four values.
        high: its upper end.
        n: number of defined values.
        undefined: number of samples without a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int

    def __str__(self) -> str:
        if self.mean is None:
            return f"– (n=0, {self.undefined} undefined)"
        interval = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        missing = f", {self.undefined} undefined" if self.undefined else ""
        few = f", {TOO_FEW}" if self.low is None else ""
        return f"{self.mean:.3f}{interval} (n={self.n}{missing}{few})"

    def to_json(self) -> dict[str, float | int | None]:
        """Return the summary as plain JSON values."""
        return {name: getattr(self, name) for name in ("mean", "low", "high", "n", "undefined")}


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean paired difference of a measure, after − before, over the samples that have both.

    Args:
        mean: mean difference; None if no sample has both values.
        low: lower end of its 95 % interval; None with fewer than four pairs.
        high: its upper end.
        n: number of pairs.
        undefined: number of samples that lack one of the two.
        p: two-sided p-value of Wilcoxon's signed-rank test; None with fewer than two pairs, 1 if all are equal.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    undefined: int
    p: float | None

    def to_json(self) -> dict[str, float | int | None]:
        """Return the difference as plain JSON values."""
        return {name: getattr(self, name) for name in ("mean", "low", "high", "n", "undefined", "p")}


def summarise(values: Sequence[float | None], bounds: Bounds = SHARE) -> Summary:
    """Average the defined values, with an interval; see `core.intervals.mean_interval` for which.

    Args:
        values: one value per sample; None where the measure is undefined.
        bounds: lowest and highest value that the measure can take; None if it has no bounds. A measure with a value
            beyond them has none.

    Returns:
        Mean and 95 % interval. Fewer than four values have none.
    """
    return summarise_groups(as_column(values), np.zeros(len(values), np.int64), 1, bounds)[0]


def summarise_groups(
    values: Numbers, groups: NDArray[np.int64], size: int, bounds: Bounds = SHARE, *, amounts: bool = False
) -> list[Summary]:
    """Do what `summarise` does for many groups at once.

    Args:
        values: one value per sample (N,); NaN where the measure is undefined.
        groups: group of each sample (N,), from 0 to ``size`` − 1.
        size: number of groups.
        bounds: as `summarise` takes them.
        amounts: whether the values are amounts, such as shares of evidence, also where all happen to be 0 or 1.

    Returns:
        One summary per group.
    """
    defined = ~np.isnan(values)
    moments = moments_of(values[defined], groups[defined], size)
    low, high = mean_interval(moments, bounds_of(values[defined], bounds), amounts)
    columns = [[None if value != value else value for value in column.tolist()] for column in (moments.mean, low, high)]
    counts = moments.count.astype(int).tolist()
    missing = np.bincount(groups[~defined], minlength=size).tolist()
    return [Summary(*row) for row in zip(*columns, counts, missing, strict=True)]


def as_column(values: Sequence[float | None]) -> Numbers:
    """Return the values as an array (N,), NaN where they are None."""
    return np.array(values, np.float64)


def difference(before: Sequence[float | None], after: Sequence[float | None], bounds: Bounds = SHARE) -> Difference:
    """Average the paired differences after − before, with an interval and Wilcoxon's test.

    Args:
        before: one value per sample, None where undefined.
        after: the same samples in the same order.
        bounds: lowest and highest value that the measure can take, before and after; None if it has no bounds. A
            measure with a value beyond them has none.

    Raises:
        ArgumentError: if the two are not of one length.

    References:
        Wilcoxon. Individual Comparisons by Ranking Methods. Biometrics Bulletin 1(6), 1945.
        https://doi.org/10.2307/3001968
    """
    if len(before) != len(after):
        raise ArgumentError(f"Expected two values per sample, but got {len(before)} before and {len(after)} after.")
    was, now = as_column(before), as_column(after)
    pairs = ~(np.isnan(was) | np.isnan(now))
    known = bounds_of(np.concatenate([was[pairs], now[pairs]]), bounds)
    reach = None if known is None else (known[0] - known[1], known[1] - known[0])
    change = summarise_groups(now - was, np.zeros(len(was), np.int64), 1, reach)[0]
    p = _wilcoxon((now - was)[pairs])
    return Difference(change.mean, change.low, change.high, change.n, change.undefined, p)


def mcnemar(fixed: int, broken: int) -> float:
    """Test whether as many samples were broken as were fixed; those that stayed as they were do not count.

    Args:
        fixed: samples that were wrong before and are right after.
        broken: samples that were right before and are wrong after.

    Returns:
        Two-sided p-value of the exact binomial test; 1 if nothing changed.

    References:
        McNemar. Note on the sampling error of the difference between correlated proportions or percentages.
        Psychometrika 12, 1947. https://doi.org/10.1007/BF02295996
    """
    return 1.0 if fixed + broken == 0 else float(_scipy_stats().binomtest(fixed, fixed + broken).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for having asked several questions at once.

    Args:
        p_values: one per question; None where the test was undefined, which does not count as a question.

    Returns:
        Adjusted p-values, in the same order, at most 1; None stays None.

    References:
        Holm. A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics 6(2), 1979.
        https://www.jstor.org/stable/4615733
    """
    asked = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(asked):
        highest = max(highest, min(1.0, p * (len(asked) - rank)))
        adjusted[i] = highest
    return adjusted


def _wilcoxon(change: NDArray[np.float64]) -> float | None:
    if len(change) < 2:
        return None
    return 1.0 if not change.any() else float(_scipy_stats().wilcoxon(change).pvalue)


def _scipy_stats() -> Any:
    """Return SciPy's tests, imported when they are needed; they carry no types."""
    return importlib.import_module("scipy.stats")
