"""Confusion counts of samples with several labels: of one label, and of pairs of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from fiftyone_saliency.core.confusion import ConfusionCounts, Pair

# Of one sample: its true and its predicted labels; None where the sample has none stored.
Labels = frozenset[str] | None


def absent(label: str) -> str:
    """Return what a person reads where a label is not there."""
    return f"not {label}"


@dataclass(frozen=True)
class LabelCounts(ConfusionCounts):
    """Numbers of samples by whether one label is true and whether it is predicted.

    Args:
        label: the label.
    """

    label: str

    @cached_property
    def labels(self) -> list[str | None]:
        """The label, its absence, and None where samples have no truth or no prediction."""
        missing = any(None in pair for pair in self.pairs)
        return [self.label, absent(self.label), *([None] if missing else [])]


@dataclass(frozen=True)
class PairCounts(ConfusionCounts):
    """Numbers of samples by pairs of labels: one that was missed beside one that was wrongly predicted.

    A sample with true labels T and predicted labels P counts in (t, t) for each t in both; in (t, p) for each t that
    was missed, in T but not in P, and each p that was wrongly predicted, in P but not in T; in (t, None) where t was
    missed and nothing was wrongly predicted, and in (None, p) where p was wrongly predicted and nothing was missed; in
    (None, None) where both are empty. So it may count in several cells, and the cells do not add up to the samples.

    Args:
        unjudged: number of samples without truth or without prediction; they count in no cell.
        exact: number of samples whose predicted labels are exactly the true ones.
        samples: number of samples that have both.
        rows: number of samples with each true label; by None, of those of which nothing was missed.
        columns: number of samples with each predicted label; by None, of those with nothing wrongly predicted.

    References:
        Heydarian, Doyle, Samavi. MLCM: Multi-Label Confusion Matrix. IEEE Access 10, 2022, sec. III (the extra row and
        column). https://doi.org/10.1109/ACCESS.2022.3151048. Where all true labels are predicted, we count what is
        predicted beyond them in the extra row, and leave the true labels alone.
    """

    unjudged: int
    exact: int
    samples: int
    rows: Mapping[str | None, int]
    columns: Mapping[str | None, int]
    none_is_right: ClassVar[bool] = True

    @property
    def total(self) -> int:
        """Number of samples."""
        return self.samples + self.unjudged

    @property
    def judged(self) -> int:
        """Number of samples that have both true and predicted labels."""
        return self.samples

    @property
    def correct(self) -> int:
        """Number of samples whose predicted labels are exactly the true ones; over `judged`, the subset accuracy."""
        return self.exact

    def row_total(self, label: str | None) -> int:
        """Number of samples with this true label; of None, of those of which nothing was missed."""
        return self.rows.get(label, 0)

    def column_total(self, label: str | None) -> int:
        """Number of samples with this predicted label; of None, of those with nothing wrongly predicted."""
        return self.columns.get(label, 0)


def count_pairs(samples: Iterable[tuple[Labels, Labels]]) -> PairCounts:
    """Count pairs of labels.

    Args:
        samples: true and predicted labels of each sample.
    """
    pairs: Counter[Pair] = Counter()
    rows: Counter[str | None] = Counter()
    columns: Counter[str | None] = Counter()
    exact = judged = unjudged = 0
    for truth, predicted in samples:
        if truth is None or predicted is None:
            unjudged += 1
            continue
        judged += 1
        exact += truth == predicted
        missed, wrong = truth - predicted, predicted - truth
        pairs.update(cells_of(truth, predicted))
        rows.update([*truth, *([] if missed else [None])])
        columns.update([*predicted, *([] if wrong else [None])])
    return PairCounts(dict(pairs), unjudged, exact, judged, dict(rows), dict(columns))


def cells_of(truth: frozenset[str], predicted: frozenset[str]) -> list[Pair]:
    """Return the cells that a sample counts in, see `PairCounts`."""
    if not truth and not predicted:
        return [(None, None)]
    missed, wrong = truth - predicted, predicted - truth
    right: list[Pair] = [(label, label) for label in truth & predicted]
    if not missed and not wrong:
        return right
    return right + [(t, p) for t in (missed or {None}) for p in (wrong or {None})]
