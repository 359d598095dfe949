"""The worst cells of a report: drawn samples, mean maps, and the kinds of maps they fall into."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from fiftyone_saliency.api._report_pictures import Album, draw_samples
from fiftyone_saliency.api.clusters import cluster_maps, mean_map
from fiftyone_saliency.core.confusion import Pair
from fiftyone_saliency.dataset.confusion import Cell, ConfusionMatrix


def describe_cells(
    matrix: ConfusionMatrix, field: str, pairs: Sequence[Pair], pictures: int, seed: int, album: Album
) -> list[dict[str, Any]]:
    """Return each cell as plain JSON values, and draw it.

    Args:
        matrix: where the cells are from.
        field: Heatmap field.
        pairs: truth and prediction of each cell, the most important first.
        pictures: most samples of a cell that are drawn; chance chooses them, so that nobody picks what suits the
            argument.
        seed: seed of that choice and of the clustering.
        album: takes the pictures: of samples, and mean maps as ``(truth, prediction, number of the cluster)``, 0 for
            the whole cell.
    """
    rng = np.random.default_rng(seed)
    described = [_describe(matrix.cells[pair], field, pictures, rng, seed, album) for pair in pairs]
    # One of each cell first: where the album is full, every cell has pictures.
    rounds = zip_longest(*([sample["id"] for sample in cell["samples"]] for cell in described))
    draw_samples(album, matrix.samples, field, [one for one in chain.from_iterable(rounds) if one is not None])
    return described


def _describe(
    cell: Cell, field: str, pictures: int, rng: np.random.Generator, seed: int, album: Album
) -> dict[str, Any]:
    view: Any = cell.view()
    rows = list(zip(*view.values(["id", "filepath"]), strict=True))
    chosen = [rows[i] for i in sorted(rng.permutation(len(rows))[:pictures])]
    mean, found = mean_map(cell, field), cluster_maps(cell, field, seed=seed)
    kinds = found.clusters if len(found) > 1 else []
    means = {0: mean} | {kind.number: kind.mean for kind in kinds}
    for number, one in means.items():
        if one.n:
            key = (cell.truth, cell.prediction, number)
            album.add(key, (key, one.picture()))
    return {
        "truth": cell.truth,
        "prediction": cell.prediction,
        "samples": [{"id": sample_id, "filepath": filepath} for sample_id, filepath in chosen],
        "mean_map": {"n": mean.n, "undefined": mean.undefined},
        "clusters": {
            "reason": found.reason,
            "undefined": found.undefined,
            "clusters": [{"number": kind.number, "count": kind.count, "ids": list(kind.ids)} for kind in kinds],
        },
    }
