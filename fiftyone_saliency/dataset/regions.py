"""Regions that samples carry, and how much of each map's evidence lies in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import fiftyone as fo
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fiftyone_saliency.core.evidence import Evidence, Group, RegionShare
from fiftyone_saliency.core.maps import seen_pixels
from fiftyone_saliency.core.pictures import UNREADABLE
from fiftyone_saliency.core.preference import Measured
from fiftyone_saliency.core.regions import EVERYWHERE, Regions, Weights
from fiftyone_saliency.dataset.fields import all_images, dataset_of, require_field
from fiftyone_saliency.dataset.region_specs import RegionSource, find_regions
from fiftyone_saliency.dataset.store import decode_map

CHUNK = 1000
"""Samples per query."""
GROUP, AHEAD, THREADS = 32, 4, 2
"""Samples that a thread reads in one go, how many such groups are read ahead, and by how many threads."""

Map = NDArray[np.float32]
Progress = Callable[[Iterator[Any]], Iterator[Any]]
_T = TypeVar("_T")
_MAP = ("map_path", "map", "vmin", "vmax")
_IMAGE = ("filepath", "metadata.height", "metadata.width")


@dataclass(frozen=True, eq=False)
class SampleMap:
    """One sample's stored map, and where things are in it.

    Args:
        id: the sample's id.
        values: float32 (h, w) over the whole image, in the map's own unit; None without a map.
        seen: rows and columns of the map that lie in what the network saw; all of a map that this package did not
            write.
        regions: the regions; None if none were asked for, without a map, and where their names depend on a mask that is
            missing.
    """

    id: str
    values: Map | None
    seen: tuple[slice, slice]
    regions: Regions | None

    @property
    def evidence(self) -> Map | None:
        """The positive values in what the network saw, float32 (h, w); None without a map."""
        return None if self.values is None else np.maximum(self.values[self.seen], 0)

    @property
    def place(self) -> Map | None:
        """The map over the whole image; None without one, and where it names no place: no or equal evidence."""
        evidence = self.evidence
        return self.values if evidence is not None and evidence.size and np.ptp(evidence) > 0 else None

    def weights(self) -> Weights:
        """Return by region the share of each pixel of what the network saw that it covers, as `Regions.weights`."""
        if self.values is None or self.regions is None:
            return {}
        weights = self.regions.weights((self.values.shape[0], self.values.shape[1]))
        return {name: None if covered is None else covered[self.seen] for name, covered in weights.items()}

    def shares(self) -> dict[str, Measured | None]:
        """Return what `Regions.shares` measures; nothing without map or regions."""
        if self.values is None or self.regions is None:
            return {}
        return self.regions.shares(np.maximum(self.values, 0), self.seen)


@dataclass(frozen=True)
class RegionShares:
    """Shares of evidence by region, over all samples and by group.

    Args:
        field: the field of the heatmaps.
        regions: the regions that were measured.
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
        lines = [f"{'region':<16}{'evidence':>10}{'interval':>16}{'area':>10}{'samples':>10}"]
        for name, share in self.overall.items():
            mean, area = ("-" if v is None else f"{v:.3f}" for v in (share.mean, share.area))
            interval = "too few" if share.low is None else f"{share.low:.3f}–{share.high:.3f}"
            lines.append(f"{name:<16}{mean:>10}{interval:>16}{area:>10}{share.n:>10}")
        return "\n".join(lines)


def read_evidence(
    samples: Any,
    field: str,
    regions: str,
    gt_field: str | None = None,
    pred_field: str | None = None,
    progress: Progress = iter,
) -> Evidence:
    """Measure the share of positive evidence of each sample's stored heatmap in each region.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        regions: name of a stored specification, or Segmentation, Detections or Polylines field; what no label of a
            field covers is the "background".
        gt_field: Classification field of the true labels, or None.
        pred_field: Classification field of the predicted labels, or None.
        progress: wraps the iteration over the samples.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of another type.
    """
    require_field(samples, field, fo.Heatmap, "field")
    source = find_regions(samples, regions)
    labels = [f"{name}.label" for name in (gt_field, pred_field) if name is not None]

    def measure(row: Sequence[Any]) -> tuple[str, str | None, str | None, _Measured]:
        found = _read_sample(row[: len(row) - len(labels)], source)
        own = iter(row[len(row) - len(labels) :])
        truth, prediction = (None if name is None else next(own) for name in (gt_field, pred_field))
        return row[0], truth, prediction, found.shares()

    paths = [*_map_paths(field), *_IMAGE, *source.paths, *labels]
    rows = list(_read(samples, paths, measure, progress))
    names = source.names or sorted({name for *_, found in rows for name in found})
    ids, truths, predictions, founds = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {name: [found.get(name) or _UNDEFINED for found in founds] for name in names}
    shares, areas, reaches = (
        {name: [one[i] for one in column] for name, column in columns.items()} for i in range(len(_UNDEFINED))
    )
    return Evidence(field, regions, ids, truths, predictions, shares, areas, reaches)


