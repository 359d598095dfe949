"""Measure each stored heatmap, and keep the values beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.core.evidence import By, Group, group_index, group_rows
from fiftyone_saliency.core.preference import NO_PREFERENCE, Measured, dominant
from fiftyone_saliency.core.statistics import Summary, as_column, summarise, summarise_groups
from fiftyone_saliency.dataset.attributes import write_attributes, write_field
from fiftyone_saliency.dataset.fields import count_samples, fields_of, require_field, require_samples
from fiftyone_saliency.dataset.regions import iterate_maps
from fiftyone_saliency.metrics._registry import MEASURES, MeasureInfo, get_measures

DOMINANT = "dominant_region"
Column = Sequence[float | None]
Labels = Sequence[str | None]
_Weights = Mapping[str, NDArray[np.float32]]
_Regions = dict[str, Measured]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Values of each sample's heatmap, and what they are on average.

    Args:
        field: the field of the heatmaps.
        ids: ids of the samples, in order.
        values: by name, such as ``"gini"`` or ``"share_head"``, one value per sample; None where it is undefined.
        dominant_region: of each sample, the region that its map prefers, "no preference" where it prefers none to
            chance (see `core.preference.dominant`), None where it is undefined; None if no regions were given.
        truths: true label of each sample; None if there was no field of true labels.
        predictions: predicted label of each sample; None if there was no field of predictions.
    """

    field: str
    ids: Sequence[str]
    values: Mapping[str, Column]
    dominant_region: Labels | None
    truths: Labels | None
    predictions: Labels | None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Summary:
        if name not in self.values:
            raise UnknownNameError("measured value", name, self.values)
        return summarise(self.values[name])

    @property
    def overall(self) -> dict[str, Summary]:
        """Mean and interval of each value over all samples."""
        return {name: summarise(column) for name, column in self.values.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the means over all samples as plain JSON values."""
        overall = {name: summary.to_json() for name, summary in self.overall.items()}
        return {"field": self.field, "n": len(self), "overall": overall}

    def by(self, by: By) -> dict[Group, dict[str, Summary]]:
        """Return mean and interval of each value for each true label, or for each (truth, prediction).

        Args:
            by: ``"class"`` or ``"cell"``.

        Raises:
            UnknownNameError: if ``by`` is neither.
            FieldError: if the labels that it needs were not there.
        """
        check_choice(by, "by", ("class", "cell"))
        if self.truths is None or (by == "cell" and self.predictions is None):
            raise FieldError(
                f"Expected labels to group by {by}, but the dataset had none in the fields that were named. Measure "
                "again with `gt_field` and `pred_field`."
            )
        predictions = self.truths if self.predictions is None else self.predictions
        groups = group_rows(by, self.truths, predictions)
        index = group_index(list(groups.values()), len(self))
        columns = {
            name: summarise_groups(as_column(column), index, len(groups)) for name, column in self.values.items()
        }
        return {group: {name: column[i] for name, column in columns.items()} for i, group in enumerate(groups)}

    def __str__(self) -> str:
        width = max((len(name) for name in self.values), default=0) + 2
        return "\n".join(f"{name:<{width}}{summary}" for name, summary in self.overall.items())


def measure(
    samples: Any,
    field: str = "saliency",
    *,
    measures: Sequence[str] | None = None,
    regions: str | None = None,
    region: Sequence[str] | None = None,
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    store: bool = True,
    progress: Progress = False,
) -> Measurements:
    """Measure the stored heatmaps, one by one, and store the values as their attributes.

    A value of the map alone is stored as, for instance, ``saliency.gini``, a value of a region as
    ``saliency.share_head``, and the region that the map prefers, or "no preference", as ``saliency.dominant_region``.
    Map and regions are measured within what the network saw: what was cropped away is neither evidence nor area. They
    can be filtered in the App's sidebar, describe the map and the regions as they are at this moment, and go when the
    map goes.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        measures: names of measures, see `list_measures`; None takes all, without regions all that need none.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines.
        region: names of the regions to measure; None takes all, "background" included.
        gt_field: Classification field of the true labels, for `Measurements.by`; it may be missing.
        pred_field: Classification field of the predicted labels, for `Measurements.by`; it may be missing.
        store: whether the values are written to the dataset.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The values of each sample. A value is None where it is undefined, such as for a sample without a map.

    Raises:
        UnknownNameError: if a measure, field or region does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
        ArgumentError: if a measure needs regions and there are none, or two regions would share one attribute.
    """
    require_samples(samples)
    chosen = _choose(measures, regions, region)
    require_field(samples, field, fo.Heatmap, "field")
    total = count_samples(samples)
    maps = iterate_maps(samples, field, regions, lambda rows: track(rows, total, progress, size=lambda _: 1))
    ids: list[str] = []
    shares: list[_Regions] = []
    found: list[dict[tuple[str, str | None], float | None]] = []
    for one in maps:
        weights = {name: mask for name, mask in one.weights().items() if mask is not None}
        ids.append(one.id)
        shares.append({name: share for name, share in one.shares().items() if share is not None})
        seen = None if one.values is None else one.values[one.seen]
        found.append({} if seen is None or not seen.size else _measure_one(seen, weights, chosen, region))
    values = _columns(chosen, found, _names(shares, region))
    winners = None if regions is None else [_preferred(one) for one in shares]
    if store:
        _store(samples, field, ids, values, winners)
    return Measurements(field, ids, values, winners, *(_labels(samples, name) for name in (gt_field, pred_field)))


def list_measures() -> dict[str, MeasureInfo]:
    """Return the measures by name: title, summary, range, whether higher is better, and paper."""
    return dict(MEASURES)


def measure_into_field(
    samples: Any,
    name: str,
    sample_field: str | None = None,
    *,
    field: str = "saliency",
    regions: str | None = None,
    region: str | None = None,
) -> Summary:
    """Take one measure of the stored heatmaps, and keep the values in a field of their own: a metric of an evaluation.

    Args:
        samples: dataset or view.
        name: name of the measure.
        sample_field: the field that takes the value of each sample; None stores nothing.
        field: Heatmap field.
        regions: as `measure` takes them, for a measure that needs a region.
        region: name of the one region.

    Returns:
        Mean, interval and numbers over the samples.

    Raises:
        ArgumentError: if the measure needs a region and none is named.
    """
    (info,) = get_measures([name])
    if info.needs_region and not (regions and region):
        raise ArgumentError(
            f"Expected `regions` and `region` for {name}, but got {regions!r} and {region!r}. Name the regions and the "
            "one to measure."
        )
    where: dict[str, Any] = {"regions": regions, "region": [region]} if info.needs_region else {}
    measured = measure(samples, field, measures=[name], store=False, **where)
    ((_, values),) = measured.values.items()
    if sample_field is not None:
        write_field(samples, sample_field, measured.ids, values)
    return summarise(values)


def _choose(names: Sequence[str] | None, regions: str | None, region: Sequence[str] | None) -> list[MeasureInfo]:
    for argument, value in (("measures", names), ("region", region)):
        if isinstance(value, str):
            raise ArgumentError(f"Expected `{argument}` to be a list of names, but got {value!r}. Pass [{value!r}].")
    if names is None:
        return [info for info in MEASURES.values() if regions is not None or not info.needs_region]
    chosen = get_measures(names)
    for info in chosen:
        if info.needs_region and regions is None:
            raise ArgumentError(f"Expected `regions` for the measure {info.name!r}, but got None. Name the regions.")
    return chosen


def _preferred(regions: _Regions) -> str | None:
    if all(one.share is None for one in regions.values()):
        return None
    return dominant(regions) or NO_PREFERENCE


def _measure_one(
    saliency: NDArray[np.float32], weights: _Weights, chosen: Sequence[MeasureInfo], region: Sequence[str] | None
) -> dict[tuple[str, str | None], float | None]:
    """Take all measures of one map, by name of the measure and of the region."""
    values: dict[tuple[str, str | None], float | None] = {}
    for info in chosen:
        if not info.needs_region:
            values[info.name, None] = info.function(saliency)
            continue
        for name, mask in weights.items():
            if region is None or name in region:
                values[info.name, name] = info.function(saliency, mask)
    return values


def _names(shares: Sequence[_Regions], region: Sequence[str] | None) -> list[str]:
    """Return the names of the regions to measure; where no sample has any, those asked for are undefined."""
    seen = sorted({name for one in shares for name in one})
    for name in region or ():
        if seen and name not in seen:
            raise UnknownNameError("region", name, seen)
    return seen if region is None else list(region)


def _columns(
    chosen: Sequence[MeasureInfo], rows: Sequence[Mapping[tuple[str, str | None], float | None]], regions: Sequence[str]
) -> dict[str, list[float | None]]:
    columns: dict[str, list[float | None]] = {}
    for info in chosen:
        for region in regions if info.needs_region else [None]:
            name = info.name if region is None else f"{info.name}_{_identifier(region)}"
            if name in columns:
                raise ArgumentError(
                    f"Expected region names that differ in letters and digits, but {region!r} would share the "
                    f"attribute {name!r} with another. Rename it, or choose regions with `region`."
                )
            columns[name] = [row.get((info.name, region)) for row in rows]
    return columns


def _identifier(region: str) -> str:
    return re.sub(r"\W+", "_", region)


def _store(samples: Any, field: str, ids: Sequence[str], values: Mapping[str, Column], winners: Labels | None) -> None:
    write_attributes(samples, field, ids, values)
    if winners is not None:
        write_attributes(samples, field, ids, {DOMINANT: winners}, fo.StringField)


def _labels(samples: Any, field: str) -> Labels | None:
    return samples.values(f"{field}.label") if field in fields_of(samples, fo.Classification) else None
