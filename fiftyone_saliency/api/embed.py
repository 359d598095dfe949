"""Embeddings: what a model's own features say of an image, or of the part of it that drove the decision."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import fiftyone as fo
import numpy as np

from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.embeddings import PARTS, Embeddings, Part
from fiftyone_saliency.core.types import Failure, SampleItem
from fiftyone_saliency.dataset.fields import require_field, require_samples
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.dataset.store import read_map
from fiftyone_saliency.runtime.embedding import Embedder, Embedding, Maps
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks

_LOG = logging.getLogger("fiftyone_saliency")


def embed(
    samples: Any,
    model: Any,
    part: Part = "image",
    *,
    field: str = "saliency",
    batch_size: int = 16,
    num_workers: int | None = None,
    progress: Progress = False,
) -> Embeddings:
    """Describe each image, or a part of it, by the mean features of the model's CAM layer.

    Nothing is written. FiftyOne Brain takes the result as it is:
    ``fob.compute_similarity(samples.select(e.ids, ordered=True), embeddings=e.vectors)``.

    Args:
        samples: dataset or view of images.
        model: whatever `load_model` takes, or what it returned; its ``layer`` is what is averaged.
        part: the whole ``"image"``; its ``"salient"`` region, the mean weighted by the stored map's positive evidence;
            or the ``"rest"``, weighted by 1 − map / its maximum.
        field: Heatmap field, for the latter two.
        batch_size: images per forward pass, 1 to 1,024.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        float32 vectors (N, D). Samples whose image cannot be read, and those whose map is missing or holds no evidence
        where one is needed, are left out and named in its ``failures``.

    Raises:
        FieldError: if there are no samples, or the field is no Heatmap field.
        UnknownNameError: if the field or part does not exist.
        ModelError: if the model has no layer with a feature map.

    References:
        Zhou et al. Learning Deep Features for Discriminative Localization. CVPR 2016, sec. 2 (the layer's mean).
        https://arxiv.org/abs/1512.04150
    """
    check_choice(part, "part", PARTS)
    return embed_parts(samples, model, None if part == "image" else field, batch_size, num_workers, progress)[part]


def embed_parts(
    samples: Any,
    model: Any,
    field: str | None,
    batch_size: int = 16,
    num_workers: int | None = None,
    progress: Progress = False,
) -> dict[Part, Embeddings]:
    """Return the embeddings of all parts from one forward pass, without maps those of the images alone; see `embed`."""
    check_batch_size(batch_size)
    workers = count_workers(num_workers)
    require_samples(samples)
    if field is not None:
        require_field(samples, field, fo.Heatmap, "field")
    embedder = Embedder(load_fitted(model, samples))
    embedder.probe()
    heatmaps = {} if field is None else dict(zip(*samples.values(["id", field]), strict=True))
    found: list[Embedding] = []
    failures: list[Failure] = []
    items = read_items(samples)
    for chunk in track(load_ahead(chunks(items, batch_size), embedder.model, workers), len(items), progress):
        ids = [entry.sample_id if isinstance(entry, Failure) else entry.item.id for entry in chunk]
        result = embedder(chunk, _maps({i: heatmaps[i] for i in ids if heatmaps.get(i) is not None}))
        found.extend(result.results)
        failures.extend(result.failures)
    if failures:
        first = failures[0]
        _LOG.warning("%d samples have no embedding, such as %s: %s", len(failures), first.filepath, first.reason)
    return {part: _table(part, found, items, failures) for part in PARTS}


def _maps(heatmaps: dict[str, fo.Heatmap]) -> Maps:
    maps = {sample_id: read_map(heatmap) for sample_id, heatmap in heatmaps.items()}
    return {sample_id: values for sample_id, values in maps.items() if values is not None}


def _table(
    part: Part, found: Sequence[Embedding], items: Sequence[SampleItem], failures: Sequence[Failure]
) -> Embeddings:
    vectors = {e.sample_id: e.vectors[part] for e in found if part in e.vectors}
    failed = {failure.sample_id for failure in failures}
    reason = "the sample has no map, or none with evidence where the network sees it"
    skipped = [
        Failure(item.id, item.filepath, reason, "skip")
        for item in items
        if item.id not in vectors and item.id not in failed
    ]
    table = np.stack(list(vectors.values())) if vectors else np.empty((0, 0), np.float32)
    return Embeddings(list(vectors), table, [*failures, *skipped])
