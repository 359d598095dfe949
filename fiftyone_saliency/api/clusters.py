"""Mean maps, and the kinds of maps that samples fall into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api.cells import tag_cell, untag_cell
from fiftyone_saliency.core.checks import check_int, check_seed
from fiftyone_saliency.core.clustering import MOST_CLUSTERS
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset import clusters, mean_maps
from fiftyone_saliency.dataset.clusters import MapCluster, MapClusters
from fiftyone_saliency.dataset.confusion import Cell
from fiftyone_saliency.dataset.fields import count_samples, fields_of, fresh_dataset_of, require_field, require_samples
from fiftyone_saliency.dataset.mean_maps import MeanMap


def mean_map(samples: Cell | Any, field: str = "saliency", *, progress: Progress = False) -> MeanMap:
    """Average the saliency maps of a confusion cell, a class or any samples, over their mean image.

    Args:
        samples: cell, dataset or view.
        field: Heatmap field.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The mean of the maps, each scaled to evidence 1; ``.picture()`` draws it, ``.save(path)`` writes it.

    Raises:
        UnknownNameError: if the field does not exist.
        FieldError: if it holds no heatmaps, or there are no samples.
    """
    view: Any = samples.view() if isinstance(samples, Cell) else samples
    require_samples(view)
    require_field(view, field, fo.Heatmap, "field")
    return mean_maps.mean_map(view, field, _wrap(count_samples(view), progress))


def cluster_maps(
    samples: Cell | Any,
    field: str = "saliency",
    *,
    seed: int = 51,
    max_clusters: int = 8,
    gt_field: str | None = None,
    pred_field: str | None = None,
    progress: Progress = False,
) -> MapClusters:
    """Find the kinds of maps among samples: one reason for an answer each, if there are several.

    A cluster says that maps look alike, in the frame of the image: not that the model used one rule. Where the
    maps fall into no kinds, or where there are fewer than 10, there is one cluster.

    Args:
        samples: cell, dataset or view.
        field: Heatmap field.
        seed: seed of the clustering; equal samples and seed give equal clusters.
        max_clusters: largest number of clusters, 1 to 32.
        gt_field: Classification field of the true labels; by default the cell's, else ``"ground_truth"`` if there is
            one.
        pred_field: Classification field of the predicted labels; by default the cell's, else ``"predictions"`` if
            there is one.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The clusters, the largest first, each with its samples, its mean map, its share of mistakes and its most
        frequent labels. Samples without a map or evidence are left out and counted.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
        ArgumentError: if a parameter makes no sense.

    References:
        Lapuschkin et al. Unmasking Clever Hans predictors and assessing what machines really learn. Nature
        Communications 10:1096, 2019, Methods (spectral relevance analysis). https://doi.org/10.1038/s41467-019-08987-4
    """
    check_seed(seed)
    check_int(max_clusters, "max_clusters", 1, MOST_CLUSTERS)
    view: Any = samples
    if isinstance(samples, Cell):
        view = samples.view()
        gt_field, pred_field = gt_field or samples.matrix.gt_field, pred_field or samples.matrix.pred_field
    require_samples(view)
    require_field(view, field, fo.Heatmap, "field")
    truth = _label_field(view, gt_field, "ground_truth", "gt_field")
    prediction = _label_field(view, pred_field, "predictions", "pred_field")
    return clusters.find_clusters(
        view, field, seed, max_clusters, truth, prediction, progress=_wrap(count_samples(view), progress)
    )


def tag_cluster(cluster: MapCluster, tags: str | Sequence[str]) -> int:
    """Tag the samples of a cluster and return their number; `untag_cluster` undoes it.

    Raises:
        ArgumentError: if a tag is not a non-empty string.
    """
    return tag_cell(cluster.view(), tags)


def untag_cluster(cluster: MapCluster, tags: str | Sequence[str]) -> int:
    """Remove tags from the samples of a cluster and return the number of samples that carried one of them.

    Raises:
        ArgumentError: if a tag is not a non-empty string.
    """
    return untag_cell(cluster.view(), tags)


def store_clusters(found: MapClusters) -> str:
    """Write each cluster's number to its heatmaps, where the App's sidebar filters by it.

    Numbers of an earlier clustering of the same field are removed.

    Args:
        found: what `cluster_maps` found.

    Returns:
        Path of the heatmaps' attribute, such as ``"saliency.cluster"``.
    """
    fresh_dataset_of(found.samples)
    return clusters.store_numbers(found)


def save_cluster_view(cluster: MapCluster, name: str | None = None) -> str:
    """Save a cluster as a view, where the App's view selector lists it; saving it again updates the view.

    A saved cluster is a list of samples: other than a saved cell, it does not follow the labels.

    Args:
        cluster: one of the clusters that `cluster_maps` found.
        name: name of the view; by default such as ``"cluster 1 of 3: cake → chocolate (saliency)"``. Where another
            saved cluster has it, a number is added.

    Returns:
        The view's name.

    Raises:
        ArgumentError: if the name is empty.
        RunConflictError: if a saved view of that name exists that is no cluster.
    """
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise ArgumentError(f"Expected `name` to be a non-empty string or None, but got {name!r}.")
    fresh_dataset_of(cluster.samples)
    return clusters.save_cluster(cluster, name)


def delete_cluster_views(samples: Any, names: Sequence[str] | None = None) -> list[str]:
    """Delete saved clusters and return their names; views that were saved by others are left alone.

    Args:
        samples: dataset or view.
        names: the views to delete; all saved clusters by default.
    """
    return clusters.delete_cluster_views(fresh_dataset_of(samples), names)


def _label_field(samples: Any, name: str | None, usual: str, argument: str) -> str | None:
    if name is None:
        return usual if usual in fields_of(samples, fo.Classification) else None
    require_field(samples, name, fo.Classification, argument)
    return name


def _wrap(total: int, progress: Progress) -> Any:
    def wrapped(rows: Iterator[Any]) -> Iterator[Any]:
        return track(rows, total, progress, size=lambda _: 1)

    return wrapped
