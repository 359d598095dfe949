"""Compute saliency maps and store them as heatmaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import fiftyone as fo

from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api._work import FieldWork, Work
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.errors import ArgumentError, ModelError, RunConflictError
from fiftyone_saliency.core.targets import GROUND_TRUTH, PREDICTED, TargetSpec, parse_target
from fiftyone_saliency.core.types import OUTPUTS, PRECISIONS, Output, Precision, SaliencyRequest, SampleItem, Sign
from fiftyone_saliency.dataset import runs, store
from fiftyone_saliency.dataset.database import speaking_plainly
from fiftyone_saliency.dataset.fields import all_images, require_field, require_samples
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.dataset.store import HeatmapStore
from fiftyone_saliency.methods._registry import get_method, list_methods, parameters_of
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.loading import LoadedImage, load_ahead
from fiftyone_saliency.runtime.precision import (
    MIN_SAMPLES,
    PROBE,
    Choice,
    choose_precision,
    in_precision,
    supports_bfloat16,
)
from fiftyone_saliency.runtime.worker import Explainer

AUTO = "auto"


def compute_saliency(
    samples: Any,
    model: Any,
    field: str = "saliency",
    *,
    method: str | Any = "grad_cam",
    parameters: Mapping[str, Any] | None = None,
    target: str = PREDICTED,
    output: Output = "logits",
    gt_field: str | None = "ground_truth",
    pred_field: str | None = "predictions",
    sign: Sign = "positive",
    seed: int = 51,
    precision: Precision | Literal["auto"] = AUTO,
    batch_size: int = 16,
    num_workers: int | None = None,
    skip_failures: bool = True,
    progress: Progress = True,
    overwrite: bool = False,
    verify_images: bool = False,
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
        target: what the maps explain: ``"predicted"``, ``"ground_truth"``, the name of a class, ``"top-2"`` (the
            class of the model's second highest logit), or a contrast such as ``"predicted - ground_truth"`` (or
            ``"contrast"``, the same), which shows what speaks for the one *rather than* the other. Where classes do
            not exclude each other, it is the name of a label: an image may have several.
        output: ``"logits"``, or ``"softmax"`` to explain probabilities, whose gradient vanishes where the model is
            sure; ``"sigmoid"`` where classes do not exclude each other. A model that gives probabilities alone is
            explained by them, and the run says so. Of one number for two classes, the logit of a class is that over
            the other.
        gt_field: Classification field of the true labels; used where the target names it.
        pred_field: Classification field of the predicted labels; used where the target names it. None means
            that "predicted" is what the model says now.
        sign: the evidence that is stored: ``"positive"``, ``"absolute"`` or ``"signed"``.
        seed: seed of methods that draw random numbers; each sample has its own stream.
        precision: number format of the network's trunk; the head always runs in float32. ``"auto"`` takes bfloat16
            for a CAM or perturbation method over 500 samples or more, if it is faster here and the maps of eight
            of the samples rank their pixels like those of float32 (Spearman 0.999); the run's `details` say which.
            A run that goes on keeps its format.
        batch_size: images per forward pass, and per write to the database, 1 to 1,024. Where memory runs out,
            it is halved.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        skip_failures: whether a sample that fails is recorded and passed over; else the first one raises.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.
        overwrite: whether to replace another run that holds the field, or to compute this run's samples again.
        verify_images: whether to read all images of stored maps again and compare their content with what was
            explained. Without it, they are compared by size, and by content where the path or the time of the last
            change is another. Maps of images that changed are computed again; the run's counts say how many.

    Returns:
        The run's record, with counts, and failures with their reasons.

    Raises:
        UnknownNameError: if a method, parameter, field, class or layer is not known.
        FieldError: if a field is of the wrong type, or there are no samples.
        ModelError: if the model does not fit its classes, its preprocessing or the method.
        RunConflictError: if the field holds another run and ``overwrite`` is False, or is being written to, or if the
            run or the dataset is deleted in the meantime.
        StorageError: if maps cannot be written, such as on a full disk; the run can be gone on with.
        DatabaseError: if the database does not answer; the run can be gone on with.
    """
    options = {name: value for name, value in locals().items() if name not in {"samples", "model", "field", "target"}}
    return compute_saliency_targets(samples, model, {field: target}, **options)[field]


