"""The matrix of reasons and the evidence by class as Plotly figures: pure functions from numbers to dictionaries."""

from __future__ import annotations

from typing import Any

from fiftyone_saliency.core.colours import RIGHT, UNDECIDED, WRONG, region_colours
from fiftyone_saliency.core.confusion import ConfusionCounts, Pair, show, shown_labels
from fiftyone_saliency.core.escaping import markdown, plotly
from fiftyone_saliency.core.evidence import RegionShare
from fiftyone_saliency.core.preference import NO_PREFERENCE
from fiftyone_saliency.core.reasons import Reason, Reasons
from fiftyone_saliency.core.statistics import Summary

from ._plots import INK, MOST_LABELS, TEXT_UP_TO, Figure, colour_scale, layout_of, percent, unique_names

MOST_BARS = 30
_DIM = "#5d6470"
_RIGHTNESS = [[0, WRONG], [0.5, "#8a7560"], [1, RIGHT]]


def region_figure(
    reasons: Reasons, counts: ConfusionCounts, errors_only: bool = False, chosen: Pair | None = None
) -> Figure:
    """Draw the matrix with each cell in the colour of its dominant region, the fuller the higher its share.

    Cells whose maps prefer no region to chance have a grey of their own, and say so.

    Args:
        reasons: what was measured.
        counts: the confusion counts of the same samples, which say what rows and columns there are.
        errors_only: whether the diagonal is left blank.
        chosen: the cell that is framed.
    """
    regions = reasons.regions
    colours = region_colours(regions, reasons.right_regions)
    # One trace for all regions: each colour has its own stretch of the scale.
    palette = [*dict.fromkeys(colours.values()), UNDECIDED]
    scale: list[list[Any]] = []
    for i, colour in enumerate(palette):
        scale += [[i / len(palette), _DIM], [(i + 0.9999) / len(palette), colour]]
    scale = [*scale[:-1], [1, UNDECIDED]]

    def value(cell: Reason) -> float | None:
        share = None if cell.dominant is None else cell.shares[cell.dominant].mean
        if cell.dominant is None or share is None:
            return None if cell.state is None else len(palette)
        return palette.index(colours[cell.dominant]) + min(share, 0.9998)

    def text(cell: Reason) -> str:
        share = None if cell.dominant is None else cell.shares[cell.dominant].mean
        if cell.dominant is None or share is None:
            return cell.state or ""
        return f"{plotly(cell.dominant)}<br>{share:.0%}"

    return _matrix(reasons, counts, errors_only, chosen, (value, text, scale, len(palette)))


def rightness_figure(
    reasons: Reasons, counts: ConfusionCounts, errors_only: bool = False, chosen: Pair | None = None
) -> Figure:
    """Draw the matrix with each cell in the share of its samples whose reason is right: orange none, green all."""

    def value(cell: Reason) -> float | None:
        return None if cell.right is None else cell.right.mean

    def text(cell: Reason) -> str:
        mean, none = value(cell), cell.no_preference.mean or 0
        if mean is None:
            return ""
        return percent(mean) + (f"<br>{NO_PREFERENCE} {percent(none)}" if none > 1 / 2 else "")

    return _matrix(reasons, counts, errors_only, chosen, (value, text, _RIGHTNESS, 1))


def class_title(reasons: Reasons, limit: int = MOST_BARS) -> str:
    """Return the line above `class_figure`; it says so where classes are left out."""
    count = sum(reason.n > 0 for reason in reasons.classes.values())
    shown = f" · {limit} of {count} classes, the worst first" if count > limit else ""
    return f"**Evidence by class**{shown} · marks: the borders by chance"


