"""`python -m examples.professions`: tell the story, print the table, open the App."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from examples._workspace import FOLDER, use_workspace


def main() -> None:
    """Run the story with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.professions", description=__doc__)
    parser.add_argument("--no-app", action="store_true", help="stop before the App")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to a file, too")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept (default: %(default)s)")
    options = parser.parse_args()
    started = time.perf_counter()
    folder = use_workspace(options.folder.absolute())

    from examples.professions import story

    dataset, table = story.tell(folder / "professions")
    print(story.show(table))
    print(f"{time.perf_counter() - started:.0f} seconds")
    if options.json is not None:
        options.json.write_text(json.dumps(table, indent=1))
    if not options.no_app:
        from examples._app import open_app

        open_app(dataset)


if __name__ == "__main__":
    main()
