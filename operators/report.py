"""Write a report of a run."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.compare import comparable_runs
from fiftyone_saliency.api.regions import region_names
from fiftyone_saliency.api.report import default_path, prepare_paths
from fiftyone_saliency.core.errors import RunConflictError, SaliencyError
from fiftyone_saliency.dataset.folders import require_allowed

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class WriteReport(SaliencyOperator):
    """Write a page and a JSON file with what was measured of a run."""

    title = "Write a report"
    about = "A page that stands alone: it can be mailed"
    running = "Writing the report"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        samples = form.ctx.target_view()
        field = _entries.choose_heatmaps(form)
        regions = _entries.choose_regions(form)
        if regions is not None:
            about = "Where the evidence should lie; without them the report does not judge"
            form.several("right", region_names(samples, regions), "Right regions", about)
        _entries.choose_labels(form)
        runs = [run.field for run in comparable_runs(form.ctx.dataset) if run.field != field]
        form.choice("compare_with", runs, "Compare with", "A later run on the same samples", required=False)
        _choose_path(form, str(default_path(samples, field or "saliency")))

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Write."""
        report = fos.report(
            ctx.target_view(),
            form["field"],
            regions=form["regions"],
            right=form.values.get("right", []),
            gt_field=form["gt_field"],
            pred_field=form["pred_field"],
            compare_with=form["compare_with"],
            out=require_allowed(form["out"], "out"),
            overwrite=form.values.get("overwrite", False),
            progress=progress,
        )
        return Answer(f"Wrote {report}", {"html": str(report.html), "json": str(report.json)})


def _choose_path(form: Form, default: str) -> None:
    out = form.path("out", "File on the server", "A full path", default=default)
    if out is None:
        return
    try:
        prepare_paths(require_allowed(out, "out"))
    except RunConflictError as error:
        if not form.switch("overwrite", "Replace the files that are there"):
            form.refuse("out", str(error))
    except (SaliencyError, OSError) as error:
        form.refuse("out", str(error))
