"""Hold the reasons of a run to limits."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.api.regions import region_names
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import markdown

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

# Side of a limit: the SDK's argument, what the list of regions says, what the number says, and where it begins.
_SIDES = (
    ("max_share", "At most so much of the evidence on", "At most on {}", 0.3),
    ("min_share", "At least so much of the evidence on", "At least on {}", 0.5),
    ("min_needed", "At least so many answers need (asks the model)", "At least need {}", 0.3),
)


class CheckGate(SaliencyOperator):
    """Hold accuracy and reasons to limits, and say which are kept."""

    title = "Hold the reasons to limits"
    about = "Kept where the whole 95 % interval keeps a limit"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        _entries.choose_heatmaps(form)
        _entries.choose_labels(form)
        regions = _entries.choose_regions(form)
        names = [] if regions is None else region_names(samples, regions)
        for side, label, each, start in _SIDES:
            chosen = form.several(side, names, label)
            for number, name in enumerate(names):
                if name in chosen:
                    form.number(f"{side}__{number}", each.format(markdown(name)), default=start, low=0, high=1)
        if form["min_needed"]:
            _entries.choose_model(form, _run_of(form))
        form.number("min_accuracy", "Least accuracy", "Empty: no limit", low=0, high=1, required=False)
        form.switch("by_class", "Hold each class to them, too")
        form.switch("require_trust", "Only maps that passed “check trust”", default=True)
        if names and not _limits(form, names):
            form.refuse("require_trust", "Choose at least one limit above")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Measure and judge."""
        samples = ctx.target_view()
        verdict = fos.gate(
            samples,
            form["field"],
            regions=form["regions"],
            by="class" if form["by_class"] else "overall",
            require_trust=form["require_trust"],
            gt_field=form["gt_field"],
            pred_field=form["pred_field"],
            # A form names a registered model: never a file, an architecture or a hub.
            model=load_registered(form["model"]) if form["min_needed"] else None,
            **_limits(form, region_names(samples, form["regions"])),
        )
        return Answer(str(verdict), verdict.to_json(), then=None)


def _run_of(form: Form) -> Any:
    """Return the run that the chosen maps are of, which names their model; None of maps of no run."""
    try:
        return fos.load_run(form.ctx.dataset, form["field"])
    except SaliencyError:
        return None


def _limits(form: Form, names: list[str]) -> dict[str, Any]:
    """Turn the form's entries into the limits of the SDK's verb."""
    limits: dict[str, Any] = {}
    for side, *_ in _SIDES:
        chosen = {name: form[f"{side}__{number}"] for number, name in enumerate(names) if name in form[side]}
        limits |= {side: chosen} if chosen else {}
    return limits | ({} if form["min_accuracy"] is None else {"min_accuracy": form["min_accuracy"]})
