"""The matrix of reasons: the confusion matrix with where the evidence lies in place of how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.reasons import Reasons, find_reasons
from fiftyone_saliency.dataset.fields import count_samples, require_field, require_samples
from fiftyone_saliency.dataset.regions import read_evidence


def reasons(
    samples: Any,
    field: str = "saliency",
    *,
    regions: str,
    right: Sequence[str] = (),
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    known: Evidence | None = None,
    progress: Progress = False,
) -> Reasons:
    """Say for each cell of the confusion matrix where its evidence lies, and whether that is where it should.

    Args:
        samples: dataset or view.
        field: Heatmap field, best of the predicted class.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines.
        right: the regions where the evidence should lie, such as ``["uniform"]``. With them, a prediction can be
            right for the wrong reason.
        gt_field: Classification field of the true labels.
        pred_field: Classification field of the predicted labels.
        known: a table measured before, such as another result's `evidence`: only the samples that it lacks are
            measured, and labels are read again. Pass it only if maps and regions are as they were.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Shares of evidence by region with interval and chance level, the dominant region and the share of samples
        with a right reason: over all samples, by class and by cell.

    Raises:
        UnknownNameError: if a field or region does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
        ArgumentError: if ``right`` is a text instead of a list of names.
    """
    if isinstance(right, str):
        raise ArgumentError(f"Expected `right` to be a list of region names, but got {right!r}. Pass [{right!r}].")
    require_samples(samples)
    require_field(samples, gt_field, fo.Classification, "gt_field")
    require_field(samples, pred_field, fo.Classification, "pred_field")
    ids, truths, predictions = samples.values(["id", f"{gt_field}.label", f"{pred_field}.label"])
    if known is None or (known.field, known.regions) != (field, regions):
        known = _measure(samples, field, regions, progress)
    elif missing := set(ids) - set(known.ids):
        known = known.join(_measure(samples.select(list(missing)), field, regions, progress))
    row = {sample_id: i for i, sample_id in enumerate(known.ids)}
    # Labels change more easily than maps: they are read each time.
    evidence = replace(known.select([row[i] for i in ids]), truths=truths, predictions=predictions)
    return find_reasons(evidence, right)


def _measure(samples: Any, field: str, regions: str, progress: Progress) -> Evidence:
    total = count_samples(samples)
    return read_evidence(samples, field, regions, progress=lambda rows: track(rows, total, progress, size=lambda _: 1))
