"""Loaders of the demos' models, for the App's server, which does not run in this folder."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def professions(path: str) -> Any:
    """Load a model of the professions story."""
    from examples.professions import story

    return story.load(path)


def groceries(path: str) -> Any:
    """Load the model of the groceries story."""
    from examples.groceries import story

    return story.load(path)
