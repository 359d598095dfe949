"""Compare two runs: what changed, and whether it is fixed."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.compare import comparable_runs, next_run
from fiftyone_saliency.api.regions import region_names

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class CompareRuns(SaliencyOperator):
    """Compare two runs on the same samples and say whether it is fixed."""

    title = "Compare two runs"
    about = "Best on samples where the suspected cue does not help"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        _choose_runs(form)
        _choose_regions(form, samples)
        _entries.choose_truth(form)
        what = "A text field to filter by: fixed, broken, still right, still wrong; empty stores nothing"
        form.name("outcome_field", "Store the outcomes in field", what, required=False)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Compare, and store the outcomes where a field was named."""
        comparison = fos.compare_runs(
            ctx.target_view(),
            form["before"],
            form["after"],
            regions=form["regions"],
            should_fall=form.values.get("should_fall", []),
            should_rise=form.values.get("should_rise", []),
            gt_field=form["gt_field"],
        )
        if form["outcome_field"]:
            comparison.store_outcomes(form["outcome_field"])
        return Answer(told(comparison), comparison.to_json())


def told(comparison: Any) -> str:
    """Return the verdict and its numbers, one thing a line."""
    verdict = comparison.verdict
    reason, accuracy = verdict.reason, verdict.accuracy
    shares = {} if comparison.shares is None else comparison.shares.overall
    moved = [f"{name} {percent(change.before)} → {percent(change.after)}" for name, change in shares.items()]
    lines = {
        "Verdict": f"withheld: {verdict.withheld}" if verdict.withheld else verdict.word or "undecided",
        "Reason": "not judged" if reason is None else f"{reason.word or 'undecided'}: {reason.why}",
        "Accuracy": f"{accuracy.word or 'undecided'}: {accuracy.why}",
        "Samples": _outcomes(comparison),
        "Evidence, before → after": ", ".join(moved) or "not measured",
        "Noise": str(comparison.noise),
    }
    return "\n".join(f"{name}: {line}" for name, line in lines.items())


def _outcomes(comparison: Any) -> str:
    told = ", ".join(f"{count} {name}" for name, count in comparison.outcomes.items())
    left_out = comparison.left_out
    return told + (f"; {left_out} left out: without a prediction of both runs" if left_out else "")


def percent(share: float | None) -> str:
    """Return a share as a person reads it."""
    return "–" if share is None else f"{share:.1%}"


def _choose_runs(form: Form) -> None:
    runs = [run.field for run in comparable_runs(form.ctx.dataset)]
    before = form.choice("before", runs, "Run before")
    after = form.choice("after", runs, "Run after", "By default the next one", default=next_run(runs, before))
    if len(runs) < 2:
        why = "It takes two runs that explain stored predictions; “Saliency: compute maps” makes them."
        form.refuse("after", why)
    elif before == after:
        form.refuse("after", "Choose another run than the one before")


def _choose_regions(form: Form, samples: Any) -> None:
    about = "Labels or regions of your own; without them, accuracy is compared alone"
    regions = _entries.choose_regions(form, about, required=False)
    if regions is None:
        return
    names = region_names(samples, regions)
    fall = form.several("should_fall", names, "Share should fall")
    rise = form.several("should_rise", names, "Share should rise")
    if set(fall) & set(rise):
        for side in ("should_fall", "should_rise"):
            form.refuse(side, "A region can fall or rise, not both")
