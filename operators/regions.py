"""Define regions, look at them, and delete them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import code
from fiftyone_saliency.core.region_text import parse_lines, write_label
from fiftyone_saliency.dataset.region_labels import all_labels
from fiftyone_saliency.dataset.region_specs import check_regions, check_regions_name

from ._answers import Answer
from ._forms import Form
from ._operator import SaliencyOperator

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


class DefineRegions(SaliencyOperator):
    """Name parts of the images by expressions over their labels; show them, or delete the definition."""

    title = "Define regions"
    about = "Everything that measures regions takes them by their name"
    running = "Defining regions"

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

    def ask(self, form: Form) -> None:
        """Add the entries."""
        form.ctx.target_view()
        stored = fos.list_regions(form.ctx.dataset)
        existing = None
        if stored or form.given("existing"):
            what = "Leave empty to define new ones"
            existing = form.choice("existing", list(stored), "Change or delete", what, required=False)
        if existing is not None and form.switch("delete", "Delete these regions"):
            what = "Labels and maps stay; the drawing over the images goes too"
            if form.name("confirm", "Type the name to confirm", what) != existing:
                form.refuse("confirm", f"Type {existing} to delete it")
        else:
            _define(form, stored, existing)

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Define and show, or delete."""
        existing = form.values.get("existing")
        name = existing or form["name"]
        if form.values.get("delete"):
            fos.delete_regions(ctx.dataset, name)
            return Answer(f"Deleted regions {name!r}", {"name": name, "deleted": True})
        regions = parse_lines(form[_entry(existing)])
        fos.define_regions(ctx.dataset, name, regions)
        data = {"name": name, "regions": regions, "deleted": False}
        if not form["preview"]:
            return Answer(f"Defined regions {name!r}", data | {"drawn": 0})
        count = fos.show_regions(ctx.target_view(), name, progress=progress)
        return Answer(f"Defined regions {name!r} and drew them over {count} samples", data | {"drawn": count})


def _define(form: Form, stored: dict[str, dict[str, str]], existing: str | None) -> None:
    dataset = form.ctx.dataset
    labels = all_labels(dataset)
    if existing is None:
        name = form.name("name", "Name", default=_free_name([*stored, *dataset.get_field_schema()]))
        form.check("name", lambda: check_regions_name(dataset, name or ""))
    lines = stored[existing] if existing is not None else _example(dataset, labels)
    text = form.text(
        _entry(existing),
        "Regions",
        "One per line: name = expression",
        default="\n".join(f"{name} = {text}" for name, text in lines.items()),
        empty=True,
        view=types.TextFieldView(multiline=True, rows=6),
    )
    form.check(_entry(existing), lambda: check_regions(dataset, parse_lines(text or "")))
    what = "Writes the field regions_preview for these samples"
    form.switch("preview", "Draw them over the images", what, default=True)
    form.markdown("help", _help(labels))


def _free_name(taken: Iterable[str]) -> str:
    """Return a name for new regions that nothing has yet."""
    names = set(taken)
    if "regions" not in names:
        return "regions"
    return next(f"regions_{number}" for number in range(2, len(names) + 3) if f"regions_{number}" not in names)


def _entry(existing: str | None) -> str:
    """Name the entry of the text: each definition has its own, whose default is what is stored."""
    return f"regions__{existing}" if existing is not None else "regions"


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