@speaking_plainly()
def compute_saliency_targets(
    samples: Any,
    model: Any,
    targets: Mapping[str, str],
    *,
    method: str | Any = "grad_cam",
    parameters: Mapping[str, Any] | None = None,
    output: Output = "logits",
    gt_field: str | None = "ground_truth",
    pred_field: str | None = "predictions",
    sign: Sign = "positive",
    seed: int = 51,
    precision: Precision | Literal["auto"] = AUTO,
    batch_size: int = 16,
    num_workers: int | None = None,
    skip_failures: bool = True,
    progress: Progress = True,
    overwrite: bool = False,
    verify_images: bool = False,
) -> dict[str, SaliencyRun]:
    """Explain several targets of the same samples at once, one field each.

    Images are read once, and the network's trunk runs once per image; each target then costs only its share of the
    method: the gradient of the head for a CAM, next to nothing for a perturbation method. Every field gets the run
    that `compute_saliency` would have given it, under the same key.

    Args:
        samples: dataset or view of images.
        model: whatever `load_model` takes, or what it returned.
        targets: what to explain, by the field that takes the maps, such as
            ``{"why": "predicted", "why_not": "ground_truth", "second": "top-2"}``.
        method: as in `compute_saliency`, like all that follows.
        parameters: the method's parameters.
        output: logits or probabilities.
        gt_field: field of the true labels.
        pred_field: field of the predicted labels, or None.
        sign: the evidence that is stored.
        seed: seed of methods that draw random numbers.
        precision: number format of the network's trunk.
        batch_size: images per forward pass, 1 to 1,024.
        num_workers: threads that read images.
        skip_failures: whether failures are recorded and passed over.
        progress: as in `compute_saliency`.
        overwrite: whether to replace what the fields hold.
        verify_images: whether to compare the content of all images.

    Returns:
        The runs' records by field.

    Raises:
        ArgumentError: if there is no target.
        UnknownNameError: if a method, parameter, field, class or layer is not known.
        FieldError: if a field is of the wrong type, or there are no samples.
        ModelError: if the model does not fit its classes, its preprocessing or the method.
        RunConflictError: if a field holds another run and ``overwrite`` is False, or is being written to, or if a run
            or the dataset is deleted in the meantime.
        StorageError: if maps cannot be written, such as on a full disk; the runs can be gone on with.
        DatabaseError: if the database does not answer; the runs can be gone on with.
    """
    check_batch_size(batch_size)
    num_workers = count_workers(num_workers)
    check_choice(precision, "precision", (AUTO, *PRECISIONS))
    if not targets:
        raise ArgumentError('Expected `targets` to name a field and a target, but got none. Pass {"why": "predicted"}.')
    dataset = require_samples(samples)
    dataset.reload()
    adapter = load_fitted(model, samples)
    method_name, attributor = get_method(method, parameters)
    _check_fit(method_name, adapter)
    specs = {field: parse_target(target, adapter.classes) for field, target in targets.items()}
    _check_labels(adapter, specs.values())
    check_choice(output, "output", OUTPUTS)
    output = adapter.scoring.checked_output(output, adapter.name)
    named = {field: _needed_fields(samples, spec, gt_field, pred_field) for field, spec in specs.items()}
    explainer = Explainer(adapter, attributor, tuple(specs.values()), seed, pred_field is not None, output)
    requests = [
        SaliencyRequest(
            field=field,
            method=method_name,
            params=parameters_of(attributor),
            model=adapter.fingerprint,
            target=target,
            gt_field=named[field][0],
            pred_field=named[field][1],
            sign=sign,
            seed=seed,
            output=output,
        )
        for field, target in targets.items()
    ]
    fields = _Fields(dataset, {r.field: runs.settle(dataset, r.field, r) for r in requests}, overwrite)
    fields.refuse_conflicts(PRECISIONS if precision == AUTO else (precision,))
    explainer.probe()
    items = read_items(samples, *(next((f for f in column if f), None) for column in zip(*named.values(), strict=True)))
    with ExitStack() as held:
        for field in targets:
            held.enter_context(store.only_writer(dataset, field))
        known = fields.stored_precision() if precision == AUTO else Choice(precision, "asked for")
        explainer, choice = _choose(explainer, items, num_workers, known)
        fields = fields.in_precision(choice.precision)
        fields.refuse_conflicts((choice.precision,))
        fields.remove_others()
        works = [_field_work(dataset, field, request, adapter, choice) for field, request in fields.requests.items()]
        work = Work(samples, items, explainer, works, batch_size, num_workers, skip_failures, progress)
        return replace(work, anew=overwrite, reread=verify_images).run()


@dataclass(frozen=True, eq=False)
class _Fields:
    """The fields that take the maps, and what is in them."""

    dataset: fo.Dataset
    requests: dict[str, SaliencyRequest]
    overwrite: bool

    def stored_precision(self) -> Choice | None:
        """Return the number format of a stored run that is the same but for it."""
        for request in self.requests.values():
            for precision in PRECISIONS:
                key = replace(request, precision=precision).key
                if self.dataset.has_run(key):
                    return Choice(precision, runs.load(self.dataset, key).details.get("precision", ""))
        return None

    def in_precision(self, precision: Precision) -> _Fields:
        """Return the fields as this number format will fill them."""
        return replace(
            self, requests={f: replace(request, precision=precision) for f, request in self.requests.items()}
        )

    def refuse_conflicts(self, precisions: Iterable[Precision]) -> None:
        """Raise if a field holds anything but this run, in one of the number formats."""
        for field, request in self.requests.items():
            alike = {replace(request, precision=precision).key for precision in precisions}
            others = store.check_free(self.dataset, field, request.key) - alike
            if others and not self.overwrite:
                raise _conflict(self.dataset, field, request, others)

    def remove_others(self) -> None:
        """Delete all other runs that hold the fields, with their records."""
        for field, request in self.requests.items():
            others = store.check_free(self.dataset, field, request.key) | runs.keys_of_field(self.dataset, field)
            for key in others - {request.key}:
                _remove_run(self.dataset, field, key)


