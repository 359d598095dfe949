"""A real App in a real browser: one server and one Chromium for all, a clean App state for each test.

They end with the module: Playwright keeps an event loop running that FiftyOne's operators would mistake for theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import HOME
from tests.e2e.app_server import chromium, open_dataset, serve

MODEL = "test-model"
# What FiftyOne's grid itself throws when a new view overtakes tiles that are still loading, or being decoded.
_OF_THE_GRID = ("entry is loading", "on a detached ArrayBuffer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module")
def app_dataset(fo, pictures):
    """Twenty-four samples, three colours, some confused, two without a prediction, with real maps."""
    import fiftyone_saliency as fos
    from tests.e2e import colour_model

    fos.register_model(MODEL, f"{colour_model.__file__}:load")
    dataset = fo.Dataset("e2e", persistent=True, overwrite=True)
    names = colour_model.CLASSES
    samples = []
    for i in range(24):
        truth = names[i % 3]
        predicted = names[(i + 1) % 3] if i % 5 == 0 else truth
        sample = fo.Sample(filepath=pictures[i % 12], ground_truth=fo.Classification(label=truth))
        if i not in (7, 8):
            sample["predictions"] = fo.Classification(label=predicted, confidence=0.5)
        samples.append(sample)
    dataset.add_samples(samples, progress=False)
    fos.compute_saliency(dataset, MODEL, progress=False)
    yield dataset
    fos.unregister_model(MODEL)


@pytest.fixture(scope="module")
def server(fo) -> Iterator[str]:
    with serve(HOME) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, server, app_dataset) -> Iterator:
    """A page on the dataset; errors of the page fail the test."""
    with open_dataset(browser, server, app_dataset.name) as page:
        yield page
        assert [error for error in page.errors if not any(known in error for known in _OF_THE_GRID)] == []
