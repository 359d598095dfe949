"""Before and after as Plotly figures: pure functions from numbers to dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiftyone_saliency.core.colours import RIGHT, WRONG
from fiftyone_saliency.core.confusion import ConfusionCounts, Pair, shown_labels
from fiftyone_saliency.core.escaping import plotly
from fiftyone_saliency.core.evidence import RegionShare

from ._plots import INK, MOST_LABELS, TEXT_UP_TO, Figure, colour_scale, layout_of, percent, unique_names

_BEFORE, _AFTER, _CHANCE = "#8a929e", "#3f6fd0", "#ffd23f"
_SCALE = [[0, WRONG], [0.5, "#6b7079"], [1, RIGHT]]


def share_figure(
    before: Mapping[str, RegionShare],
    after: Mapping[str, RegionShare],
    should_fall: Sequence[str] = (),
    should_rise: Sequence[str] = (),
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw two bars per region, before above after, with intervals, and a mark where chance would be.

    Regions that should fall or rise stand on top and say so by an arrow.

    Returns:
        Plotly traces (before, after, chance) and layout.
    """
    names = sorted({*before, *after}, key=lambda name: (name not in should_fall, name not in should_rise, name))
    signs = dict.fromkeys(should_fall, " ↓") | dict.fromkeys(should_rise, " ↑")
    shown = [plotly(name) + signs.get(name, "") for name in names]
    # Of the bars of one region, Plotly draws the last trace on top where the axis is turned.
    traces = [_bars("before", _BEFORE, names, shown, before), _bars("after", _AFTER, names, shown, after)]
    areas = [(after[name] if name in after else before[name]).area for name in names]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chance",
            "x": areas,
            "y": shown,
            "marker": {"symbol": "line-ns", "size": 30, "line": {"width": 3, "color": _CHANCE}},
            "hovertemplate": "chance: %{x:.1%} of the area<extra></extra>",
        }
    )
    return traces, _share_layout(shown)


def delta_figure(delta: Mapping[Pair, int], chosen: Pair | None = None) -> Figure:
    """Draw what changed in each cell: green where it is for the better, orange where for the worse.

    More is better on the diagonal, fewer is better beside it; the text says how many.

    Args:
        delta: counts after minus counts before, by (truth, prediction).
        chosen: the cell that is framed.
    """
    counts = ConfusionCounts({pair: abs(number) for pair, number in delta.items()})
    labels = shown_labels(counts, MOST_LABELS)
    names = unique_names(labels)
    cells = [[delta.get((truth, prediction), 0) for prediction in labels] for truth in labels]
    better = [
        [n if labels[r] == labels[c] and labels[r] is not None else -n for c, n in enumerate(row)]
        for r, row in enumerate(cells)
    ]
    top = max((abs(n) for row in cells for n in row), default=0) or 1
    trace = {
        "type": "heatmap",
        "name": "delta",
        # Counts differ by orders of magnitude: the colour follows the square root.
        "z": [[_root(n) if n else None for n in row] for row in better],
        "x": names,
        "y": names,
        "zmin": -_root(top),
        "zmax": _root(top),
        "colorscale": colour_scale(_SCALE),
        "showscale": False,
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "text": [[f"{n:+d}".replace("-", "−") if n else "" for n in row] for row in cells],
        "texttemplate": "%{text}" if len(names) <= TEXT_UP_TO else "",
        "textfont": {"size": 13 if len(names) <= 10 else 10, "color": "#ffffff"},
        "hovertemplate": "<b>%{text} samples</b><br>truth %{y}<br>predicted %{x}<extra></extra>",
    }
    position = None
    if chosen is not None and all(label in labels for label in chosen):
        position = labels.index(chosen[0]), labels.index(chosen[1])
    return Figure([trace], layout_of(names, position), labels, len(counts.labels) - len(labels))


def _bars(
    title: str, colour: str, names: Sequence[str], shown: Sequence[str], shares: Mapping[str, RegionShare]
) -> dict[str, Any]:
    own = [shares.get(name) for name in names]
    means = [None if share is None else share.mean for share in own]
    lengths = [(0.0, 0.0) if share is None else _whiskers(share) for share in own]
    return {
        "type": "bar",
        "orientation": "h",
        "name": title,
        "x": means,
        "y": list(shown),
        "marker": {"color": colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [up for _, up in lengths],
            "arrayminus": [down for down, _ in lengths],
            "color": INK,
            "thickness": 1.5,
            "width": 4,
        },
        "text": ["–" if mean is None else percent(mean) for mean in means],
        "textposition": "inside",
        "insidetextanchor": "start",
        "textfont": {"color": "#ffffff", "size": 12},
        "customdata": [_interval(share) for share in own],
        "hovertemplate": f"<b>%{{y}}</b> {title} %{{customdata}}<extra></extra>",
    }


def _whiskers(share: RegionShare) -> tuple[float, float]:
    if share.mean is None or share.low is None or share.high is None:
        return 0.0, 0.0
    return share.mean - share.low, share.high - share.mean


def _interval(share: RegionShare | None) -> str:
    if share is None or share.mean is None:
        return "undefined"
    interval = " (too few)" if share.low is None or share.high is None else f" [{share.low:.1%}, {share.high:.1%}]"
    undefined = f", {share.undefined} undefined" if share.undefined else ""
    return f"{share.mean:.1%}{interval}, n {share.n}{undefined}"


def _root(number: int) -> float:
    return float(abs(number) ** 0.5 * (1 if number > 0 else -1))


def _share_layout(names: Sequence[str]) -> dict[str, Any]:
    longest = max((len(name) for name in names), default=1)
    axis = {"tickfont": {"size": 12, "color": INK}, "showgrid": False, "zeroline": False, "fixedrange": True}
    title = {"text": "share of the evidence", "font": {"color": INK}}
    return {
        "barmode": "group",
        "showlegend": True,
        "bargap": 0.3,
        "height": 76 + 48 * max(1, len(names)),
        "margin": {"l": 24 + int(min(longest, 28) * 7), "r": 20, "t": 30, "b": 42},
        "xaxis": axis | {"tickformat": ".0%", "rangemode": "tozero", "title": title},
        "yaxis": axis | {"type": "category", "autorange": "reversed"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": INK}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "hoverlabel": {"align": "left"},
    }
