"""Entries that several forms share: labels, regions, heatmaps, runs and models of a dataset."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.regions import region_choices
from fiftyone_saliency.core.confusion import MISSING
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import markdown
from fiftyone_saliency.dataset.label_confusion import KINDS

from ._forms import Form

LABELS = KINDS
NO_RUN = "(none: any model, and nothing is kept)"
NO_MAPS = "There are no maps yet. Start with “Saliency: compute maps”."


def label_fields(ctx: Any, *kinds: type) -> list[str]:
    """Return the dataset's sample fields of the given label types."""
    return list(ctx.dataset.get_field_schema(embedded_doc_type=kinds)) if ctx.dataset is not None else []


def label_or_none(text: str | None) -> str | None:
    """Turn the shown name of a missing label back into None."""
    return None if text == MISSING else text


def choose_truth(
    form: Form, label: str = "Ground truth", kinds: tuple[type, ...] = (fo.Classification,), required: bool = True
) -> str | None:
    """Add the list of label fields for the truth."""
    fields = label_fields(form.ctx, *kinds)
    return form.choice("gt_field", fields, label, default="ground_truth", required=required)


def choose_labels(
    form: Form,
    kinds: tuple[type, ...] = (fo.Classification,),
    needed: tuple[str, ...] = ("gt_field", "pred_field"),
) -> tuple[str | None, str | None]:
    """Add the two lists of label fields, truth and prediction, and return what is chosen in them.

    Args:
        form: takes the entries.
        kinds: the label types of the fields.
        needed: which of the two entries cannot be left out.
    """
    fields = label_fields(form.ctx, *kinds)
    truth = choose_truth(form, kinds=kinds, required="gt_field" in needed)
    usual = "predictions" if "predictions" in fields else next((name for name in fields if name != truth), None)
    prediction = form.choice("pred_field", fields, "Predictions", default=usual, required="pred_field" in needed)
    if not fields:
        names = " or ".join(kind.__name__ for kind in kinds)
        for name in needed:
            form.refuse(name, f"The dataset has no {names} field.")
    return truth, prediction


def choose_regions(form: Form, description: str = "Labels, or regions of your own", required: bool = True) -> Any:
    """Add the list of regions and return what is chosen in it; None where there are none, or none is chosen."""
    choices = [] if form.ctx.dataset is None else region_choices(form.ctx.dataset)
    usual = "regions" if required else None
    chosen = form.choice("regions", choices, "Regions", description, default=usual, required=required)
    if required and not choices:
        form.refuse("regions", "There are no regions yet. Start with “Saliency: define regions”.")
    return chosen


def choose_heatmaps(form: Form, label: str = "Heatmap field") -> str | None:
    """Add the list of heatmap fields and return what is chosen; where there are none, it says how to get some."""
    fields = label_fields(form.ctx, fo.Heatmap)
    chosen = form.choice("field", fields, label, default="saliency")
    if not fields:
        form.refuse("field", NO_MAPS)
    return chosen


def choose_run(form: Form, required: bool = True) -> Any:
    """Add the list of runs by their fields and return the record of the chosen one, or None."""
    runs = {} if form.ctx.dataset is None else {run.field: run for run in fos.list_runs(form.ctx.dataset)}
    usual = "saliency" if "saliency" in runs else next(iter(runs), None)
    offered = [*runs] if required else [*runs, NO_RUN]
    field = form.choice("run", offered, "Run", "By the field of its maps", default=usual)
    if required and not runs:
        form.refuse("run", NO_MAPS)
    return runs.get(field or "")


def choose_model(form: Form, run: Any = None) -> str | None:
    """Add the list of registered models and return the chosen one.

    Args:
        form: takes the entry.
        run: the run whose maps the form is about: its model is the default, and no other one is.
    """
    try:
        names, problem = fos.list_models(), "No model is registered yet: see the note below"
    except SaliencyError as error:
        names, problem = [], str(error)
    about = "Registered models; a form never loads anything else"
    if run is None:
        chosen = form.choice("model", names, "Model", about)
    elif run.model_name in names:
        about = f"The run's maps were computed by {markdown(repr(run.model_name))}"
        chosen = form.choice("model", names, "Model", about, default=run.model_name)
    else:
        # Any other model would be a guess, and perhaps another network than the one that the maps are of.
        about = (
            f"The run's maps were computed by {markdown(repr(run.model_name))}, which is not registered under that name"
        )
        chosen = form.choice("model", names, "Model", about, guess=False)
    if not names:
        form.refuse("model", problem)
        form.inputs.view(
            "how",
            types.Notice(
                label="Register your model once, in Python: fiftyone_saliency.register_model("
                "'my-model', '/path/to/my_model.py:load') where load() returns fiftyone_saliency.load_model(...)"
            ),
        )
    return chosen


def choose_tag(form: Form) -> str | None:
    """Add a tag."""
    return form.name("tag", "Tag", default="enrich")
