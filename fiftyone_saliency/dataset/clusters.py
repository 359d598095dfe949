"""Clusters of stored saliency maps that lead back to their samples."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone import ViewField as F
from numpy.typing import NDArray

from fiftyone_saliency.core import clustering
from fiftyone_saliency.core.confusion import ConfusionCounts, Pair, show
from fiftyone_saliency.core.statistics import Summary, summarise
from fiftyone_saliency.dataset.fields import all_images, dataset_of
from fiftyone_saliency.dataset.mean_maps import MeanMap, mean_map, pool_map
from fiftyone_saliency.dataset.regions import iterate_maps
from fiftyone_saliency.dataset.views import delete_views, free_name

_ATTRIBUTE = "cluster"
_GRID = (clustering.GRID, clustering.GRID)
_MARK = "fiftyone-saliency cluster"
_COLOUR = "#3f6fd0"


@dataclass(frozen=True, eq=False)
class MapCluster:
    """Samples whose evidence lies alike.

    Args:
        samples: the dataset or view that was clustered.
        field: Heatmap field.
        number: place by size, 1 for the largest cluster.
        of: number of clusters.
        ids: the cluster's sample ids, in the order of the samples.
        counts: numbers of its samples by (truth, prediction) when they were clustered.
    """

    samples: Any
    field: str
    number: int
    of: int
    ids: Sequence[str]
    counts: ConfusionCounts

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.ids)

    @property
    def name(self) -> str:
        """What a person calls the cluster, such as "cluster 1 of 3: cake → chocolate"."""
        text = f"cluster {self.number} of {self.of}"
        return text if self.dominant is None else f"{text}: {show(self.dominant[0])} → {show(self.dominant[1])}"

    @property
    def dominant(self) -> Pair | None:
        """The most frequent (truth, prediction), of equal ones the first by name; None where no label is known."""
        known = [(pair, n) for pair, n in self.counts.pairs.items() if pair != (None, None)]
        known.sort(key=lambda entry: (-entry[1], show(entry[0][0]), show(entry[0][1])))
        return known[0][0] if known else None

    @property
    def mistakes(self) -> Summary:
        """Share of mistakes among the samples that have a truth and a prediction, in [0, 1], with its interval."""
        wrong = self.counts.judged - self.counts.correct
        missing: list[float | None] = [None] * (self.counts.total - self.counts.judged)
        return summarise([1.0] * wrong + [0.0] * self.counts.correct + missing)

    @cached_property
    def mean(self) -> MeanMap:
        """The cluster's mean map over its mean image, read from the files when it is first asked for."""
        return mean_map(self.view(), self.field)

    def view(self) -> fo.DatasetView:
        """Return exactly the cluster's samples: their ids, for no expression on the labels describes them."""
        return all_images(dataset_of(self.samples)).select(self.ids)


@dataclass(frozen=True, eq=False)
class MapClusters:
    """The kinds of maps among samples.

    Args:
        samples: the dataset or view that was clustered.
        field: Heatmap field.
        clusters: the clusters, the largest first; a single one where the maps fall into no kinds.
        undefined: number of samples in no cluster: without a map, or with a map that names no place.
        eigenvalues: float64, the smallest eigenvalues of the maps' graph; empty with fewer than 10 maps.
    """

    samples: Any
    field: str
    clusters: Sequence[MapCluster]
    undefined: int
    eigenvalues: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.clusters)

    @property
    def reason(self) -> str:
        """Why there are so many clusters, in a sentence."""
        count = sum(cluster.count for cluster in self.clusters)
        if count < clustering.MIN_MAPS:
            return f"{count} maps are too few to tell kinds apart; {clustering.MIN_MAPS} are needed."
        if len(self) == 1:
            return f"The {count:,} maps fall into no kinds."
        return f"The {count:,} maps fall into {len(self)} kinds."

    def to_json(self) -> dict[str, Any]:
        """Return the clusters as plain JSON values."""
        return {
            "field": self.field,
            "reason": self.reason,
            "undefined": self.undefined,
            "clusters": [
                {"number": c.number, "name": c.name, "count": c.count, "mistakes": c.mistakes.to_json()}
                for c in self.clusters
            ],
        }

    def __str__(self) -> str:
        lines = [self.reason + (f" {self.undefined:,} samples have no map or no evidence." if self.undefined else "")]
        rows = (f"{c.name:<48}{c.count:>8} samples, mistakes {c.mistakes}" for c in self.clusters)
        return "\n".join([*lines, *rows])


