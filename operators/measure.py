"""Measure stored maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos

from . import _forms


class MeasureMaps(foo.Operator):
    """Measure each map and store the values beside it."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_heatmaps(inputs, ctx)
        what = "Labels or regions of your own; without them, only the map itself is measured"
        _forms.choose_regions(inputs, ctx, what, required=False)
        offered = _offered(ctx.params)
        for info in offered.values():
            inputs.bool(info.name, label=info.title, description=info.summary, default=True)
        if not _chosen(ctx.params):
            nothing = inputs.view("nothing", types.Warning(label="Choose at least one measure"))
            _forms.refuse(nothing, "Choose at least one measure")
        return _forms.form(
            inputs, "Measure maps", "Each value becomes an attribute of the map; the sidebar filters by it"
        )

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Measure, with a progress bar."""

        def verb(progress: Any) -> str:
            names, regions = _chosen(ctx.params), ctx.params.get("regions") or None
            field = ctx.params["field"]
            measured = fos.measure(ctx.target_view(), field, measures=names, regions=regions, progress=progress)
            means = "; ".join(f"{name} {summary}" for name, summary in measured.overall.items())
            return f"{len(measured)} samples measured: {means}"

        yield from _forms.with_progress(ctx, "Measuring maps", verb)


def _offered(params: dict[str, Any]) -> dict[str, Any]:
    """Return the measures that can be taken: those of regions need regions."""
    return {n: info for n, info in fos.list_measures().items() if params.get("regions") or not info.needs_region}


def _chosen(params: dict[str, Any]) -> list[str]:
    return [name for name in _offered(params) if params.get(name, True)]
