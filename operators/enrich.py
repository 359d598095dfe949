"""Plan an enrichment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.dataset.region_labels import mask_names
from fiftyone_saliency.dataset.region_specs import find_regions

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_NO_POOL = "(none: only say what is missing)"
_VIEW, _TAG = "saved view: ", "tag: "
_UNDO = "Run this form again on the same pool, with “Remove the tag instead”."


class PlanEnrichment(SaliencyOperator):
    """Say what the data lacks, and tag what would fill it."""

    title = "Plan enrichment"
    about = "Pictures that balance the wrong reasons of each class"

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="plan_enrichment",
            label="Saliency: plan enrichment",
            description="Say which pictures the data lacks and how many, and find them in a pool",
            icon="library_add",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
        )

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        dataset = form.ctx.dataset
        _entries.choose_heatmaps(form)
        regions = _entries.choose_regions(form)
        if regions is not None:
            names, free, problem = _names(dataset, regions)
            form.several("right", names, "Right regions", "Where the evidence should lie", required=True, free=free)
            if problem:
                form.refuse("right", problem)
        _entries.choose_labels(form)
        pools = [f"{_VIEW}{name}" for name in dataset.list_saved_views()]
        pools += [f"{_TAG}{name}" for name in dataset.distinct("tags")]
        what = "Unlabelled or held-out samples to choose from"
        if form.choice("pool", [_NO_POOL, *pools], "Pool", what) != _NO_POOL:
            _choose_from_pool(form)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Plan, and tag what was asked for."""
        pool = _pool(ctx.dataset, form["pool"])
        if pool is not None and form["remove"]:
            tag, count = form["tag"], fos.untag_cell(pool, form["tag"])
            return Answer(f"{count} samples lost the tag {tag!r}", {"untagged": count, "tag": tag})
        plan = fos.plan_enrichment(ctx.target_view(), pool=pool, **arguments(form.values))
        if pool is None or not form["apply"]:
            return Answer(str(plan), plan.to_json())
        tag, count = form["tag"], plan.apply(form["tag"])
        text = f"{plan}\n{count} samples got the tag {tag!r}\nTo undo: {_UNDO}"
        return Answer(text, plan.to_json() | {"tagged": count, "tag": tag})


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the form's values into arguments of the SDK's verb."""
    chosen = {name: values[name] for name in ("field", "regions", "right", "gt_field", "pred_field")}
    if values["pool"] != _NO_POOL:
        # A form names a registered model: never a file, an architecture or a hub.
        chosen |= {"model": load_registered(values["model"]), "count": values["count"]}
    return chosen


def _names(dataset: Any, regions: str) -> tuple[list[str], bool, str]:
    """Return names of regions, whether there may be others, as in masks whose values have no name, and a problem."""
    try:
        known = find_regions(dataset, regions).names
    except SaliencyError as error:
        return [], False, str(error)
    return (list(mask_names(dataset, regions).values()), True, "") if known is None else (known, False, "")


def _choose_from_pool(form: Form) -> None:
    run = next((run for run in fos.list_runs(form.ctx.dataset) if run.field == form["field"]), None)
    _entries.choose_model(form, run)
    what = "Samples to propose; empty for all that are needed"
    form.number("count", "At most", what, low=1, whole=True, required=False)
    form.switch("apply", "Tag the proposed samples")
    form.switch("remove", "Remove the tag instead")
    _entries.choose_tag(form)


def _pool(dataset: Any, name: str) -> Any:
    if name.startswith(_VIEW):
        return dataset.load_saved_view(name.removeprefix(_VIEW))
    return dataset.match_tags(name.removeprefix(_TAG)) if name.startswith(_TAG) else None
