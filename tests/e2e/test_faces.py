"""The faces of the matrix: whatever was shown before, a face has its own colours."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageColor
from playwright.sync_api import expect

import fiftyone_saliency as fos
from panels._layout import FACES
from panels._plots import confusion_figure
from panels._reason_plots import region_figure, rightness_figure
from tests.e2e.app_page import choose, choose_several, open_panel, wait_for_plot

_CORNERS = """() => {
  const plot = document.querySelector('.js-plotly-plot'), l = plot._fullLayout, r = plot.getBoundingClientRect();
  const count = plot.data[0].y.length;
  // Near a corner of each cell, where no digit is drawn.
  const at = (axis, i) => axis._offset + axis.l2p(i - 0.38);
  return [...Array(count).keys()].map(i => [...Array(count).keys()].map(
    j => [r.left + at(l.xaxis, j), r.top + at(l.yaxis, i)]));
}"""


@pytest.fixture(scope="module", autouse=True)
def halves(fo, app_dataset):
    """Boxes of two names, left and right; of the second field there is but one."""
    left = fo.Detection(label="left", bounding_box=[0, 0, 0.5, 1])
    right = fo.Detection(label="right", bounding_box=[0.5, 0, 0.5, 1])
    count = app_dataset.count()
    both = [fo.Detections(detections=[left.copy(), right.copy()]) for _ in range(count)]
    app_dataset.set_values("halves", both)
    app_dataset.set_values("one", [fo.Detections(detections=[left.copy()]) for _ in range(count)])


def walk(nodes: list[str]) -> list[str]:
    """Return a closed walk that takes every step from one node to another exactly once (Hierholzer)."""
    left = {a: [b for b in nodes if b != a] for a in nodes}
    stack, path = [nodes[0]], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            path.append(stack.pop())
    return path[::-1]


def expected_colours(figure) -> dict[tuple[int, int], np.ndarray]:
    colours = {}
    for trace in figure.data:
        places, names = zip(*trace["colorscale"], strict=True)
        stops = np.array([ImageColor.getrgb(name) for name in names], float)
        for i, row in enumerate(trace["z"]):
            for j, value in enumerate(row):
                if value is not None:
                    where = (value - trace["zmin"]) / (trace["zmax"] - trace["zmin"])
                    colours[i, j] = np.array([np.interp(where, places, stops[:, c]) for c in range(3)])
    return colours


def off_by(page, expected) -> float:
    """Return how far the worst of the drawn cells is off, of 255."""
    wait_for_plot(page)
    corners = page.evaluate(_CORNERS)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), float)
    drawn = {cell: shot[round(corners[cell[0]][cell[1]][1]), round(corners[cell[0]][cell[1]][0])] for cell in expected}
    return max(np.abs(drawn[cell] - colour).max() for cell, colour in expected.items())


def wait_for_colours(page, expected) -> None:
    for _ in range(40):
        worst = off_by(page, expected)
        if worst < 12:
            return
        page.wait_for_timeout(500)
    raise AssertionError(f"Expected the face's own colours, but the worst cell is off by {worst:.0f} of 255")


@pytest.mark.timeout(600)
def test_each_face_has_its_own_colours_whichever_was_shown_before(page, app_dataset):
    matrix = fos.confusion(app_dataset, "predictions")
    reasons = fos.reasons(app_dataset, regions="halves", right=["left", "right", "background"])
    figures = {name: confusion_figure(matrix.counts, name) for name in ("none", "row", "column")}
    figures |= {"region": region_figure(reasons, matrix.counts), "right": rightness_figure(reasons, matrix.counts)}
    panel = open_panel(page)
    choose(page, panel, "Counts", FACES["region"])
    choose(page, panel, "boxes" if app_dataset.has_field("boxes") else "halves", "halves")
    choose_several(page, panel, "Right regions", "left", "right", "background")
    choose(page, panel, FACES["region"], FACES["none"])
    steps = walk(list(FACES))
    assert len(set(pairwise(steps))) == 20

    wait_for_colours(page, expected_colours(figures["none"]))
    for before, after in pairwise(steps):
        choose(page, panel, FACES[before], FACES[after])
        wait_for_colours(page, expected_colours(figures[after]))


def test_fewer_regions_leave_no_bars_of_before(page, app_dataset):
    panel = open_panel(page)
    choose(page, panel, "Counts", FACES["region"])
    bars = "() => [...document.querySelectorAll('.js-plotly-plot')].at(-1).data.map(trace => trace.name)"

    expect(panel).to_contain_text("Evidence by class")
    choose(page, panel, "halves", "one")
    page.wait_for_function(f"JSON.stringify(({bars})()) === JSON.stringify(['background', 'left', 'chance'])")
