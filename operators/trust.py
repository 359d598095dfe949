"""Check whether the maps of a run may be believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.escaping import code, markdown

from . import _forms

_MARKS = {True: "✓", False: "✗", None: "–"}


class CheckTrust(foo.Operator):
    """Check a run's maps on a few samples and keep the verdict with the run."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_model(inputs)
        run = _forms.choose_run(inputs, ctx)
        if run is not None:
            inputs.md(_describe(fos.load_run(ctx.dataset, run)), name="verdict")
        inputs.int("count", label="Samples", description="Drawn at random", default=32, min=1, required=True)
        return _forms.form(inputs, "Check trust", "The verdict stays with the run")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Check, with a progress bar."""

        def verb(progress: Any) -> str:
            params = ctx.params
            # A form names a registered model: never a file, an architecture or a hub.
            model, count = load_registered(params["model"]), params.get("count") or 32
            trust = fos.check_trust(ctx.target_view(), model, params["run"], count=count, progress=progress)
            return "The maps pass" if trust.passed else "The maps do not pass: " + " ".join(trust.reasons)

        yield from _forms.with_progress(ctx, "Checking the maps", verb)


def _describe(run: Any) -> str:
    """Return a run's model and what was found about its maps so far, as Markdown."""
    head = f"Computed by {code(run.model_name or '-')} with {code(run.request.method)}"
    if run.trust is None:
        return f"{head}; not checked yet."
    checks = (f"- {_MARKS[check.passed]} **{check.name}**: {markdown(check.reason)}" for check in run.trust.checks)
    return "\n".join([head + f"; it **{'passed' if run.trust.passed else 'did not pass'}**:", "", *checks])
