"""A second pass of a model over pictures that were saved once more: how far its numbers move when nothing changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api._workers import check_batch_size
from fiftyone_saliency.api.compute import compute_saliency
from fiftyone_saliency.api.predict import predict
from fiftyone_saliency.core.checks import check_int
from fiftyone_saliency.core.errors import ArgumentError, ImageError, ModelError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.images import read_image
from fiftyone_saliency.dataset import runs, store
from fiftyone_saliency.dataset.fields import require_samples
from fiftyone_saliency.dataset.regions import read_evidence

_FIELD, _LABELS = "second_pass", "second_pass_predictions"


def second_pass(
    samples: Any,
    model: Any,
    field: str = "saliency",
    *,
    regions: str,
    quality: int = 90,
    batch_size: int = 16,
    progress: Progress = False,
) -> Evidence:
    """Predict and explain again, as a run did, what a JPEG file at another quality makes of the same pictures.

    A person sees no difference, so a model that is compared with another one should not move by less than this.
    What it returns is the `noise` of `compare_runs`. The dataset is left alone: the work is done on a copy of its
    documents and in a temporary folder, which are removed again.

    Args:
        samples: dataset or view.
        model: the run's model: whatever `load_model` takes.
        field: key or field of the run that is repeated.
        regions: the regions that the evidence is measured in.
        quality: JPEG quality, from 1 to 95; lower is noisier.
        batch_size: images per forward pass, 1 to 1,024.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The table of the second pass: predictions and shares by sample.

    Raises:
        UnknownNameError: if there is no such run or field.
        ArgumentError: if the run was not computed from stored predictions, or ``quality`` makes no sense.
        ModelError: if the model is not the run's.
    """
    check_int(quality, "quality", 1, 95)
    check_batch_size(batch_size)
    run = runs.load(require_samples(samples), field)
    request = run.request
    if request.pred_field is None:
        raise ArgumentError(
            f"Expected run {run.key} to explain stored predictions, but its target is {request.target!r}. "
            'Repeat a run with target="predicted".'
        )
    adapter = load_fitted(model, samples)
    if adapter.fingerprint != request.model:
        raise ModelError(
            f"Expected the model of run {run.key}, {run.model_name!r}, but {adapter.name!r} has other weights, layer "
            "or preprocessing. Pass the very model that the run was computed with."
        )
    with _saved_again(samples, quality) as copy:
        predict(copy, adapter, _LABELS, batch_size=batch_size, progress=progress)
        compute_saliency(
            copy,
            adapter,
            _FIELD,
            method=request.method,
            parameters=request.params,
            target=request.target,
            output=request.output,
            gt_field=request.gt_field,
            pred_field=_LABELS,
            sign=request.sign,
            seed=request.seed,
            precision=request.precision,
            batch_size=batch_size,
            progress=progress,
        )
        return replace(read_evidence(copy, _FIELD, regions, pred_field=_LABELS), field=run.field)


@contextmanager
def _saved_again(samples: Any, quality: int) -> Iterator[Any]:
    """Yield a copy of the samples whose pictures are JPEG files in a temporary folder; both are gone afterwards."""
    copy = samples.clone()
    try:
        with tempfile.TemporaryDirectory(prefix="fiftyone-saliency-") as folder:
            ids, paths = copy.values(["id", "filepath"])
            targets = [Path(folder) / f"{sample_id}.jpg" for sample_id in ids]
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                saved = pool.map(_save, paths, targets, [quality] * len(paths))
                copy.set_values("filepath", dict(zip(ids, saved, strict=True)), key_field="id")
            yield copy
    finally:
        shutil.rmtree(store.default_folder(copy, _FIELD).parent, ignore_errors=True)
        copy.delete()


def _save(path: str, target: Path, quality: int) -> str:
    try:
        read_image(path).save(target, "JPEG", quality=quality)
    except ImageError:
        return path  # it fails again, and is recorded, where it failed before
    return str(target)
