"""The panel "Saliency confusion": the matrix, its cells, and the way from a cell to its pictures."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo

import fiftyone_saliency as fos
from fiftyone_saliency.api.display import color_scheme
from fiftyone_saliency.api.regions import region_choices
from fiftyone_saliency.core.confusion import Pair, show
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.reasons import Reasons
from fiftyone_saliency.dataset.confusion import Cell, ConfusionMatrix, split_cell_view
from fiftyone_saliency.dataset.label_confusion import KINDS, holds_several, labels_of, split_label_view

from . import _layout
from ._data import replace_data
from ._plots import confusion_figure
from ._reason_plots import class_figure, class_title, describe, region_figure, rightness_figure
from ._reasons import forget, measure

_PLUGIN = "@fiftyone-saliency/saliency"
_NOTHING = "(no maps)"
_PAIRS = "(pairs of labels)"


class SaliencyConfusion(foo.Panel):
    """Truth against prediction; a click on a cell shows its samples with their heatmaps."""

    @property
    def config(self) -> foo.PanelConfig:
        """What FiftyOne shows of the panel."""
        return foo.PanelConfig(
            name="saliency_confusion",
            label="Saliency confusion",
            icon="grid_on",
            category=foo.Categories.ANALYZE,
            help_markdown="Click a cell: the grid shows its samples with their heatmaps.",
            surfaces="grid",
        )

    def on_load(self, ctx: Any) -> None:
        """Choose fields that are likely to be meant, and count."""
        threading.Thread(target=fos.list_methods, daemon=True).start()  # the first form would wait for PyTorch
        fields, maps = _fields(ctx, *KINDS), [*_fields(ctx, fo.Heatmap), _NOTHING]
        gt_field = _prefer(_get(ctx, "gt_field"), fields, "ground_truth")
        rest = [field for field in fields if field != gt_field]
        _set(
            ctx,
            gt_field=gt_field,
            pred_field=_prefer(_get(ctx, "pred_field"), rest, "predictions"),
            saliency=_prefer(_get(ctx, "saliency"), maps, "saliency"),
            face=_prefer(_get(ctx, "face"), list(_layout.FACES), "none"),
            errors_only=bool(_get(ctx, "errors_only")),
            regions=_prefer(_get(ctx, "regions"), _region_choices(ctx), "regions"),
            right=_get(ctx, "right") or [],
            tag=_get(ctx, "tag") or "enrich",
        )
        _refresh(ctx)

    def on_change_view(self, ctx: Any) -> None:
        """Count again where the samples changed.

        FiftyOne fires this event several times per change, and after other events with the state of before them:
        a view that was counted already must change nothing.
        """
        if ctx.panel.state.seen != _signature(ctx.view):
            _refresh(ctx)

    def on_choose(self, ctx: Any) -> None:
        """Draw again after a drop-down list or switch changed."""
        name = ctx.params["path"].split(".")[-1]
        if _get(ctx, name) != ctx.params["value"]:
            # Setting what is already there would fire this event again, for ever.
            _set(ctx, **{name: ctx.params["value"]})
        _refresh(ctx)
        if name == "saliency":
            _show_fields(ctx)

    def on_click(self, ctx: Any) -> None:
        """Open the clicked cell."""
        row, column = ctx.params["idx"]
        labels = ctx.panel.state.labels
        _open(ctx, (labels[row], labels[column]))

    def on_confusion(self, ctx: Any) -> None:
        """Open a row of the table of confusions."""
        _open(ctx, tuple(ctx.panel.state.order[ctx.params["row"]]))

    def on_next(self, ctx: Any) -> None:
        """Open the next cell, by number of samples."""
        _step(ctx, 1)

    def on_previous(self, ctx: Any) -> None:
        """Open the cell before."""
        _step(ctx, -1)

    def on_all(self, ctx: Any) -> None:
        """Leave the cell: show all samples of the matrix."""
        matrix = _matrix(ctx)
        if matrix is not None:
            view = matrix.samples.view()
            ctx.panel.state.seen = _signature(view)
            ctx.ops.set_view(view=view)
            _draw(ctx, matrix, None)

    def on_save(self, ctx: Any) -> None:
        """Save the cell as a view."""
        _act(ctx, lambda cell: f"Saved view “{fos.save_cell_view(cell)}”")
        ctx.ops.reload_dataset()

    def on_save_all(self, ctx: Any) -> None:
        """Save every cell of mistakes as a view."""
        matrix = _matrix(ctx)
        if matrix is None:
            return
        try:
            names = fos.save_cell_views(matrix.samples, matrix)
        except SaliencyError as error:
            ctx.ops.notify(str(error), variant="error")
            return
        ctx.ops.notify(f"Saved {len(names)} cells as views", variant="success")
        ctx.ops.reload_dataset()

    def on_tag_name(self, ctx: Any) -> None:
        """Keep the tag that was typed."""
        if _get(ctx, "tag") != ctx.params["value"]:
            _set(ctx, tag=ctx.params["value"])

    def on_tag(self, ctx: Any) -> None:
        """Tag the cell's samples."""
        tag = (_get(ctx, "tag") or "").strip()
        _act(ctx, lambda cell: f"Tagged {fos.tag_cell(cell, tag)} samples “{tag}”")

    def on_untag(self, ctx: Any) -> None:
        """Take the tag from the cell's samples."""
        tag = (_get(ctx, "tag") or "").strip()
        _act(ctx, lambda cell: f"Took “{tag}” from {fos.untag_cell(cell, tag)} samples")

    def on_compute(self, ctx: Any) -> None:
        """Open the form that computes maps, for the samples in view."""
        params = {"gt_field": _get(ctx, "gt_field"), "pred_field": _get(ctx, "pred_field")}
        if _get(ctx, "saliency") != _NOTHING:
            params["field"] = _get(ctx, "saliency")
        ctx.prompt(f"{_PLUGIN}/compute_saliency", params=params, on_success=self.on_computed)

    def on_computed(self, ctx: Any) -> None:
        """Show the new maps."""
        maps = [*_fields(ctx, fo.Heatmap), _NOTHING]
        current = _get(ctx, "saliency")
        _set(ctx, saliency=_prefer(None if current == _NOTHING else current, maps, "saliency"))
        _refresh(ctx)
        _show_fields(ctx)

    def on_export(self, ctx: Any) -> None:
        """Open the form that exports tagged samples."""
        params = {"gt_field": _get(ctx, "gt_field"), "tag": _get(ctx, "tag"), "view_target": "DATASET"}
        ctx.prompt(f"{_PLUGIN}/export_for_retraining", params=params)

    def on_wrong_reason(self, ctx: Any) -> None:
        """Show the samples that are right for the wrong reason."""
        matrix = _matrix(ctx)
        reasons = None if matrix is None else _reasons(ctx, matrix)
        if matrix is not None and reasons is not None:
            ctx.ops.set_view(view=matrix.samples.select(reasons.right_for_wrong_reason))
            _show_fields(ctx)

    def on_again(self, ctx: Any) -> None:
        """Measure again, after regions or maps were changed by hand."""
        forget()
        _refresh(ctx)

    def render(self, ctx: Any) -> Any:
        """Draw the panel from its state alone."""
        choices = _layout.Choices(
            labels=_fields(ctx, *KINDS),
            maps=[*_fields(ctx, fo.Heatmap), _NOTHING],
            regions=_region_choices(ctx),
            names=list(ctx.panel.state.region_names or []),
            several=list(ctx.panel.state.several or []),
        )
        return _layout.draw(self, ctx.panel.state, _get(ctx, "face") or "none", choices)


