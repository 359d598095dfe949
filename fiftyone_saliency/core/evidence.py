"""Where the evidence of each sample lies: a table of region shares, and what it says of groups of samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.confusion import Pair
from fiftyone_saliency.core.preference import Measured, chance_corrected, pooled_reaches, preferred
from fiftyone_saliency.core.statistics import as_column, summarise_groups

By = Literal["class", "cell"]
Group = str | Pair | None
Column = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class RegionShare:
    """The evidence in one region, over the samples of a group.

    Args:
        mean: mean share of positive evidence, in [0, 1]; None if it is undefined in every sample.
        low: lower end of the 95 % interval of the mean; None with fewer than four values.
        high: its upper end.
        area: mean share of what the network sees that the region covers, in [0, 1]: what a map without preference
            scores.
        n: samples that the mean is taken over.
        undefined: samples left out: no map, no evidence, no such region, or nothing of it in what the network sees.
        reach: mean share that 95 % of such groups of shifted maps do not exceed, in [0, 1]; None where it is not known.
    """

    mean: float | None
    low: float | None
    high: float | None
    area: float | None
    n: int
    undefined: int
    reach: float | None = None

    @property
    def measured(self) -> Measured:
        """What decides whether the region dominates."""
        return Measured(self.mean, self.area, self.reach)

    @property
    def enrichment(self) -> float | None:
        """Mean share divided by area: 1 is chance, 2 is twice as much evidence as the region's size would get."""
        return None if self.mean is None or not self.area else self.mean / self.area

    @property
    def corrected(self) -> float | None:
        """Mean share corrected for chance, (share − area) / (1 − area): 0 is chance, 1 all evidence."""
        return chance_corrected(self.mean, self.area)

    def to_json(self) -> dict[str, float | int | None]:
        """Return the share as plain JSON values."""
        names = ("mean", "low", "high", "area", "n", "undefined", "reach", "enrichment", "corrected")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Evidence:
    """The share of each sample's positive evidence in each region, one row per sample.

    Args:
        field: Heatmap field that was measured.
        regions: name of the regions.
        ids: sample ids.
        truths: true label of each sample, or None.
        predictions: predicted label of each sample, or None.
        shares: by region, the share of each sample in [0, 1]; None without map, evidence or region.
        areas: by region, the share of what the network sees of each sample's image that it covers; None without map
            or region.
        reaches: by region, the share that 95 % of the shifted copies of each sample's map do not exceed; None where it
            is not known, where the size of a share alone decides whether it is a preference.
    """

    field: str
    regions: str
    ids: Sequence[str]
    truths: Sequence[str | None]
    predictions: Sequence[str | None]
    shares: Mapping[str, Column]
    areas: Mapping[str, Column]
    reaches: Mapping[str, Column] = dataclass_field(default_factory=dict[str, Column])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """The regions' names, in order."""
        return list(self.shares)

    def select(self, rows: Sequence[int]) -> Evidence:
        """Return the table of some of the rows."""
        return Evidence(
            self.field,
            self.regions,
            [self.ids[i] for i in rows],
            [self.truths[i] for i in rows],
            [self.predictions[i] for i in rows],
            {name: [column[i] for i in rows] for name, column in self.shares.items()},
            {name: [column[i] for i in rows] for name, column in self.areas.items()},
            {name: [column[i] for i in rows] for name, column in self.reaches.items()},
        )

    def join(self, other: Evidence) -> Evidence:
        """Return the table with the rows of another one below; a region that one of them lacks is undefined there."""
        names = list(dict.fromkeys([*self.shares, *other.shares]))

        def column(name: str, mine: Mapping[str, Column], others: Mapping[str, Column]) -> list[float | None]:
            return [*mine.get(name, [None] * len(self)), *others.get(name, [None] * len(other))]

        return Evidence(
            self.field,
            self.regions,
            [*self.ids, *other.ids],
            [*self.truths, *other.truths],
            [*self.predictions, *other.predictions],
            {name: column(name, self.shares, other.shares) for name in names},
            {name: column(name, self.areas, other.areas) for name in names},
            {name: column(name, self.reaches, other.reaches) for name in names},
        )

    def groups(self, by: By) -> dict[Group, Evidence]:
        """Split the rows by true label, or by (truth, prediction)."""
        return {group: self.select(rows) for group, rows in group_rows(by, self.truths, self.predictions).items()}

    def summary(self) -> dict[str, RegionShare]:
        """Average each region's share and area over the samples where the share is defined."""
        return self.summaries([range(len(self))])[0]

    def summaries(self, groups: Sequence[Sequence[int]]) -> list[dict[str, RegionShare]]:
        """Do what `summary` does for many groups of rows at once; every row lies in one group."""
        if not (self.shares and groups):
            return [{} for _ in groups]
        index = group_index(groups, len(self))
        columns = [self._summarise(name, index, len(groups)) for name in self.shares]
        return [dict(zip(self.shares, row, strict=True)) for row in zip(*columns, strict=True)]

    def dominant(self) -> list[str | None]:
        """Name for each sample the region that its map prefers; see `core.preference.preferred`.

        None where it prefers none, and where nothing is defined; `defined` tells the two apart.
        """
        names, columns = list(self.shares), [self._measured(name) for name in self.shares]
        if not names:
            return [None] * len(self)
        return [None if best is None else names[best] for best in preferred(list(zip(*columns, strict=True)))]

    def defined(self) -> list[bool]:
        """Say for each sample whether its evidence is defined in some region."""
        return [any(column[i] is not None for column in self.shares.values()) for i in range(len(self))]

    def right(self, regions: Collection[str]) -> list[float | None]:
        """Return 1 for each sample whose map prefers one of the regions, 0 for others; None where it is undefined.

        A map without preference is no right one.
        """
        pairs = zip(self.dominant(), self.defined(), strict=True)
        return [float(region in regions) if defined else None for region, defined in pairs]

    def _measured(self, name: str) -> list[Measured]:
        return list(map(Measured, self.shares[name], self.areas[name], self._reach(name)))

    def _reach(self, name: str) -> Column:
        return self.reaches.get(name) or [None] * len(self)

    def _summarise(self, name: str, groups: NDArray[np.int64], size: int) -> list[RegionShare]:
        shares, areas = as_column(self.shares[name]), as_column(self.areas[name])
        # The area counts where the share does, so that both are of the same samples.
        areas = np.where(np.isnan(shares), np.nan, areas)
        means, covered = (summarise_groups(column, groups, size, amounts=True) for column in (shares, areas))
        reaches = pooled_reaches(areas, as_column(self._reach(name)), groups, size)
        return [
            RegionShare(share.mean, share.low, share.high, area.mean, share.n, share.undefined, reach)
            for share, area, reach in zip(means, covered, reaches, strict=True)
        ]


def group_index(groups: Sequence[Sequence[int]], count: int) -> NDArray[np.int64]:
    """Return the number of its group for each of ``count`` rows; every row lies in one group."""
    index = np.empty(count, np.int64)
    for number, rows in enumerate(groups):
        index[np.asarray(rows, np.int64)] = number
    return index


def group_rows(by: By, truths: Sequence[str | None], predictions: Sequence[str | None]) -> dict[Group, list[int]]:
    """Return the rows of each true label, or of each (truth, prediction), in the order of first sight."""
    rows: dict[Group, list[int]] = defaultdict(list)
    for i, (truth, prediction) in enumerate(zip(truths, predictions, strict=True)):
        rows[truth if by == "class" else (truth, prediction)].append(i)
    return dict(rows)
