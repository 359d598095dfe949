"""Confusion counts: row = truth, column = prediction, with a place of its own for what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str | None, str | None]
Normalise = Literal["none", "row", "column"]
MISSING = "(none)"


def show(label: str | None) -> str:
    """Return a label as a person reads it: a missing one is "(none)"."""
    return MISSING if label is None else label


@dataclass(frozen=True)
class ConfusionCounts:
    """Numbers of samples by (truth, prediction).

    Args:
        pairs: count of each pair that occurs; None stands for a missing label.
    """

    pairs: Mapping[Pair, int]
    # Whether a cell without truth and prediction is an answer, and a right one, or nothing at all.
    none_is_right: ClassVar[bool] = False

    @cached_property
    def labels(self) -> list[str | None]:
        """All labels in alphabetical order; None last, only where a label is missing."""
        seen = {label for pair in self.pairs for label in pair}
        named = sorted(label for label in seen if label is not None)
        return [*named, None] if None in seen else list(named)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Counts (K, K) in the order of `labels`; row = truth, column = prediction."""
        position = {label: i for i, label in enumerate(self.labels)}
        table = np.zeros((len(position), len(position)), np.int64)
        for (truth, prediction), count in self.pairs.items():
            table[position[truth], position[prediction]] = count
        return table

    @property
    def total(self) -> int:
        """Number of samples."""
        return sum(self.pairs.values())

    @property
    def judged(self) -> int:
        """Number of samples that have both a truth and a prediction."""
        return sum(count for (truth, prediction), count in self.pairs.items() if None not in (truth, prediction))

    @property
    def correct(self) -> int:
        """Number of samples whose prediction is the truth."""
        return sum(count for (t, p), count in self.pairs.items() if t == p and t is not None)

    @property
    def accuracy(self) -> float | None:
        """Share of correct samples among those with both labels, in [0, 1]; None if there are none."""
        return self.correct / self.judged if self.judged else None

    def row_total(self, label: str | None) -> int:
        """Number of samples with this true label."""
        return self._sums[0].get(label, 0)

    def column_total(self, label: str | None) -> int:
        """Number of samples with this predicted label."""
        return self._sums[1].get(label, 0)

    @cached_property
    def _sums(self) -> tuple[dict[str | None, int], dict[str | None, int]]:
        """Sums of rows and of columns by label."""
        rows, columns = (self.counts.sum(axis=axis).tolist() for axis in (1, 0))
        return dict(zip(self.labels, rows, strict=True)), dict(zip(self.labels, columns, strict=True))

    def normalised(self, by: Normalise = "none") -> NDArray[np.float64]:
        """Return the counts as they are, as shares of their row's samples (recall) or their column's (precision).

        Returns:
            float64 (K, K); an empty row or column is NaN, because its share is undefined.
        """
        counts = self.counts.astype(np.float64)
        if by == "none":
            return counts
        total = self.row_total if by == "row" else self.column_total
        sums = np.array([total(label) for label in self.labels], np.float64)
        sums = np.broadcast_to(sums[:, None] if by == "row" else sums, counts.shape)
        return np.divide(counts, sums, out=np.full_like(counts, np.nan), where=sums > 0)

    def top_confusions(self, count: int | None = None, min_count: int = 1) -> list[tuple[Pair, int]]:
        """Return the pairs with unlike labels, the most frequent first, missing labels included."""
        errors = [(pair, n) for pair, n in self.pairs.items() if pair[0] != pair[1] and n >= min_count]
        errors.sort(key=lambda entry: (-entry[1], show(entry[0][0]), show(entry[0][1])))
        return errors[:count]


def shown_labels(counts: ConfusionCounts, limit: int) -> list[str | None]:
    """Return all labels, or the ``limit`` labels that take part in most mistakes, in alphabetical order."""
    if len(counts.labels) <= limit:
        return counts.labels
    mistakes = dict.fromkeys(counts.labels, 0)
    for (truth, prediction), count in counts.top_confusions():
        mistakes[truth] += count
        mistakes[prediction] += count
    kept = set(sorted(counts.labels, key=lambda label: (-mistakes[label], show(label)))[:limit])
    return [label for label in counts.labels if label in kept]
