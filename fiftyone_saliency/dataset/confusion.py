"""Confusion matrices that lead back to their samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F

from fiftyone_saliency.core.confusion import ConfusionCounts, Pair, show
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.dataset.fields import dataset_of, require_field


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a confusion matrix.

    Args:
        truth: true label; None for samples without one.
        prediction: predicted label; None for samples without one.
        count: number of samples when the matrix was counted.
        matrix: the matrix.
    """

    truth: str | None
    prediction: str | None
    count: int
    matrix: ConfusionMatrix

    @property
    def name(self) -> str:
        """What a person calls the cell: "truth → prediction"."""
        return f"{show(self.truth)} → {show(self.prediction)}"

    @property
    def is_error(self) -> bool:
        """Whether truth and prediction differ."""
        return self.truth != self.prediction

    def view(self) -> fo.DatasetView:
        """Return exactly the cell's samples, as an expression on the samples that the matrix was asked for.

        An expression stays true after relabelling: the view follows the labels as they are.
        """
        return self.matrix.samples.match(self.matrix.expression(self.truth, self.prediction))


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts by truth (rows) and prediction (columns) over a dataset or view.

    Args:
        samples: what was counted.
        gt_field: Classification field of the true labels.
        pred_field: Classification field of the predicted labels.
        counts: the numbers.
    """

    samples: Any
    gt_field: str
    pred_field: str
    counts: ConfusionCounts

    @cached_property
    def cells(self) -> Cells:
        """The cells by (truth, prediction): ``matrix.cells["cake", "chocolate"]``."""
        return Cells(self)

    @property
    def labels(self) -> list[str | None]:
        """All labels, in alphabetical order; None last, where a label is missing."""
        return self.counts.labels

    @property
    def accuracy(self) -> float | None:
        """Share of correct samples among those with both labels, in [0, 1]; None if there are none."""
        return self.counts.accuracy

    def expression(self, truth: str | None, prediction: str | None) -> Any:
        """Return which samples a cell holds, as an expression on their labels."""
        return _is(self.gt_field, truth) & _is(self.pred_field, prediction)

    def says(self, truth: str | None, prediction: str | None) -> str:
        """Say in words which samples a cell holds."""
        return f"{self.gt_field} is {truth!r} and {self.pred_field} is {prediction!r}"

    def __str__(self) -> str:
        c = self.counts
        accuracy = "undefined" if c.accuracy is None else f"{c.accuracy:.3f}"
        worst = ", ".join(f"{show(t)} → {show(p)} ({n})" for (t, p), n in c.top_confusions(3))
        return f"{c.total} samples, accuracy {accuracy}" + (f"; most confused: {worst}" if worst else "")


class Cells(Mapping[Pair, Cell]):
    """The occupied cells of a matrix; an empty cell of known labels can be asked for and has count 0."""

    def __init__(self, matrix: ConfusionMatrix) -> None:
        self._matrix = matrix

    def __getitem__(self, pair: Pair) -> Cell:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ArgumentError(f"Expected cells[truth, prediction], but got cells[{pair!r}].")
        for label in pair:
            if label is not None and label not in self._matrix.labels:
                known = [known for known in self._matrix.labels if known is not None]
                raise UnknownNameError("label", label, known)
        return Cell(*pair, self._matrix.counts.pairs.get(pair, 0), self._matrix)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._matrix.counts.pairs)

    def __len__(self) -> int:
        return len(self._matrix.counts.pairs)


def count_confusion(samples: Any, pred_field: str, gt_field: str) -> ConfusionMatrix:
    """Count all cells with one aggregation in the database.

    Raises:
        FieldError: if a field is not a Classification field.
        UnknownNameError: if a field does not exist.
    """
    dataset_of(samples)
    require_field(samples, pred_field, fo.Classification, "pred_field")
    require_field(samples, gt_field, fo.Classification, "gt_field")
    return ConfusionMatrix(samples, gt_field, pred_field, ConfusionCounts(_count_pairs(samples, gt_field, pred_field)))


def split_cell_view(view: Any, gt_field: str, pred_field: str) -> tuple[Any, Pair | None]:
    """Take a cell's view apart.

    Args:
        view: any view.
        gt_field: Classification field of the true labels.
        pred_field: Classification field of the predicted labels.

    Returns:
        The samples that the cell belongs to, and its (truth, prediction); the view itself and None if its last
        stage is not a cell of these fields.
    """
    stages = view._serialize() if isinstance(view, fo.DatasetView) else []
    expressions = dict(stages[-1]["kwargs"]).get("filter", {}) if stages else {}
    sides = expressions.get("$expr", {}).get("$and", []) if isinstance(expressions, dict) else []
    if len(sides) != 2:
        return view, None
    labels = [_label_in(side, field) for side, field in zip(sides, (gt_field, pred_field), strict=True)]
    if _ELSE in labels:
        return view, None
    base = dataset_of(view).view()
    for stage in view._stages[:-1]:
        base = base.add_stage(stage)
    return base, (labels[0], labels[1])


_ELSE = object()


def _is(field: str, label: str | None) -> Any:
    # A literal, because a label such as "$5" would be read as the name of a field.
    return ~F(f"{field}.label").exists() if label is None else F(f"{field}.label") == F.literal(label)


def _label_in(expression: Any, field: str) -> Any:
    """Read back what `_is` wrote."""
    match expression:
        case {"$eq": [path, {"$literal": str(label)}]} if path == f"${field}.label":
            return label
        case {"$not": {"$gt": [path, None]}} if path == f"${field}.label":
            return None
    return _ELSE


def _count_pairs(samples: Any, *fields: str) -> dict[Pair, int]:
    """Count the pairs of labels: as two values, for a label may hold any character that would join them."""
    labels = {str(i): f"${field}.label" for i, field in enumerate(fields)}
    # FiftyOne's own aggregations group by one value; this is what they run.
    counted = samples._aggregate(pipeline=[{"$group": {"_id": labels, "count": {"$sum": 1}}}])
    pairs: dict[Pair, int] = {}
    for row in counted:
        # A missing field is no key, an empty one is None: both are no label.
        pair = (row["_id"].get("0"), row["_id"].get("1"))
        pairs[pair] = pairs.get(pair, 0) + int(row["count"])
    return pairs
