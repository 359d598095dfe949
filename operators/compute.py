"""Compute saliency maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered

from . import _forms

_TARGETS = {
    "predicted": "The predicted class: what speaks for the answer",
    "ground_truth": "The true class: what speaks for the right answer",
    "contrast": "Predicted rather than true: why this answer and not the right one",
    "top-2": "The second choice: what nearly won",
    "class": "One class of my choice",
    "all": "Predicted, true, and the one rather than the other: three fields, hardly slower than one",
}
_ALL = {"": "predicted", "_truth": "ground_truth", "_contrast": "contrast"}


class ComputeSaliency(foo.Operator):
    """Compute a saliency map per sample and store it as a heatmap."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="compute_saliency",
            label="Saliency: compute maps",
            description="Show what drove each decision, as a heatmap over the image",
            icon="local_fire_department",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        _forms.choose_model(inputs)
        _choose_method(inputs, ctx)
        _choose_target(inputs, ctx)
        _choose_field(inputs, ctx)
        batch = inputs.int("batch_size", label="Batch size", default=16, min=1, max=1024, required=True)
        if not 1 <= (ctx.params.get("batch_size") or 16) <= 1024:
            _forms.refuse(batch, "1 to 1,024")
        return _forms.form(inputs, "Compute saliency maps", "An interrupted run goes on where it stopped")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Compute, with a progress bar."""

        def verb(progress: Any) -> str:
            runs = fos.compute_saliency_targets(ctx.target_view(), progress=progress, **arguments(ctx.params))
            fos.show_heatmaps(ctx.dataset, fields=list(runs), labels=_forms.label_fields(ctx, fo.Classification))
            return "; ".join(str(run) for run in runs.values())

        yield from _forms.with_progress(ctx, "Computing saliency maps", verb)


def arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Turn the form's entries into arguments of the SDK's verb."""
    prefix = f"{params['method']}__"
    return {
        # A form names a registered model: never a file, an architecture or a hub.
        "model": load_registered(params["model"]),
        "targets": targets(params),
        "method": params["method"],
        "parameters": {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix) and v is not None},
        "gt_field": params.get("gt_field"),
        "pred_field": params.get("pred_field"),
        "batch_size": params.get("batch_size") or 16,
        "overwrite": bool(params.get("overwrite")),
    }


def targets(params: dict[str, Any]) -> dict[str, Any]:
    """Return what to explain, by the field that takes the maps."""
    field, target = params.get("field") or "saliency", params.get("target")
    if target == "all":
        return {f"{field}{suffix}": one for suffix, one in _ALL.items()}
    return {field: params.get("target_class") if target == "class" else target}


def _choose_method(inputs: Any, ctx: Any) -> None:
    methods = {name: info for name, info in fos.list_methods().items() if not info.hidden}
    choices = types.Dropdown()
    for name, info in methods.items():
        doubt = "" if info.evidence else " To look at only: it fails the randomisation check, or knows no class."
        choices.add_choice(name, label=info.title, description=info.summary + doubt)
    inputs.enum("method", list(methods), label="Method", default="grad_cam", required=True, view=choices)
    chosen = ctx.params.get("method") or "grad_cam"
    if chosen not in methods:
        return
    for name, (kind, default) in methods[chosen].parameters.items():
        add = {int: inputs.int, float: inputs.float, bool: inputs.bool}.get(kind, inputs.str)
        limits = dict(zip(("min", "max"), methods[chosen].bounds.get(name, ()), strict=False))
        add(f"{chosen}__{name}", label=name.replace("_", " ").capitalize(), default=default, **limits)


def _choose_target(inputs: Any, ctx: Any) -> None:
    choices = types.Dropdown()
    for name, description in _TARGETS.items():
        title, _, what = description.partition(": ")
        choices.add_choice(name, label=title, description=what)
    inputs.enum("target", list(_TARGETS), label="Explain", default="predicted", required=True, view=choices)
    gt_field, pred_field = _forms.choose_labels(inputs, ctx)
    if ctx.params.get("target") == "class":
        known = {c for f in (gt_field, pred_field) if f for c in ctx.dataset.distinct(f"{f}.label")}
        _forms.choose(inputs, "target_class", sorted(known), "Class")


def _choose_field(inputs: Any, ctx: Any) -> None:
    schema = ctx.dataset.get_field_schema() if ctx.dataset is not None else {}
    names = list(targets(ctx.params))
    taken = [name for name in names if name in schema]
    prop = inputs.str(
        "field", label="Heatmap field", description="The field that takes the maps", default="saliency", required=True
    )
    if not names[0].isidentifier() or names[0].startswith("_"):
        _forms.refuse(prop, "A field name like saliency: letters, digits and _")
    elif not set(taken) <= set(_forms.label_fields(ctx, fo.Heatmap)):
        _forms.refuse(prop, f"The dataset has {' and '.join(taken)} already, and it holds something else")
    elif taken:
        inputs.bool(
            "overwrite",
            label="Replace what the field holds",
            description="Off: the same settings go on with the field's run, other settings are refused",
            default=False,
        )
