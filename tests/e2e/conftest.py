"""A real App in a real browser: one server and one Chromium for the session, a clean App state for each test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.conftest import HOME

CHROME_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MODEL = "test-model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
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
    return dataset


@pytest.fixture(scope="session")
def server(fo) -> Iterator[str]:
    """The App's server; the database is this process's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", HOME / "server.log"
    command = [sys.executable, "-m", "fiftyone.server.main", "--port", str(port), "--address", "127.0.0.1"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ.copy(), cwd=HOME)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/fiftyone", timeout=2)
            break
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("Expected Chromium for the browser tests, but found none. Install it or set CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=CHROME_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server, app_dataset) -> Iterator:
    """A page on the dataset, with nothing left over from the test before; page errors fail the test."""
    _reset(server, app_dataset.name)
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, base_url=server)
    context.route(lambda url: not url.startswith((server, "data:", "blob:")), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(45_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    # An advertisement that covers the grid.
    page.add_locator_handler(page.get_by_role("button", name="Dismiss"), lambda button: button.click())
    page.goto(f"/datasets/{app_dataset.name}")
    page.locator('[data-cy="looker"]').first.wait_for()
    yield page
    context.close()
    # FiftyOne's grid says so itself when a reload overtakes a tile that is still loading.
    assert [error for error in errors if "entry is loading" not in error] == []


def _reset(server: str, name: str) -> None:
    """The server keeps one App state for all tabs: dataset, view and open panels of the last test."""
    query = 'mutation($n:String){setDataset(subscription:"t",session:null,viewName:null,name:$n)}'
    for value in (None, name):
        body = json.dumps({"query": query, "variables": {"n": value}}).encode()
        request = urllib.request.Request(f"{server}/graphql", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
