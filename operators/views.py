"""Save confusion cells as views."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.escaping import code_block

from . import _forms

_ONLY = {"errors": "Mistakes", "correct": "Correct cells", "all": "All cells"}


class SaveCellViews(foo.Operator):
    """Save the cells of a confusion matrix as views."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="save_cell_views",
            label="Saliency: save confusion cells as views",
            description="Each cell becomes a saved view that follows the labels",
            icon="bookmark_add",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        gt_field, pred_field = _forms.choose_labels(inputs, ctx)
        choices = types.RadioGroup()
        for value, label in _ONLY.items():
            choices.add_choice(value, label=label)
        inputs.enum("only", list(_ONLY), label="Which cells", default="errors", required=True, view=choices)
        inputs.int("min_count", label="With at least so many samples", default=1, min=1, required=True)
        if gt_field and pred_field:
            inputs.view(
                "summary", types.Notice(label=code_block(fos.confusion(samples, pred_field, gt_field=gt_field)))
            )
        return _forms.form(inputs, "Save confusion cells as views", "The view selector lists them")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Save the views."""
        samples = ctx.target_view()
        matrix = fos.confusion(samples, ctx.params["pred_field"], gt_field=ctx.params["gt_field"])
        only, least = ctx.params["only"], ctx.params["min_count"]
        names = fos.save_cell_views(samples, matrix, only=only, min_count=least)
        ctx.ops.reload_dataset()
        return {"count": str(len(names)), "names": "\n".join(names)}

    def resolve_output(self, ctx: Any) -> Any:
        """Show the names."""
        return _forms.answer("Saved", count="Saved views", names="Names")
