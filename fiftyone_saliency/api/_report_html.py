"""A report's page: from its numbers and pictures to one HTML text that asks for nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiftyone_saliency.api._report_pictures import Album
from fiftyone_saliency.core.colours import RIGHT, UNDECIDED, WRONG, region_colours
from fiftyone_saliency.core.confusion import ConfusionCounts, show, shown_labels
from fiftyone_saliency.core.preference import NO_PREFERENCE
from fiftyone_saliency.core.regions import BACKGROUND

MOST_LABELS = 50
MOST_CLASSES = 30
# Up to so many labels a matrix stands beside the other one, and its cells carry text.
_BESIDE, _WITH_NUMBERS, _WITH_NAMES = 16, 20, 6
_LONGEST = 22
# A cell's colour is never full, so that ink on it is read on light ground and on dark.
_FAINTEST, _FULLEST = 0.1, 0.85


def render(data: Mapping[str, Any], album: Album) -> str:
    """Return the page.

    Args:
        data: the report's numbers, as in its JSON file.
        album: pictures of the samples and mean maps.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=_interval, label=show, number=_number, p_value=_p_value)
    reasons = data["reasons"]
    right = reasons["right_regions"]
    order = sorted(reasons["regions"], key=lambda name: (name not in right, name == BACKGROUND))
    return environment.get_template("report.html").render(
        data=data,
        reasons=reasons,
        order=order,
        colours=region_colours(reasons["regions"], right) | {NO_PREFERENCE: UNDECIDED},
        no_preference=NO_PREFERENCE,
        matrices=layout_matrices(reasons),
        classes=_classes(reasons["classes"], order, right),
        most_classes=MOST_CLASSES,
        cells={(cell["truth"], cell["prediction"]): cell for cell in reasons["cells"]},
        album=album,
    )


def percent(value: float | None) -> str:
    """Return a share as a person reads it; what is undefined is a dash."""
    if value is None:
        return "–"
    return f"{value * 100:.1f}\N{NO-BREAK SPACE}%"


def _interval(value: Mapping[str, Any] | None) -> str:
    """Return the ends of an interval; "too few" without one, and nothing without a mean."""
    if value is None or value["mean"] is None:
        return ""
    if value["low"] is None:
        return "too few"
    return f"{value['low'] * 100:.1f}–{value['high'] * 100:.1f}\N{NO-BREAK SPACE}%"


