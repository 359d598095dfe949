"""Compute saliency maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.models import load_registered
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset.label_confusion import labels_of

from . import _entries
from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

_TARGETS = {
    "predicted": "The predicted class: what speaks for the answer",
    "ground_truth": "The true class: what speaks for the right answer",
    "contrast": "Predicted rather than true: why this answer and not the right one",
    "top-2": "The second choice: what nearly won",
    "class": "One class of my choice",
    "all": "Predicted, true, and the one rather than the other: three fields, hardly slower than one",
}
_OF_TRUTH = {"ground_truth", "contrast", "all"}
_ALL = {"": "predicted", "_truth": "ground_truth", "_contrast": "contrast"}


class ComputeSaliency(SaliencyOperator):
    """Compute a saliency map per sample and store it as a heatmap."""

    title = "Compute saliency maps"
    about = "An interrupted run goes on where it stopped"
    running = "Computing saliency maps"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        _entries.choose_model(form)
        _choose_method(form)
        _choose_target(form)
        _choose_field(form)
        form.number("batch_size", "Batch size", default=16, low=1, high=1024, whole=True)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Compute."""
        runs = fos.compute_saliency_targets(ctx.target_view(), progress=progress, **arguments(form.values))
        fos.show_heatmaps(ctx.dataset, fields=list(runs), labels=_entries.label_fields(ctx, *_entries.LABELS))
        text = "\n".join(str(run) for run in runs.values())
        return Answer(text, {"runs": {field: run.to_json() for field, run in runs.items()}})


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the form's values into arguments of the SDK's verb."""
    prefix = f"{values['method']}__"
    given = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return {
        # A form names a registered model: never a file, an architecture or a hub.
        "model": load_registered(values["model"]),
        "targets": _targets(values),
        "method": values["method"],
        "parameters": {name: value for name, value in given.items() if value is not None},
        "gt_field": values["gt_field"],
        "pred_field": values["pred_field"],
        "batch_size": values["batch_size"],
        "overwrite": values.get("overwrite", False),
    }


def _targets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to explain, by the field that takes the maps."""
    field, target = values["field"] or "saliency", values["target"]
    if target == "all":
        return {f"{field}{suffix}": one for suffix, one in _ALL.items()}
    return {field: values["target_class"] if target == "class" else target}


def _choose_method(form: Form) -> None:
    methods = {name: info for name, info in fos.list_methods().items() if not info.hidden}
    doubt = " To look at only: it fails the randomisation check, or knows no class."
    titles = {name: f"{info.title}: {info.summary}{'' if info.evidence else doubt}" for name, info in methods.items()}
    method = form.choice("method", list(methods), "Method", default="grad_cam", titles=titles)
    if method is None:
        return
    info = methods[method]
    for name, (kind, default) in info.parameters.items():
        entry, label = f"{method}__{name}", name.replace("_", " ").capitalize()
        if kind is bool:
            form.switch(entry, label, default=default)
        elif kind in (int, float):
            low, high = info.bounds.get(name, (None, None))
            form.number(entry, label, default=default, low=low, high=high, whole=kind is int, required=False)
        else:
            form.name(entry, label, default=default, required=False)
    form.check("method", lambda: _build(info, method, form))


def _build(info: Any, method: str, form: Form) -> None:
    """Make the method once, so that a parameter that makes no sense is said in the form."""
    values = {name: form[f"{method}__{name}"] for name in info.parameters}
    try:
        info.cls(**{name: value for name, value in values.items() if value is not None})
    except TypeError as error:
        raise ArgumentError(f"Expected parameters that fit {method}, but got {values}: {error}.") from error


def _choose_target(form: Form) -> None:
    target = form.choice("target", list(_TARGETS), "Explain", titles=_TARGETS)
    if target != "class":
        # Without a field of predictions, the model's own are explained.
        _entries.choose_labels(form, needed=("gt_field",) if target in _OF_TRUTH else ())
        return
    fields = _entries.choose_labels(form, _entries.LABELS, needed=())
    known = {label for field in fields if field for label in labels_of(form.ctx.dataset, field)}
    if known:
        form.choice("target_class", sorted(known), "Class")
    else:
        form.name("target_class", "Class", "A class of the model")


def _choose_field(form: Form) -> None:
    schema = form.ctx.dataset.get_field_schema()
    field = form.name("field", "Heatmap field", "The field that takes the maps", default="saliency")
    taken = [name for name in _targets(form.values) if name in schema]
    if field is not None and (not field.isidentifier() or field.startswith("_")):
        form.refuse("field", "A field name like saliency: letters, digits and _")
    elif not set(taken) <= set(_entries.label_fields(form.ctx, fo.Heatmap)):
        form.refuse("field", f"The dataset has {' and '.join(taken)} already, and it holds something else")
    elif taken:
        what = "Off: the same settings go on with the field's run, other settings are refused"
        form.switch("overwrite", "Replace what the field holds", what)
