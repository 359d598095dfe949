"""Measure stored maps."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator


class MeasureMaps(SaliencyOperator):
    """Measure each map and store the values beside it."""

    title = "Measure maps"
    about = "Each value becomes an attribute of the map; the sidebar filters by it"
    running = "Measuring maps"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="measure_maps",
            label="Saliency: measure maps",
            description="Turn each map into numbers to filter by: evidence in a region, concentration, and more",
            icon="straighten",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        _entries.choose_heatmaps(form)
        what = "Labels or regions of your own; without them, only the map itself is measured"
        _entries.choose_regions(form, what, required=False)
        for info in _offered(form):
            form.switch(info.name, info.title, info.summary, default=True)
        if not _chosen(form):
            form.refuse("nothing", "Choose at least one measure")

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Measure."""
        measured = fos.measure(
            ctx.target_view(), form["field"], measures=_chosen(form), regions=form["regions"], progress=progress
        )
        means = [f"{name} {summary}" for name, summary in measured.overall.items()]
        return Answer("\n".join([f"{len(measured)} samples measured", *means]), measured.to_json())


def _offered(form: Form) -> list[Any]:
    """Return the measures that can be taken: those of regions need regions."""
    return [info for info in fos.list_measures().values() if form["regions"] or not info.needs_region]


def _chosen(form: Form) -> list[str]:
    return [info.name for info in _offered(form) if form[info.name]]
