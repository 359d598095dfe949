"""What became of samples, cells and shares of evidence between two runs on the same samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fiftyone_saliency.core.confusion import ConfusionCounts, Pair
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.evidence import By, Column, Evidence, Group, chance_corrected, group_rows
from fiftyone_saliency.core.statistics import Difference, difference, holm, mcnemar

# Areas that differ by less are the same part of the image, met by the pixels of two sizes of maps.
_ALIKE = 0.02

Outcome = Literal["fixed", "broken", "still right", "still wrong"]
OUTCOMES: tuple[Outcome, ...] = ("fixed", "broken", "still right", "still wrong")
# Shares and areas are sums of float32 numbers.
_ROUNDING = 1e-6
# Evidence for its size, corrected for chance, from which a region holds any.
_LEAST = 0.1


def outcome(truth: str | None, before: str | None, after: str | None) -> Outcome | None:
    """Name what became of one sample; None if it lacks the truth or one of the predictions, for then nobody knows."""
    if truth is None or before is None or after is None:
        return None
    if before == truth:
        return "still right" if after == truth else "broken"
    return "fixed" if after == truth else "still wrong"


def count_outcomes(samples: Iterable[tuple[str | None, str | None, str | None]]) -> dict[Outcome, int]:
    """Count the outcomes of ``(truth, before, after)``; samples that lack one of the three are left out."""
    counts = Counter(outcome(*sample) for sample in samples)
    return {name: counts[name] for name in OUTCOMES}


def correctness(
    truths: Sequence[str | None], predictions: Sequence[str | None], missing_is_wrong: bool = True
) -> list[float | None]:
    """Return 1 for each right prediction and 0 for each wrong one; None where there is no truth.

    Args:
        truths: true label of each sample.
        predictions: predicted label of each sample.
        missing_is_wrong: whether a missing prediction is a wrong one, as for a model that is judged alone and that
            must answer; else it is None, as for two models that are compared on what both have seen.
    """
    rows = zip(truths, predictions, strict=True)
    return [None if t is None or (p is None and not missing_is_wrong) else float(t == p) for t, p in rows]


def paired(one: Sequence[float | None], other: Sequence[float | None]) -> tuple[Column, Column]:
    """Return both columns with None wherever one of them is undefined, so that they are of the same samples."""
    both = [a is not None and b is not None for a, b in zip(one, other, strict=True)]
    kept = ([value if is_pair else None for value, is_pair in zip(side, both, strict=True)] for side in (one, other))
    return next(kept), next(kept)


def accuracy_change(before: Sequence[float | None], after: Sequence[float | None]) -> Difference:
    """Return the paired difference of accuracy, after − before, with McNemar's exact p-value.

    Args:
        before: `correctness` of each sample in the first run.
        after: the same samples in the same order in the second run.
    """
    pairs = Counter(zip(before, after, strict=True))
    change = difference(before, after)
    return change if change.p is None else replace(change, p=mcnemar(pairs[0.0, 1.0], pairs[1.0, 0.0]))


def confusion_delta(before: ConfusionCounts, after: ConfusionCounts) -> dict[Pair, int]:
    """Subtract the counts of two matrices cell by cell, after − before; cells that are empty in both are left out."""
    return {pair: after.pairs.get(pair, 0) - before.pairs.get(pair, 0) for pair in {**before.pairs, **after.pairs}}


@dataclass(frozen=True, slots=True)
class ShareChange:
    """How the share of evidence in one region changed in a group of samples.

    Args:
        before: mean share in the first run, over the samples that have both; None if there are none.
        after: mean share in the second run.
        change: their paired difference, after − before.
        p: p-value of the change after Holm's correction for all regions and groups that were asked for at once.
    """

    before: float | None
    after: float | None
    change: Difference
    p: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain JSON values."""
        return {"before": self.before, "after": self.after, "change": self.change.to_json(), "p_holm": self.p}