def _check_fit(method: str, model: ModelAdapter) -> None:
    methods = list_methods()
    if model.differentiable or not methods[method].needs_network:
        return
    way_out = getattr(model.module, "way_out", "")
    usable = [name for name, info in methods.items() if not (info.needs_network or info.hidden)]
    raise ModelError(
        f"Expected a torch network for the method {method!r}, which looks inside it, but {model.name!r} is a black "
        f"box: a function from images to scores. Choose one of {', '.join(usable)}. {way_out}".rstrip()
    )


def _check_labels(model: ModelAdapter, specs: Iterable[TargetSpec]) -> None:
    """Raise if a target asks for the one class of an image, where it may have several labels."""
    words = [side for spec in specs for side in spec.sides if side in {PREDICTED, GROUND_TRUTH}]
    asked = [word for word in words if word not in model.classes]
    if asked and model.scoring.exclusive is False:
        raise ArgumentError(
            f"Expected `target` to name a label of {model.name}, whose classes do not exclude each other, but got "
            f"{asked[0]!r}, of which an image may have several. Pass a label such as {model.classes[0]!r}, or 'top-1'; "
            "compute_saliency_targets explains several at once, a field each."
        )


def _choose(
    explainer: Explainer, items: list[SampleItem], num_workers: int, known: Choice | None
) -> tuple[Explainer, Choice]:
    """Return what explains in the known number format, or in one that is chosen on a few samples, and the choice.

    The explainer that is given runs in float32.
    """
    if known is not None:
        return in_precision(explainer, known.precision), known
    family = list_methods()[get_method(explainer.method)[0]].family
    if family not in {"cam", "perturbation"} or not supports_bfloat16(explainer):
        return explainer, Choice(
            "float32", "bfloat16 is for CAM and perturbation methods where the device computes in it"
        )
    if len(items) < MIN_SAMPLES:
        return explainer, Choice("float32", f"bfloat16 is tried from {MIN_SAMPLES} samples on")
    (chunk,) = load_ahead([items[:: len(items) // PROBE][:PROBE]], explainer.model, num_workers)
    narrow = in_precision(explainer, "bfloat16")
    choice = choose_precision(explainer, narrow, [image for image in chunk if isinstance(image, LoadedImage)])
    return (narrow if choice.precision == "bfloat16" else explainer), choice


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


def _field_work(
    dataset: fo.Dataset, field: str, request: SaliencyRequest, model: ModelAdapter, choice: Choice
) -> FieldWork:
    moved_to = None if field == request.field else field
    heatmaps = HeatmapStore(dataset, request, store.default_folder(dataset, request.key), moved_to)
    earlier = runs.load(dataset, request.key) if dataset.has_run(request.key) else None
    record = SaliencyRun(
        key=request.key,
        request=request,
        model_name=model.name,
        folder=str(heatmaps.folder),
        failures=() if earlier is None else earlier.failures,
        started=runs.now(),
        versions=runs.versions(),
        details=_details(request.method, model, choice),
        # The same key means the same pixels: what was found out about them holds.
        trust=None if earlier is None else earlier.trust,
        moved_to=moved_to,
        faithfulness=None if earlier is None else earlier.faithfulness,
        hidden=() if earlier is None else earlier.hidden,
    )
    return FieldWork(record, heatmaps)


def _details(method: str, model: ModelAdapter, choice: Choice) -> dict[str, str]:
    details = {"device": str(model.device), "precision": choice.reason, "scores": str(model.scoring)}
    if list_methods()[method].family == "cam":
        details["layer"] = model.cam_layer
    return details


def _remove_run(dataset: fo.Dataset, field: str, key: str) -> None:
    """Take a run out of a field: the whole run where it lives there, else what was copied from it."""
    if key in runs.keys_of_field(dataset, field):
        runs.delete(dataset, runs.load(dataset, key))
    else:
        store.clear(all_images(dataset).match(fo.ViewField(f"{field}.run_key") == key), field)


def _conflict(dataset: fo.Dataset, field: str, request: SaliencyRequest, others: Iterable[str]) -> RunConflictError:
    described = []
    for key in sorted(others):
        if dataset.has_run(key):
            old = runs.load(dataset, key)
            described.append(f"{key} (target {old.request.target!r}, model {old.model_name!r})")
        else:
            described.append(key)
    return RunConflictError(
        f"Expected field {field!r} to be free or to hold run {request.key}, but it holds "
        f"{', '.join(described)}. Pass overwrite=True to replace it, or choose another field."
    )
