"""The panel "Saliency comparison": two runs, the verdict on both axes, and the samples behind it."""

from __future__ import annotations

import json
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo

import fiftyone_saliency as fos
from fiftyone_saliency.api.compare import comparable_runs, next_run
from fiftyone_saliency.api.display import color_scheme
from fiftyone_saliency.api.regions import region_choices, region_names
from fiftyone_saliency.api.side_by_side import pairs_url
from fiftyone_saliency.core.colours import HEATMAP
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.escaping import markdown
from fiftyone_saliency.dataset.outcomes import LabelPair

from . import _compare_layout as _layout
from ._compare_plots import delta_figure, share_figure
from ._data import replace_data

# Two maps lie over one picture: they must be told apart.
AFTER_COLOUR = "#1fa2ff"
_PAIRS = 4


class SaliencyComparison(foo.Panel):
    """Before against after: what moved, whether it is proven, and which samples were fixed or broken."""

    @property
    def config(self) -> foo.PanelConfig:
        """What FiftyOne shows of the panel."""
        return foo.PanelConfig(
            name="saliency_comparison",
            label="Saliency comparison",
            icon="compare",
            category=foo.Categories.ANALYZE,
            help_markdown="Choose two runs on the same samples, say which regions should gain and lose, and compare.",
            surfaces="grid",
        )

    def on_load(self, ctx: Any) -> None:
        """Choose the first run and the next one, and regions if there are any."""
        runs, regions = _runs(ctx), _region_choices(ctx)
        before = _get(ctx, "before") or (runs[0] if runs else None)
        _set(ctx, before=before, after=_get(ctx, "after") or next_run(runs, before))
        _set(ctx, regions=_get(ctx, "regions") or (regions[0] if regions else None))
        _name_regions(ctx)

    def on_choose(self, ctx: Any) -> None:
        """Forget the result when a control changed: it belonged to another question."""
        name = ctx.params["path"].split(".")[-1]
        if _get(ctx, name) != ctx.params["value"]:
            # Setting what is already there would fire this event again, for ever.
            _set(ctx, **{name: ctx.params["value"]})
        if name == "regions":
            _name_regions(ctx)
        if _question(ctx) != ctx.panel.state.question:
            ctx.panel.state.result = None

    def on_compare(self, ctx: Any) -> None:
        """Compare the runs on the samples in view, and show what came out."""
        state, question = ctx.panel.state, _question(ctx)
        state.problem, state.result, state.shown, state.pairs = None, None, None, None
        view = _base(ctx)
        try:
            comparison = fos.compare_runs(view, **question)
        except SaliencyError as error:
            state.problem = str(error)
            return
        labels = comparison.labels
        state.base = view._serialize()
        state.question, state.fields = question, [labels.gt_field, labels.before, labels.after]
        if state.scaled:
            _scale(ctx, True)
        _draw(ctx, comparison)

    def on_outcome(self, ctx: Any) -> None:
        """Show the samples of an outcome, both maps over them, and some of them as pairs."""
        outcome = ctx.params["outcome"]
        ctx.panel.state.shown = outcome
        _show(ctx, _labels(ctx).view(outcome))

    def on_click(self, ctx: Any) -> None:
        """Show the samples that lie in the clicked cell, before or after."""
        row, column = ctx.params["idx"]
        labels = ctx.panel.state.labels
        ctx.panel.state.shown = None
        _show(ctx, _labels(ctx).view_cell((labels[row], labels[column])))

    def on_all(self, ctx: Any) -> None:
        """Show all samples that were compared."""
        ctx.panel.state.shown = ctx.panel.state.pairs = None
        ctx.ops.set_view(view=_labels(ctx).samples)

    def on_scale(self, ctx: Any) -> None:
        """Draw both maps of each sample on one scale, or each on its own again."""
        wanted = bool(ctx.params["value"])
        # The event comes twice, with the control's value set already.
        if bool(ctx.panel.state.scaled) != wanted:
            ctx.panel.state.scaled = wanted
            _scale(ctx, wanted)
            ctx.ops.reload_dataset()

    def render(self, ctx: Any) -> Any:
        """Draw the panel from its state alone."""
        names = list(ctx.panel.state.region_names or [])
        return _layout.draw(self, ctx.panel.state, _layout.Choices(_runs(ctx), _region_choices(ctx), names))


