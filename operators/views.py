"""Save confusion cells as views."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_ONLY = {"errors": "Mistakes", "correct": "Correct cells", "all": "All cells"}


class SaveCellViews(SaliencyOperator):
    """Save the cells of a confusion matrix as views."""

    title = "Save confusion cells as views"
    about = "The view selector lists them"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        gt_field, pred_field = _entries.choose_labels(form, _entries.LABELS)
        form.choice("only", list(_ONLY), "Which cells", titles=_ONLY, radio=True)
        form.number("min_count", "With at least so many samples", default=1, low=1, whole=True)
        if gt_field and pred_field:
            form.block("summary", str(fos.confusion(samples, pred_field, gt_field=gt_field)))

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Save the views."""
        samples = ctx.target_view()
        matrix = fos.confusion(samples, form["pred_field"], gt_field=form["gt_field"])
        names = fos.save_cell_views(samples, matrix, only=form["only"], min_count=form["min_count"])
        return Answer("\n".join([f"Saved {len(names)} views", *names]), {"count": len(names), "names": names})
