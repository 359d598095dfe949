"""The colours that heatmaps, regions, right answers and mistakes have in every drawing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from fiftyone_saliency.core.regions import BACKGROUND

HEATMAP = "#ff3b1f"
RIGHT = "#128a78"
WRONG = "#d8480f"
# Of cells whose maps prefer no region: no region has it.
UNDECIDED = "#4b515b"
# Dark enough for white digits. Right regions are green as right answers are, others warm; where nothing was said
# about right or wrong, no region looks like either.
_GREENS = (RIGHT, "#4f8a10", "#1f7a3d", "#3d7f8f")
_WARM = (WRONG, "#a8328a", "#b07a00", "#8c3b3b", "#7d5ba6")
_NEUTRAL = ("#3f6fd0", "#b8578f", "#a87b00", "#2a9d8f", "#7d5ba6", "#8a6a4f")
_GREY = "#77808c"


def region_colours(regions: Sequence[str], right: Sequence[str] = ()) -> dict[str, str]:
    """Give each region its colour: right ones green, wrong ones warm; neutral ones where none is named right.

    Returns:
        Hexadecimal colour by region; beyond the last colour they start again.
    """
    greens, others = cycle(_GREENS), cycle(_WARM if right else _NEUTRAL)
    colours: dict[str, str] = {}
    for name in regions:
        if name in right:
            colours[name] = next(greens)
        else:
            colours[name] = _GREY if name == BACKGROUND else next(others)
    return colours
