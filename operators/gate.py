"""Hold the reasons of a run to limits."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.regions import region_names
from fiftyone_saliency.core.escaping import markdown

from . import _forms

# Side of a limit: the SDK's argument, what the list of regions says, what the number says, and where it begins.
_SIDES = (
    ("max_share", "At most so much of the evidence on", "At most on {}", 0.3),
    ("min_share", "At least so much of the evidence on", "At least on {}", 0.5),
)


class CheckGate(foo.Operator):
    """Hold accuracy and reasons to limits, and say which are kept."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="check_gate",
            label="Saliency: hold the reasons to limits",
            description="Is the model ready? Limits on accuracy and on where the evidence lies, kept or not",
            icon="rule",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.LOW,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        _forms.choose_heatmaps(inputs, ctx)
        _forms.choose_labels(inputs, ctx)
        regions = _forms.choose_regions(inputs, ctx)
        names = [] if regions is None else region_names(samples, regions)
        for side, label, each, start in _SIDES:
            _forms.choose_several(inputs, side, names, label)
            for i, name in enumerate(names):
                if name in (ctx.params.get(side) or []):
                    inputs.float(
                        f"{side}__{i}", label=each.format(markdown(name)), default=start, min=0, max=1, required=True
                    )
        inputs.float("min_accuracy", label="Least accuracy", description="Empty: no limit", min=0, max=1)
        inputs.bool("by_class", label="Hold each class to them, too", default=False, view=types.SwitchView())
        trust = inputs.bool(
            "require_trust", label="Only maps that passed “check trust”", default=True, view=types.SwitchView()
        )
        if names and not _limits(ctx.params, names):
            _forms.refuse(trust, "Choose at least one limit above")
        return _forms.form(inputs, "Hold the reasons to limits", "Kept where the whole 95 % interval keeps a limit")

    def execute(self, ctx: Any) -> dict[str, str]:
        """Measure and judge."""
        params, samples = ctx.params, ctx.target_view()
        verdict = fos.gate(
            samples,
            params["field"],
            regions=params["regions"],
            by="class" if params.get("by_class") else "overall",
            require_trust=bool(params.get("require_trust")),
            gt_field=params["gt_field"],
            pred_field=params["pred_field"],
            **_limits(params, region_names(samples, params["regions"])),
        )
        lines = [f"- {'✓' if check.passed else '✗'} {check.text}" for check in verdict.checks]
        return {"verdict": "passed" if verdict.passed else "failed", "checks": "\n".join(lines)}

    def resolve_output(self, ctx: Any) -> Any:
        """Show the verdict and each limit."""
        outputs = types.Object()
        outputs.str("verdict", label="Verdict")
        outputs.str("checks", label="Limits", view=types.MarkdownView())
        return types.Property(outputs, view=types.View(label="Limits"))


def _limits(params: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Turn the form's entries into the limits of the SDK's verb."""
    found: dict[str, Any] = {}
    for side, _, _, start in _SIDES:
        chosen = params.get(side) or []
        found[side] = {name: params.get(f"{side}__{i}", start) for i, name in enumerate(names) if name in chosen}
    return {name: limits for name, limits in found.items() if limits} | (
        {} if params.get("min_accuracy") is None else {"min_accuracy": params["min_accuracy"]}
    )
