"""Hide a region from the model: the causal partner of the share of evidence in it."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._examples import load_run_of
from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api._scenes import Scenes
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_choice, check_int, check_seed
from fiftyone_saliency.core.errors import FieldError
from fiftyone_saliency.core.hiding import FILLS, Fill, Hidden, HiddenRegion
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import check_name, require_field, require_samples
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.runtime.hiding import Hider
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks
from fiftyone_saliency.runtime.worker import Predictor

_MOST_CONTROLS = 100


def hide_region(
    samples: Any,
    model: Any,
    regions: str,
    region: str,
    *,
    fill: Fill = "blur",
    gt_field: str | None = "ground_truth",
    pred_field: str | None = "predictions",
    controls: int = 3,
    seed: int = 51,
    batch_size: int = 16,
    num_workers: int | None = None,
    store_field: str | None = None,
    run: str | None = None,
    progress: Progress = True,
) -> HiddenRegion:
    """Hide a region in each image and see whether the model's answer changes, and by how much its logit falls.

    A share of evidence says where a map points; this says whether the answer needs what is there. Hiding anything
    disturbs a network, so the same is done with controls: areas of the same shape and size elsewhere in the same
    image. Only the paired difference between the two speaks of the region. The region is hidden in the network's
    input, after preprocessing, and as softly as its edges are.

    Args:
        samples: dataset or view of images.
        model: whatever `load_model` takes, or what it returned.
        regions: label field, or name of a stored region specification.
        region: the region to hide.
        fill: what takes its place: ``"blur"``, a wide Gaussian blur of its surroundings; ``"mean"``, the mean colour
            of the image; ``"swap"``, the same region of another of the samples, its bounding box stretched over this
            one's. That other sample is drawn, each serves once, and it is of another true class as far as the classes
            allow. The controls are then filled with what lies at their place in the other image.
        gt_field: Classification field of the true labels, or None.
        pred_field: Classification field of the stored predictions, or None. They are kept beside the results, to be
            grouped by; the answer that may change is what the model says now.
        controls: number of controls for each image, 1 to 100.
        seed: seed of the controls' places and of the swaps; each sample has its own stream.
        batch_size: samples read at once, and images per forward pass, 1 to 1,024.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        store_field: field that takes each sample's result, as an embedded document with the attributes of `Hidden`;
            None stores nothing.
        run: key or field of a run of this model, whose record keeps the summaries, where `load_run` finds them; None
            keeps nothing.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        One row per sample, with flips and changes of the logit, their summaries and paired differences. A sample
        without the region, or whose region the network does not see, is undefined and counted.

    Raises:
        UnknownNameError: if a field does not exist, or no sample has such a region.
        FieldError: if a field is of the wrong type, or there are no samples.
        ModelError: if the model does not fit its classes or its preprocessing, or is not the run's.

    References:
        Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014, sec. 4.2 (occlusion).
        https://arxiv.org/abs/1311.2901
        Yang, Kim. Benchmarking Attribution Methods with Relative Feature Importance. 2019 (pasting as an
        intervention with known effect). https://arxiv.org/abs/1907.09701
    """
    check_choice(fill, "fill", FILLS)
    check_int(controls, "controls", 1, _MOST_CONTROLS)
    check_batch_size(batch_size)
    check_seed(seed)
    workers = count_workers(num_workers)
    dataset = require_samples(samples)
    for argument, field in (("gt_field", gt_field), ("pred_field", pred_field)):
        if field is not None:
            require_field(samples, field, fo.Classification, argument)
    if store_field is not None:
        _check_free(dataset, store_field)
    adapter = load_fitted(model, samples)
    record = None if run is None else load_run_of(samples, run, adapter)
    Predictor(adapter).probe()
    items = read_items(samples, gt_field, pred_field)
    height, width = adapter.probe_image().shape[2:]
    scenes = Scenes(samples, regions, region, (height, width))
    having = scenes.having()
    kept = [item for item in items if item.id in having]
    stream = scenes.swapped(kept, adapter, seed, batch_size, workers) if fill == "swap" else scenes.plain(kept)
    hider = Hider(adapter, fill, controls, seed, batch_size)
    loaded = load_ahead(chunks(kept, batch_size), adapter, workers)
    results = [hider(chunk, dict(islice(stream, len(chunk)))) for chunk in track(loaded, len(kept), progress)]
    rows = dict(row for result in results for row in result.results)
    if store_field is not None:
        _store(dataset, store_field, rows)
    hidden = HiddenRegion(
        regions,
        region,
        fill,
        *(list(column) for column in zip(*((i.id, i.truth, i.predicted, rows.get(i.id)) for i in items), strict=True)),
        failures=[failure for result in results for failure in result.failures],
    )
    if record is not None:
        runs.save(dataset, runs.load(dataset, record.key).with_hidden(hidden.to_json()))
    return hidden


def _check_free(dataset: fo.Dataset, name: str) -> None:
    check_name(name, "store_field")
    field = dataset.get_field(name)
    if field is not None and getattr(field, "document_type", None) is not fo.DynamicEmbeddedDocument:
        raise FieldError(
            f"Expected `store_field` to be new or to hold results of an earlier call, but {name!r} is a "
            f"{type(field).__name__}. Choose another name."
        )


def _store(dataset: fo.Dataset, name: str, rows: dict[str, Hidden]) -> None:
    if dataset.get_field(name) is None:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
    documents = {sample_id: fo.DynamicEmbeddedDocument(**asdict(row)) for sample_id, row in rows.items()}
    dataset.set_values(name, documents, key_field="id", dynamic=True)