def _number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    if value is None:
        return "–"
    # Adding 0 makes 0 of -0: what is rounded away has no sign.
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def layout_matrices(reasons: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out both matrices: the same labels in the same places, one square per occupied cell.

    Args:
        reasons: the reasons as plain JSON values.

    Returns:
        Labels, sizes in pixels, squares of both, and the number of labels that are not drawn.
    """
    cells = reasons["cells"]
    counts = ConfusionCounts({(cell["truth"], cell["prediction"]): cell["count"] for cell in cells})
    labels = shown_labels(counts, MOST_LABELS)
    place = {label: i for i, label in enumerate(labels)}
    shown = [cell for cell in cells if cell["truth"] in place and cell["prediction"] in place]
    colours = region_colours(reasons["regions"], reasons["right_regions"])
    size = _cell_size(len(labels))
    font = min(12, round(size * 0.85))
    names = [_shortened(label) for label in labels]
    # Text cannot be measured here: 0.58 em is a wide letter.
    longest = round(max((len(name) for name in names), default=1) * font * 0.58)
    spots = [(cell, place[cell["prediction"]], place[cell["truth"]]) for cell in shown]
    return {
        "size": size,
        "margin": 14 + longest,
        "turned": longest > size,
        "font": font,
        "labels": names,
        "hidden": len(counts.labels) - len(labels),
        "beside": len(labels) <= _BESIDE,
        "confusion": [_counted(*spot, shown, len(labels)) for spot in spots],
        "reasons": [_reasoned(*spot, colours, len(labels)) for spot in spots],
    }


def _cell_size(count: int) -> int:
    if count <= _BESIDE:
        return max(24, min(84, 400 // max(1, count)))
    return max(14, min(32, 900 // count))


def _counted(cell: Any, column: int, row: int, shown: Sequence[Any], count: int) -> dict[str, Any]:
    is_right = _is_right(cell)
    most = max(other["count"] for other in shown if _is_right(other) == is_right)
    return {
        "column": column,
        "row": row,
        "colour": RIGHT if is_right else WRONG,
        # Counts differ by orders of magnitude: the colour follows the square root.
        "opacity": _opacity((cell["count"] / most) ** 0.5),
        "lines": [str(cell["count"])] if count <= _WITH_NUMBERS else [],
        "title": f"{_name(cell)}: {cell['count']} samples",
    }


def _reasoned(cell: Any, column: int, row: int, colours: Mapping[str, str], count: int) -> dict[str, Any]:
    region, state = cell["dominant"], cell["state"]
    share = None if region is None else cell["shares"][region]["mean"]
    lines = [] if share is None else [f"{share * 100:.0f}\N{NO-BREAK SPACE}%"]
    if region is not None and count <= _WITH_NAMES:
        lines = [region if len(region) <= 11 else region[:10] + "…", *lines]
    elif state is not None and count <= _WITH_NAMES:
        lines = state.split()
    parts = [_told(name, share) for name, share in cell["shares"].items()]
    return {
        "column": column,
        "row": row,
        "colour": colours[region] if region is not None else "none" if state is None else UNDECIDED,
        "opacity": _opacity(share or 0),
        "lines": lines if count <= _WITH_NUMBERS else [],
        "title": "\n".join([f"{_name(cell)}: {cell['count']} samples, {state or 'undefined'}", *parts]),
    }


def _told(region: str, share: Mapping[str, Any]) -> str:
    numbers = f"{percent(share['mean'])} {_interval(share)}, area {percent(share['area'])}"
    return f"{region} {numbers}, n {share['n']}, {share['undefined']} undefined"


def _opacity(value: float) -> float:
    return round(_FAINTEST + (_FULLEST - _FAINTEST) * min(1.0, value), 3)


def _is_right(cell: Any) -> bool:
    return cell["truth"] == cell["prediction"] and cell["truth"] is not None


def _name(cell: Any) -> str:
    return f"{show(cell['truth'])} → {show(cell['prediction'])}"


def _shortened(label: str | None) -> str:
    text = show(label)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _classes(classes: Sequence[Any], order: Sequence[str], right: Sequence[str]) -> dict[str, Any]:
    """Lay out one stacked bar per class, those with least evidence in the right regions first."""
    wanted = right or order[:1]

    def evidence(entry: Any) -> float:
        return sum(entry["shares"][name]["mean"] or 0.0 for name in wanted)

    defined = [c for c in classes if any(share["mean"] is not None for share in c["shares"].values())]
    rows = [_bar(entry, order) for entry in sorted(defined, key=lambda c: (evidence(c), show(c["truth"])))]
    return {"rows": rows[:MOST_CLASSES], "hidden": len(classes) - len(rows[:MOST_CLASSES])}


def _bar(entry: Any, order: Sequence[str]) -> dict[str, Any]:
    means = [(name, entry["shares"][name]["mean"] or 0.0) for name in order]
    areas = [entry["shares"][name]["area"] or 0.0 for name in order]
    # Regions may overlap: then their shares add up to more than all.
    whole, whole_area = max(1.0, sum(mean for _, mean in means)), max(1.0, sum(areas))
    marks = [sum(areas[: i + 1]) / whole_area for i in range(len(areas) - 1)]
    return {
        "entry": entry,
        "n": max(share["n"] for share in entry["shares"].values()),
        "parts": [(name, mean / whole, entry["shares"][name]) for name, mean in means],
        "marks": [mark for mark in marks if 0 < mark < 1],
    }
