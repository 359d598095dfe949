"""The confusion matrix of a FiftyOne evaluation: the samples that it saw, with the labels that it saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from fiftyone import ViewExpression
from fiftyone import ViewField as F

from fiftyone_saliency.core.confusion import ConfusionCounts, Pair
from fiftyone_saliency.core.errors import FieldError, UnknownNameError
from fiftyone_saliency.dataset.confusion import ConfusionMatrix, count_confusion
from fiftyone_saliency.dataset.fields import dataset_of

Labels = Sequence[str | None]
_Key = tuple[str | None, str | None]
_Known = tuple[str, str | None, str | None]


@dataclass(frozen=True, eq=False)
class EvaluationMatrix(ConfusionMatrix):
    """Counts of the labels that an evaluation saw, where some have changed since.

    Args:
        eval_key: name of the evaluation.
        members: ids of the samples of each cell.
    """

    eval_key: str = ""
    members: Mapping[Pair, Sequence[str]] = field(default_factory=dict[Pair, Sequence[str]])

    def expression(self, truth: str | None, prediction: str | None) -> Any:
        """Return which samples a cell holds: by their ids, for their labels no longer say it."""
        ids = [ObjectId(one) for one in self.members.get((truth, prediction), ())]
        return ViewExpression({"$in": ["$_id", ids]})

    def says(self, truth: str | None, prediction: str | None) -> str:
        """Say in words which samples a cell holds."""
        return f"when evaluated as {self.eval_key!r}, {super().says(truth, prediction)}"


def count_evaluation(samples: Any, eval_key: str) -> ConfusionMatrix:
    """Count what an evaluation saw: its own two fields, its own samples, and the labels that they had.

    Args:
        samples: dataset or view; samples that the evaluation did not see are left out.
        eval_key: name of a FiftyOne classification evaluation.

    Returns:
        The matrix over the samples that were evaluated. Where no label has changed since, its cells are expressions
        on the labels; else they hold the samples that were in them.

    Raises:
        UnknownNameError: if there is no such evaluation.
        FieldError: if it does not evaluate classifications, or its labels can no longer be told apart.
    """
    pred_field, gt_field = fields_of_evaluation(samples, eval_key)
    dataset = dataset_of(samples)
    # Missing where the evaluation did not see the sample, and False where it saw that a prediction is missing.
    seen = samples.match(F(eval_key).exists())
    matrix = count_confusion(seen, pred_field, gt_field)
    rows = _rows(dataset, eval_key, gt_field, pred_field)
    if rows is None:
        return matrix
    now = zip(*(seen.values(path) for path in ("id", f"{gt_field}.label", f"{pred_field}.label")), strict=True)
    members: dict[Pair, list[str]] = defaultdict(list)
    changed = False
    for sample_id, truth, prediction in now:
        members[rows[sample_id]].append(sample_id)
        changed |= rows[sample_id] != (truth, prediction)
    if not changed:
        return matrix
    counts = ConfusionCounts({pair: len(ids) for pair, ids in members.items()})
    return EvaluationMatrix(seen, gt_field, pred_field, counts, eval_key, members)


def fields_of_evaluation(samples: Any, eval_key: str) -> tuple[str, str]:
    """Return the prediction and ground truth fields of a classification evaluation.

    Raises:
        UnknownNameError: if there is no such evaluation.
        FieldError: if it does not evaluate classifications.
    """
    dataset = dataset_of(samples)
    if eval_key not in dataset.list_evaluations():
        raise UnknownNameError("evaluation", eval_key, dataset.list_evaluations())
    config = dataset.get_evaluation_info(eval_key).config
    if config.type != "classification":
        raise FieldError(f"Expected a classification evaluation, but {eval_key!r} is of type {config.type!r}.")
    if not dataset.has_sample_field(eval_key):
        raise FieldError(
            f"Expected field {eval_key!r} to say which samples the evaluation saw, but it is gone. Evaluate again."
        )
    return config.pred_field, config.gt_field


def _rows(dataset: Any, eval_key: str, gt_field: str, pred_field: str) -> dict[str, Pair] | None:
    """Return the truth and prediction that the evaluation saw of each sample, or None where it kept no results."""
    results = dataset.load_evaluation_results(eval_key)
    if results is None or getattr(results, "ytrue_ids", None) is None or results.ypred_ids is None:
        return None
    truths = _labels(results.ytrue, results.ytrue_ids, results.missing)
    predictions = _labels(results.ypred, results.ypred_ids, results.missing)
    names = ("id", f"{gt_field}.id", f"{pred_field}.id")
    known = list(zip(*(dataset.match(F(eval_key).exists()).values(name) for name in names), strict=True))
    rows = list(zip(truths, predictions, strict=True))
    return _aligned(known, list(zip(results.ytrue_ids, results.ypred_ids, strict=True)), rows, eval_key)


def _labels(values: Sequence[Any], ids: Sequence[Any], missing: str) -> Labels:
    """Undo that FiftyOne writes "(none)" for a missing label: what has an id may really be called so."""
    return [None if one is None and value == missing else str(value) for value, one in zip(values, ids, strict=True)]


def _aligned(known: Sequence[_Known], keys: Sequence[_Key], rows: Sequence[Pair], eval_key: str) -> dict[str, Pair]:
    """Pair samples with the evaluation's rows: by their order where the labels' ids agree, or else by those ids."""
    if len(known) == len(keys) and all(a == c or b == d for (_, a, b), (c, d) in zip(known, keys, strict=True)):
        return {sample_id: row for (sample_id, _, _), row in zip(known, rows, strict=True)}
    by_id = {label_id: i for i, pair in enumerate(keys) for label_id in pair if label_id is not None}
    places = {sample_id: by_id.get(truth or "", by_id.get(said or "")) for sample_id, truth, said in known}
    found = [place for place in places.values() if place is not None]
    left = [sample_id for sample_id, place in places.items() if place is None]
    free = [i for i in range(len(rows)) if i not in set(found)]
    # What has new labels in both fields is told by its place among the others, if all are there and in order.
    ordered = len(free) == len(left) and found == sorted(found)
    if left and not (ordered or len({rows[i] for i in free}) == 1):
        raise FieldError(
            f"Expected the labels that {eval_key!r} evaluated, but {len(left)} samples have new ones in both fields, "
            "so that theirs cannot be found. Evaluate again."
        )
    places |= zip(left, free if ordered else free[:1] * len(left), strict=True)
    return {sample_id: rows[place] for sample_id, place in places.items() if place is not None}
