"""Write a report of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.compare import comparable_runs
from fiftyone_saliency.api.regions import region_names
from fiftyone_saliency.api.report import default_path, prepare_paths
from fiftyone_saliency.core.errors import RunConflictError, SaliencyError
from fiftyone_saliency.dataset.folders import require_allowed

from . import _forms


class WriteReport(foo.Operator):
    """Write a page and a JSON file with what was measured of a run."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="write_report",
            label="Saliency: write a report",
            description="A page to hand on and a file with every number: where the evidence lies, and if it should",
            icon="description",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        samples = ctx.target_view()
        field = _forms.choose_heatmaps(inputs, ctx)
        _choose_regions(inputs, ctx, samples)
        _forms.choose_labels(inputs, ctx)
        runs = [
            run.field for run in comparable_runs(ctx.dataset) if run.field != ctx.params.get("field", field.default)
        ]
        _forms.choose(inputs, "compare_with", runs, "Compare with", "A later run on the same samples", required=False)
        _choose_path(inputs, ctx, samples)
        return _forms.form(inputs, "Write a report", "A page that stands alone: it can be mailed")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Write, with a progress bar."""

        def verb(progress: Any) -> str:
            return f"Wrote {fos.report(ctx.target_view(), progress=progress, **arguments(ctx.params))}"

        yield from _forms.with_progress(ctx, "Writing the report", verb)


def arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries into arguments of the SDK's verb."""
    chosen = {name: params[name] for name in ("field", "regions", "gt_field", "pred_field")}
    chosen["out"] = require_allowed(params["out"], "out")
    rest = {"right": params.get("right") or [], "compare_with": params.get("compare_with") or None}
    return chosen | rest | {"overwrite": bool(params.get("overwrite"))}


def _choose_regions(inputs: Any, ctx: Any, samples: Any) -> None:
    regions = _forms.choose_regions(inputs, ctx)
    if regions is not None:
        about = "Where the evidence should lie; without them the report does not judge"
        _forms.choose_several(inputs, "right", region_names(samples, regions), "Right regions", about)


def _choose_path(inputs: Any, ctx: Any, samples: Any) -> None:
    default = str(default_path(samples, ctx.params.get("field") or "saliency"))
    entry = inputs.str("out", label="File on the server", description="A full path", default=default, required=True)
    try:
        out = require_allowed(ctx.params.get("out") or default, "out")
        prepare_paths(out)
    except RunConflictError as error:
        inputs.bool("overwrite", label="Replace the files that are there", default=False, view=types.SwitchView())
        if not ctx.params.get("overwrite"):
            _forms.refuse(entry, str(error))
    except SaliencyError as error:
        _forms.refuse(entry, str(error))
