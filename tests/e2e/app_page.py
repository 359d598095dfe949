"""What a person does in the App, in words: open the panel, click a cell, read the count."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import TimeoutError, expect

# The first answer of a busy machine can take long; what counts is the answer.
expect.set_options(timeout=90_000)

PANEL = "saliency_confusion"
_PLOT = ".js-plotly-plot"
_STILL = """() => {
  const plot = document.querySelector('.js-plotly-plot');
  if (!plot) { window.__key = null; return false; }  // between two drawings of the panel
  const r = plot.getBoundingClientRect();
  const key = [r.left, r.top, r.width, r.height].join();
  if (window.__key !== key) { window.__key = key; window.__since = performance.now(); return false; }
  return performance.now() - window.__since > 400;
}"""
_CELL = """([x, y]) => {
  const plot = document.querySelector('.js-plotly-plot'), l = plot._fullLayout, r = plot.getBoundingClientRect();
  return {x: r.left + l.xaxis._offset + l.xaxis.d2p(x), y: r.top + l.yaxis._offset + l.yaxis.d2p(y)};
}"""
_COUNTS = """() => {
  const found = {};
  for (const trace of document.querySelector('.js-plotly-plot').data)
    trace.z.forEach((row, i) => row.forEach((value, j) => {
      if (value !== null) found[`${trace.y[i]} → ${trace.x[j]}`] = trace.customdata[i][j];
    }));
  return found;
}"""


def open_panel(page: Any, name: str = PANEL, plot: bool = True) -> Any:
    """Open a panel by its name; the confusion panel is there when its plot is."""
    option = page.locator(f'[data-cy="new-panel-option-{name}"]')
    for _ in range(10):
        page.locator('[data-cy="new-panel-btn"]').first.click()
        try:
            option.click(timeout=6000)
            break
        except TimeoutError:
            # A list that was opened before the App had read the plugins does not grow.
            page.keyboard.press("Escape")
    panel = page.locator(f'[data-cy="panel-content-{name}"]')
    panel.wait_for()
    if plot:
        wait_for_plot(page)
    return panel


def choose(page: Any, panel: Any, now: str, then: str) -> None:
    """Choose another entry of the drop-down list that shows ``now``."""
    panel.get_by_text(now, exact=True).first.click()
    page.get_by_role("option", name=then, exact=True).click()


def choose_several(page: Any, panel: Any, label: str, *names: str) -> None:
    """Choose entries of the list that stands under a label."""
    box = panel.get_by_text(label, exact=True).first.locator("xpath=following::input[@role='combobox'][1]")
    for name in names:
        option = page.get_by_role("option", name=name, exact=True)
        for _ in range(5):
            box.click()
            try:
                option.click(timeout=4000)
                panel.get_by_role("button", name=name, exact=True).wait_for(timeout=4000)
                break
            except TimeoutError:
                # An answer that came late has drawn the panel again, closed the list, or lost the choice.
                page.wait_for_timeout(1000)
    page.keyboard.press("Escape")


def wait_for_plot(page: Any) -> None:
    page.wait_for_selector(f"{_PLOT} .hm", state="attached")
    page.wait_for_function(_STILL, polling=100)


def counts(page: Any) -> dict[str, int]:
    """The numbers that the plot carries, by "truth → prediction"."""
    return page.evaluate(_COUNTS)


def click_cell(page: Any, truth: str, prediction: str) -> None:
    wait_for_plot(page)
    where = page.evaluate(_CELL, [prediction, truth])
    page.mouse.move(where["x"] - 3, where["y"] - 3)
    page.mouse.move(where["x"], where["y"])
    page.locator(".hoverlayer .hovertext").wait_for(state="attached")
    page.mouse.click(where["x"], where["y"])


def expect_count(page: Any, count: int) -> None:
    expect(page.locator('[data-cy="entry-counts"]')).to_have_text(re.compile(rf"^{count} samples?$"))
    expect(page.locator('[data-cy="fo-grid"] [data-cy="looker"]')).to_have_count(count)


def pixels(locator: Any) -> np.ndarray:
    """A screenshot of an element, float (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), float)


def fill_form(page: Any, label: str, text: str) -> None:
    """Type into the entry of an operator's form that stands under a label."""
    form = page.locator('[data-cy="operators-prompt-modal"]')
    form.get_by_text(label, exact=True).first.wait_for()
    form.locator(f'xpath=.//*[normalize-space(text())="{label}"]/following::input[1]').fill(text)


def execute_form(page: Any) -> None:
    page.locator('[data-cy="operators-prompt-modal"]').get_by_role("button", name="Execute").first.click()


def open_form(page: Any, label: str) -> Any:
    """Open an operator's form from the list of all operators."""
    page.keyboard.press("`")
    page.get_by_placeholder("Search operations by name...").fill(label)
    page.get_by_text(label, exact=True).last.click()
    form = page.locator('[data-cy="operators-prompt-modal"]')
    form.wait_for()
    return form
