"""Check whether the maps of a run may be believed."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.escaping import code, markdown

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_MARKS = {"ok": "✓", "weak": "✓ (weak)", "FAIL": "✗", "–": "–"}


class CheckTrust(SaliencyOperator):
    """Check a run's maps on a few samples and keep the verdict with the run."""

    title = "Check trust"
    about = "The verdict stays with the run"
    running = "Checking the maps"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="check_trust",
            label="Saliency: check trust",
            description="Do the maps show what the model has learnt? Check them before concluding anything from them",
            icon="verified",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        run = _entries.choose_run(form)
        _entries.choose_model(form, run)
        if run is not None:
            form.markdown("verdict", _describe(run))
        form.number("count", "Samples", "Drawn at random", default=32, low=1, whole=True)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Check."""
        # A form names a registered model: never a file, an architecture or a hub.
        model = load_registered(form["model"])
        trust = fos.check_trust(ctx.target_view(), model, form["run"], count=form["count"], progress=progress)
        text = "The maps pass" if trust.passed else "The maps do not pass:\n" + "\n".join(trust.reasons)
        return Answer(text, trust.to_json() | {"model": form["model"]})


def _describe(run: Any) -> str:
    """Return a run's model and what was found about its maps so far, as Markdown."""
    head = f"Computed by {code(run.model_name or '-')} with {code(run.request.method)}"
    if run.trust is None:
        return f"{head}; not checked yet."
    checks = (f"- {_MARKS[check.state]} **{check.name}**: {markdown(check.reason)}" for check in run.trust.checks)
    return "\n".join([head + f"; it **{'passed' if run.trust.passed else 'did not pass'}**:", "", *checks])
