"""The matrix of reasons: for each confusion cell, where its evidence lies and whether that is where it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_saliency.core.confusion import Pair, show
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.evidence import By, Column, Evidence, Group, RegionShare, group_index, group_rows
from fiftyone_saliency.core.preference import NO_PREFERENCE, preferred
from fiftyone_saliency.core.statistics import Summary, as_column, summarise_groups


@dataclass(frozen=True, eq=False)
class Reason:
    """Where the evidence of a group of samples lies.

    Args:
        count: number of samples.
        shares: share of evidence by region.
        dominant: the region that the maps prefer, by the mean shares (see `core.preference.dominant`); None if they
            prefer none, or nothing is defined.
        right: share of the samples whose own map prefers a right region, in [0, 1]; None where no right regions were
            named.
        wrong: share of those whose map prefers another region; None where no right regions were named.
        no_preference: share of those whose map prefers no region to chance. The three add up to 1.
    """

    count: int
    shares: Mapping[str, RegionShare]
    dominant: str | None
    right: Summary | None
    wrong: Summary | None
    no_preference: Summary

    @property
    def state(self) -> str | None:
        """Where the evidence lies, in words: the dominant region, or "no preference"; None where nothing is defined."""
        return self.dominant or (NO_PREFERENCE if self.n else None)

    @property
    def n(self) -> int:
        """Samples whose evidence is defined in some region."""
        return max((share.n for share in self.shares.values()), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return the reason as plain JSON values."""
        return {
            "count": self.count,
            "dominant": self.dominant,
            "state": self.state,
            "shares": {name: share.to_json() for name, share in self.shares.items()},
            "right": None if self.right is None else self.right.to_json(),
            "wrong": None if self.wrong is None else self.wrong.to_json(),
            "no_preference": self.no_preference.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Reasons:
    """The matrix of reasons of one run.

    A prediction can be right or wrong, and so can its reason: it is right where the sample's map prefers one of the
    right regions, wrong where it prefers another one, and neither where it prefers none to chance.

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
        """Ids of the samples with a right prediction whose map prefers a region that is not right.

        Empty where no right regions were named.
        """
        return self._ids(correct=True, right=False)

    @property
    def right_without_preference(self) -> list[str]:
        """Ids of the samples with a right prediction whose map prefers no region to chance.

        Empty where no right regions were named.
        """
        return self._ids(correct=True, right=None)

    @property
    def wrong_for_right_reason(self) -> list[str]:
        """Ids of the samples with a wrong prediction whose map prefers a right region."""
        return self._ids(correct=False, right=True)

    def worst_cells(self, count: int | None = None, min_count: int = 1) -> list[Pair]:
        """Return the cells by number of samples without a right reason, or of mistakes if no right ones were named."""
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
            "right_without_preference": len(self.right_without_preference) if self.right_regions else None,
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
            lines.append(f"wrong reason: {self.overall.wrong}; {NO_PREFERENCE}: {self.overall.no_preference}")
            wrong, without = len(self.right_for_wrong_reason), len(self.right_without_preference)
            lines.append(f"right for the wrong reason: {wrong} samples, right without a preference: {without}")
        for truth, prediction in self.worst_cells(3):
            cell = self.cells[truth, prediction]
            where = cell.state or "undefined"
            lines.append(f"{show(truth)} → {show(prediction)}: {cell.count} samples, evidence mostly: {where}")
        return "\n".join(lines)

    def _ids(self, correct: bool, right: bool | None) -> list[str]:
        """Return the samples that are predicted right, or not, and whose reason is right, wrong, or none at all."""
        if not self.right_regions:
            return []
        e = self.evidence
        rows = zip(e.ids, e.truths, e.predictions, e.dominant(), e.defined(), strict=True)
        return [
            sample_id
            for sample_id, truth, prediction, region, defined in rows
            if defined
            and None not in (truth, prediction)
            and (truth == prediction) == correct
            and (None if region is None else region in self.right_regions) == right
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
    parts = _parts(evidence, right)
    cells = {pair: reason for pair, reason in _reasons(evidence, "cell", parts).items() if isinstance(pair, tuple)}
    by_class = _reasons(evidence, "class", parts)
    named = [(label, reason) for label, reason in by_class.items() if not isinstance(label, tuple)]
    named.sort(key=lambda group: (group[0] is None, show(group[0])))
    (overall,) = _summarised(evidence, [range(len(evidence))], parts)
    return Reasons(evidence, right, overall, dict(named), cells)


def _parts(evidence: Evidence, right: tuple[str, ...]) -> list[Column]:
    """Return columns of 1 and 0: whose reason is right, whose is wrong, who has none; None where it is undefined."""
    dominant, defined = evidence.dominant(), evidence.defined()

    def column(is_so: Callable[[str | None], bool]) -> Column:
        return [float(is_so(region)) if known else None for region, known in zip(dominant, defined, strict=True)]

    none = column(lambda region: region is None)
    if not right:
        return [none]
    return [
        column(lambda region: region in right),
        column(lambda region: region is not None and region not in right),
        none,
    ]


def _reasons(evidence: Evidence, by: By, parts: Sequence[Column]) -> dict[Group, Reason]:
    rows = group_rows(by, evidence.truths, evidence.predictions)
    return dict(zip(rows, _summarised(evidence, list(rows.values()), parts), strict=True))


def _summarised(evidence: Evidence, groups: Sequence[Sequence[int]], parts: Sequence[Column]) -> list[Reason]:
    """Return the reason of each group of rows; ``parts`` are columns of 1 and 0, as `_parts` returns them."""
    if not groups:
        return []
    index = group_index(groups, len(evidence))
    *rightness, none = (summarise_groups(as_column(part), index, len(groups)) for part in parts)
    right, wrong = rightness or [[None] * len(groups)] * 2
    means = evidence.summaries(groups)
    best = preferred([[share.measured for share in shares.values()] for shares in means])
    regions = [None if region is None else evidence.names[region] for region in best]
    return [
        Reason(len(rows), *reason) for rows, *reason in zip(groups, means, regions, right, wrong, none, strict=True)
    ]


def _badness(pair: Pair, cell: Reason) -> float:
    """Return the number of samples without a right reason, or of mistakes where no right regions were named."""
    if cell.right is None:
        return float(cell.count) if pair[0] != pair[1] else 0.0
    return 0.0 if cell.right.mean is None else (1 - cell.right.mean) * cell.right.n