def iterate_maps(
    samples: Any, field: str, regions: str | None = None, progress: Progress = iter
) -> Iterator[SampleMap]:
    """Yield the stored map of each sample and its regions, in order; memory does not grow.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        regions: name of a stored specification or label field, as `read_evidence` takes it; None yields no regions.
        progress: wraps the iteration over the samples.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of another type.
    """
    require_field(samples, field, fo.Heatmap, "field")
    source = None if regions is None else find_regions(samples, regions)

    paths = [*_map_paths(field), *_IMAGE, *([] if source is None else source.paths)]
    return _read(samples, paths, lambda row: _read_sample(row, source), progress)


def region_masks(
    samples: Any, regions: str, size: tuple[int, int] | None = None, progress: Progress = iter
) -> Iterator[tuple[str, Weights]]:
    """Yield the id of each sample and its regions, in order; no heatmap is needed, and memory does not grow.

    Args:
        samples: dataset or view.
        regions: name of a stored specification or label field, as `read_evidence` takes it.
        size: height and width (H, W) of the masks; None takes those of each image, upright.
        progress: wraps the iteration over the samples.

    Returns:
        Iterator of sample id and, by region, the share of each pixel that it covers, float32 (H, W) in [0, 1], or
        None where the sample lacks the label. There are no regions where the names depend on a mask that is
        missing, or the size on an image that cannot be read.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of another type.
    """
    return drawn_regions(samples, regions, lambda image: size or image, progress)


def drawn_regions(
    samples: Any,
    regions: str,
    size_of: Callable[[tuple[int, int] | None], tuple[int, int] | None],
    progress: Progress = iter,
) -> Iterator[tuple[str, Weights]]:
    """Do what `region_masks` does at a size (H, W) that follows from the size of each image, or None for none."""
    source = find_regions(samples, regions)

    def load(row: Sequence[Any]) -> tuple[str, Weights]:
        image = _image_size(row[1:4])
        size = size_of(image)
        found = None if size is None else source.draw(row[4:], image or size)
        return row[0], {} if size is None or found is None else found.weights(size)

    return _read(samples, [*_IMAGE, *source.paths], load, progress)


_Measured = dict[str, Measured | None]
_UNDEFINED = Measured(None, None)


def _read_sample(row: Sequence[Any], source: RegionSource | None) -> SampleMap:
    """Read map and regions from a row of id, map, image, and what the source asks for."""
    values = decode_map(*row[1:5])
    if values is None:
        return SampleMap(row[0], None, EVERYWHERE, None)
    size = (values.shape[0], values.shape[1])
    seen = EVERYWHERE if row[5] is None else seen_pixels(size, row[5])
    if source is None:
        return SampleMap(row[0], values, seen, None)
    image = _image_size(row[6:9]) if source.drawn else None
    return SampleMap(row[0], values, seen, source.draw(row[9:], image or size))


def _map_paths(field: str) -> list[str]:
    return [f"{field}.{name}" for name in (*_MAP, "seen")]


def _image_size(values: Sequence[Any]) -> tuple[int, int] | None:
    """Return height and width of the upright image, from the metadata or else from the file's header."""
    filepath, height, width = values
    if height and width:
        return height, width
    try:
        metadata: Any = fo.ImageMetadata.build_for(filepath)
    except UNREADABLE:
        return None
    return metadata.height, metadata.width


def _read(
    samples: Any, paths: Sequence[str], load: Callable[[Sequence[Any]], _T], progress: Progress = iter
) -> Iterator[_T]:
    """Yield what `load` makes of each sample's id and values, in order; threads read files a little ahead."""

    def loaded() -> Iterator[_T]:
        # Products of small matrices: NumPy's own helper threads would only wait for each other beside ours.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(THREADS) as pool:
            ahead: deque[Any] = deque()
            for group in _groups(samples, paths):
                ahead.append(pool.submit(lambda rows: [load(row) for row in rows], group))
                if len(ahead) > AHEAD:
                    yield from ahead.popleft().result()
            for group in ahead:
                yield from group.result()

    return iter(progress(loaded()))


def _groups(samples: Any, paths: Sequence[str]) -> Iterator[Sequence[Sequence[Any]]]:
    ids, source = samples.values("id"), _without_selection(samples)
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        rows = {row[0]: row for row in zip(*source.select(chunk).values(["id", *paths]), strict=True)}
        # A sample that was deleted meanwhile is gone.
        ordered = [rows[sample_id] for sample_id in chunk if sample_id in rows]
        yield from (ordered[i : i + GROUP] for i in range(0, len(ordered), GROUP))


def _without_selection(samples: Any) -> Any:
    """Return the dataset itself for a view that changes no labels: its stages would run again for each query."""
    if isinstance(samples, fo.Dataset):
        return samples
    changed = samples._get_edited_fields() or samples._get_filtered_fields()
    unknown = any(isinstance(stage, fo.Mongo) for stage in samples._stages)
    return samples if changed or unknown else all_images(dataset_of(samples))
