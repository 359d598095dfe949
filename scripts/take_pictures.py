"""Take the README's pictures from the real App, on the datasets that the demos made, and renew its two tables."""

from __future__ import annotations

import re
from typing import Any

from examples._workspace import FOLDER, REPOSITORY, use_workspace

PICTURES = REPOSITORY / "docs" / "pictures"


def main() -> None:
    """Tell the story if it was not told, then take all pictures."""
    folder = use_workspace(FOLDER)

    import fiftyone as fo

    from examples.groceries import story as groceries
    from examples.professions import story as professions
    from tests.e2e.app_server import chromium, serve

    for name, story in (("professions", professions), ("groceries", groceries)):
        if not fo.dataset_exists(story.DATASET):
            story.tell(folder / name)
    dataset, food = fo.load_dataset(professions.DATASET), fo.load_dataset(groceries.DATASET)
    _write_table("professions", professions.show(professions.results(dataset)))
    _write_table("groceries", groceries.show(groceries.results(food)))
    PICTURES.mkdir(parents=True, exist_ok=True)
    with serve(folder) as url, chromium() as browser:
        _panel_and_modal(browser, url, dataset)
        _reasons(browser, url, dataset)
        _comparison(browser, url, dataset)
        _before_and_after(browser, url, dataset)
        _cleared(browser, url, food)


def _panel_and_modal(browser: Any, url: str, dataset: Any) -> None:
    import fiftyone_saliency as fos
    from tests.e2e.app_page import click_cell, open_panel
    from tests.e2e.app_server import open_dataset

    fos.show_heatmaps(dataset, fields=["saliency"], labels=["ground_truth", "predictions"])
    live = dataset.match_tags("live")
    dataset.save_view("live", live, overwrite=True)
    (truth, prediction), _ = fos.confusion(live).counts.top_confusions(1)[0]
    with open_dataset(browser, url, dataset.name, height=980) as page:
        page.goto(f"/datasets/{dataset.name}?view=live")
        page.locator('[data-cy="looker"]').first.wait_for()
        open_panel(page)
        click_cell(page, str(truth), str(prediction))
        page.locator('[data-cy="checkbox-saliency"] input:checked').wait_for()
        page.mouse.move(5, 5)
        page.wait_for_timeout(20_000)
        page.screenshot(path=PICTURES / "panel.png")
        # Low enough to end above the file's path, which is nobody's business.
        page.set_viewport_size({"width": 1600, "height": 740})
        page.locator('[data-cy="looker"]').first.click()
        page.locator('[data-cy="modal"]').wait_for()
        page.wait_for_timeout(8000)
        page.screenshot(path=PICTURES / "modal.png")


def _reasons(browser: Any, url: str, dataset: Any) -> None:
    dataset.save_view("test", dataset.match_tags("shuffled"), overwrite=True)
    _picture_of_reasons(browser, url, f"{dataset.name}?view=test", "uniform", "reasons.png")


def _cleared(browser: Any, url: str, dataset: Any) -> None:
    """The panel alone: the photos are not ours to show."""
    _picture_of_reasons(browser, url, dataset.name, "product", "groceries.png")


def _picture_of_reasons(browser: Any, url: str, place: str, right: str, name: str) -> None:
    from tests.e2e.app_page import choose, choose_several, open_panel
    from tests.e2e.app_server import open_dataset

    with open_dataset(browser, url, place.partition("?")[0], width=1600, height=1150) as page:
        page.goto(f"/datasets/{place}")
        page.locator('[data-cy="looker"]').first.wait_for()
        panel = open_panel(page)
        choose(page, panel, "Counts", "Where the evidence lies")
        panel.get_by_text("Evidence by class").wait_for()
        choose_several(page, panel, "Right regions", right)
        panel.get_by_role("button", name=right).wait_for()  # the chosen region, as a chip
        page.mouse.move(5, 5)
        page.wait_for_timeout(8000)
        panel.screenshot(path=PICTURES / name)


def _comparison(browser: Any, url: str, dataset: Any) -> None:
    from tests.e2e.app_page import choose_several, open_panel
    from tests.e2e.app_server import open_dataset

    with open_dataset(browser, url, dataset.name, width=1600, height=1150) as page:
        page.goto(f"/datasets/{dataset.name}?view=test")
        page.locator('[data-cy="looker"]').first.wait_for()
        panel = open_panel(page, "saliency_comparison", plot=False)
        choose_several(page, panel, "Should fall", "head")
        choose_several(page, panel, "Should rise", "uniform")
        panel.get_by_role("button", name="Compare").click()
        panel.locator(".js-plotly-plot").first.wait_for()
        page.mouse.move(5, 5)
        page.wait_for_timeout(8000)
        panel.screenshot(path=PICTURES / "comparison.png")


def _before_and_after(browser: Any, url: str, dataset: Any) -> None:
    import fiftyone_saliency as fos
    from tests.e2e.app_server import open_dataset

    view = dataset.match_tags("shuffled").limit(12)
    dataset.save_view("twelve", view, overwrite=True)
    for name, field, labels in (
        ("before", "saliency", "predictions"),
        ("after", "saliency_after", "predictions_after"),
    ):
        fos.show_heatmaps(dataset, fields=[field], labels=["ground_truth", labels])
        with open_dataset(browser, url, dataset.name, width=1250, height=470) as page:
            page.goto(f"/datasets/{dataset.name}?view=twelve")
            page.locator('[data-cy="looker"]').first.wait_for()
            page.wait_for_timeout(12_000)
            page.locator('[data-cy="fo-grid"]').screenshot(path=PICTURES / f"{name}.png")


def _write_table(story: str, table: str) -> None:
    """Put what a story found between the fences that follow its mark in the README."""
    readme = REPOSITORY / "README.md"
    text = readme.read_text(encoding="utf-8")
    fence = rf"(<!-- {story}: written by `make shots` -->\n```\n).*?(\n```)"
    renewed = re.sub(fence, lambda m: m[1] + table.strip("\n") + m[2], text, flags=re.DOTALL)
    readme.write_text(renewed, encoding="utf-8")


if __name__ == "__main__":
    main()
