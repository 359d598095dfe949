"""Evaluate stored predictions."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class EvaluatePredictions(SaliencyOperator):
    """Compare predictions with the ground truth under an evaluation key."""

    title = "Evaluate predictions"
    about = "Truth against prediction, sample by sample"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="evaluate_predictions",
            label="Saliency: evaluate predictions",
            description="Compare predicted with true labels, for the confusion matrix and FiftyOne's own panels",
            icon="fact_check",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        _entries.choose_labels(form)
        key = form.name("eval_key", "Evaluation key", "A name for this evaluation", default="eval")
        taken = key is not None and form.ctx.dataset.has_evaluation(key)
        if taken and not form.switch("overwrite", "Replace the evaluation of that name"):
            form.refuse("eval_key", "The key is taken: choose another or allow replacing it")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Evaluate."""
        results = fos.evaluate(
            ctx.target_view(),
            form["pred_field"],
            gt_field=form["gt_field"],
            eval_key=form["eval_key"],
            overwrite=form.values.get("overwrite", False),
        )
        metrics = {name: float(value) for name, value in results.metrics().items()}
        text = f"Evaluated as {form['eval_key']!r}: accuracy {metrics['accuracy']:.3f}"
        return Answer(text, {"eval_key": form["eval_key"], **metrics})
