"""How the parts of the comparison panel stand together: pure functions from state to FiftyOne types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone.operators.types as types

from fiftyone_saliency.core.comparison import OUTCOMES
from fiftyone_saliency.core.escaping import markdown

# Where the values of the controls live: a component's value is found by its path.
CONTROLS = {
    "before": "header.runs",
    "after": "header.runs",
    "regions": "header.reasons",
    "should_fall": "header.reasons",
    "should_rise": "header.reasons",
    "common_scale": "header.scale",
}
SHARES, DELTA, PAIRS = "shares", "delta", "pairs"
_SEVERITY = {"fixed": "success", "moved, not proven": "warning", "unchanged": "info", "worse": "error"}
_ICONS = {"fixed": "check_circle", "broken": "heart_broken", "still right": "check", "still wrong": "close"}

_TWO_RUNS = (
    "A comparison needs two runs that explain stored predictions, such as of the model before and after retraining. "
    "The operator “Saliency: compute maps” makes them."
)


@dataclass(frozen=True)
class Choices:
    """What the drop-down lists offer.

    Args:
        runs: fields of the runs that explain stored predictions.
        regions: regions that can be measured.
        names: the chosen regions' own names.
    """

    runs: list[str]
    regions: list[str]
    names: list[str]


def draw(panel: Any, state: Any, choices: Choices) -> Any:
    """Draw the panel.

    Args:
        panel: the panel, whose methods the controls call.
        state: the panel's state.
        choices: what the drop-down lists offer.
    """
    root = types.Object()
    header = root.v_stack("header", gap=1, px=2, pt=1)
    if len(choices.runs) < 2:
        header.view("problem", types.Notice(label=_TWO_RUNS))
        return _page(root)
    _controls(header, panel, choices)
    if state.problem:
        header.view("problem", types.Notice(label=markdown(state.problem)))
    if not state.result:
        return _page(root)
    _verdict(header, state.result)
    _outcomes(header, panel, state)
    _figures(root, panel, state)
    return _page(root)


def _page(root: Any) -> Any:
    return types.Property(root, view=types.GridView(orientation="vertical", gap=1))


def _controls(header: Any, panel: Any, choices: Choices) -> None:
    runs = header.h_stack("runs", gap=2, align_y="center")
    for name, label in (("before", "Before"), ("after", "After")):
        runs.enum(name, choices.runs, label=label, view=types.DropdownView(), on_change=panel.on_choose)
    if choices.regions:
        reasons = header.h_stack("reasons", gap=2, align_y="center")
        reasons.enum("regions", choices.regions, label="Regions", view=types.DropdownView(), on_change=panel.on_choose)
        for name, label in (("should_fall", "Should fall"), ("should_rise", "Should rise")):
            view = types.DropdownView(multiple=True)
            for region in choices.names:
                view.add_choice(region, label=region)
            reasons.list(name, types.String(), label=label, view=view, on_change=panel.on_choose)
    steps = header.h_stack("steps", gap=1, align_y="center")
    steps.btn("compare", "Compare", icon="compare", on_click=panel.on_compare, variant="contained")


def _verdict(header: Any, result: dict[str, Any]) -> None:
    severity = _SEVERITY.get(result["word"], "info")
    header.view(
        "verdict",
        types.AlertView(severity=severity, label=markdown(result["headline"]), description=markdown(result["samples"])),
    )
    header.md("\n\n".join(result["lines"]), name="lines")


def _outcomes(header: Any, panel: Any, state: Any) -> None:
    row = header.h_stack("outcomes", gap=1, align_y="center")
    for name in OUTCOMES:
        key = name.replace(" ", "_")
        chosen = "contained" if state.shown == name else "outlined"
        label = f"{name.capitalize()} ({state.result['outcomes'][name]:,})"
        row.btn(key, label, icon=_ICONS[name], on_click=panel.on_outcome, params={"outcome": name}, variant=chosen)
    scale = header.h_stack("scale", gap=1, align_y="center")
    scale.btn("all", "All samples", icon="close", on_click=panel.on_all, variant="outlined")
    scale.bool("common_scale", label="Both maps on one colour scale", view=types.SwitchView(), on_change=panel.on_scale)
    if state.pairs:
        header.md("Picture · **before** · **after**, on one scale", name="pairs_title")
        header.str(PAIRS, default=state.pairs, view=types.ImageView(width="344px", alt="picture, before, after"))


def _figures(root: Any, panel: Any, state: Any) -> None:
    plotly = {"displayModeBar": False, "scrollZoom": False, "responsive": True}
    if state.shares_layout:
        title = root.v_stack("shares_title", px=2)
        title.md("**Evidence by region** · lines: 95 % interval · yellow: chance, the region's area", name="text")
        root.plot(SHARES, layout=state.shares_layout, config=plotly)
    title = root.v_stack("delta_title", px=2)
    title.md("**Confusion, after minus before** · green is better · click a cell for its samples", name="text")
    root.plot(DELTA, layout=state.delta_layout, config=plotly, on_click=panel.on_click)
