"""Tag the samples of a confusion cell."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.confusion import show

from . import _forms


class TagCell(foo.Operator):
    """Add a tag to the samples of a cell, or take it away."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="tag_cell",
            label="Saliency: tag a confusion cell",
            description="Mark the samples of a cell, for enrichment or review",
            icon="sell",
            dynamic=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        gt_field, pred_field = _forms.choose_labels(inputs, ctx)
        if not (gt_field and pred_field):
            return _forms.form(inputs, "Tag a confusion cell", "")
        matrix = fos.confusion(samples, pred_field, gt_field=gt_field)
        labels = [show(label) for label in matrix.labels]
        _forms.choose(inputs, "truth", labels, "Truth")
        prediction = _forms.choose(inputs, "prediction", labels, "Prediction")
        pair = (ctx.params.get("truth"), ctx.params.get("prediction"))
        if all(label in labels for label in pair):
            count = matrix.cells[_forms.label_or_none(pair[0]), _forms.label_or_none(pair[1])].count
            inputs.view("count", types.Notice(label=f"{count} samples"))
            if count == 0:
                _forms.refuse(prediction, "The cell is empty")
        tag = inputs.str("tag", label="Tag", default="enrich", required=True)
        if not (ctx.params.get("tag", "enrich") or "").strip():
            _forms.refuse(tag, "A tag is a non-empty text")
        inputs.bool("remove", label="Remove the tag instead", default=False, view=types.SwitchView())
        return _forms.form(inputs, "Tag a confusion cell", "The same form removes the tag again")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Tag or untag."""
        params = ctx.params
        matrix = fos.confusion(ctx.target_view(), params["pred_field"], gt_field=params["gt_field"])
        cell = matrix.cells[_forms.label_or_none(params["truth"]), _forms.label_or_none(params["prediction"])]
        verb = fos.untag_cell if params.get("remove") else fos.tag_cell
        count = verb(cell, params["tag"].strip())
        ctx.ops.reload_dataset()
        return {"cell": cell.name, "count": str(count)}

    def resolve_output(self, ctx: Any) -> Any:
        """Show the number."""
        return _forms.answer("Done", cell="Cell", count="Samples")
