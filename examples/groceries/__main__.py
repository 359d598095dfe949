"""`python -m examples.groceries`: tell the story, print the clearance, open the App on the worst cell."""

from pathlib import Path
from typing import Any

from examples._command import Teller, run


def _teller() -> Teller:
    from examples.groceries import story

    def tell(folder: Path) -> tuple[Any, str, dict[str, Any]]:
        dataset, report = story.tell(folder)
        return story.worst_cell(dataset), story.show(report), report

    return tell


if __name__ == "__main__":
    run("groceries", "An accurate model whose maps rest on the products: cleared.", _teller)
