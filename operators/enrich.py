"""Plan an enrichment."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import code_block
from fiftyone_saliency.dataset.region_labels import mask_names
from fiftyone_saliency.dataset.region_specs import find_regions

from . import _forms

_NO_POOL = "(none: only say what is missing)"
_VIEW, _TAG = "saved view: ", "tag: "
_UNDO = "Run this form again on the same pool, with “Remove the tag instead”."


class PlanEnrichment(foo.Operator):
    """Say what the data lacks, and tag what would fill it."""

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

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_heatmaps(inputs, ctx)
        _choose_regions(inputs, ctx)
        _forms.choose_labels(inputs, ctx)
        pools = [f"{_VIEW}{name}" for name in ctx.dataset.list_saved_views()] if ctx.dataset else []
        pools += [f"{_TAG}{name}" for name in ctx.dataset.distinct("tags")] if ctx.dataset else []
        _forms.choose(inputs, "pool", [_NO_POOL, *pools], "Pool", "Unlabelled or held-out samples to choose from")
        if ctx.params.get("pool", _NO_POOL) != _NO_POOL:
            _choose_from_pool(inputs, ctx)
        return _forms.form(inputs, "Plan enrichment", "Pictures that balance the wrong reasons of each class")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Plan, and tag what was asked for."""
        params, pool = ctx.params, _pool(ctx.dataset, ctx.params["pool"])
        tag = (params.get("tag") or "").strip()
        if pool is not None and params.get("remove"):
            answer = {"tagged": f"{fos.untag_cell(pool, tag)} samples lost the tag {tag!r}"}
        else:
            plan = fos.plan_enrichment(ctx.target_view(), pool=pool, **arguments(params))
            answer = {"plan": code_block(plan)}
            if pool is not None and params.get("apply"):
                answer |= {"tagged": f"{plan.apply(tag)} samples got the tag {tag!r}", "undo": _UNDO}
        ctx.ops.reload_dataset()
        return answer

    def resolve_output(self, ctx: Any) -> Any:
        """Show the plan, and what was done."""
        outputs = types.Object()
        if "plan" in ctx.results:
            outputs.str("plan", view=types.MarkdownView())
        for name, label in {"tagged": "Tags", "undo": "To undo"}.items():
            if name in ctx.results:
                outputs.str(name, label=label)
        return types.Property(outputs, view=types.View(label="Enrichment plan"))


def arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries into arguments of the SDK's verb."""
    names = ("field", "regions", "right", "gt_field", "pred_field")
    found: dict[str, Any] = {name: params[name] for name in names}
    if params["pool"] != _NO_POOL:
        # A form names a registered model: never a file, an architecture or a hub.
        found |= {"model": load_registered(params["model"]), "count": params.get("count")}
    return found


def _choose_regions(inputs: Any, ctx: Any) -> None:
    regions = _forms.choose_regions(inputs, ctx)
    if regions is None:
        return
    names, free, problem = _names(ctx, regions)
    right = inputs.list(
        "right",
        types.String(),
        label="Right regions",
        description="Where the evidence should lie",
        required=True,
        view=types.AutocompleteView(
            choices=[types.Choice(name, label=name) for name in names], allow_user_input=free, allow_duplicates=False
        ),
    )
    if problem or not (free or set(ctx.params.get("right") or []) <= set(names)):
        _forms.refuse(right, problem or f"Choose among {', '.join(names)}")


def _names(ctx: Any, regions: str) -> tuple[list[str], bool, str]:
    """Return names of regions, whether there may be others, as in masks whose values have no name, and a problem."""
    try:
        known = find_regions(ctx.dataset, regions).names
    except SaliencyError as error:
        return [], False, str(error)
    return (list(mask_names(ctx.dataset, regions).values()), True, "") if known is None else (known, False, "")


def _choose_from_pool(inputs: Any, ctx: Any) -> None:
    _forms.choose_model(inputs)
    count = inputs.int("count", label="At most", description="Samples to propose; empty for all that are needed")
    if (ctx.params.get("count") or 1) < 1:
        _forms.refuse(count, "At least 1")
    inputs.bool("apply", label="Tag the proposed samples", default=False, view=types.SwitchView())
    inputs.bool("remove", label="Remove the tag instead", default=False, view=types.SwitchView())
    tag = inputs.str("tag", label="Tag", default="enrich", required=True)
    if not (ctx.params.get("tag", "enrich") or "").strip():
        _forms.refuse(tag, "A tag is a non-empty text")


def _pool(dataset: Any, name: str) -> Any:
    if name.startswith(_VIEW):
        return dataset.load_saved_view(name.removeprefix(_VIEW))
    return dataset.match_tags(name.removeprefix(_TAG)) if name.startswith(_TAG) else None
