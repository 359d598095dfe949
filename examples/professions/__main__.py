"""`python -m examples.professions`: tell the story, print the table, open the App."""

from pathlib import Path
from typing import Any

from examples._command import Teller, run


def _teller() -> Teller:
    from examples.professions import story

    def tell(folder: Path) -> tuple[Any, str, dict[str, Any]]:
        dataset, table = story.tell(folder)
        return dataset, story.show(table), table

    return tell


if __name__ == "__main__":
    run("professions", "An accurate model that looked at heads, until the data was enriched.", _teller)