def class_figure(reasons: Reasons, limit: int = MOST_BARS) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw one bar per true class, stacked by region; a mark stands where each border would be by chance.

    Returns:
        Plotly traces (one per region, then the marks) and layout; the classes with most evidence outside the right
        regions stand on top, at most ``limit`` of them.
    """
    colours = region_colours(reasons.regions, reasons.right_regions)
    rows = [(label, reason) for label, reason in reasons.classes.items() if reason.n]
    rows.sort(key=lambda row: (_right_share(reasons, row[1]), show(row[0])))
    # Plotly draws upwards.
    rows = rows[:limit][::-1]
    names = unique_names([label for label, _ in rows])
    traces = [
        _bars(name, names, [reason.shares[name] for _, reason in rows], colours[name]) for name in reasons.regions
    ]
    marks_x, marks_y = [], []
    for name, (_, reason) in zip(names, rows, strict=True):
        border = 0.0
        for region in reasons.regions[:-1]:
            border += reason.shares[region].area or 0.0
            marks_x.append(border)
            marks_y.append(name)
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chance",
            "x": marks_x,
            "y": marks_y,
            "marker": {"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": "#ffffff"}},
            "hovertemplate": "by chance %{x:.0%}<extra></extra>",
        }
    )
    return traces, _class_layout(names)


def describe(reason: Reason) -> str:
    """Return the numbers of a cell or class in one line of markdown: share, interval, area and n of each region."""
    parts = []
    for name, share in sorted(reason.shares.items(), key=lambda item: -(item[1].mean or 0)):
        if share.mean is not None:
            parts.append(f"**{markdown(name)}** {share.mean:.0%}{_interval(share)} of {share.area or 0:.0%} area")
    if not parts:
        return "no evidence in any region"
    undefined = reason.count - reason.n
    text = " · ".join(parts) + f" (n = {reason.n}" + (f", {undefined} undefined)" if undefined else ")")
    if reason.right is not None and reason.right.mean is not None:
        text += f" · right reason **{reason.right.mean:.0%}**{_rest(reason)}"
    return text


def _rest(reason: Reason) -> str:
    """Return what the reasons that are not right are: wrong ones, and none at all."""
    wrong = "" if reason.wrong is None or reason.wrong.mean is None else f", wrong {reason.wrong.mean:.0%}"
    none = reason.no_preference.mean
    return wrong + ("" if none is None else f", {NO_PREFERENCE} {none:.0%}")


def _matrix(
    reasons: Reasons, counts: ConfusionCounts, errors_only: bool, chosen: Pair | None, look: tuple[Any, Any, Any, float]
) -> Figure:
    value, text, scale, top = look
    labels = shown_labels(counts, MOST_LABELS)
    names = unique_names(labels)
    cells = [[reasons.cells.get((truth, prediction)) for prediction in labels] for truth in labels]
    drawn = [
        [cell if not (errors_only and r == c) else None for c, cell in enumerate(row)] for r, row in enumerate(cells)
    ]
    trace = {
        "type": "heatmap",
        "name": "reasons",
        "z": [[None if cell is None else value(cell) for cell in row] for row in drawn],
        "x": names,
        "y": names,
        "zmin": 0,
        "zmax": top,
        "colorscale": colour_scale(scale),
        "showscale": False,
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "text": [["" if cell is None else text(cell) for cell in row] for row in drawn],
        "texttemplate": "%{text}" if len(names) <= TEXT_UP_TO // 2 else "",
        "textfont": {"size": 12 if len(names) <= 6 else 10, "color": "#ffffff"},
        "customdata": [["" if cell is None else _hover(cell) for cell in row] for row in drawn],
        "hovertemplate": "%{customdata}<br>truth %{y}<br>predicted %{x}<extra></extra>",
    }
    position = None
    if chosen is not None and all(label in labels for label in chosen):
        position = labels.index(chosen[0]), labels.index(chosen[1])
    # Two traces always, as the counts have.
    nothing = trace | {"name": "", "z": [[None] * len(names)] * len(names), "text": [], "customdata": []}
    return Figure([trace, nothing], layout_of(names, position), labels, len(counts.labels) - len(labels))


def _hover(cell: Reason) -> str:
    lines = [f"<b>{cell.count} samples</b>"]
    for name, share in sorted(cell.shares.items(), key=lambda item: -(item[1].mean or 0)):
        if share.mean is not None:
            lines.append(f"{plotly(name)} {share.mean:.0%}{_interval(share)}, area {share.area or 0:.0%}, n {share.n}")
    if cell.right is not None and cell.right.mean is not None:
        lines.append(f"right reason {cell.right.mean:.0%}{_interval(cell.right)}{_rest(cell)}")
    return "<br>".join(lines)


def _interval(share: RegionShare | Summary) -> str:
    if share.mean is None:
        return ""
    return " (too few)" if share.low is None else f" [{share.low:.0%}, {share.high:.0%}]"


def _right_share(reasons: Reasons, reason: Reason) -> float:
    wanted = reasons.right_regions or reasons.regions[:1]
    return sum(reason.shares[name].mean or 0.0 for name in wanted if name in reason.shares)


def _bars(name: str, classes: list[str], shares: list[RegionShare], colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": plotly(name),
        "x": [share.mean or 0.0 for share in shares],
        "y": classes,
        "marker": {"color": colour},
        "customdata": [
            f"{plotly(name)} {share.mean or 0:.0%}{_interval(share)}, area {share.area or 0:.0%}, n {share.n}"
            for share in shares
        ],
        "hovertemplate": "<b>%{y}</b><br>%{customdata}<extra></extra>",
    }


def _class_layout(names: list[str]) -> dict[str, Any]:
    longest = max((len(name) for name in names), default=1)
    axis = {"tickfont": {"size": 12, "color": INK}, "showgrid": False, "zeroline": False, "fixedrange": True}
    return {
        "barmode": "stack",
        "showlegend": True,
        "bargap": 0.25,
        "height": 96 + 26 * max(1, len(names)),
        "margin": {"l": 24 + int(min(longest, 28) * 7), "r": 16, "t": 34, "b": 40},
        "xaxis": axis | {"tickformat": ".0%", "title": {"text": "share of the evidence", "font": {"color": INK}}},
        "yaxis": axis | {"type": "category"},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "font": {"color": INK},
            "traceorder": "normal",
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "hoverlabel": {"align": "left"},
    }