def share_changes(before: Evidence, after: Evidence) -> dict[str, ShareChange]:
    """Compare the shares of each region over all samples.

    Args:
        before: table of the first run.
        after: table of the second run, of the same samples in the same order.

    Raises:
        ArgumentError: if the tables are not of the same samples.
    """
    return _corrected({None: (before, after)}, _names(before, after))[None]


def share_changes_by(before: Evidence, after: Evidence, by: By) -> dict[Group, dict[str, ShareChange]]:
    """Compare the shares of each region in each class or cell, by the labels of the first run.

    Raises:
        ArgumentError: if the tables are not of the same samples.
    """
    names = _names(before, after)
    rows_by_group = group_rows(by, before.truths, before.predictions)
    groups = {group: (before.select(rows), after.select(rows)) for group, rows in rows_by_group.items()}
    return _corrected(groups, names)


@dataclass(frozen=True, slots=True)
class Sides:
    """Where evidence should leave, and where it should go.

    Args:
        fall: regions whose share should fall; may be empty.
        rise: regions whose share should rise; may be empty.

    Raises:
        ArgumentError: if no region is named, or one on both sides.
    """

    fall: tuple[str, ...]
    rise: tuple[str, ...]

    def __post_init__(self) -> None:
        if not (self.fall or self.rise):
            raise ArgumentError("Expected a region in `should_fall` or `should_rise`, but both are empty. Name one.")
        if both := sorted(set(self.fall) & set(self.rise)):
            raise ArgumentError(f"Expected a region to fall or to rise, but {both} should do both. Choose one.")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest balance that a sample can have."""
        if self.fall and self.rise:
            return -0.5, 0.5
        return (0.0, 1.0) if self.rise else (-1.0, 0.0)

    def check(self, names: Iterable[str]) -> None:
        """Raise unless all regions are among ``names``.

        Raises:
            UnknownNameError: if one is not.
        """
        known = list(names)
        for name in (*self.fall, *self.rise):
            if name not in known:
                raise UnknownNameError("region", name, known)


def movement_of(before: Evidence, after: Evidence, sides: Sides) -> Difference:
    """Return the paired difference of the balances, after − before, positive in the wanted direction.

    Where the two networks see other parts of the images, the shares alone move without any change of preference; so
    what they have beyond chance is compared then.
    """
    if _same_areas(before, after):
        return difference(balance(before, sides), balance(after, sides), sides.bounds)
    return difference(*(balance(_beyond_chance(evidence), sides) for evidence in (before, after)), bounds=None)


def balance(evidence: Evidence, sides: Sides) -> list[float | None]:
    """Return for each sample how far its evidence is on the right side: the number whose movement is judged.

    It is the share in the regions that should rise, minus that in those that should fall, halved where both sides
    are named, so that a movement from the one to the other counts once.

    Returns:
        One value per sample within the bounds of the sides; None where a side is undefined.
    """
    named = [(sign, names) for sign, names in ((-1, sides.fall), (1, sides.rise)) if names]
    columns = [[None if s is None else sign * s for s in _sum(evidence, names)] for sign, names in named]
    rows = zip(*columns, strict=True)
    return [None if None in row else sum(v for v in row if v is not None) / len(named) for row in rows]


def room(evidence: Evidence, sides: Sides) -> float | None:
    """Return how far the balance could still move, by the side that has less to give; None where it is undefined.

    A small cue cannot move far: of a tenth of the evidence at most a tenth.

    Returns:
        Mean over the samples, in [0, 1], in the unit of `balance`.
    """
    own = [Sides(fall, rise) for fall, rise in ((sides.fall, ()), ((), sides.rise)) if fall or rise]
    rooms: list[float] = []
    for side in own:
        values = [value for value in balance(evidence, side) if value is not None]
        if not values:
            return None
        rooms.append(side.bounds[1] - sum(values) / len(values))
    return min(rooms) / len(rooms)


def right_reasons(evidence: Evidence, sides: Sides) -> list[float | None]:
    """Return 1 for each sample that rests on the right regions, 0 for each that does not.

    Right is a sample in which no region that should fall holds more evidence than its size would get by chance, and
    in which those that should rise, taken together, hold more than that, and more for their size than any other.

    Returns:
        One value per sample; None where no named region is defined.
    """
    return [_is_right(sample, sides) for sample in _samples(evidence)]


def _is_right(sample: Mapping[str, tuple[float, float]], sides: Sides) -> float | None:
    """Judge one sample by its share and area of each region that it has."""
    fall = [sample[name] for name in sides.fall if name in sample]
    rise = [sample[name] for name in sides.rise if name in sample]
    if not fall and not rise:
        return None
    clean = all(share <= area + _ROUNDING for share, area in fall)
    others = [own for name, own in sample.items() if name not in (*sides.fall, *sides.rise)]
    best = max((_for_its_size(*own) for own in others), default=0.0)
    if not sides.rise:
        # A map that holds nothing above chance rests on nothing, and so on nothing right.
        return float(clean and best >= _LEAST)
    together = sum(share for share, _ in rise), sum(area for _, area in rise)
    right = clean and bool(rise) and _for_its_size(*together) > max(best, _LEAST)
    return float(right)


def _for_its_size(share: float, area: float) -> float:
    corrected = chance_corrected(share, area)
    return 0.0 if corrected is None else corrected


def _samples(evidence: Evidence) -> Iterator[dict[str, tuple[float, float]]]:
    """Yield share and area of each region that a sample has."""
    for i in range(len(evidence)):
        pairs = {name: (evidence.shares[name][i], evidence.areas[name][i]) for name in evidence.shares}
        yield {name: (share, area) for name, (share, area) in pairs.items() if share is not None and area is not None}


def _names(before: Evidence, after: Evidence) -> list[str]:
    if list(before.ids) != list(after.ids):
        raise ArgumentError(
            f"Expected two tables of the same samples in the same order, but got {len(before)} before and {len(after)} "
            "after, or others. Measure both on one view."
        )
    return sorted({*before.names, *after.names})


def _corrected(
    groups: Mapping[Group, tuple[Evidence, Evidence]], names: Sequence[str]
) -> dict[Group, dict[str, ShareChange]]:
    raw = {group: {name: _change(*pair, name) for name in names} for group, pair in groups.items()}
    flat = [change for by_region in raw.values() for change in by_region.values()]
    adjusted = iter(holm([change.p for change in flat]))
    return {
        group: {name: replace(change, p=next(adjusted)) for name, change in by_region.items()}
        for group, by_region in raw.items()
    }


def _change(before: Evidence, after: Evidence, name: str) -> ShareChange:
    was, now = _column(before, name), _column(after, name)
    pairs = [(b, a) for b, a in zip(was, now, strict=True) if b is not None and a is not None]
    change = difference(was, now)
    means = [sum(side) / len(pairs) for side in zip(*pairs, strict=True)] if pairs else [None, None]
    return ShareChange(means[0], means[1], change, change.p)


def _column(evidence: Evidence, name: str) -> Column:
    return evidence.shares.get(name) or [None] * len(evidence)


def _sum(evidence: Evidence, names: Sequence[str]) -> list[float | None]:
    """Add the shares of several regions; one that a sample lacks adds nothing."""
    rows = zip(*(_column(evidence, name) for name in names), strict=True)
    defined = [[share for share in row if share is not None] for row in rows]
    return [sum(row) if row else None for row in defined]


def _same_areas(before: Evidence, after: Evidence) -> bool:
    """Say whether each region is as large a part of what the two networks see, where both are known."""
    pairs = [
        (one, other)
        for name in {*before.areas} & {*after.areas}
        for one, other in zip(before.areas[name], after.areas[name], strict=True)
    ]
    return all(abs(one - other) <= _ALIKE for one, other in pairs if one is not None and other is not None)


def _beyond_chance(evidence: Evidence) -> Evidence:
    """Return the table with what each share has beyond its area in place of the share."""

    def column(name: str) -> Column:
        pairs = zip(evidence.shares[name], evidence.areas[name], strict=True)
        return [None if share is None or area is None else share - area for share, area in pairs]

    return replace(evidence, shares={name: column(name) for name in evidence.shares})