def _refresh(ctx: Any) -> None:
    ctx.panel.state.seen = _signature(ctx.view)
    matrix = _matrix(ctx)
    if matrix is not None:
        _draw(ctx, matrix, _split(ctx)[1])


def _matrix(ctx: Any) -> ConfusionMatrix | None:
    """Count the matrix of the samples in view; for a cell's view, of the samples that the cell belongs to."""
    gt_field, pred_field = _get(ctx, "gt_field"), _get(ctx, "pred_field")
    ctx.panel.state.problem = None
    if not gt_field or not pred_field:
        return None
    try:
        _find_labels(ctx, gt_field, pred_field)
        return fos.confusion(_split(ctx)[0], pred_field, gt_field=gt_field, label=_label(ctx))
    except SaliencyError as error:
        ctx.panel.state.problem = str(error)
        return None


def _find_labels(ctx: Any, gt_field: str, pred_field: str) -> None:
    """Note which labels there are, where a sample may have several, and choose pairs if the chosen one is gone."""
    several: list[str] = []
    if holds_several(ctx.dataset, gt_field, pred_field):
        several = [_PAIRS, *labels_of(ctx.dataset, gt_field, pred_field)]
    ctx.panel.state.several = several
    chosen = _prefer(_get(ctx, "label"), several, _PAIRS)
    if chosen != _get(ctx, "label"):
        _set(ctx, label=chosen)


