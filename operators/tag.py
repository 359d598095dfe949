"""Tag the samples of a confusion cell."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.confusion import show

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class TagCell(SaliencyOperator):
    """Add a tag to the samples of a cell, or take it away."""

    title = "Tag a confusion cell"
    about = "The same form removes the tag again"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        gt_field, pred_field = _entries.choose_labels(form, _entries.LABELS)
        if not (gt_field and pred_field):
            return
        matrix = fos.confusion(samples, pred_field, gt_field=gt_field)
        worst = next(iter(matrix.counts.top_confusions()), None)
        usual = (None, None) if worst is None else tuple(show(label) for label in worst[0])
        labels = [show(label) for label in matrix.labels]
        truth = form.choice("truth", labels, "Truth", "By default of the most frequent mistake", default=usual[0])
        prediction = form.choice("prediction", labels, "Prediction", default=usual[1])
        if truth is not None and prediction is not None:
            count = matrix.cells[_pair(form)].count
            form.note("count", f"{count} samples")
            if count == 0:
                form.refuse("prediction", "The cell is empty")
        _entries.choose_tag(form)
        form.switch("remove", "Remove the tag instead")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Tag or untag."""
        matrix = fos.confusion(ctx.target_view(), form["pred_field"], gt_field=form["gt_field"])
        cell = matrix.cells[_pair(form)]
        verb, did = (fos.untag_cell, "lost") if form["remove"] else (fos.tag_cell, "carry")
        count = verb(cell, form["tag"])
        text = f"{cell.name}: {count} samples {did} the tag {form['tag']!r}"
        return Answer(text, {"cell": cell.name, "count": count, "tag": form["tag"], "removed": form["remove"]})


def _pair(form: Form) -> tuple[str | None, str | None]:
    return _entries.label_or_none(form["truth"]), _entries.label_or_none(form["prediction"])