def _draw(ctx: Any, comparison: Any) -> None:
    state, verdict, shares = ctx.panel.state, comparison.verdict, comparison.shares
    axes = {"Reason": verdict.reason, "Accuracy": verdict.accuracy}
    lines = [
        f"**{name}: {axis.word or 'undecided'}** · {markdown(axis.why)}"
        for name, axis in axes.items()
        if axis is not None
    ]
    if verdict.reason is None:
        lines.insert(0, "**Reason: not judged** · say which regions should fall or rise")
    words = [f"{name.lower()} {axis.word or 'undecided'}" for name, axis in axes.items() if axis is not None]
    word = "withheld" if verdict.withheld else verdict.word or "undecided"
    state.result = {
        "word": word,
        "headline": f"{word.capitalize()} · {', '.join(words)}",
        "samples": verdict.withheld or f"{_samples(comparison)} · {comparison.noise}",
        "lines": lines,
        "outcomes": dict(comparison.outcomes),
    }
    figure = delta_figure(comparison.confusion_delta)
    state.labels, state.delta_layout = figure.labels, figure.layout
    replace_data(ctx, _layout.DELTA, figure.data)
    state.shares_layout = None
    if shares is not None:
        sides = _get(ctx, "should_fall") or [], _get(ctx, "should_rise") or []
        data, state.shares_layout = share_figure(shares.before.summary(), shares.after.summary(), *sides)
        replace_data(ctx, _layout.SHARES, data)


def _samples(comparison: Any) -> str:
    """Say how many samples were compared, and how many were not."""
    compared = f"{comparison.matrix_before.counts.total:,} samples"
    left_out = comparison.left_out
    return compared + (f" ({left_out:,} left out: without a prediction of both runs)" if left_out else "")


def _show(ctx: Any, view: Any) -> None:
    """Show samples in the grid, with labels and both maps in colours that differ, and the first ones as pairs."""
    before, after = _maps(ctx)
    ctx.panel.state.seen = _stages(view)
    ctx.panel.state.pairs = pairs_url(view.limit(_PAIRS), before, after) if len(view) else None
    ctx.ops.set_view(view=view)
    ctx.ops.set_active_fields([*ctx.panel.state.fields, before, after])
    scheme = color_scheme([before, after])
    colours = {before: HEATMAP, after: AFTER_COLOUR}
    fields = [{"path": path, "fieldColor": colour} for path, colour in colours.items()]
    ctx.trigger("set_color_scheme", {"color_by": scheme.color_by, "opacity": scheme.opacity, "fields": fields})


def _scale(ctx: Any, common: bool) -> None:
    fields, samples = _maps(ctx), _labels(ctx).samples
    for group in [fields] if common else [[field] for field in fields]:
        fos.common_scale(samples, group)


def _question(ctx: Any) -> dict[str, Any]:
    """Return what is asked, as arguments of `compare_runs`."""
    fields = _fields(ctx, fo.Classification)
    asked = {name: _get(ctx, name) for name in ("before", "after", "regions")}
    sides = {name: list(_get(ctx, name) or []) for name in ("should_fall", "should_rise")}
    return asked | sides | {"gt_field": "ground_truth" if "ground_truth" in fields else fields[0] if fields else ""}


def _base(ctx: Any) -> Any:
    """Return the samples in view; where the panel itself narrowed them, those that it narrowed."""
    state = ctx.panel.state
    return _labels(ctx).samples if state.fields and state.seen == _stages(ctx.view) else ctx.view


def _labels(ctx: Any) -> LabelPair:
    state = ctx.panel.state
    return LabelPair(fo.DatasetView._build(ctx.dataset, state.base), *state.fields)


def _maps(ctx: Any) -> list[str]:
    return [ctx.panel.state.question[side] for side in ("before", "after")]


def _stages(view: Any) -> list[Any]:
    """Return what tells one view from another; the ids that FiftyOne gives its stages are new every time."""
    return json.loads(json.dumps([[stage["_cls"], stage["kwargs"]] for stage in view._serialize()], default=str))


def _name_regions(ctx: Any) -> None:
    state, regions = ctx.panel.state, _get(ctx, "regions")
    try:
        state.region_names = region_names(ctx.dataset, regions) if regions else []
    except SaliencyError as error:
        state.problem, state.region_names = str(error), []
    for side in ("should_fall", "should_rise"):
        kept = [name for name in _get(ctx, side) or [] if name in state.region_names]
        if kept != (_get(ctx, side) or []):
            _set(ctx, **{side: kept})


def _runs(ctx: Any) -> list[str]:
    return [] if ctx.dataset is None else [run.field for run in comparable_runs(ctx.dataset)]


def _region_choices(ctx: Any) -> list[str]:
    return [] if ctx.dataset is None else region_choices(ctx.dataset)


def _fields(ctx: Any, *kinds: type) -> list[str]:
    return [] if ctx.dataset is None else list(ctx.dataset.get_field_schema(embedded_doc_type=kinds))


def _get(ctx: Any, name: str) -> Any:
    """Return what a control of the panel holds."""
    return ctx.panel.state.get(f"{_layout.CONTROLS[name]}.{name}")


def _set(ctx: Any, **values: Any) -> None:
    for name, value in values.items():
        ctx.panel.set_state(f"{_layout.CONTROLS[name]}.{name}", value)