def _label(ctx: Any) -> str | None:
    """Return the label whose matrix is shown, None for pairs of labels or one label per sample."""
    label = _get(ctx, "label")
    return None if label == _PAIRS else label


def _split(ctx: Any) -> tuple[Any, Pair | None]:
    """Return the samples that the view's cell belongs to, and the cell, if the view is one."""
    fields = _get(ctx, "gt_field"), _get(ctx, "pred_field")
    if ctx.panel.state.several:
        return split_label_view(ctx.view, *fields, _label(ctx))
    return split_cell_view(ctx.view, *fields)


def _draw(ctx: Any, matrix: ConfusionMatrix, pair: Pair | None) -> None:
    state = ctx.panel.state
    if pair is not None and any(label not in matrix.labels for label in pair):
        pair = None
    face, errors_only = _get(ctx, "face"), bool(_get(ctx, "errors_only"))
    reasons = _reasons(ctx, matrix) if face in _layout.REASONS else None
    if reasons is None:
        figure = confusion_figure(matrix.counts, "none" if face in _layout.REASONS else face, errors_only, pair)
    else:
        draw = region_figure if face == "region" else rightness_figure
        figure = draw(reasons, matrix.counts, errors_only, pair)
        bars, state.bars_layout = class_figure(reasons)
        state.bars_title = class_title(reasons)
        replace_data(ctx, _layout.BARS, bars)
        state.region_names, state.wrong_reason = reasons.regions, len(reasons.right_for_wrong_reason)
    state.cell = None if pair is None else list(pair)
    state.labels, state.layout, state.hidden = figure.labels, figure.layout, figure.hidden
    top = matrix.counts.top_confusions(_layout.TOP)
    state.order = [list(p) for p, _ in top]
    state.summary = _layout.summary(matrix)
    state.card = None
    if pair is not None:
        state.card = _layout.card(matrix.cells[pair], _get(ctx, "saliency"), _get(ctx, "tag"))
        if reasons is not None and pair in reasons.cells:
            state.card += f"\n\n{describe(reasons.cells[pair])}"
    replace_data(ctx, _layout.FIGURE, figure.data)
    rows = [{"truth": show(t), "prediction": show(p), "count": count} for (t, p), count in top]
    replace_data(ctx, _layout.CONFUSIONS, rows)