def find_clusters(
    samples: Any,
    field: str,
    seed: int,
    max_clusters: int,
    gt_field: str | None,
    pred_field: str | None,
    progress: Callable[[Iterator[Any]], Iterator[Any]] = iter,
) -> MapClusters:
    """Cluster the stored maps of samples; each is pooled to 16 × 16 as it is read.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        seed: seed of the clustering.
        max_clusters: largest number of clusters.
        gt_field: Classification field of the true labels, or None.
        pred_field: Classification field of the predicted labels, or None.
        progress: wraps the iteration over the samples.
    """
    ids, maps = [], []
    for one in iterate_maps(samples, field, progress=progress):
        ids.append(one.id)
        # A map of zeros belongs to no cluster.
        maps.append(np.zeros(_GRID, np.float32) if one.place is None else pool_map(one.place, _GRID))
    stacked = np.stack(maps) if maps else np.zeros((0, *_GRID), np.float32)
    found = clustering.cluster_maps(stacked, seed, max_clusters)
    pairs = _pairs(samples, gt_field, pred_field)
    clusters = []
    for label in range(found.count):
        own = [ids[i] for i in np.flatnonzero(found.labels == label)]
        counts = ConfusionCounts(Counter(pairs[sample_id] for sample_id in own))
        clusters.append(MapCluster(samples, field, label + 1, found.count, own, counts))
    return MapClusters(samples, field, clusters, found.undefined, found.eigenvalues)


def store_numbers(found: MapClusters) -> str:
    """Write each cluster's number to its heatmaps, remove earlier ones, and return the attribute's path."""
    dataset, path = dataset_of(found.samples), f"{found.field}.{_ATTRIBUTE}"
    if dataset.get_field(path) is None:
        # As text, for which the sidebar has a box per cluster; numbers would get a slider.
        dataset.add_sample_field(path, fo.StringField)
    earlier = all_images(dataset).match(F(path).exists()).values("id")
    numbers = dict.fromkeys(earlier) | {i: str(cluster.number) for cluster in found.clusters for i in cluster.ids}
    dataset.set_values(path, numbers, key_field="id")
    return path


def save_cluster(cluster: MapCluster, name: str | None = None) -> str:
    """Save a cluster as a view of its dataset and return the view's name; saving again updates it.

    Raises:
        RunConflictError: if a view of that name exists that is no cluster.
    """
    dataset = dataset_of(cluster.samples)
    identity = f"{_MARK}: maps of {cluster.field}, samples {_fingerprint(cluster.ids)}."
    name = free_name(dataset, name or f"{cluster.name} ({cluster.field})", _MARK, identity)
    description = f"{identity} {cluster.count} samples when saved."
    dataset.save_view(name, cluster.view(), description, color=_COLOUR, overwrite=True)
    return name


def delete_cluster_views(dataset: fo.Dataset, names: Iterable[str] | None = None) -> list[str]:
    """Delete saved clusters (all of them by default) and return their names; other saved views are left alone."""
    return delete_views(dataset, _MARK, names)


def _pairs(samples: Any, gt_field: str | None, pred_field: str | None) -> dict[str, Pair]:
    """Return (truth, prediction) by sample id, None where there is no such field or label."""
    ids = samples.values("id")
    nothing = [None] * len(ids)
    columns = (nothing if name is None else samples.values(f"{name}.label") for name in (gt_field, pred_field))
    return dict(zip(ids, zip(*columns, strict=True), strict=True))


def _fingerprint(ids: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:12]
