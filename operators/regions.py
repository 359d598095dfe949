"""Define regions, look at them, and delete them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import code
from fiftyone_saliency.core.region_text import parse_lines, write_label
from fiftyone_saliency.dataset.region_labels import all_labels
from fiftyone_saliency.dataset.region_specs import check_regions, check_regions_name

from . import _forms

_SHOWN_LABELS = 12
_LANGUAGE = """
| write | for |
|---|---|
| `field`, `field.label`, `field["two words"]` | what is labelled, what has this label |
| `top(field.label, 0.3)`, `bottom`, `left`, `right` | that share of the box around each instance |
| `grow(region, 0.05)` | dilated by 5 % of the longer side; a keypoint becomes a disc |
| `instances(field.label)` | the masks of detections instead of their boxes |
| `border(0.1)` | 10 % along each edge of the image |
| `a \\| b`, `a & b`, `a - b`, `~a` | union, intersection, difference, complement of regions above |
| `rest` | what no other region covers |
"""


class DefineRegions(foo.Operator):
    """Name parts of the images by expressions over their labels; show them, or delete the definition."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne shows of the operator."""
        return foo.OperatorConfig(
            name="define_regions",
            label="Saliency: define regions",
            description="Name the parts of the images that count, such as head and uniform, from the labels they have",
            icon="select_all",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form."""
        inputs = types.Object()
        ctx.target_view()
        stored = fos.list_regions(ctx.dataset)
        if stored:
            what = "Leave empty to define new ones"
            _forms.choose(inputs, "existing", list(stored), "Change or delete", what, required=False)
        if ctx.params.get("existing") in stored:
            inputs.bool("delete", label="Delete these regions", default=False, view=types.SwitchView())
        if ctx.params.get("delete") and ctx.params.get("existing") in stored:
            _confirm(inputs, ctx)
        else:
            _define(inputs, ctx, stored)
        return _forms.form(inputs, "Define regions", "Everything that measures regions takes them by their name")

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Define and show, or delete."""

        def verb(progress: Any) -> str:
            name, params = _name(ctx.params), ctx.params
            if params.get("delete") and params.get("existing"):
                return _delete(ctx.dataset, name, params.get("confirm"))
            fos.define_regions(ctx.dataset, name, parse_lines(params[_entry(params)]))
            if not params.get("preview"):
                return f"Defined regions {name!r}"
            count = fos.show_regions(ctx.target_view(), name, progress=progress)
            return f"Defined regions {name!r} and drew them over {count} samples"

        yield from _forms.with_progress(ctx, "Defining regions", verb)


def _define(inputs: Any, ctx: Any, stored: dict[str, dict[str, str]]) -> None:
    labels = all_labels(ctx.dataset)
    if not ctx.params.get("existing"):
        name = inputs.str("name", label="Name", default="regions", required=True)
        called = ctx.params.get("name", "regions")
        _refuse_what_fails(name, lambda: check_regions_name(ctx.dataset, called))
    entry = _entry(ctx.params)
    lines = stored.get(ctx.params.get("existing") or "") or _example(ctx.dataset, labels)
    default = "\n".join(f"{name} = {text}" for name, text in lines.items())
    text = inputs.str(
        entry,
        label="Regions",
        description="One per line: name = expression",
        default=default,
        required=True,
        view=types.TextFieldView(multiline=True, rows=6),
    )
    written = ctx.params.get(entry, default) or ""
    _refuse_what_fails(text, lambda: check_regions(ctx.dataset, parse_lines(written)))
    inputs.bool(
        "preview",
        label="Draw them over the images",
        description="Writes the field regions_preview for these samples",
        default=True,
        view=types.SwitchView(),
    )
    inputs.md(_help(labels), name="help")


def _confirm(inputs: Any, ctx: Any) -> None:
    name = ctx.params["existing"]
    what = "Labels and maps stay; the drawing over the images goes too"
    typed = inputs.str("confirm", label="Type the name to confirm", description=what, required=True)
    if ctx.params.get("confirm") != name:
        _forms.refuse(typed, f"Type {name} to delete it")


def _delete(dataset: Any, name: str, confirmed: str | None) -> str:
    if confirmed != name:
        return "Nothing was changed"
    fos.delete_regions(dataset, name)
    return f"Deleted regions {name!r}"


def _name(params: dict[str, Any]) -> str:
    return params.get("existing") or params["name"]


def _entry(params: dict[str, Any]) -> str:
    """Name the entry of the text: each definition has its own, whose default is what is stored."""
    return f"regions__{params['existing']}" if params.get("existing") else "regions"


def _refuse_what_fails(prop: Any, check: Callable[[], Any]) -> None:
    try:
        check()
    except SaliencyError as error:
        _forms.refuse(prop, str(error))


def _example(dataset: Any, labels: dict[str, list[str]]) -> dict[str, str]:
    """Return regions that this dataset can have, to begin with."""
    for field, names in labels.items():
        part = write_label(field, next(iter(names), None))
        for text in (f"top({part}, 0.3)", part):
            regions = {"part": text, "background": "rest"}
            with contextlib.suppress(SaliencyError):
                check_regions(dataset, regions)
                return regions
    return {"edge": "border(0.1)", "centre": "rest"}


def _help(labels: dict[str, list[str]]) -> str:
    rows = [f"- {code(field)}: {_listed(field, names)}" for field, names in labels.items()]
    return "\n".join([_LANGUAGE, "**Labels of this dataset**\n", *(rows or ["none: only `border` and `rest`"])])


def _listed(field: str, names: list[str]) -> str:
    shown = ", ".join(code(write_label(field, name)) for name in names[:_SHOWN_LABELS])
    more = f" and {len(names) - _SHOWN_LABELS} more" if len(names) > _SHOWN_LABELS else ""
    return (shown or "no labels") + more
