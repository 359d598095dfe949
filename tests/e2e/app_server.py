"""Start the App's server and a browser on it; the tests and the README's pictures share this."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROME_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run the App's server on a free port and give its URL; the database is that of this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    command = [sys.executable, "-m", "fiftyone.server.main", "--port", str(port), "--address", "127.0.0.1"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ.copy(), cwd=folder)
    try:
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the installed Chromium, headless.

    Raises:
        RuntimeError: if there is none.
    """
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError("Expected Chromium, but found none. Install it or set CHROMIUM to its path.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=CHROME_ARGS)
        yield browser
        browser.close()


@contextmanager
def open_dataset(browser: Any, url: str, name: str, width: int = 1600, height: int = 1000) -> Iterator[Any]:
    """Open a dataset in a new page, with nothing left over; give the page, with page errors in ``page.errors``."""
    _reset(url, name)
    context = browser.new_context(viewport={"width": width, "height": height}, base_url=url)
    context.route(lambda target: not target.startswith((url, "data:", "blob:")), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    # An advertisement that covers the grid.
    page.add_locator_handler(page.get_by_role("button", name="Dismiss"), lambda button: button.click())
    page.goto(f"/datasets/{name}")
    page.locator('[data-cy="looker"]').first.wait_for()
    yield page
    context.close()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        try:
            urllib.request.urlopen(f"{url}/fiftyone", timeout=2)
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.1)
    raise RuntimeError(f"Expected the App's server to answer, but it did not. Its log: {log.read_text()}")


def _reset(url: str, name: str) -> None:
    """The server keeps one App state for all pages: dataset, view and open panels of the page before."""
    query = 'mutation($n:String){setDataset(subscription:"t",session:null,viewName:null,name:$n)}'
    for value in (None, name):
        body = json.dumps({"query": query, "variables": {"n": value}}).encode()
        request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
