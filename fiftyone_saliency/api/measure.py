"""Where the evidence lies."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.evidence import By, group_rows
from fiftyone_saliency.dataset.fields import count_samples, require_field, require_samples
from fiftyone_saliency.dataset.regions import RegionShares, read_evidence


def region_shares(
    samples: Any,
    field: str = "saliency",
    *,
    regions: str,
    by: By | None = None,
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    progress: Progress = False,
) -> RegionShares:
    """Measure how much of the positive evidence of the stored heatmaps lies in each region.

    The area of a region is its chance level: a share above it says that the model prefers the region, not that
    the region caused the decision.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        regions: Segmentation field (each value a region, named by the mask targets) or Detections field (each
            label a region). What lies in no region is the "background".
        by: ``"class"`` for each true label or ``"cell"`` for each (truth, prediction), besides all samples.
        gt_field: Classification field of the true labels, used by ``by``.
        pred_field: Classification field of the predicted labels, used by ``by="cell"``.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Mean share, area and numbers for each region. A sample without map, evidence or region is left out and
        counted.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
    """
    require_samples(samples)
    fields: dict[str, str] = {}
    if by is not None:
        check_choice(by, "by", ("class", "cell"))
        fields = {"gt_field": gt_field} if by == "class" else {"gt_field": gt_field, "pred_field": pred_field}
        for argument, name in fields.items():
            require_field(samples, name, fo.Classification, argument)
    total = count_samples(samples)
    evidence = read_evidence(
        samples, field, regions, **fields, progress=lambda rows: track(rows, total, progress, size=lambda _: 1)
    )
    rows = {} if by is None else group_rows(by, evidence.truths, evidence.predictions)
    groups = dict(zip(rows, evidence.summaries(list(rows.values())), strict=True))
    return RegionShares(field, regions, evidence.summary(), groups)
