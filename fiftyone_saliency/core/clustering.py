"""Spectral clustering of saliency maps by where their evidence lies (SpRAy)."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# SciPy and scikit-learn bring no types.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.checks import check_int, check_seed
from fiftyone_saliency.core.errors import ArgumentError

GRID = 16
MIN_MAPS = 10
MOST_CLUSTERS = 32  # as many as the spectrum has values
UNDEFINED = -1
_NEIGHBOURS = 10
_EIGENVALUES = MOST_CLUSTERS
# The eigenvalues of an unbroken line of maps grow like 1, 4, 9, …: a gap counts from twice its widest ratio on.
_GAP = 8.0
_ZERO = 1e-6


@dataclass(frozen=True, eq=False)
class Clusters:
    """What kinds of maps there are.

    Args:
        labels: int64 (N,), the cluster of each map, 0 for the largest; -1 for a map without a distribution.
        eigenvalues: float64, the smallest eigenvalues of the Laplacian in [0, 2], ascending, up to 32 of them; empty
            where there are fewer than 10 maps to compare.
        count: number of clusters: 1 where the maps fall into no kinds, 0 where no map has a distribution.
    """

    labels: NDArray[np.int64]
    eigenvalues: NDArray[np.float64]
    count: int

    @property
    def undefined(self) -> int:
        """Number of maps that belong to no cluster, because they have no distribution."""
        return int((self.labels == UNDEFINED).sum())


def distribution(values: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return a map's positive evidence as shares that add up to 1, so that strong maps count like weak ones.

    Args:
        values: saliency map, any shape and range, finite.

    Returns:
        float64 of the same shape, in [0, 1]; None if no value is positive, or all are equal: such a map names no place.
    """
    evidence = np.maximum(values, 0, dtype=np.float64)
    total = evidence.sum()
    return evidence / total if total > 0 and np.ptp(evidence) > 0 else None


def cluster_maps(maps: NDArray[np.float32], seed: int = 51, max_clusters: int = 8) -> Clusters:
    """Group maps whose evidence lies alike, and find how many groups there are.

    Maps are compared by the Euclidean distance of their `distribution`, so that their scale does not matter. Each is
    linked with its nearest neighbours; the graph's normalised Laplacian has one eigenvalue near 0 per group of maps
    that hangs together, and then a gap. A gap counts where the eigenvalue rises at least eightfold, which an unbroken
    sheet of maps does not show, and a row of maps along one line seldom. Where none counts, or where there are fewer
    than 10 maps, all are one cluster; fewer alike than a map has neighbours are no cluster of their own.

    Args:
        maps: float32 (N, h, w), finite, pooled to a small common grid such as 16 × 16.
        seed: seed of the eigensolver and of k-means; equal maps and seed give equal clusters.
        max_clusters: largest number of clusters, 1 to 32.

    Returns:
        Label of each map, the eigenvalues, and the number of clusters.

    Raises:
        ArgumentError: if the maps are not (N, h, w), or a parameter makes no sense.

    References:
        Lapuschkin et al. Unmasking Clever Hans predictors and assessing what machines really learn. Nature
        Communications 10:1096, 2019, Methods (spectral relevance analysis, SpRAy).
        https://doi.org/10.1038/s41467-019-08987-4. There, a person reads the number of clusters off the eigenvalues
        and every graph has ten neighbours; here the widest gap decides, and up to 512 maps have log2(N)
        neighbours, so that a small set can fall apart.
        von Luxburg. A tutorial on spectral clustering. Statistics and Computing 17, 2007, sec. 8.
        https://arxiv.org/abs/0711.0189
    """
    if maps.ndim != 3:
        raise ArgumentError(f"Expected maps of shape (N, h, w), but got shape {maps.shape}.")
    check_int(max_clusters, "max_clusters", 1, MOST_CLUSTERS)
    check_seed(seed)
    found = [distribution(one) for one in maps]
    where = np.array([i for i, one in enumerate(found) if one is not None], np.int64)
    labels = np.full(len(maps), UNDEFINED, np.int64)
    if len(where) < MIN_MAPS:
        labels[where] = 0
        return Clusters(labels, np.empty(0), min(1, len(where)))
    points = np.array([one.ravel() for one in found if one is not None])
    values, vectors = _spectrum(points, seed)
    count = _count(values, max_clusters)
    labels[where] = _by_size(_partition(vectors[:, :count], seed))
    return Clusters(labels, values, count)


def _spectrum(points: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest eigenvalues of the neighbour graph's normalised Laplacian, ascending, and their vectors."""
    from scipy.sparse import csgraph, identity
    from scipy.sparse.linalg import eigsh
    from sklearn.neighbors import kneighbors_graph

    number = len(points)
    links: Any = kneighbors_graph(points, min(_NEIGHBOURS, math.ceil(math.log2(number))))
    laplacian: Any = csgraph.laplacian((links + links.T) / 2, normed=True)
    # No eigenvalue is above 2: seen from there the smallest are the largest, which Lanczos finds at once.
    start = np.random.default_rng(seed).random(number)
    wanted = min(_EIGENVALUES, number - 1)
    found: Any = eigsh(2 * identity(number) - laplacian, wanted, which="LA", v0=start)
    values, vectors = np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)
    order = np.argsort(-values)
    return np.clip(2 - values[order], 0, 2), vectors[:, order]


def _count(values: NDArray[np.float64], most: int) -> int:
    """Return the number of clusters: where the widest gap lies among those that no unbroken line would show."""
    most = min(most, len(values) - 1)
    below, above = np.maximum(values[:most], _ZERO), values[1 : most + 1]
    if above[-1] <= _ZERO:
        return most
    gaps = np.where(above > _GAP * below, above - below, 0)
    gaps[0] = 0
    return int(np.argmax(gaps)) + 1


def _partition(vectors: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Group the rows of the spectral embedding, scaled to length 1 each, by k-means."""
    from sklearn.cluster import KMeans

    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    means: Any = KMeans
    return np.asarray(means(vectors.shape[1], n_init=10, random_state=seed).fit_predict(rows), np.int64)


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the clusters anew, the largest first, and of equal ones that of the first map first."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: (-counts[i], first[i]))
    return np.argsort(order)[np.searchsorted(names, labels)]
