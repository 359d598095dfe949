"""Export for retraining."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.retrain import export_formats
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.dataset.curate import prepare_folder
from fiftyone_saliency.dataset.folders import require_allowed

from . import _forms

_EVERYTHING, _NO_GROUPS = "(all samples)", "(none)"


class ExportForRetraining(foo.Operator):
    """Export tagged samples with labels, heatmaps and a manifest."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        tags = samples.distinct("tags")
        chosen = _forms.choose(inputs, "tag", [*tags, _EVERYTHING], "Samples tagged", default="enrich")
        tag = ctx.params.get("tag") or chosen.type.default if hasattr(chosen.type, "default") else ctx.params.get("tag")
        matching = len(samples) if tag in (None, _EVERYTHING) else len(samples.match_tags(tag))
        inputs.view("count", types.Notice(label=f"{matching} samples"))
        fields = _forms.label_fields(ctx, fo.Classification)
        _forms.choose(inputs, "gt_field", fields, "Label field", default="ground_truth")
        _forms.choose(inputs, "dataset_type", export_formats(), "Format")
        inputs.bool("heatmaps", label="With heatmaps", default=True, view=types.SwitchView())
        _choose_groups(inputs, ctx)
        folder = inputs.str(
            "out_dir", label="Folder on the server", description="A new or empty folder, as a full path", required=True
        )
        _check_folder(folder, ctx.params.get("out_dir"))
        return _forms.form(inputs, "Export for retraining", "The manifest is written last: with it, all is there")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Export, with a progress bar."""
        params = ctx.params

        def verb(progress: Any) -> str:
            manifest = fos.export_for_retraining(
                ctx.target_view(),
                require_allowed(params["out_dir"], "out_dir"),
                dataset_type=params["dataset_type"],
                tags=None if params["tag"] == _EVERYTHING else params["tag"],
                gt_field=params["gt_field"],
                heatmaps=bool(params.get("heatmaps")),
                **groups(params),
                progress=progress,
            )
            left_out = f", {len(manifest['left_out'])} left out" if manifest["left_out"] else ""
            return f"Exported {manifest['count']} samples to {params['out_dir']}{left_out}"

        yield from _forms.with_progress(ctx, "Exporting", verb)


def groups(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries on groups, weights and masks into arguments of the SDK's verb."""
    by = params.get("groups")
    found = {"groups": None if by == _NO_GROUPS else by or None} | {
        n: bool(params.get(n)) for n in ("weights", "masks")
    }
    return found | {name: params[name] for name in ("field", "regions") if params.get(name)}


def _choose_groups(inputs: Any, ctx: Any) -> None:
    fields = [name for name in _forms.label_fields(ctx, fo.Classification) if name not in ("class", "reason")]
    offered = [_NO_GROUPS, "class", "reason", *fields]
    what = "class: the true label; reason: the true label × the region where the evidence mostly lies; or a field"
    _forms.choose(inputs, "groups", offered, "Groups", what, _NO_GROUPS, required=False)
    inputs.bool("weights", label="With weights that balance the groups", default=False, view=types.SwitchView())
    inputs.bool("masks", label="With masks of the regions", default=False, view=types.SwitchView())
    by_reason = ctx.params.get("groups") == "reason"
    if by_reason:
        _forms.choose_heatmaps(inputs, ctx, "Heatmap field of the reason")
    if by_reason or ctx.params.get("masks"):
        _forms.choose_regions(inputs, ctx)


def _check_folder(prop: Any, text: str | None) -> None:
    if not text:
        return
    try:
        prepare_folder(require_allowed(text, "out_dir"))
    except SaliencyError as error:
        _forms.refuse(prop, str(error))
