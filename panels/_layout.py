"""How the parts of the confusion panel stand together: pure functions from state to FiftyOne types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone.operators.types as types

from fiftyone_saliency.core.confusion import show
from fiftyone_saliency.core.escaping import code, markdown
from fiftyone_saliency.dataset.confusion import Cell, ConfusionMatrix

TOP = 8
# Where the values of the controls and the big data live: a component's value is found by its path.
CONTROLS = {
    "gt_field": "header.controls",
    "pred_field": "header.controls",
    "saliency": "header.controls",
    "face": "header.show",
    "errors_only": "header.show",
    "label": "header.several",
    "regions": "header.reasons",
    "right": "header.reasons",
    "tag": "header.tags",
}
FIGURE = "figure"
BARS = "bars"
CONFUSIONS = "footer.confusions"
_HINT = "**Choose a cell** to see its samples with their maps."
FACES = {
    "none": "Counts",
    "row": "Share of truth",
    "column": "Share of predicted",
    "region": "Where the evidence lies",
    "right": "Right reasons",
}
REASONS = ("region", "right")


def summary(matrix: ConfusionMatrix) -> str:
    """Return one line about the whole matrix."""
    counts = matrix.counts
    accuracy = "–" if counts.accuracy is None else f"{counts.accuracy:.1%}"
    text = f"**{counts.total:,} samples** · accuracy **{accuracy}** · {counts.judged - counts.correct:,} mistakes"
    missing = counts.total - counts.judged
    return text + (f" · {missing:,} without truth or prediction" if missing else "")


def card(cell: Cell, saliency: str | None, tag: str | None) -> str:
    """Return what is known of a cell, as markdown."""
    counts, view = cell.matrix.counts, cell.view()
    row, column = counts.row_total(cell.truth), counts.column_total(cell.prediction)
    facts = [
        f"**{cell.count:,}** samples",
        f"{_share(cell.count, row)} of truth *{markdown(show(cell.truth))}*",
        f"{_share(cell.count, column)} of predicted *{markdown(show(cell.prediction))}*",
    ]
    path = f"{cell.matrix.pred_field}.confidence"
    confidence = view.mean(path) if cell.count and view.get_field(path) is not None else None
    if confidence is not None:
        facts.append(f"mean confidence {confidence:.2f}")
    if saliency is not None and view.has_field(saliency):
        facts.append(f"{len(view.exists(saliency)):,} with a map")
    if tag:
        facts.append(f"{len(view.match_tags(tag)):,} tagged {code(tag)}")
    return f"**{markdown(cell.name)}**\n\n" + " · ".join(facts)


@dataclass(frozen=True)
class Choices:
    """What the drop-down lists offer.

    Args:
        labels: Classification and Classifications fields of the dataset.
        maps: Heatmap fields of the dataset, and the entry for none.
        regions: label fields whose labels are regions, and the names of defined regions.
        names: the chosen regions' own names.
        several: where samples have several labels, the entry for pairs and the labels; else nothing.
    """

    labels: list[str]
    maps: list[str]
    regions: list[str]
    names: list[str]
    several: list[str]


def draw(panel: Any, state: Any, face: str, choices: Choices) -> Any:
    """Draw the panel.

    Args:
        panel: the panel, whose methods the controls call.
        state: the panel's state.
        face: which face of the matrix is shown.
        choices: what the drop-down lists offer.
    """
    root = types.Object()
    # Padding belongs to the parts: on the root, the plot would reach beyond the panel's right edge.
    header = root.v_stack("header", gap=1, px=2, pt=1)
    problem = _problem(state, face, choices)
    _controls(header, panel, face, choices)
    if problem is not None:
        header.view("problem", types.Notice(label=markdown(problem)))
        return _page(root)
    header.md(state.summary or "", name="summary")
    if state.hidden:
        header.md(f"*Shown are the labels with most mistakes; {state.hidden} more take part in fewer.*", name="hidden")
    header.md(state.card or _HINT, name="card")
    _actions(header, panel, state, face)
    plotly = {"displayModeBar": False, "scrollZoom": False, "responsive": True}
    root.plot(FIGURE, layout=state.layout, config=plotly, on_click=panel.on_click)
    if face in REASONS and state.bars_layout:
        title = root.v_stack("bars_title", px=2)
        title.md(state.bars_title, name="text")
        root.plot(BARS, layout=state.bars_layout, config=plotly)
    _confusions(root.v_stack("footer", gap=1, pb=2), panel, state)
    return _page(root)


def _page(root: Any) -> Any:
    return types.Property(root, view=types.GridView(orientation="vertical", gap=1))


def _problem(state: Any, face: str, choices: Choices) -> str | None:
    if len(choices.labels) < 2:
        return (
            "A confusion matrix needs two Classification fields, or Classifications, truth and prediction. Store "
            "predictions with fiftyone_saliency.predict(dataset, model), then open this panel again."
        )
    if state.problem:
        return state.problem
    if not state.labels:
        return "There is no sample in view. Clear or widen the filters."
    if face in REASONS and not choices.regions:
        return (
            "Reasons need regions: a Segmentation, Detections or Polylines field, or regions of your own, "
            "from the operator “Saliency: define regions”."
        )
    return None


def _controls(root: Any, panel: Any, face: str, choices: Choices) -> None:
    bar = root.h_stack("controls", gap=2, align_y="center")
    for name, label, values in (
        ("gt_field", "Truth", choices.labels),
        ("pred_field", "Prediction", choices.labels),
        ("saliency", "Saliency", choices.maps),
    ):
        bar.enum(name, values, label=label, view=types.DropdownView(), on_change=panel.on_choose)
    # A row of its own: names of fields can be long, and a row that is too wide pushes all others out of sight.
    show = root.h_stack("show", gap=2, align_y="center")
    faces = types.DropdownView()
    for value, label in FACES.items():
        faces.add_choice(value, label=label)
    show.enum("face", list(FACES), view=faces, on_change=panel.on_choose)
    show.bool("errors_only", label="Mistakes only", view=types.SwitchView(), on_change=panel.on_choose)
    if choices.several:
        several = root.h_stack("several", gap=2, align_y="center")
        several.enum("label", choices.several, label="Label", view=types.DropdownView(), on_change=panel.on_choose)
    if face in REASONS and choices.regions:
        bar = root.h_stack("reasons", gap=2, align_y="center")
        bar.enum("regions", choices.regions, label="Regions", view=types.DropdownView(), on_change=panel.on_choose)
        right = types.DropdownView(multiple=True)
        for name in choices.names:
            right.add_choice(name, label=name)
        bar.list("right", types.String(), label="Right regions", view=right, on_change=panel.on_choose)


def _actions(root: Any, panel: Any, state: Any, face: str) -> None:
    steps = root.h_stack("steps", gap=1, align_y="center")
    _button(steps, "previous", "Previous", "chevron_left", panel.on_previous)
    _button(steps, "next", "Next mistake", "chevron_right", panel.on_next)
    if state.card:
        _button(steps, "all", "All samples", "close", panel.on_all)
        tags = root.h_stack("tags", gap=1, align_y="center")
        tags.str("tag", on_change=panel.on_tag_name, view=types.TextFieldView(placeholder="Tag"))
        tags.btn("tag_cell", "Tag", icon="sell", on_click=panel.on_tag, variant="contained")
        _button(tags, "untag_cell", "Untag", "label_off", panel.on_untag)
        _button(tags, "save", "Save view", "bookmark_add", panel.on_save)
    more = root.h_stack("more", gap=1, align_y="center")
    if face in REASONS:
        if state.wrong_reason:
            text = f"Right for the wrong reason ({state.wrong_reason:,})"
            _button(more, "wrong_reason", text, "psychology_alt", panel.on_wrong_reason)
        _button(more, "again", "Measure again", "refresh", panel.on_again)
        return
    _button(more, "compute", "Compute maps", "local_fire_department", panel.on_compute)
    _button(more, "export", "Export tagged", "drive_file_move", panel.on_export)
    _button(more, "save_all", "Save all mistakes", "bookmarks", panel.on_save_all)


def _button(row: Any, name: str, label: str, icon: str, on_click: Any) -> None:
    row.btn(name, label, icon=icon, on_click=on_click, variant="outlined")


def _confusions(column: Any, panel: Any, state: Any) -> None:
    if not state.order:
        column.v_stack("heading", px=2).md("**No mistakes** among these samples.", name="none")
        return
    table = types.TableView()
    for key, label in (("truth", "Truth"), ("prediction", "Predicted"), ("count", "Samples")):
        table.add_column(key, label=label)
    table.add_row_action("open", panel.on_confusion, label="Open", icon="visibility", tooltip="Show these samples")
    column.v_stack("heading", px=2).md("**Most confused**", name="confused")
    column.list(CONFUSIONS.split(".")[-1], types.Object(), view=table)


def _share(part: int, whole: int) -> str:
    return "–" if whole == 0 else f"{part / whole:.0%}" if part / whole >= 0.1 else f"{part / whole:.1%}"
