"""Compare two runs: what changed, and whether it is fixed."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.compare import comparable_runs
from fiftyone_saliency.api.regions import region_names

from . import _forms

_LINES = {
    "verdict": "Verdict",
    "reason": "Reason",
    "accuracy": "Accuracy",
    "outcomes": "Samples",
    "shares": "Evidence, before → after",
    "noise": "Noise",
}


class CompareRuns(foo.Operator):
    """Compare two runs on the same samples and say whether it is fixed."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="compare_runs",
            label="Saliency: compare two runs",
            description="Before and after: what was fixed, what broke, and whether the reason has changed",
            icon="compare",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _choose_runs(inputs, ctx)
        _choose_regions(inputs, ctx)
        labels = _forms.label_fields(ctx, fo.Classification)
        _forms.choose(inputs, "gt_field", labels, "Ground truth", default="ground_truth")
        inputs.str(
            "outcome_field",
            label="Store the outcomes in field",
            description="A text field to filter by: fixed, broken, still right, still wrong; empty stores nothing",
        )
        about = "Best on samples where the suspected cue does not help"
        return _forms.form(inputs, "Compare two runs", about)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Compare, and store the outcomes where a field was named."""
        params = ctx.params
        comparison = fos.compare_runs(ctx.target_view(), **arguments(params))
        if params.get("outcome_field"):
            comparison.store_outcomes(params["outcome_field"])
            ctx.ops.reload_dataset()
        return answer(comparison)

    def resolve_output(self, ctx: Any) -> Any:
        """Show the verdict and the numbers."""
        return _forms.answer("Before and after", **_LINES)


def arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries into arguments of the SDK's verb."""
    regions = params.get("regions") or None
    # What was said of regions goes with them: a form keeps the entries that it no longer shows.
    sides = {side: (params.get(side) or []) if regions else [] for side in ("should_fall", "should_rise")}
    return {name: params[name] for name in ("before", "after", "gt_field")} | {"regions": regions} | sides


def answer(comparison: Any) -> dict[str, str]:
    """Return the verdict and its numbers as lines of text."""
    verdict = comparison.verdict
    reason, accuracy = verdict.reason, verdict.accuracy
    shares = {} if comparison.shares is None else comparison.shares.overall
    lines = [f"{name} {percent(change.before)} → {percent(change.after)}" for name, change in shares.items()]
    return {
        "verdict": f"withheld: {verdict.withheld}" if verdict.withheld else verdict.word or "undecided",
        "reason": "not judged" if reason is None else f"{reason.word or 'undecided'}: {reason.why}",
        "accuracy": f"{accuracy.word or 'undecided'}: {accuracy.why}",
        "outcomes": _outcomes(comparison),
        "shares": ", ".join(lines) or "not measured",
        "noise": str(comparison.noise),
    }


def _outcomes(comparison: Any) -> str:
    told = ", ".join(f"{count} {name}" for name, count in comparison.outcomes.items())
    left_out = comparison.left_out
    return told + (f"; {left_out} left out: without a prediction of both runs" if left_out else "")


def percent(share: float | None) -> str:
    """Return a share as a person reads it."""
    return "–" if share is None else f"{share:.1%}"


def _choose_runs(inputs: Any, ctx: Any) -> None:
    runs = [run.field for run in comparable_runs(ctx.dataset)]
    _forms.choose(inputs, "before", runs, "Run before")
    after = _forms.choose(inputs, "after", runs, "Run after", default=runs[-1] if runs else None)
    if len(runs) < 2:
        _forms.refuse(after, "It takes two runs that explain stored predictions; “Saliency: compute maps” makes them.")
    elif (ctx.params.get("before") or runs[0]) == (ctx.params.get("after") or runs[-1]):
        _forms.refuse(after, "Choose another run than the one before")


def _choose_regions(inputs: Any, ctx: Any) -> None:
    about = "Labels or regions of your own; without them, accuracy is compared alone"
    regions = _forms.choose_regions(inputs, ctx, about, required=False)
    if regions is None:
        return
    names = region_names(ctx.target_view(), regions)
    for side, label in (("should_fall", "Share should fall"), ("should_rise", "Share should rise")):
        entry = _forms.choose_several(inputs, side, names, label)
        if set(ctx.params.get("should_fall") or []) & set(ctx.params.get("should_rise") or []):
            _forms.refuse(entry, "A region can fall or rise, not both")
