"""The matrix of reasons: for each confusion cell, where its evidence lies and whether that is where it should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_saliency.core.confusion import Pair, show
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.evidence import By, Column, Evidence, Group, RegionShare, dominant, group_index, group_rows
from fiftyone_saliency.core.statistics import Summary, as_column, summarise_groups


@dataclass(frozen=True, eq=False)
class Reason:
    """Where the evidence of a group of samples lies.

    Args:
        count: number of samples.
        shares: share of evidence by region.
        dominant: the region that holds most evidence for its size, by the mean shares; None if there is none.
        right: share of the samples whose own dominant region is a right one, in [0, 1]; None where no right regions
            were named.
    """

    count: int
    shares: Mapping[str, RegionShare]
    dominant: str | None
    right: Summary | None

    @property
    def n(self) -> int:
        """Samples whose evidence is defined in some region."""
        return max((share.n for share in self.shares.values()), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return the reason as plain JSON values."""
        return {
            "count": self.count,
            "dominant": self.dominant,
            "shares": {name: share.to_json() for name, share in self.shares.items()},
            "right": None if self.right is None else self.right.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Reasons:
    """The matrix of reasons of one run.

    A prediction can be right or wrong, and so can its reason: the dominant region of a sample is the one with the
    highest chance-corrected share of its evidence, and the reason is right where that is one of the right regions.

    Args:
        evidence: the table behind it, one row per sample.
        right_regions: the regions where the evidence should lie; empty if none were named.
        overall: all samples.
        classes: by true label, None where it is missing.
        cells: by (truth, prediction).
    """

    evidence: Evidence
    right_regions: tuple[str, ...]
    overall: Reason
    classes: Mapping[str | None, Reason]
    cells: Mapping[Pair, Reason]

    @property
    def regions(self) -> list[str]:
        """The regions' names, in order."""
        return self.evidence.names

    @property
    def right_for_wrong_reason(self) -> list[str]:
        """Ids of the samples with a right prediction whose evidence lies mostly in a region that is not right.

        Empty where no right regions were named.
        """
        return self._ids(correct=True, right=False)

    @property
    def wrong_for_right_reason(self) -> list[str]:
        """Ids of the samples with a wrong prediction whose evidence lies mostly in a right region."""
        return self._ids(correct=False, right=True)

    def worst_cells(self, count: int | None = None, min_count: int = 1) -> list[Pair]:
        """Return the cells by number of samples with a wrong reason, or of mistakes where no right ones were named."""
        rows = [
            (_badness(pair, cell), pair)
            for pair, cell in self.cells.items()
            if cell.count >= min_count and _badness(pair, cell) > 0
        ]
        return [pair for _, pair in sorted(rows, key=lambda row: (-row[0], show(row[1][0]), show(row[1][1])))][:count]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows as plain JSON values; cells in the order of their labels."""
        cells = sorted(self.cells.items(), key=lambda cell: (show(cell[0][0]), show(cell[0][1])))
        return {
            "field": self.evidence.field,
            "regions": self.regions,
            "specification": self.evidence.regions,
            "right_regions": list(self.right_regions),
            "overall": self.overall.to_json(),
            "classes": [{"truth": label} | reason.to_json() for label, reason in self.classes.items()],
            "cells": [{"truth": t, "prediction": p} | reason.to_json() for (t, p), reason in cells],
            "right_for_wrong_reason": len(self.right_for_wrong_reason) if self.right_regions else None,
            "wrong_for_right_reason": len(self.wrong_for_right_reason) if self.right_regions else None,
        }

    def __str__(self) -> str:
        lines = [f"{'region':<16}{'evidence':>10}{'interval':>16}{'area':>8}{'n':>8}"]
        for name, share in self.overall.shares.items():
            mean, area = ("–" if v is None else f"{v:.3f}" for v in (share.mean, share.area))
            interval = "too few" if share.low is None else f"{share.low:.3f}–{share.high:.3f}"
            lines.append(f"{name:<16}{mean:>10}{interval:>16}{area:>8}{share.n:>8}")
        if self.overall.right is not None:
            lines.append(f"right reason ({' or '.join(self.right_regions)}): {self.overall.right}")
            lines.append(f"right for the wrong reason: {len(self.right_for_wrong_reason)} samples")
        for truth, prediction in self.worst_cells(3):
            cell = self.cells[truth, prediction]
            where = cell.dominant or "nowhere in particular"
            lines.append(f"{show(truth)} → {show(prediction)}: {cell.count} samples, evidence mostly: {where}")
        return "\n".join(lines)

    def _ids(self, correct: bool, right: bool) -> list[str]:
        if not self.right_regions:
            return []
        e = self.evidence
        rows = zip(e.ids, e.truths, e.predictions, e.dominant(), strict=True)
        return [
            sample_id
            for sample_id, truth, prediction, region in rows
            if None not in (truth, prediction, region)
            and (truth == prediction) == correct
            and (region in self.right_regions) == right
        ]


def find_reasons(evidence: Evidence, right_regions: Sequence[str] = ()) -> Reasons:
    """Aggregate a table of evidence over all samples, classes and cells.

    Args:
        evidence: the table, with truths and predictions.
        right_regions: regions where the evidence should lie.

    Raises:
        UnknownNameError: if a right region is none of the table's.
    """
    right = tuple(right_regions)
    for name in right:
        if name not in evidence.names:
            raise UnknownNameError("region", name, evidence.names)
    correct = None
    if right:
        correct = [None if region is None else float(region in right) for region in evidence.dominant()]
    cells = {pair: reason for pair, reason in _reasons(evidence, "cell", correct).items() if isinstance(pair, tuple)}
    by_class = _reasons(evidence, "class", correct)
    named = [(label, reason) for label, reason in by_class.items() if not isinstance(label, tuple)]
    named.sort(key=lambda group: (group[0] is None, show(group[0])))
    (overall,) = _summarised(evidence, [range(len(evidence))], correct)
    return Reasons(evidence, right, overall, dict(named), cells)


def _reasons(evidence: Evidence, by: By, right: Column | None) -> dict[Group, Reason]:
    rows = group_rows(by, evidence.truths, evidence.predictions)
    return dict(zip(rows, _summarised(evidence, list(rows.values()), right), strict=True))


def _summarised(evidence: Evidence, groups: Sequence[Sequence[int]], right: Column | None) -> list[Reason]:
    """Return the reason of each group of rows; ``right`` is 1 for each row with a right reason and else 0, or None."""
    if not groups:
        return []
    found: Sequence[Summary | None] = [None] * len(groups)
    if right is not None:
        found = summarise_groups(as_column(right), group_index(groups, len(evidence)), len(groups))
    means = evidence.summaries(groups)
    return [
        Reason(len(rows), shares, dominant({n: (s.mean, s.area) for n, s in shares.items()}), summary)
        for rows, shares, summary in zip(groups, means, found, strict=True)
    ]


def _badness(pair: Pair, cell: Reason) -> float:
    """Return the number of samples with a wrong reason, or of mistakes where no right regions were named."""
    if cell.right is None:
        return float(cell.count) if pair[0] != pair[1] else 0.0
    return 0.0 if cell.right.mean is None else (1 - cell.right.mean) * cell.right.n
