"""The command line that both stories share."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples._workspace import FOLDER, use_workspace

Teller = Callable[[Path], tuple[Any, str, dict[str, Any]]]


def run(name: str, description: str, teller: Callable[[], Teller]) -> None:
    """Run a story with the options of the command line.

    Args:
        name: name of the example, and of its folder.
        description: what the help says.
        teller: imports the story, after FiftyOne was pointed at the workspace, and returns a function from the
            story's folder to the samples that the App opens, the text to print and the numbers.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=description)
    parser.add_argument("--no-app", action="store_true", help="stop before the App")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file, too")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept (default: %(default)s)")
    options = parser.parse_args()
    started = time.perf_counter()
    folder = use_workspace(options.folder.absolute())
    samples, text, numbers = teller()(folder / name)
    print(text)
    print(f"{time.perf_counter() - started:.0f} seconds")
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=1))
    if not options.no_app:
        from examples._app import open_app

        open_app(samples)
