"""Look at the saliency runs of a dataset, and delete them."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.escaping import code, markdown

from . import _forms


class ManageRuns(foo.Operator):
    """Show a run's record, and delete the run where that is confirmed."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="manage_runs",
            label="Saliency: manage runs",
            description="See what was computed, with which model and failures; delete what is not needed",
            icon="list_alt",
            dynamic=True,
            risk_level=types.RiskLevel.HIGH,
            view_target=False,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        runs = {run.key: run for run in fos.list_runs(ctx.dataset)}
        if not runs:
            inputs.view("none", types.Notice(label="No saliency run yet. Start with “Saliency: compute maps”."))
        chosen = _forms.choose(inputs, "key", list(runs), "Run")
        run = runs.get(ctx.params.get("key") or next(iter(runs), ""))
        if run is None:
            _forms.refuse(chosen, "There is no run")
            return _forms.form(inputs, "Saliency runs", "")
        inputs.md(_describe(run), name="record")
        inputs.bool("delete", label="Delete this run", default=False, view=types.SwitchView())
        if ctx.params.get("delete"):
            typed = inputs.str(
                "confirm",
                label="Type the field's name to confirm",
                description=f"Deletes field {run.field!r}, its files and the record, for good",
                required=True,
            )
            if ctx.params.get("confirm") != run.field:
                _forms.refuse(typed, f"Type {run.field} to delete it")
        return _forms.form(inputs, "Saliency runs", "")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Delete the run if that was confirmed."""
        run = fos.load_run(ctx.dataset, ctx.params["key"])
        if not ctx.params.get("delete") or ctx.params.get("confirm") != run.field:
            return {"done": "Nothing was changed"}
        fos.delete_run(ctx.dataset, run.key)
        ctx.ops.reload_dataset()
        return {"done": f"Deleted run {run.key} and field {run.field!r}"}

    def resolve_output(self, ctx: Any) -> Any:
        """Say what was done."""
        return _forms.answer("Saliency runs", done="Result")


def _describe(run: Any) -> str:
    rows = {
        "Field": code(run.field),
        "Model": markdown(run.model_name or "-"),
        "Target": markdown(run.request.target),
        "Parameters": markdown(", ".join(f"{k} {v}" for k, v in run.request.params.items()) or "-"),
        "State": f"{run.status}, {run.counts.done} maps, {run.counts.skipped} skipped, {run.counts.failed} failed",
        "Started": run.started.replace("T", " "),
    }
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
    reasons = "\n".join(f"- {code(failure.filepath)}: {markdown(failure.reason)}" for failure in run.failures[:10])
    more = f"\n- … and {len(run.failures) - 10} more" if len(run.failures) > 10 else ""
    return table + (f"\n\n**Without a map**\n\n{reasons}{more}" if reasons else "")
