"""Compute saliency maps and store them as heatmaps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api.models import load_model
from fiftyone_saliency.core.checks import check_int
from fiftyone_saliency.core.errors import RunConflictError, SaliencyError
from fiftyone_saliency.core.targets import GROUND_TRUTH, PREDICTED, TargetSpec, parse_target
from fiftyone_saliency.core.types import Counts, Failure, SaliencyRequest, SampleItem, Sign
from fiftyone_saliency.dataset import runs, store
from fiftyone_saliency.dataset.fields import all_images, require_field, require_samples
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.dataset.store import HeatmapStore
from fiftyone_saliency.methods._registry import get_method, parameters_of
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks, remaining
from fiftyone_saliency.runtime.worker import Explainer


def compute_saliency(
    samples: Any,
    model: Any,
    field: str = "saliency",
    *,
    method: str | Any = "grad_cam",
    parameters: Mapping[str, Any] | None = None,
    target: str = PREDICTED,
    gt_field: str | None = "ground_truth",
    pred_field: str | None = "predictions",
    sign: Sign = "positive",
    seed: int = 51,
    batch_size: int = 16,
    num_workers: int | None = None,
    skip_failures: bool = True,
    progress: Progress = True,
    overwrite: bool = False,
) -> SaliencyRun:
    """Compute a saliency map for each sample and store it as a heatmap that the App draws over the image.

    A run is named by a key made of all that decides the pixels. Samples that already carry the key are kept, so
    a run that was interrupted, even killed, goes on where it stopped when it is called again, and new samples
    can be added to it. Maps lie in the frame of the image: resize, crop and padding are undone, and what the
    network did not see is 0, which is drawn as transparent except in a signed run.

    Args:
        samples: dataset or view of images.
        model: whatever `load_model` takes, or what it returned.
        field: Heatmap field that takes the maps; one run per field.
        method: name of an attribution method (see `list_methods`), or a method as an object.
        parameters: the method's parameters, such as ``{"steps": 50}``.
        target: what the maps explain: ``"predicted"``, ``"ground_truth"``, the name of a class, a contrast such
            as ``"predicted - ground_truth"`` (or ``"contrast"``, the same), which shows what speaks for the one
            *rather than* the other. Logits are explained, not probabilities.
        gt_field: Classification field of the true labels; used where the target names it.
        pred_field: Classification field of the predicted labels; used where the target names it. None means
            that "predicted" is what the model says now.
        sign: the evidence that is stored: ``"positive"``, ``"absolute"`` or ``"signed"``.
        seed: seed of methods that draw random numbers; each sample has its own stream.
        batch_size: images per forward pass, and per write to the database.
        num_workers: threads that read images; by default one per core, up to 8.
        skip_failures: whether a sample that fails is recorded and passed over; else the first one raises.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.
        overwrite: whether to replace another run that holds the field, or to compute this run's samples again.

    Returns:
        The run's record, with counts, and failures with their reasons.

    Raises:
        UnknownNameError: if a method, parameter, field, class or layer is not known.
        FieldError: if a field is of the wrong type, or there are no samples.
        ModelError: if the model does not fit its classes, its preprocessing or the method.
        RunConflictError: if the field holds another run and ``overwrite`` is False.
    """
    check_int(batch_size, "batch_size", 1)
    num_workers = min(8, os.cpu_count() or 1) if num_workers is None else num_workers
    check_int(num_workers, "num_workers", 1)
    dataset = require_samples(samples)
    dataset.reload()
    adapter = load_model(model)
    method_name, attributor = get_method(method, parameters)
    spec = parse_target(target, adapter.classes)
    gt_field, pred_field = _needed_fields(samples, spec, gt_field, pred_field)
    explainer = Explainer(adapter, attributor, spec, seed, stored_predictions=pred_field is not None)
    request = SaliencyRequest(
        field=field,
        method=method_name,
        params=parameters_of(attributor),
        model=adapter.fingerprint,
        target=target,
        gt_field=gt_field,
        pred_field=pred_field,
        sign=sign,
        seed=seed,
    )
    others = store.check_free(dataset, request)
    if others and not overwrite:
        raise _conflict(dataset, request, others)
    explainer.probe()
    for key in others | runs.keys_of_field(dataset, field) - {request.key}:
        _remove_other(dataset, field, key)
    heatmaps = HeatmapStore(dataset, request, store.default_folder(dataset, request.key))
    if overwrite and dataset.get_field(field) is not None:
        store.clear(samples, field)
    work = _Work(samples, explainer, heatmaps, batch_size, num_workers, skip_failures, progress)
    return work.run(_first_record(dataset, request, adapter, heatmaps))


@dataclass(frozen=True, eq=False)
class _Work:
    """One call: what is left of the samples, chunk by chunk, with the record kept true at every end."""

    samples: Any
    explainer: Explainer
    heatmaps: HeatmapStore
    batch_size: int
    num_workers: int
    skip_failures: bool
    progress: Progress

    def run(self, record: SaliencyRun) -> SaliencyRun:
        dataset = self.heatmaps.dataset
        self.heatmaps.prepare()
        runs.save(dataset, record)
        request = self.heatmaps.request
        items = read_items(self.samples, request.gt_field, request.pred_field)
        done = self.heatmaps.done(self.samples)
        # A relabelled sample carries the key, but its map explains the old label.
        relabelled = {i.id for i in items if i.id in done and not self.explainer.still_explains(i, done[i.id])}
        if relabelled:
            store.clear(self.samples.select(list(relabelled)), request.field)
        todo = remaining(items, done.keys() - relabelled)
        tally = _Tally(len(items) - len(todo))
        status = "interrupted"
        try:
            self._explain(todo, tally)
            status = "completed"
        finally:
            touched = {item.id for item in items}
            failures = runs.merge_failures(record.failures, tally.failures, touched)
            record = replace(record, status=status, counts=tally.counts(), failures=failures, finished=runs.now())
            runs.save(dataset, record)
        return record

    def _explain(self, todo: list[SampleItem], tally: _Tally) -> None:
        loaded = load_ahead(chunks(todo, self.batch_size), self.explainer.model, self.num_workers)
        for chunk in track(loaded, len(todo), self.progress):
            result = self.explainer(chunk)
            tally.no_evidence += self.heatmaps.write(result.results)
            tally.done += len(result.results)
            tally.failures.extend(result.failures)
            broken = next((f for f in result.failures if f.kind == "error"), None)
            if broken is not None and not self.skip_failures:
                raise SaliencyError(
                    f"Expected sample {broken.sample_id} to be explained, but {broken.filepath} failed: "
                    f"{broken.reason}. Pass skip_failures=True to record such samples and go on."
                )


@dataclass(eq=False)
class _Tally:
    resumed: int
    done: int = 0
    no_evidence: int = 0

    def __post_init__(self) -> None:
        self.failures: list[Failure] = []

    def counts(self) -> Counts:
        skipped = sum(f.kind == "skip" for f in self.failures)
        return Counts(self.done + self.resumed, skipped, len(self.failures) - skipped, self.resumed, self.no_evidence)


def _needed_fields(
    samples: Any, spec: TargetSpec, gt_field: str | None, pred_field: str | None
) -> tuple[str | None, str | None]:
    """Keep the fields that the target names: the others do not decide a pixel."""
    gt_field = gt_field if GROUND_TRUTH in spec.sides else None
    pred_field = pred_field if PREDICTED in spec.sides else None
    if GROUND_TRUTH in spec.sides:
        require_field(samples, gt_field, fo.Classification, "gt_field")
    if pred_field is not None:
        require_field(samples, pred_field, fo.Classification, "pred_field")
    return gt_field, pred_field


def _first_record(
    dataset: fo.Dataset, request: SaliencyRequest, model: ModelAdapter, heatmaps: HeatmapStore
) -> SaliencyRun:
    earlier = runs.load(dataset, request.key).failures if dataset.has_run(request.key) else ()
    return SaliencyRun(
        key=request.key,
        request=request,
        model_name=model.name,
        folder=str(heatmaps.folder),
        failures=earlier,
        started=runs.now(),
        versions=runs.versions(),
    )


def _remove_other(dataset: fo.Dataset, field: str, key: str) -> None:
    if dataset.has_run(key):
        runs.delete(dataset, runs.load(dataset, key))
    else:
        store.clear(all_images(dataset).match(fo.ViewField(f"{field}.run_key") == key), field)


def _conflict(dataset: fo.Dataset, request: SaliencyRequest, others: set[str]) -> RunConflictError:
    described = []
    for key in sorted(others):
        if dataset.has_run(key):
            old = runs.load(dataset, key)
            described.append(f"{key} (target {old.request.target!r}, model {old.model_name!r})")
        else:
            described.append(key)
    return RunConflictError(
        f"Expected field {request.field!r} to be free or to hold run {request.key}, but it holds "
        f"{', '.join(described)}. Pass overwrite=True to replace it, or choose another field."
    )
