"""Read from a collection what a computation needs."""

from __future__ import annotations

from typing import Any

from fiftyone_saliency.core.types import SampleItem


def read_items(samples: Any, gt_field: str | None = None, pred_field: str | None = None) -> list[SampleItem]:
    """Return id, image and labels of all samples, in their order, with one query.

    Args:
        samples: dataset or view.
        gt_field: Classification field of the true labels, or None.
        pred_field: Classification field of the predicted labels, or None.
    """
    fields = [field for field in (gt_field, pred_field) if field is not None]
    ids, filepaths, *labels = samples.values(["id", "filepath", *(f"{field}.label" for field in fields)])
    nothing = [None] * len(ids)
    truths = labels.pop(0) if gt_field is not None else nothing
    predictions = labels.pop(0) if pred_field is not None else nothing
    return [SampleItem(*row) for row in zip(ids, filepaths, truths, predictions, strict=True)]
