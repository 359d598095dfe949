"""How the parts of the cluster panel stand together: pure functions from state to FiftyOne types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone.operators.types as types

from fiftyone_saliency.core.confusion import show
from fiftyone_saliency.core.escaping import markdown
from fiftyone_saliency.dataset.clusters import MapCluster, MapClusters

from ._pictures import Picture

# A control's value is found by its path.
FIELD = "header.controls.field"
TAG = "header.controls.tag"
_HINT = (
    "**Find the kinds of maps in view.** Samples whose evidence lies alike come together: of one confusion cell, each "
    "kind is a way to be misled."
)
_NO_MAPS = "There are no maps yet. Compute them with the operator “Saliency: compute maps”, then open this panel again."


def summary(found: MapClusters) -> str:
    """Return what is known of all samples, as markdown."""
    text = f"**All {sum(cluster.count for cluster in found.clusters):,} maps in view**\n\n{markdown(found.reason)}"
    return text + (f" {found.undefined:,} samples have no map or no evidence." if found.undefined else "")


def card(cluster: MapCluster) -> str:
    """Return what is known of a cluster, as markdown."""
    facts = [f"**Cluster {cluster.number}**", f"{cluster.count:,} samples"]
    mistakes = cluster.mistakes
    if mistakes.mean is not None:
        facts.append(f"**{mistakes.mean:.0%}** mistakes" + _interval(mistakes.low, mistakes.high))
    lines = [" · ".join(facts)]
    if cluster.dominant is not None:
        truth, prediction = cluster.dominant
        share = cluster.counts.pairs[cluster.dominant] / cluster.count
        lines.append(f"{share:.0%} are *{markdown(show(truth))} → {markdown(show(prediction))}*")
    return "\n\n".join(lines)


def draw(
    panel: Any,
    state: Any,
    fields: list[str],
    whole: tuple[Picture, str] | None,
    cards: Sequence[tuple[MapCluster, Picture]],
) -> Any:
    """Draw the panel.

    Args:
        panel: the panel, whose methods the controls call.
        state: the panel's state.
        fields: Heatmap fields of the dataset.
        whole: picture and text about all samples, or None before they were clustered.
        cards: each cluster with its picture.
    """
    root = types.Object()
    header = root.v_stack("header", gap=1, px=2, py=1)
    if not fields:
        header.view("problem", types.Notice(label=_NO_MAPS))
        return _page(root)
    _controls(header, panel, fields)
    if state.problem:
        header.view("problem", types.Notice(label=markdown(state.problem)))
    elif whole is None:
        header.md(_HINT, name="hint")
    else:
        body = root.v_stack("body", gap=2, px=2, pb=2)
        row = _row(body, "whole", *whole)
        if state.shown:
            _button(row, "all", "All samples", "close", panel.on_all)
        for cluster, picture in cards if len(cards) > 1 else ():
            _card(body, panel, cluster, picture, state.shown == cluster.number)
    return _page(root)


def _page(root: Any) -> Any:
    return types.Property(root, view=types.GridView(orientation="vertical", gap=1))


def _controls(header: Any, panel: Any, fields: list[str]) -> None:
    bar = header.h_stack("controls", gap=2, align_y="center")
    bar.enum("field", fields, view=types.DropdownView(), on_change=panel.on_choose)
    bar.btn("find", "Find clusters", icon="bubble_chart", on_click=panel.on_find, variant="contained")
    bar.str("tag", on_change=panel.on_choose, view=types.TextFieldView(placeholder="Tag: cluster 1, 2, …"))


def _card(body: Any, panel: Any, cluster: MapCluster, picture: Picture, shown: bool) -> None:
    column = _row(body, f"cluster_{cluster.number}", picture, card(cluster))
    buttons = column.h_stack("buttons", gap=1, align_y="center")
    about = {"number": cluster.number}
    for name, label, icon, action in (
        ("show", "Show", "visibility", panel.on_show),
        ("tag", "Tag", "sell", panel.on_tag),
        ("untag", "Untag", "label_off", panel.on_untag),
        ("save", "Save view", "bookmark_add", panel.on_save),
    ):
        variant = "contained" if name == "show" and shown else "outlined"
        _button(buttons, name, label, icon, action, variant=variant, params=about)


def _row(body: Any, name: str, picture: Picture, text: str) -> Any:
    """Add a picture with its text beside it, and return the column of the text."""
    row = body.h_stack(name, gap=2, align_y="center")
    # Both sides are given, for a row of little room squeezes what has only one.
    view = types.ImageView(height=f"{picture.height}px", width=f"{picture.width}px", alt="Mean map")
    row.str("picture", default=picture.url, view=view)
    column = row.v_stack("about", gap=1)
    column.md(text, name="text")
    return column


def _button(row: Any, name: str, label: str, icon: str, on_click: Any, **options: Any) -> None:
    row.btn(name, label, icon=icon, on_click=on_click, **{"variant": "outlined", **options})


def _interval(low: float | None, high: float | None) -> str:
    return " (too few)" if low is None or high is None else f" ({low:.0%}–{high:.0%})"
