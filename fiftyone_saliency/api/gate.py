"""A gate for a build: does the model still look where it should?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fiftyone_saliency.api._progress import Progress
from fiftyone_saliency.api.reasons import reasons
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.gate import MIN_SAMPLES, Bound, Check, Gate, Limits, Scope, check_names, judge
from fiftyone_saliency.core.hiding import HiddenRegion
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import dataset_of


def gate(
    samples: Any,
    field: str = "saliency",
    *,
    regions: str,
    max_share: Mapping[str, float] | None = None,
    min_share: Mapping[str, float] | None = None,
    min_needed: Mapping[str, float] | None = None,
    min_accuracy: float | None = None,
    max_wrong_reason: float | None = None,
    right: Sequence[str] = (),
    model: Any = None,
    hidden: Sequence[HiddenRegion] = (),
    by: Scope = "overall",
    bound: Bound = "interval",
    min_samples: int = MIN_SAMPLES,
    require_trust: bool = True,
    gt_field: str = "ground_truth",
    pred_field: str = "predictions",
    progress: Progress = False,
) -> Gate:
    """Hold the reasons of a run to limits: passed only if every limit is kept.

    A limit is kept where the whole 95 % interval keeps it, so that a small sample does not pass by luck. What is
    undefined, and a mean over fewer than ``min_samples`` samples, keeps no limit. Shares are means over samples;
    chance is the region's area, so choose limits with it in mind.

    Args:
        samples: dataset or view; best one where the suspected cue does not help.
        field: Heatmap field, best of the predicted class.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines.
        max_share: by region, the most of the evidence that may lie there, such as ``{"head": 0.3}``.
        min_share: by region, the least of the evidence that must lie there, such as ``{"uniform": 0.5}``.
        min_needed: by region, the least share of the answers that must change when the region is hidden from the model,
            beyond what hiding as much elsewhere changes (see `hide_region`), such as ``{"uniform": 0.3}``. A map can
            point at a region that the answers do not need; this asks the model, and needs ``model`` or ``hidden``.
        min_accuracy: the least accuracy over samples with a truth, in [0, 1]; a missing prediction is a wrong one.
        max_wrong_reason: the largest share of right predictions that may rest mostly on a region that is not one of
            ``right``, or on none: a map without preference is no right reason; in [0, 1].
        right: the regions where the evidence should lie; needed for ``max_wrong_reason``.
        model: whatever `load_model` takes, the model that computed the maps; for ``min_needed``.
        hidden: what `hide_region` found on the same samples, instead of hiding the regions again.
        by: ``"overall"``, or ``"class"`` to hold each true class to the limits as well.
        bound: ``"interval"`` holds the whole interval to the limit, ``"mean"`` the mean alone.
        min_samples: the least number of samples that a mean is taken seriously of, at least 1.
        require_trust: whether the run's maps must have passed `check_trust`; maps that nobody checked have not.
        gt_field: Classification field of the true labels.
        pred_field: Classification field of the predicted labels.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.

    Returns:
        The verdict and one check per limit (and class), each with its number, interval, n and undefined.

    Raises:
        ArgumentError: if there is no limit, or one makes no sense.
        UnknownNameError: if a field or region does not exist.
        FieldError: if a field is of the wrong type, or there are no samples.
    """
    limits = Limits(
        max_share=max_share or {},
        min_share=min_share or {},
        min_needed=min_needed or {},
        min_accuracy=min_accuracy,
        max_wrong_reason=max_wrong_reason,
        by=by,
        bound=bound,
        min_samples=min_samples,
    )
    found = reasons(
        samples, field, regions=regions, right=right, gt_field=gt_field, pred_field=pred_field, progress=progress
    )
    check_names(limits, found.regions, found.right_regions)
    known = {one.region: one for one in hidden if one.regions == regions}
    if limits.min_needed:
        # PyTorch comes with it, and only this limit needs it.
        from fiftyone_saliency.api._needed import hide_needed

        known = hide_needed(samples, field, found, limits.min_needed, known, model, progress)
    verdict = judge(found, limits, known)
    if not require_trust:
        return verdict
    return replace(verdict, checks=(_trust(dataset_of(samples), field), *verdict.checks))


def _trust(dataset: Any, field: str) -> Check:
    try:
        trust = runs.load(dataset, field).trust
    except UnknownNameError:
        return Check("trust", False, f"maps: field {field!r} belongs to no run, so nobody can check them")
    if trust is None:
        return Check("trust", False, f"maps: nobody checked those in {field!r}; call check_trust, or require no trust")
    return Check("trust", trust.passed, "maps: " + (" ".join(trust.reasons) or "they passed their checks"))
