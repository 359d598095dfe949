"""Means with their uncertainty, and tests of what changed; what is undefined is None and counted apart."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError

LEVEL = 0.95
DRAWS = 1000
SEED = 51
# Above so many values the bootstrap draws from as many bins, whose means are exact.
_BINS = 1024


@dataclass(frozen=True, slots=True)
class Summary:
    """The mean of a measure over samples.

    Args:
        mean: mean of the defined values; None if there is none.
        low: lower end of the mean's 95 % interval; None with fewer than two values.
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
        return f"{self.mean:.3f}{interval} (n={self.n}{missing})"

    def to_json(self) -> dict[str, float | int | None]:
        """Return the summary as plain JSON values."""
        return {name: getattr(self, name) for name in ("mean", "low", "high", "n", "undefined")}


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean paired difference of a measure, after − before, over the samples that have both.

    Args:
        mean: mean difference; None if no sample has both values.
        low: lower end of its 95 % bootstrap interval; None with fewer than two pairs.
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


def summarise(values: Sequence[float | None], seed: int = SEED) -> Summary:
    """Average the defined values, with an interval: a bootstrap, or Wilson's where all values are 0 or 1.

    Wilson's keeps its width where all samples agree: ten right answers of ten are no proof of 100 %.

    Args:
        values: one value per sample; None where the measure is undefined.
        seed: seed of the bootstrap; equal values give an equal interval.

    Returns:
        Mean and 95 % percentile interval over 1,000 resamples. Above 1,024 values the resamples are drawn from as
        many bins of neighbouring values.

    References:
        Efron. Bootstrap Methods: Another Look at the Jackknife. Annals of Statistics 7(1), 1979.
        https://doi.org/10.1214/aos/1176344552
        Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 22(158), 1927.
        https://doi.org/10.1080/01621459.1927.10502953
    """
    defined = np.array([value for value in values if value is not None], np.float64)
    undefined = len(values) - len(defined)
    if not len(defined):
        return Summary(None, None, None, 0, undefined)
    share = bool(np.isin(defined, (0, 1)).all())
    low, high = _wilson(defined) if share else _interval(defined, seed)
    return Summary(float(defined.mean()), low, high, len(defined), undefined)


def difference(before: Sequence[float | None], after: Sequence[float | None], seed: int = SEED) -> Difference:
    """Average the paired differences after − before, with a bootstrap interval and Wilcoxon's test.

    Args:
        before: one value per sample, None where undefined.
        after: the same samples in the same order.
        seed: seed of the bootstrap.

    Raises:
        ArgumentError: if the two are not of one length.

    References:
        Wilcoxon. Individual Comparisons by Ranking Methods. Biometrics Bulletin 1(6), 1945.
        https://doi.org/10.2307/3001968
    """
    if len(before) != len(after):
        raise ArgumentError(f"Expected two values per sample, but got {len(before)} before and {len(after)} after.")
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    undefined = len(before) - len(pairs)
    if not pairs:
        return Difference(None, None, None, 0, undefined, None)
    table = np.array(pairs, np.float64)
    change = table[:, 1] - table[:, 0]
    low, high = _interval(change, seed)
    return Difference(float(change.mean()), low, high, len(pairs), undefined, _wilcoxon(change))


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


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    """Return the ends of the percentile bootstrap interval of the mean."""
    if len(values) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    if len(values) <= _BINS:
        means = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    else:
        bins = np.array_split(np.sort(values), _BINS)
        sizes, centres = np.array([len(b) for b in bins]), np.array([b.mean() for b in bins])
        means = rng.multinomial(len(values), sizes / len(values), DRAWS) @ centres / len(values)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _wilson(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the ends of Wilson's score interval of a share."""
    if len(values) < 2:
        return None, None
    found = _scipy_stats().binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def _wilcoxon(change: NDArray[np.float64]) -> float | None:
    if len(change) < 2:
        return None
    return 1.0 if not change.any() else float(_scipy_stats().wilcoxon(change).pvalue)


def _scipy_stats() -> Any:
    """Return SciPy's tests, imported when they are needed; they carry no types."""
    return importlib.import_module("scipy.stats")
