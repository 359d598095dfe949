"""Look at the saliency runs of a dataset, and delete them."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.escaping import code, markdown

from ._answers import Answer, reload_dataset
from ._forms import Form
from ._operator import SaliencyOperator


class ManageRuns(SaliencyOperator):
    """Show a run's record, and delete the run where that is confirmed."""

    title = "Saliency runs"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        runs = {run.key: run for run in fos.list_runs(form.ctx.dataset)}
        if not runs:
            form.note("none", "No saliency run yet. Start with “Saliency: compute maps”.")
        key = form.choice("key", list(runs), "Run", titles={key: run.field + f": {key}" for key, run in runs.items()})
        if key is None:
            form.refuse("key", "There is no run")
            return
        form.markdown("record", _describe(runs[key]))
        if form.switch("delete", "Delete this run"):
            field = runs[key].field
            what = f"Deletes field {markdown(repr(field))}, its files and the record, for good"
            typed = form.name("confirm", "Type the field's name to confirm", what)
            if typed != field:
                form.refuse("confirm", f"Type {field} to delete it")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Tell the run's record, and delete the run if that was confirmed."""
        run = fos.load_run(ctx.dataset, form["key"])
        if not form["delete"]:
            return Answer(str(run), run.to_json() | {"deleted": False}, then=None)
        fos.delete_run(ctx.dataset, run.key)
        text = f"Deleted run {run.key} and field {run.field!r}"
        return Answer(text, run.to_json() | {"deleted": True}, then=reload_dataset)


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
    proofs = "\n".join(f"- {markdown(line)}" for line in _proofs(run))
    table += f"\n\n**Checked**\n\n{proofs}" if proofs else ""
    reasons = "\n".join(f"- {code(failure.filepath)}: {markdown(failure.reason)}" for failure in run.failures[:10])
    more = f"\n- … and {len(run.failures) - 10} more" if len(run.failures) > 10 else ""
    return table + (f"\n\n**Without a map**\n\n{reasons}{more}" if reasons else "")


def _proofs(run: Any) -> list[str]:
    """Return what was found out about the run's maps and its model, one sentence each."""
    trust = [] if run.trust is None else ["Trust: " + ("passed" if run.trust.passed else "not passed")]
    measures = {} if run.faithfulness is None else run.faithfulness["measures"]
    verdicts = {True: "better than random", False: "no better than random", None: "undefined beside random"}
    faithful = [f"{name.capitalize()}: {verdicts[one['beats_random']]}" for name, one in measures.items()]
    hidden = [
        f"{one['region']} hidden ({one['fill']}): {_percent(one['flips']['mean'])} of the answers changed, elsewhere "
        f"{_percent(one['control_flips']['mean'])}"
        for one in run.hidden
    ]
    return [*trust, *faithful, *hidden]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
