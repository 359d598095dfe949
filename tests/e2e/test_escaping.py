"""Labels, paths and names of models are shown as they are: no picture, link or bold word comes of them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import fiftyone_saliency as fos
from tests.e2e.app_page import choose, open_form, open_panel
from tests.e2e.app_server import open_dataset

HOST = "live.example"
NASTY = [
    f"![t](http://{HOST}/pixel.png)",
    f"<b>bold</b> <img src=http://{HOST}/a.png> <a href='http://{HOST}/'>x</a>",
    f"[l](http://{HOST}) **s** `c` http://{HOST}/x www.{HOST} | a@{HOST}",
]
_LIVE = f"""() => [...document.querySelectorAll('a, img, b, strong, em, code, tspan, image')]
  .filter(e => /{HOST}|^bold$|^s$|^l$|^c$/.test(e.href?.baseVal ?? e.href ?? '')
    || /{HOST}/.test(e.src ?? '') || /^(bold|s|l|c|x)$/.test(e.textContent.trim())
    || (e.tagName === 'tspan' && /bold/.test(e.getAttribute('style') ?? '') && !/samples/.test(e.textContent)))
  .map(e => e.outerHTML)"""


@pytest.fixture(scope="module")
def nasty(fo, app_dataset, pictures):
    """Samples whose labels, regions and run's model name are Markdown and HTML; one mistake of each kind."""
    dataset = fo.Dataset("nasty", persistent=True, overwrite=True)
    samples = []
    for i, picture in enumerate(pictures):
        box = fo.Detection(label=NASTY[i % 3], bounding_box=[0, 0, 0.5, 1])
        samples.append(
            fo.Sample(
                filepath=picture,
                ground_truth=fo.Classification(label=NASTY[i % 3]),
                predictions=fo.Classification(label=NASTY[(i + (i > 5)) % 3]),
                boxes=fo.Detections(detections=[box]),
            )
        )
    dataset.add_samples(samples, progress=False)
    from tests.e2e import colour_model

    model = fos.load_model(colour_model.load().module, NASTY, colour_model.load().transform)
    object.__setattr__(model, "name", NASTY[0])
    dataset.add_sample(fo.Sample(filepath="/nowhere/" + NASTY[0].replace("/", "_") + "`x`.png"))
    for field in ("saliency", "saliency_after"):
        fos.compute_saliency(dataset, model, field, pred_field="predictions", progress=False)
    yield dataset
    dataset.delete()


@pytest.fixture
def nasty_page(browser, server, nasty):
    with open_dataset(browser, server, nasty.name) as page:
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


def live(page) -> list[str]:
    page.wait_for_timeout(1500)
    return page.evaluate(_LIVE) + [url for url in page.asked if HOST in url.split("filepath=")[0]]


def test_panels_show_labels_as_they_are(nasty_page):
    page = nasty_page
    panel = open_panel(page)
    panel.get_by_role("button", name="Next mistake").click()
    expect(panel).to_contain_text("of truth")
    assert live(page) == []
    expect(panel).to_contain_text("**s** `c`")
    choose(page, panel, "Counts", "Where the evidence lies")
    expect(panel).to_contain_text("Evidence by class")
    assert live(page) == []


def test_comparison_and_clusters_show_labels_as_they_are(nasty_page):
    page = nasty_page
    panel = open_panel(page, "saliency_comparison", plot=False)
    panel.get_by_role("button", name="Compare").click()
    expect(panel).to_contain_text("after minus before")
    assert live(page) == []
    panel = open_panel(page, "saliency_clusters", plot=False)
    panel.get_by_role("button", name="Find clusters").click()
    expect(panel).to_contain_text("maps in view")
    assert live(page) == []


@pytest.mark.parametrize(
    "label",
    [
        "Saliency: manage runs",
        "Saliency: check trust",
        "Saliency: define regions",
        "Saliency: save confusion cells as views",
        "Saliency: tag a confusion cell",
        "Saliency: hide a region",
    ],
)
def test_forms_show_names_as_they_are(nasty_page, label):
    form = open_form(nasty_page, label)
    expect(form).not_to_contain_text("Loading")

    assert live(nasty_page) == []
