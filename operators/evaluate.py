"""Evaluate stored predictions."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _forms


class EvaluatePredictions(foo.Operator):
    """Compare predictions with the ground truth under an evaluation key."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_labels(inputs, ctx)
        key = inputs.str(
            "eval_key", label="Evaluation key", description="A name for this evaluation", default="eval", required=True
        )
        taken = ctx.dataset is not None and ctx.dataset.has_evaluation(ctx.params.get("eval_key") or "eval")
        if taken:
            inputs.bool("overwrite", label="Replace the evaluation of that name", default=False)
        if taken and not ctx.params.get("overwrite"):
            _forms.refuse(key, "The key is taken: choose another or allow replacing it")
        return _forms.form(inputs, "Evaluate predictions", "Truth against prediction, sample by sample")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Evaluate, and answer with the accuracy."""
        results = fos.evaluate(
            ctx.target_view(),
            ctx.params["pred_field"],
            gt_field=ctx.params["gt_field"],
            eval_key=ctx.params["eval_key"],
            overwrite=bool(ctx.params.get("overwrite")),
        )
        ctx.ops.reload_dataset()
        return {"key": ctx.params["eval_key"], "accuracy": f"{results.metrics()['accuracy']:.3f}"}

    def resolve_output(self, ctx: Any) -> Any:
        """Show the accuracy."""
        return _forms.answer("Evaluated", key="Evaluation key", accuracy="Accuracy")
