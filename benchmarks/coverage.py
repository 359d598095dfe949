"""How often does a 95 % interval hold the true mean, how often does a gate pass by luck, and what is the price?

Shares of many shapes are drawn, whose true mean is known. Beside the package's interval stand Student's and the
percentile bootstrap, which the package used at first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.intervals import Moments, mean_interval, moments_of

ROUNDS, DRAWS = 4000, 1000
COUNTS = (2, 3, 4, 5, 8, 10, 15, 20, 30, 50, 100, 300)
BETAS = ((0.5, 0.5), (0.2, 2), (1, 9), (2, 6), (1, 1), (0.1, 0.1), (0.1, 0.9), (10, 20), (5, 2), (2, 0.2))
ZEROS = tuple((rate, a, b) for rate in (0.7, 0.8, 0.9, 0.95) for a, b in ((1, 1), (2, 6), (5, 2)))
POINTS = ((0.1, 0.9, 0.1), (0.1, 0.9, 0.5), (0.05, 0.95, 0.05), (0.2, 0.8, 0.2), (0.0, 0.5, 0.1), (0.1, 1.0, 0.1))

Values = NDArray[np.float64]
Ends = tuple[Values, Values]


def measure(_: Path) -> dict[str, Any]:
    """Draw, and count."""
    return {
        "samples of each shape and number": ROUNDS,
        "nominal coverage": 0.95,
        "nominal luck of a gate at its bound": 0.025,
        "families": {
            "beta": [f"Beta({a:g}, {b:g})" for a, b in BETAS],
            "zeros": [f"{rate:.0%} zeros, else Beta({a:g}, {b:g})" for rate, a, b in ZEROS],
            "two points": [f"{high:g} with probability {rate:g}, else {low:g}" for low, high, rate in POINTS],
        },
        "mean of shares": {str(count): _row(count, 51 + count) for count in COUNTS},
    }


def _row(count: int, seed: int) -> dict[str, Any]:
    """Return for each way the worst shape of each family: coverage, and luck of a gate; and the mean width."""
    rng = np.random.default_rng(seed)
    families = {
        "beta": [(rng.beta(a, b, (ROUNDS, count)), a / (a + b)) for a, b in BETAS],
        "zeros": [_zeros(rng, count, *numbers) for numbers in ZEROS],
        "two points": [_points(rng, count, *numbers) for numbers in POINTS],
    }
    return {name: _judged(way, families, rng) for name, way in _WAYS.items()}


def _judged(
    way: Callable[[Values, np.random.Generator], Ends | None],
    families: Mapping[str, list[tuple[Values, float]]],
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    row: dict[str, Any] = {"coverage, worst shape": {}}
    luck, widths = 0.0, []
    for family, shapes in families.items():
        worst = 1.0
        for values, truth in shapes:
            ends = way(values, rng)
            if ends is None:
                return None
            above, below = np.mean(ends[0] > truth + 1e-9), np.mean(ends[1] < truth - 1e-9)
            worst, luck = min(worst, float(1 - above - below)), max(luck, float(above), float(below))
            widths.append(float(np.mean(np.clip(ends[1], 0, 1) - np.clip(ends[0], 0, 1))))
        row["coverage, worst shape"][family] = round(worst, 3)
    return row | {"luck of a gate, worst shape": round(luck, 3), "mean width": round(float(np.mean(widths)), 3)}


def _zeros(rng: np.random.Generator, count: int, rate: float, a: float, b: float) -> tuple[Values, float]:
    return (rng.random((ROUNDS, count)) >= rate) * rng.beta(a, b, (ROUNDS, count)), (1 - rate) * a / (a + b)


def _points(rng: np.random.Generator, count: int, low: float, high: float, rate: float) -> tuple[Values, float]:
    return np.where(rng.random((ROUNDS, count)) < rate, high, low), low + (high - low) * rate


def _ours(values: Values, _: np.random.Generator) -> Ends | None:
    low, high = mean_interval(_moments(values), (0, 1))
    return None if np.isnan(low).any() else (low, high)


def _student(values: Values, _: np.random.Generator) -> Ends | None:
    low, high = mean_interval(_moments(values), None)
    return None if np.isnan(low).any() else (low, high)


def _bootstrap(values: Values, rng: np.random.Generator) -> Ends:
    # The first 400 samples are enough to see it, and each costs a thousand resamples.
    ends = [
        np.quantile(row[rng.integers(0, len(row), (DRAWS, len(row)))].mean(1), (0.025, 0.975)) for row in values[:400]
    ]
    low, high = np.transpose(ends)
    return low, high


def _moments(values: Values) -> Moments:
    rows, count = values.shape
    return moments_of(values.ravel(), np.repeat(np.arange(rows), count), rows)


_WAYS = {"fiftyone-saliency": _ours, "Student": _student, "percentile bootstrap": _bootstrap}
