"""The confusion matrix, and what can be done with a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fiftyone_saliency.core.checks import check_choice, check_int
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset import views
from fiftyone_saliency.dataset.confusion import Cell, ConfusionMatrix, count_confusion
from fiftyone_saliency.dataset.curate import as_tags
from fiftyone_saliency.dataset.evaluation_matrix import count_evaluation
from fiftyone_saliency.dataset.fields import dataset_of, fresh_dataset_of, require_samples
from fiftyone_saliency.dataset.label_confusion import count_labels, holds_several
from fiftyone_saliency.dataset.views import WHICH, Which


def confusion(
    samples: Any,
    pred_field: str | None = None,
    *,
    gt_field: str = "ground_truth",
    eval_key: str | None = None,
    label: str | None = None,
) -> ConfusionMatrix:
    """Count truth against prediction; samples that lack one have a row or column of their own.

    Where a sample has several labels (Classifications fields), pairs of labels are counted: in ``cells["dog", "cat"]``
    are the samples whose dog was missed and who were taken to show a cat; ``cells["dog", "dog"]`` those whose dog was
    found; None stands for "nothing was missed" or "nothing was wrongly predicted". A sample may be in several cells,
    and the accuracy is the share of samples whose labels are all right (subset accuracy). One without truth or
    prediction is in none. See `fiftyone_saliency.core.label_counts.PairCounts`.

    With `label`, one label is counted for itself: ``cells["dog", "not dog"]`` are the samples whose dog was missed,
    as in scikit-learn's ``multilabel_confusion_matrix``.

    Args:
        samples: dataset or view; an empty one gives an empty matrix.
        pred_field: Classification or Classifications field of the predicted labels; ``"predictions"`` by default.
        gt_field: Classification or Classifications field of the true labels.
        eval_key: name of a FiftyOne classification evaluation, instead of the two fields: its own matrix, of the
            samples that it saw with the labels that they had. Samples that it did not see are left out.
        label: the one label whose presence is counted, or None.

    Returns:
        The matrix. ``matrix.cells["cake", "chocolate"].view()`` are the samples whose truth is cake and whose
        prediction is chocolate; ``None`` stands for a missing label.

    Raises:
        ArgumentError: if both ``pred_field`` and ``eval_key`` are given.
        UnknownNameError: if a field, evaluation or label does not exist.
        FieldError: if a field holds no classifications.
    """
    if eval_key is not None:
        if pred_field is not None:
            raise ArgumentError("Expected either `pred_field` or `eval_key`, but got both. Leave one out.")
        if label is not None:
            raise ArgumentError(
                f"Expected no `label` beside `eval_key`, for an evaluation has one label per sample, but got {label!r}."
            )
        return count_evaluation(samples, eval_key)
    dataset_of(samples)
    pred_field = pred_field or "predictions"
    if label is not None or holds_several(samples, pred_field, gt_field):
        return count_labels(samples, pred_field, gt_field, label)
    return count_confusion(samples, pred_field, gt_field)


def save_cell_view(cell: Cell) -> str:
    """Save one cell as a view and return its name, such as ``"cake → chocolate (predictions)"``.

    Raises:
        RunConflictError: if a saved view of that name exists that is no cell.
    """
    fresh_dataset_of(cell.matrix.samples)
    return views.save_cell(cell)


def save_cell_views(samples: Any, matrix: ConfusionMatrix, *, only: Which = "errors", min_count: int = 1) -> list[str]:
    """Save cells as views of the dataset, where the App's view selector lists them.

    A saved cell is an expression on the labels, so it stays true after relabelling. Saving again updates it.

    Args:
        samples: the dataset or view that the matrix was counted on.
        matrix: the matrix.
        only: ``"errors"``, ``"correct"`` or ``"all"`` occupied cells.
        min_count: cells with fewer samples are left out, at least 1.

    Returns:
        Names of the saved views, the fullest cell first.

    Raises:
        ArgumentError: if the matrix belongs to another dataset, or a parameter makes no sense.
        RunConflictError: if a saved view of one of the names exists that is no cell.
    """
    check_choice(only, "only", WHICH)
    check_int(min_count, "min_count", 1)
    if fresh_dataset_of(samples) is not dataset_of(matrix.samples):
        raise ArgumentError("Expected `matrix` to be counted on `samples`, but it belongs to another dataset.")
    return [views.save_cell(cell) for cell in views.select_cells(matrix, only, min_count)]


def delete_cell_views(samples: Any, names: Sequence[str] | None = None) -> list[str]:
    """Delete saved cells and return their names; views that were saved by others are left alone.

    Args:
        samples: dataset or view.
        names: the views to delete; all saved cells by default.
    """
    return views.delete_cell_views(fresh_dataset_of(samples), names)


def tag_cell(cell: Cell | Any, tags: str | Sequence[str] = "enrich") -> int:
    """Tag the samples of a cell, for enrichment or review; `untag_cell` undoes it.

    Args:
        cell: a cell, or any view.
        tags: one or more tags.

    Returns:
        Number of samples that now carry the tags.

    Raises:
        ArgumentError: if a tag is not a non-empty string.
        FieldError: if there are no samples.
    """
    listed, view = as_tags(tags), _view_of(cell)
    require_samples(view)
    # Counted first: a view of the untagged is empty once they are tagged.
    count = len(view)
    view.tag_samples(listed)
    return count


def untag_cell(cell: Cell | Any, tags: str | Sequence[str] = "enrich") -> int:
    """Remove tags from the samples of a cell and return the number of samples that carried one of them.

    Raises:
        ArgumentError: if a tag is not a non-empty string.
    """
    listed, view = as_tags(tags), _view_of(cell)
    dataset_of(view)
    tagged = len(view.match_tags(listed))
    view.untag_samples(listed)
    return tagged


def _view_of(cell: Cell | Any) -> Any:
    return cell.view() if isinstance(cell, Cell) else cell
