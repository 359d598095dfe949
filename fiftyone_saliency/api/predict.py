"""Predict and evaluate: what the confusion matrix needs."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.api._workers import check_batch_size, count_workers
from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.core.errors import ArgumentError, FieldError
from fiftyone_saliency.core.types import Failure, LabelsPrediction, Prediction
from fiftyone_saliency.dataset.database import speaking_plainly
from fiftyone_saliency.dataset.fields import check_name, fields_of, require_field, require_samples, with_all_fields
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks
from fiftyone_saliency.runtime.worker import THRESHOLD, Predictor


@speaking_plainly()
def predict(
    samples: Any,
    model: Any,
    pred_field: str = "predictions",
    *,
    batch_size: int = 16,
    num_workers: int | None = None,
    store_logits: bool = False,
    threshold: float | None = None,
    progress: Progress = True,
) -> list[Failure]:
    """Store the model's predicted class of each sample, with the very preprocessing that the maps use.

    A model whose classes do not exclude each other (see `scores` of `load_model`) predicts labels instead: all whose
    probability reaches the threshold, the most probable first, as ``Classifications``. A sample of which the model
    names no label gets an empty list; only one that could not be predicted has none.

    Args:
        samples: dataset or view of images.
        model: whatever `load_model` takes, or what it returned.
        pred_field: Classification field that takes the predictions, or Classifications field for several labels;
            existing labels are replaced.
        batch_size: images per forward pass, and per write to the database, 1 to 1,024.
        num_workers: threads that read images; by default one per core, up to 8; 0 reads in the calling thread.
        store_logits: whether the labels carry all logits; a model that gives probabilities alone, their logarithms.
        threshold: least probability of a label, in [0, 1], where classes do not exclude each other; 0.5 by default.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The samples that could not be predicted, with reasons; they are left without a label.

    Raises:
        FieldError: if the field is of another type, or there are no samples.
        ModelError: if the model does not fit its classes or its preprocessing, or what its scores are is not known.
        ArgumentError: if a threshold is given for classes that exclude each other.
        DatabaseError: if the database does not answer.
    """
    check_batch_size(batch_size)
    workers = count_workers(num_workers)
    dataset = require_samples(samples)
    check_name(pred_field, "pred_field")
    field = dataset.get_field(pred_field)
    adapter = load_fitted(model, samples)
    predictor = Predictor(adapter, threshold=_threshold(threshold, adapter))
    predictor.probe()
    kind = fo.Classification if adapter.scoring.exclusive else fo.Classifications
    if field is None:
        dataset.add_sample_field(pred_field, fo.EmbeddedDocumentField, embedded_doc_type=kind)
    else:
        require_field(dataset, pred_field, kind, "pred_field")
    failures: list[Failure] = []
    items = read_items(samples)
    loaded = load_ahead(chunks(items, batch_size), adapter, workers)
    for chunk in track(loaded, len(items), progress):
        result = predictor(chunk)
        labels: dict[str, fo.Label | None] = {f.sample_id: None for f in result.failures}
        labels |= {p.sample_id: _label(p, p.logits if store_logits else None) for p in result.results}
        dataset.set_values(pred_field, labels, key_field="id", validate=False)
        failures.extend(result.failures)
    return failures


def _threshold(threshold: float | None, model: ModelAdapter) -> float:
    """Return the least probability of a label."""
    if threshold is None:
        return THRESHOLD
    check_range(threshold, "threshold", 0, 1)
    if model.scoring.exclusive:
        raise ArgumentError(
            f"Expected `threshold` only for a model whose classes do not exclude each other, but {model.name} gives "
            "one class per image. Leave it out, or load the model with scores='sigmoid'."
        )
    return threshold


def _label(prediction: Prediction | LabelsPrediction, logits: Any) -> fo.Label:
    """Return what is stored with a sample."""
    if isinstance(prediction, Prediction):
        return fo.Classification(label=prediction.label, confidence=prediction.confidence, logits=logits)
    pairs = zip(prediction.labels, prediction.confidences, strict=True)
    named = [fo.Classification(label=label, confidence=confidence) for label, confidence in pairs]
    return fo.Classifications(classifications=named, logits=logits)


def evaluate(
    samples: Any,
    pred_field: str = "predictions",
    *,
    gt_field: str = "ground_truth",
    eval_key: str = "eval",
    overwrite: bool = False,
) -> Any:
    """Evaluate stored predictions with FiftyOne, under a key that its own panels know too.

    Args:
        samples: dataset or view.
        pred_field: Classification field of the predicted labels.
        gt_field: Classification field of the true labels.
        eval_key: name of the evaluation, a valid identifier.
        overwrite: whether an evaluation of that name may be replaced.

    Returns:
        FiftyOne's ``ClassificationResults``.

    Raises:
        FieldError: if a field is of the wrong type, or the name is taken. Then nothing is changed.
    """
    dataset = require_samples(samples)
    for argument, name in (("pred_field", pred_field), ("gt_field", gt_field)):
        if name in fields_of(samples, fo.Classifications):
            raise FieldError(
                f"Expected `{argument}` to name a Classification field, but {name!r} holds several labels per sample, "
                f"which FiftyOne does not evaluate. Count them with confusion(samples, {pred_field!r}, "
                f"gt_field={gt_field!r}), or of one label with `label=`."
            )
        require_field(samples, name, fo.Classification, argument)
    _check_key(eval_key)
    if dataset.has_evaluation(eval_key):
        if not overwrite:
            raise FieldError(
                f"Expected `eval_key` to be new, but {eval_key!r} exists. Pass overwrite=True or another name."
            )
        dataset.delete_evaluation(eval_key)
    elif dataset.get_field(eval_key) is not None:
        # FiftyOne stores the verdicts in a field of that name, and deletes that field with the evaluation.
        raise FieldError(f"Expected `eval_key` to be new, but {eval_key!r} is a field. Choose another name.")
    try:
        # A view that selects fields would not show the new one.
        whole = with_all_fields(samples)
        return whole.evaluate_classifications(pred_field, gt_field=gt_field, eval_key=eval_key, progress=False)
    except BaseException:
        # FiftyOne registers it first: an evaluation without results would stay.
        if dataset.has_evaluation(eval_key):
            dataset.delete_evaluation(eval_key)
        raise


def _check_key(eval_key: Any) -> None:
    """Raise unless FiftyOne takes the name, for the evaluation and for the field of its verdicts alike."""
    if not isinstance(eval_key, str) or not eval_key.isidentifier() or eval_key.startswith("_"):
        raise FieldError(
            f"Expected `eval_key` to be an identifier like 'eval', but got {eval_key!r}. Begin with a letter, and use "
            "letters, digits and _ alone."
        )
