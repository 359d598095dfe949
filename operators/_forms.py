"""Parts that several forms share: fields to choose, errors in place, progress that moves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fiftyone as fo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.api.regions import region_choices
from fiftyone_saliency.core.confusion import MISSING
from fiftyone_saliency.core.errors import SaliencyError


def label_fields(ctx: Any, *kinds: type) -> list[str]:
    """Return the dataset's sample fields of the given label types."""
    return list(ctx.dataset.get_field_schema(embedded_doc_type=kinds)) if ctx.dataset is not None else []


def choose(
    inputs: Any,
    name: str,
    values: Sequence[str],
    label: str,
    description: str = "",
    default: str | None = None,
    required: bool = True,
) -> Any:
    """Add a drop-down list; its default is the preferred value if it is there, else the first one."""
    if default not in values:
        default = values[0] if values and required else None
    return inputs.enum(
        name,
        list(values),
        label=label,
        description=description,
        default=default,
        required=required,
        view=types.DropdownView(),
    )


def choose_labels(inputs: Any, ctx: Any) -> tuple[str | None, str | None]:
    """Add the two lists of label fields, truth and prediction, and return what is chosen in them."""
    fields = label_fields(ctx, fo.Classification)
    chosen = []
    for name, label, preferred in (
        ("gt_field", "Ground truth", "ground_truth"),
        ("pred_field", "Predictions", "predictions"),
    ):
        default = preferred if preferred in fields else next((f for f in fields if f not in chosen), None)
        prop = choose(inputs, name, fields, label, default=default)
        if not fields:
            refuse(prop, "The dataset has no Classification field.")
        chosen.append(ctx.params.get(name) or default)
    return chosen[0], chosen[1]


def choose_regions(
    inputs: Any, ctx: Any, description: str = "Labels, or regions of your own", required: bool = True
) -> str | None:
    """Add the list of regions and return what is chosen in it; None where there are none, or none is chosen."""
    choices = [] if ctx.dataset is None else region_choices(ctx.dataset)
    usual = "regions" if required else None
    entry = choose(inputs, "regions", choices, "Regions", description, default=usual, required=required)
    if required and not choices:
        refuse(entry, "There are no regions yet. Start with “Saliency: define regions”.")
    chosen = ctx.params.get("regions") or entry.default
    return chosen if chosen in choices else None


def choose_heatmaps(inputs: Any, ctx: Any, label: str = "Heatmap field") -> Any:
    """Add the list of heatmap fields; where there are none, it says how to get some."""
    fields = label_fields(ctx, fo.Heatmap)
    return _needing_maps(choose(inputs, "field", fields, label, default="saliency"), fields)


def choose_run(inputs: Any, ctx: Any) -> str | None:
    """Add the list of runs by their fields and return what is chosen in it; None where there are none."""
    fields = [] if ctx.dataset is None else [run.field for run in fos.list_runs(ctx.dataset)]
    _needing_maps(choose(inputs, "run", fields, "Heatmap field", "Choose the model that computed its maps"), fields)
    chosen = ctx.params.get("run") or next(iter(fields), None)
    return chosen if chosen in fields else None


def _needing_maps(entry: Any, fields: Sequence[str]) -> Any:
    if not fields:
        refuse(entry, "There are no maps yet. Start with “Saliency: compute maps”.")
    return entry


def choose_several(inputs: Any, name: str, values: Sequence[str], label: str, description: str = "") -> Any:
    """Add a list to choose several values from."""
    view = types.DropdownView(multiple=True)
    for value in values:
        view.add_choice(value, label=value)
    return inputs.list(name, types.String(), label=label, description=description, view=view)


def choose_model(inputs: Any) -> None:
    """Add a drop-down list of the registered models, with how to register one where there is none."""
    try:
        names, problem = fos.list_models(), "No model is registered yet: see the note below"
    except SaliencyError as error:
        names, problem = [], str(error)
    model = choose(inputs, "model", names, "Model", "Registered models; a form never loads anything else")
    if not names:
        refuse(model, problem)
        inputs.view(
            "how",
            types.Notice(
                label="Register your model once, in Python: fiftyone_saliency.register_model("
                "'my-model', '/path/to/my_model.py:load') where load() returns fiftyone_saliency.load_model(...)"
            ),
        )


def refuse(prop: Any, message: str) -> None:
    """Mark an entry as wrong, with the reason; the form cannot be executed then."""
    prop.invalid = True
    prop.error_message = message


def form(inputs: Any, label: str, description: str) -> Any:
    """Return a finished form."""
    return types.Property(inputs, view=types.View(label=label, description=description))


def label_or_none(text: str | None) -> str | None:
    """Turn the shown name of a missing label back into None."""
    return None if text == MISSING else text


def answer(label: str, **lines: str) -> Any:
    """Return an output form of read-only lines."""
    outputs = types.Object()
    for name, title in lines.items():
        outputs.str(name, label=title)
    return types.Property(outputs, view=types.View(label=label))


def with_progress(ctx: Any, label: str, verb: Callable[[Any], str]) -> Iterator[Any]:
    """Run a long verb beside a progress bar that moves, and end with a notice.

    Args:
        ctx: the execution context.
        label: what is going on.
        verb: takes a FiftyOne progress callback and returns the sentence to end with.
    """
    if ctx.delegated:
        verb(fo.report_progress(lambda bar: ctx.set_progress(progress=bar.progress), dt=2.0))
        return
    steps: queue.Queue[tuple[str, Any]] = queue.Queue()

    def work() -> None:
        try:
            steps.put(("done", verb(fo.report_progress(lambda bar: steps.put(("step", bar.progress)), dt=0.5))))
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the thread of the request
            steps.put(("error", error))

    threading.Thread(target=work, daemon=True).start()
    yield ctx.ops.set_progress(label=label, progress=0)
    while True:
        kind, value = steps.get()
        if kind == "step":
            yield ctx.ops.set_progress(label=label, progress=value)
        elif kind == "error":
            if isinstance(value, SaliencyError):
                yield ctx.ops.notify(str(value), variant="error")
            raise value
        else:
            yield ctx.ops.set_progress(label=value, progress=1)
            yield ctx.ops.notify(value, variant="success")
            yield ctx.ops.reload_dataset()
            return
