"""Regions that samples carry, and how much of each map's evidence lies in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.regions import Weights, weights_from_boxes, weights_from_mask
from fiftyone_saliency.dataset.confusion import Pair
from fiftyone_saliency.dataset.fields import dataset_of, require_field
from fiftyone_saliency.dataset.store import read_map
from fiftyone_saliency.metrics.share import area_share, evidence_share

Group = str | Pair | None
# Not None, which is the group of the samples without a label.
_ALL = object()


@dataclass(frozen=True)
class RegionShare:
    """The evidence in one region, over the samples of a group.

    Args:
        mean: mean share of positive evidence, in [0, 1]; None if it is undefined in every sample.
        area: mean share of the image that the region covers, in [0, 1]: what a map without preference scores.
        n: samples that the mean is taken over.
        undefined: samples left out: no map, no evidence, or no such region.
    """

    mean: float | None
    area: float | None
    n: int
    undefined: int


@dataclass(frozen=True)
class RegionShares:
    """Shares of evidence by region, over all samples and by group.

    Args:
        field: the field of the heatmaps.
        regions: the field of the regions.
        overall: share of each region over all samples.
        groups: the same for each class or cell, where it was asked for.
    """

    field: str
    regions: str
    overall: dict[str, RegionShare]
    groups: dict[Group, dict[str, RegionShare]]

    def __getitem__(self, region: str) -> RegionShare:
        return self.overall[region]

    def __str__(self) -> str:
        lines = [f"{'region':<16}{'evidence':>10}{'area':>10}{'samples':>10}"]
        for name, share in self.overall.items():
            mean, area = ("-" if v is None else f"{v:.3f}" for v in (share.mean, share.area))
            lines.append(f"{name:<16}{mean:>10}{area:>10}{share.n:>10}")
        return "\n".join(lines)


def measure_shares(
    samples: Any,
    field: str,
    regions: str,
    group_of: Callable[[fo.Sample], Group] | None = None,
    progress: Callable[[Iterator[Any]], Iterator[Any]] = iter,
) -> RegionShares:
    """Measure the share of positive evidence of the stored heatmaps in each region.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        regions: Segmentation or Detections field; what lies in no region is the "background".
        group_of: names the group of a sample; None measures no groups.
        progress: wraps the iteration over the samples.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of another type.
    """
    require_field(samples, field, fo.Heatmap, "field")
    require_field(samples, regions, (fo.Segmentation, fo.Detections), "regions")
    reader = _reader(samples, regions)
    values: dict[Any, dict[str, list[tuple[float | None, float]]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[Any, int] = defaultdict(int)
    for sample in progress(samples.select_fields(_needed(samples, field, regions)).iter_samples()):
        groups = [_ALL] if group_of is None else [_ALL, group_of(sample)]
        for group in groups:
            seen[group] += 1
        heatmap = sample[field]
        saliency = None if heatmap is None else read_map(heatmap)
        label = sample[regions]
        weights_by_name = None if saliency is None or label is None else reader(label, saliency.shape)
        if saliency is None or weights_by_name is None:
            continue
        for name, weights in weights_by_name.items():
            entry = (evidence_share(saliency, weights), area_share(weights))
            for group in groups:
                values[group][name].append(entry)
    names = sorted(values[_ALL])
    summary = {g: {n: _summarise(values[g][n], seen[g]) for n in names} for g in seen}
    overall = summary.pop(_ALL, {})
    return RegionShares(field, regions, overall, summary)


def _summarise(entries: list[tuple[float | None, float]], seen: int) -> RegionShare:
    defined = [(share, area) for share, area in entries if share is not None]
    if not defined:
        return RegionShare(None, None, 0, seen)
    shares, areas = zip(*defined, strict=True)
    return RegionShare(fmean(shares), fmean(areas), len(defined), seen - len(defined))


def _reader(samples: Any, regions: str) -> Callable[[Any, tuple[int, ...]], Weights | None]:
    if issubclass(samples.get_field(regions).document_type, fo.Detections):
        labels = samples.distinct(f"{regions}.detections.label")
        return lambda label, shape: weights_from_boxes(
            [(d.label, tuple(d.bounding_box)) for d in label.detections if d.label is not None],
            (shape[0], shape[1]),
            labels,
        )
    dataset: Any = dataset_of(samples)
    targets = dataset.mask_targets.get(regions) or dataset.default_mask_targets or {}
    names = {int(value): name for value, name in targets.items() if not str(value).startswith("#")}

    def read(label: fo.Segmentation, shape: tuple[int, ...]) -> Weights | None:
        mask: Any = label.get_mask()
        return None if mask is None else weights_from_mask(mask, names, (shape[0], shape[1]))

    return read


def _needed(samples: Any, *fields: str) -> list[str]:
    classifications = samples.get_field_schema(embedded_doc_type=fo.Classification)
    return [*fields, *classifications]
