"""Export for retraining."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.retrain import export_formats
from fiftyone_saliency.dataset.curate import prepare_folder
from fiftyone_saliency.dataset.fields import count_samples
from fiftyone_saliency.dataset.folders import require_allowed

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_EVERYTHING, _NO_GROUPS = "(all samples)", "(none)"


class ExportForRetraining(SaliencyOperator):
    """Export tagged samples with labels, heatmaps and a manifest."""

    title = "Export for retraining"
    about = "The manifest is written last: with it, all is there"
    running = "Exporting"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="export_for_retraining",
            label="Saliency: export for retraining",
            description="Write images, labels, heatmaps, weights, masks and a manifest into a new folder",
            icon="drive_file_move",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        tag = form.choice("tag", [*samples.distinct("tags"), _EVERYTHING], "Samples tagged", default="enrich")
        matching = count_samples(samples) if tag in (None, _EVERYTHING) else len(samples.match_tags(tag))
        form.note("count", f"{matching} samples")
        label_field = _entries.choose_truth(form, "Label field", _entries.LABELS)
        several = label_field in _entries.label_fields(form.ctx, fo.Classifications)
        formats = export_formats(several=several)
        form.choice("dataset_type", formats, "Format", default="ImageClassificationDirectoryTree")
        form.switch("heatmaps", "With heatmaps", default=True)
        _choose_groups(form, several)
        folder = form.path("out_dir", "Folder on the server", "A new or empty folder, as a full path")
        if folder is not None:
            form.check("out_dir", lambda: prepare_folder(require_allowed(folder, "out_dir")))

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Export."""
        folder = require_allowed(form["out_dir"], "out_dir")
        manifest = fos.export_for_retraining(
            ctx.target_view(),
            folder,
            dataset_type=form["dataset_type"],
            tags=None if form["tag"] == _EVERYTHING else form["tag"],
            gt_field=form["gt_field"],
            heatmaps=form["heatmaps"],
            **groups(form),
            progress=progress,
        )
        told = {name: value for name, value in manifest.items() if name != "samples"}
        left_out = f", {len(manifest['left_out'])} left out" if manifest["left_out"] else ""
        text = f"Exported {manifest['count']} samples to {folder}{left_out}"
        return Answer(text, told | {"out_dir": str(folder)})


def groups(form: Form) -> dict[str, Any]:
    """Turn the form's entries on groups, weights and masks into arguments of the SDK's verb."""
    by = None if form["groups"] == _NO_GROUPS else form["groups"]
    asked = {name: form[name] for name in ("field", "regions") if form.values.get(name)}
    return {"groups": by, "weights": form["weights"], "masks": form["masks"]} | asked


def _choose_groups(form: Form, several: bool) -> None:
    """Add the entries of groups, weights and masks; samples with several labels have no class that groups them."""
    fields = [name for name in _entries.label_fields(form.ctx, fo.Classification) if name not in ("class", "reason")]
    what = "class: the true label; reason: the true label × the region where the evidence mostly lies; or a field"
    offered = [_NO_GROUPS, *([] if several else ["class", "reason"]), *fields]
    by = form.choice("groups", offered, "Groups", what, default=_NO_GROUPS, required=False)
    if form.switch("weights", "With weights that balance the groups") and several and by in (None, _NO_GROUPS):
        form.refuse("weights", "Samples with several labels have no class: choose the field of the groups")
    masks = form.switch("masks", "With masks of the regions")
    if by == "reason":
        _entries.choose_heatmaps(form, "Heatmap field of the reason")
    if by == "reason" or masks:
        _entries.choose_regions(form)