def _reasons(ctx: Any, matrix: ConfusionMatrix) -> Reasons | None:
    """Measure where the evidence of the matrix's samples lies; None, with the reason on the panel, if that fails."""
    saliency, regions = _get(ctx, "saliency"), _get(ctx, "regions")
    if not regions or matrix.counts.total == 0:
        return None
    if ctx.panel.state.several:
        ctx.panel.state.problem = (
            "Reasons are measured where a sample has one label. For several, open a cell of the counts, and compute "
            "the maps of its label: their evidence is measured by region in Python, with region_shares."
        )
        return None
    if saliency in (None, _NOTHING):
        ctx.panel.state.problem = "Reasons need maps. Choose a Saliency field, or compute maps first."
        return None
    try:
        return measure(matrix, ctx.dataset, saliency, regions, _get(ctx, "right") or [])
    except SaliencyError as error:
        ctx.panel.state.problem = str(error)
        return None


def _open(ctx: Any, pair: Pair) -> None:
    matrix = _matrix(ctx)
    if matrix is None:
        return
    if any(label not in matrix.labels for label in pair):
        ctx.ops.notify("The labels have changed: the matrix was counted again", variant="warning")
        _draw(ctx, matrix, None)
        return
    view = matrix.cells[pair].view()
    ctx.panel.state.seen = _signature(view)
    ctx.ops.set_view(view=view)
    _show_fields(ctx)
    _draw(ctx, matrix, pair)


def _step(ctx: Any, by: int) -> None:
    matrix = _matrix(ctx)
    if matrix is None:
        return
    order = [pair for pair, _ in matrix.counts.top_confusions()]
    current = None if ctx.panel.state.cell is None else tuple(ctx.panel.state.cell)
    if not order:
        ctx.ops.notify("There is no mistake to step to", variant="info")
    elif current in order:
        _open(ctx, order[(order.index(current) + by) % len(order)])
    else:
        _open(ctx, order[0 if by > 0 else -1])


def _act(ctx: Any, verb: Any) -> None:
    """Do something with the chosen cell and say what was done, or why not."""
    matrix, pair = _matrix(ctx), ctx.panel.state.cell
    if matrix is None or pair is None:
        return
    try:
        cell: Cell = matrix.cells[tuple(pair)]
        ctx.ops.notify(verb(cell), variant="success")
    except SaliencyError as error:
        ctx.ops.notify(str(error), variant="error")
        return
    _draw(ctx, matrix, tuple(pair))
    ctx.ops.reload_samples()


def _show_fields(ctx: Any) -> None:
    saliency = _get(ctx, "saliency")
    maps = [] if saliency in (None, _NOTHING) else [saliency]
    ctx.ops.set_active_fields([_get(ctx, "gt_field"), _get(ctx, "pred_field"), *maps])
    if maps:
        scheme = color_scheme(_fields(ctx, fo.Heatmap))
        colours = {"color_by": scheme.color_by, "opacity": scheme.opacity, "fields": scheme.fields}
        ctx.trigger("set_color_scheme", colours)


def _signature(view: Any) -> str:
    """Return what tells one view from another; the ids that FiftyOne gives its stages are new every time."""
    stages = [(stage["_cls"], stage["kwargs"]) for stage in view._serialize()]
    return hashlib.sha256(json.dumps(stages, default=str).encode()).hexdigest()[:16]


def _get(ctx: Any, name: str) -> Any:
    """Return what a control of the panel holds."""
    return ctx.panel.state.get(f"{_layout.CONTROLS[name]}.{name}")


def _set(ctx: Any, **values: Any) -> None:
    for name, value in values.items():
        ctx.panel.set_state(f"{_layout.CONTROLS[name]}.{name}", value)


def _fields(ctx: Any, *kinds: type) -> list[str]:
    return [] if ctx.dataset is None else list(ctx.dataset.get_field_schema(embedded_doc_type=kinds))


def _region_choices(ctx: Any) -> list[str]:
    return [] if ctx.dataset is None else region_choices(ctx.dataset)


def _prefer(current: str | None, known: list[str], usual: str) -> str | None:
    """Return the current name if it still exists, else the usual one, else the first."""
    return next((name for name in (current, usual, *known) if name in known), None)
