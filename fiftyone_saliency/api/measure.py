"""Where the evidence lies, and what changed between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.comparison import Outcome, count_outcomes
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.confusion import ConfusionMatrix, count_confusion
from fiftyone_saliency.dataset.fields import dataset_of, require_field, require_samples
from fiftyone_saliency.dataset.regions import Group, RegionShares, measure_shares
from fiftyone_saliency.dataset.runs import SaliencyRun

By = Literal["class", "cell"]


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
    fields: tuple[str, ...] = ()
    if by is not None:
        check_choice(by, "by", ("class", "cell"))
        fields = (gt_field,) if by == "class" else (gt_field, pred_field)
        for name, argument in zip(fields, ("gt_field", "pred_field"), strict=False):
            require_field(samples, name, fo.Classification, argument)

    def group_of(sample: fo.Sample) -> Group:
        labels = tuple(None if sample[name] is None else sample[name].label for name in fields)
        return labels[0] if len(labels) == 1 else (labels[0], labels[1])

    total = len(samples)
    return measure_shares(
        samples,
        field,
        regions,
        group_of if fields else None,
        lambda rows: track(rows, total, progress, size=lambda _: 1),
    )


@dataclass(frozen=True)
class RunComparison:
    """Two runs on the same samples.

    Args:
        before: record of the first run.
        after: record of the second run.
        matrix_before: confusion of the first run's predictions.
        matrix_after: confusion of the second run's predictions.
        outcomes: samples that were fixed, broken, still right and still wrong.
        shares_before: evidence by region in the first run, or None if no regions were given.
        shares_after: the same in the second run.
    """

    before: SaliencyRun
    after: SaliencyRun
    matrix_before: ConfusionMatrix
    matrix_after: ConfusionMatrix
    outcomes: dict[Outcome, int]
    shares_before: RegionShares | None
    shares_after: RegionShares | None

    def __str__(self) -> str:
        rows = [("accuracy", self.matrix_before.accuracy, self.matrix_after.accuracy)]
        if self.shares_before is not None and self.shares_after is not None:
            overall = (self.shares_before.overall, self.shares_after.overall)
            for name in sorted({*overall[0], *overall[1]}):
                means = [shares[name].mean if name in shares else None for shares in overall]
                rows.append((f"share {name}", means[0], means[1]))
        lines = [f"{'':<24}{'before':>10}{'after':>10}"]
        for name, *numbers in rows:
            shown = ("-" if number is None else f"{number:.3f}" for number in numbers)
            lines.append(f"{name:<24}" + "".join(f"{text:>10}" for text in shown))
        lines.append(", ".join(f"{count} {name}" for name, count in self.outcomes.items()))
        return "\n".join(lines)


def compare_runs(
    samples: Any,
    before: str,
    after: str,
    *,
    regions: str | None = None,
    gt_field: str = "ground_truth",
    progress: Progress = False,
) -> RunComparison:
    """Compare two runs, such as of a model before and after retraining, on the same samples.

    Args:
        samples: dataset or view.
        before: key or field of the first run.
        after: key or field of the second run.
        regions: Segmentation or Detections field whose evidence is compared, or None.
        gt_field: Classification field of the true labels.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        Both confusion matrices, what became of the samples, and both shares of evidence by region.

    Raises:
        UnknownNameError: if a run or field does not exist.
        ArgumentError: if a run was not computed from stored predictions.
    """
    dataset = dataset_of(samples)
    require_samples(samples)
    records = [runs.load(dataset, key) for key in (before, after)]
    pred_fields = [_pred_field(run) for run in records]
    matrices = [count_confusion(samples, pred_field, gt_field) for pred_field in pred_fields]
    labels = samples.values([f"{name}.label" for name in (gt_field, *pred_fields)])
    shares = [
        region_shares(samples, run.field, regions=regions, progress=progress) if regions else None for run in records
    ]
    outcomes = count_outcomes(zip(*labels, strict=True))
    return RunComparison(records[0], records[1], matrices[0], matrices[1], outcomes, shares[0], shares[1])


def _pred_field(run: SaliencyRun) -> str:
    if run.request.pred_field is None:
        raise ArgumentError(
            f"Expected run {run.key} to explain stored predictions, but its target is {run.request.target!r}. "
            'Compare runs with target="predicted" and a `pred_field`.'
        )
    return run.request.pred_field
