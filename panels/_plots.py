"""Confusion counts as a Plotly figure: pure functions from numbers to dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np

from fiftyone_saliency.core.confusion import ConfusionCounts, Normalise, Pair, show, shown_labels
from fiftyone_saliency.core.escaping import plotly

MOST_LABELS = 50
TEXT_UP_TO = 16
# Opaque, so that they mean the same on the App's dark and light ground, and dark enough for white digits.
_RIGHT = [[0, "#5d7572"], [1, "#128a78"]]
_WRONG = [[0, "#86695f"], [1, "#e0440f"]]
INK = "rgba(150,150,150,1)"
_CHOSEN = "#ffd23f"
_STOPS = 24
_LONGEST = 28
_EMPTY, _BLANK = "(empty)", "\u200b"


@dataclass(frozen=True)
class Figure:
    """What the panel draws.

    Args:
        data: Plotly traces: one for the right cells, one for the wrong ones.
        layout: Plotly layout.
        labels: the labels of rows and columns, in order.
        hidden: labels that were left out because there are too many.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    labels: list[str | None]
    hidden: int


def confusion_figure(
    counts: ConfusionCounts, normalise: Normalise = "none", errors_only: bool = False, chosen: Pair | None = None
) -> Figure:
    """Draw the matrix: right answers in green, mistakes in orange, each on its own scale, empty cells blank.

    Two scales, because the mistakes are what one looks for and the diagonal would outshine them.

    Args:
        counts: the numbers.
        normalise: whether cells show numbers, shares of their row or shares of their column.
        errors_only: whether the diagonal is left blank.
        chosen: the cell that is framed.
    """
    labels = shown_labels(counts, MOST_LABELS)
    where = [counts.labels.index(label) for label in labels]
    numbers = counts.counts[np.ix_(where, where)]
    values = counts.normalised(normalise)[np.ix_(where, where)]
    diagonal = np.eye(len(labels), dtype=bool)
    if None in labels and not counts.none_is_right:
        diagonal[-1, -1] = False
    names = unique_names(labels)
    # Two traces always, also where one of them is blank.
    parts = ((~diagonal, _WRONG, "mistakes"), (diagonal & (not errors_only), _RIGHT, "right"))
    data = [_trace(values, numbers, part, scale, name, names, normalise) for part, scale, name in parts]
    position = None
    if chosen is not None and all(label in labels for label in chosen):
        position = labels.index(chosen[0]), labels.index(chosen[1])
    return Figure(data, layout_of(names, position), labels, len(counts.labels) - len(labels))


def unique_names(labels: list[str | None]) -> list[str]:
    """Return the labels as shown on the axes; a class that is really called "(none)" keeps its own line."""
    names: list[str] = []
    # The missing label first: it keeps its name, a class that is called so gets a blank that is not drawn.
    taken = {plotly(show(None))} if None in labels else set[str]()
    for label in labels:
        name = plotly(show(label) or _EMPTY)
        while label is not None and name in taken:
            name += _BLANK
        taken.add(name)
        names.append(name)
    return names


def colour_scale(stops: list[list[Any]]) -> list[list[Any]]:
    """Return a colour scale of always as many stops: the App may mix the stops of two drawings, one by one."""
    return [*stops, *[[1, stops[-1][1]]] * (_STOPS - len(stops))]


def _trace(
    values: np.ndarray,
    numbers: np.ndarray,
    part: np.ndarray,
    scale: list[Any],
    name: str,
    names: list[str],
    normalise: Normalise,
) -> dict[str, Any]:
    drawn = part & (numbers > 0) & np.isfinite(values)
    top = float(np.sqrt(values[drawn].max())) if drawn.any() else 1.0
    return {
        "type": "heatmap",
        "name": name,
        # Counts differ by orders of magnitude: the colour follows the square root.
        "z": [
            [float(np.sqrt(v)) if d else None for v, d in zip(*row, strict=True)]
            for row in zip(values, drawn, strict=True)
        ],
        "x": names,
        "y": names,
        "zmin": 0,
        "zmax": top,
        "colorscale": colour_scale(scale),
        "showscale": False,
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "text": [
            [_text(v, n, normalise) if d else "" for v, n, d in zip(*row, strict=True)]
            for row in zip(values, numbers, drawn, strict=True)
        ],
        "texttemplate": "%{text}" if len(names) <= TEXT_UP_TO else "",
        "textfont": {"size": 13 if len(names) <= 10 else 10, "color": "#ffffff"},
        "customdata": numbers.tolist(),
        "hovertemplate": "<b>%{customdata} samples</b>%{text}<br>truth %{y}<br>predicted %{x}<extra></extra>"
        if normalise != "none"
        else "<b>%{customdata} samples</b><br>truth %{y}<br>predicted %{x}<extra></extra>",
    }


def _text(value: float, number: int, normalise: Normalise) -> str:
    if normalise == "none":
        return str(number)
    return percent(value)


def percent(value: float) -> str:
    """Return a share as a person reads it: small ones with a decimal."""
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def layout_of(names: list[str], chosen: tuple[int, int] | None) -> dict[str, Any]:
    """Return the layout of a matrix with these rows and columns; the chosen one is framed."""
    count = max(1, len(names))
    texts = [unescape(name) for name in names]
    longest = max((len(text) for text in texts), default=1)
    size = 12 if count <= 20 else 10 if count <= 32 else 8
    shown = min(longest, _LONGEST)
    margin = 16 + int(shown * size * 0.56)
    below = 50 if count <= 3 else 34 + int(margin * 0.62)
    axis = {
        "type": "category",
        "tickmode": "array",
        "tickvals": names,
        "ticktext": [plotly(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…") for text in texts],
        "tickfont": {"size": size, "color": INK},
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "constrain": "domain",
    }
    layout: dict[str, Any] = {
        "height": int(min(560, max(170, 25 * count)) + below),
        "margin": {"l": margin + 24, "r": 12, "t": 6, "b": below},
        "xaxis": axis | {"title": {"text": "predicted", "font": {"color": INK}}, "tickangle": -45 if count > 3 else 0},
        "yaxis": axis | {"title": {"text": "truth", "font": {"color": INK}}, "autorange": "reversed"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(128,128,128,0.08)",
        "font": {"size": 12},
        "hoverlabel": {"align": "left"},
    }
    if chosen is not None:
        row, column = chosen
        layout["shapes"] = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "y",
                "x0": column - 0.5,
                "x1": column + 0.5,
                "y0": row - 0.5,
                "y1": row + 0.5,
                "line": {"color": _CHOSEN, "width": 3},
            }
        ]
    return layout
