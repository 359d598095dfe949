"""Confusion matrices of samples with several labels: of one label, and of pairs; cells lead to their samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import fiftyone as fo
from fiftyone import ViewExpression

from fiftyone_saliency.core.confusion import Pair
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.label_counts import LabelCounts, Labels, absent, count_pairs
from fiftyone_saliency.dataset.confusion import ConfusionMatrix
from fiftyone_saliency.dataset.fields import dataset_of, fields_of, require_field

KINDS = (fo.Classification, fo.Classifications)
_MARK = "fiftyone-saliency labels"
# What an expression of MongoDB says of one side of one label.
_STATES = {"present": "1", "absent": "0", "missing": "-"}


@dataclass(frozen=True, eq=False)
class LabelMatrix(ConfusionMatrix):
    """Whether one label is true against whether it is predicted.

    Args:
        label: the label.
    """

    label: str = ""

    def expression(self, truth: str | None, prediction: str | None) -> Any:
        """Return which samples a cell holds."""
        sides = ((self.gt_field, truth), (self.pred_field, prediction))
        parts = [self._side(_Side(self.samples, field), state) for field, state in sides]
        return _marked(parts, [self.gt_field, self.pred_field, self.label, truth, prediction])

    def says(self, truth: str | None, prediction: str | None) -> str:
        """Say in words which samples a cell holds."""
        return f"of the label {self.label!r}, {super().says(truth, prediction)}"

    def _side(self, side: _Side, state: str | None) -> dict[str, Any]:
        if state is None:
            return {"$not": [side.exists]}
        present = side.has(self.label)
        return {"$and": [side.exists, present if state == self.label else {"$not": [present]}]}


@dataclass(frozen=True, eq=False)
class PairsMatrix(ConfusionMatrix):
    """Labels that were missed against labels that were wrongly predicted, see `PairCounts`."""

    def expression(self, truth: str | None, prediction: str | None) -> Any:
        """Return which samples a cell holds."""
        true, said = _Side(self.samples, self.gt_field), _Side(self.samples, self.pred_field)
        if truth is None and prediction is None:
            parts = [true.is_empty, said.is_empty]
        elif truth == prediction:
            parts = [true.has(truth), said.has(truth)]
        else:
            parts = [_only(true, said, truth), _only(said, true, prediction)]
        keys = [self.gt_field, self.pred_field, None, truth, prediction]
        return _marked([true.exists, said.exists, *parts], keys)

    def says(self, truth: str | None, prediction: str | None) -> str:
        """Say in words which samples a cell holds."""
        if truth == prediction:
            return f"{truth!r} is in {self.gt_field} and in {self.pred_field}"
        return f"{truth!r} is only in {self.gt_field} and {prediction!r} only in {self.pred_field}"


def holds_several(samples: Any, *fields: str) -> bool:
    """Return whether one of the fields holds several labels per sample."""
    several = fields_of(samples, fo.Classifications)
    return any(field in several for field in fields)


def labels_of(samples: Any, *fields: str) -> list[str]:
    """Return the labels in these fields, in alphabetical order."""
    return sorted({name for field in fields for name in samples.distinct(_Side(samples, field).path)})


def count_labels(samples: Any, pred_field: str, gt_field: str, label: str | None) -> ConfusionMatrix:
    """Count one label, or pairs of labels where `label` is None.

    Raises:
        FieldError: if a field holds no classifications.
        UnknownNameError: if a field does not exist, or neither of them has the label.
    """
    dataset_of(samples)
    require_field(samples, pred_field, KINDS, "pred_field")
    require_field(samples, gt_field, KINDS, "gt_field")
    true, said = _Side(samples, gt_field), _Side(samples, pred_field)
    if label is None:
        rows = zip(true.values(), said.values(), strict=True)
        return PairsMatrix(samples, gt_field, pred_field, count_pairs(rows))
    known = labels_of(samples, gt_field, pred_field)
    if label not in known:
        raise UnknownNameError(f"label of {gt_field!r} or {pred_field!r}", label, known)
    counted = samples.count_values(ViewExpression({"$concat": [true.state(label), said.state(label)]}))
    states = [label, absent(label), None]
    pairs: dict[Pair, int] = {(t, p): 0 for t in states[:2] for p in states[:2]}
    by_code = dict(zip(_STATES.values(), states, strict=True))
    pairs |= {(by_code[code[0]], by_code[code[1]]): int(count) for code, count in counted.items()}
    return LabelMatrix(samples, gt_field, pred_field, LabelCounts(pairs, label), label)


def split_label_view(view: Any, gt_field: str, pred_field: str, label: str | None) -> tuple[Any, Pair | None]:
    """Take a cell's view apart.

    Args:
        view: any view.
        gt_field: field of the true labels.
        pred_field: field of the predicted labels.
        label: the label of the matrix, None for pairs.

    Returns:
        The samples that the cell belongs to, and its (truth, prediction), None if it is a cell of another label; the
        view itself and None if its last stage is no cell of these fields.
    """
    stages = view._serialize() if isinstance(view, fo.DatasetView) else []
    expressions = dict(stages[-1]["kwargs"]).get("filter", {}) if stages else {}
    match expressions:
        case {"$expr": {"$and": [*_, {"$literal": [mark, *keys, truth, prediction]}]}}:
            if mark == _MARK and keys[:2] == [gt_field, pred_field]:
                base = dataset_of(view).view()
                for stage in view._stages[:-1]:
                    base = base.add_stage(stage)
                return base, (truth, prediction) if keys[2] == label else None
    return view, None


class _Side:
    """A field of labels in expressions of MongoDB, whether it holds one label per sample or several."""

    def __init__(self, samples: Any, field: str) -> None:
        self.several = holds_several(samples, field)
        self.path = f"{field}.classifications.label" if self.several else f"{field}.label"
        self._samples, self._field = samples, field

    @property
    def exists(self) -> dict[str, Any]:
        return {"$gt": [f"${self._field}.classifications" if self.several else f"${self.path}", None]}

    @property
    def labels(self) -> dict[str, Any]:
        if self.several:
            return {"$ifNull": [f"${self.path}", []]}
        return {"$cond": [self.exists, [f"${self.path}"], []]}

    @property
    def is_empty(self) -> dict[str, Any]:
        return {"$eq": [{"$size": self.labels}, 0]}

    def has(self, label: str | None) -> dict[str, Any]:
        # A literal, because a label such as "$5" would be read as the name of a field.
        return {"$in": [{"$literal": label}, self.labels]}

    def state(self, label: str) -> dict[str, Any]:
        known = {"$cond": [self.has(label), _STATES["present"], _STATES["absent"]]}
        return {"$cond": [self.exists, known, _STATES["missing"]]}

    def values(self) -> Iterable[Labels]:
        """Return the labels of each sample; None where it has none stored."""
        if not self.several:
            return (None if one is None else frozenset({one}) for one in self._samples.values(self.path))
        exists = self._samples.values(ViewExpression(self.exists))
        return starmap(_labels, zip(exists, self._samples.values(self.path), strict=True))


def _labels(exists: bool, labels: list[str | None] | None) -> Labels:
    return frozenset(name for name in labels or () if name is not None) if exists else None


def _only(side: _Side, other: _Side, label: str | None) -> dict[str, Any]:
    """Return where a label is in the one and not in the other; of None, where no label is."""
    if label is None:
        return {"$setIsSubset": [side.labels, other.labels]}
    return {"$and": [side.has(label), {"$not": [other.has(label)]}]}


def _marked(parts: list[dict[str, Any]], keys: list[str | None]) -> ViewExpression:
    """Join conditions, and name the cell beside them so that its view is known again: a list counts as true."""
    return ViewExpression({"$and": [*parts, {"$literal": [_MARK, *keys]}]})
