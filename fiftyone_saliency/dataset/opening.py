"""Open what a command line names: a dataset, a saved view of it, samples with a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.errors import UnknownNameError


def open_samples(name: str, view: str | None = None, tags: Sequence[str] = ()) -> Any:
    """Return a dataset, or part of it.

    Args:
        name: name of the dataset.
        view: name of one of its saved views, or None.
        tags: only samples that carry one of these tags; all if empty.

    Raises:
        UnknownNameError: if there is no such dataset, saved view or tag.
    """
    if not fo.dataset_exists(name):
        raise UnknownNameError("dataset", name, map(str, fo.list_datasets()))
    samples: Any = fo.load_dataset(name)
    if view is not None:
        if not samples.has_saved_view(view):
            raise UnknownNameError("saved view", view, map(str, samples.list_saved_views()))
        samples = samples.load_saved_view(view)
    known = set(samples.distinct("tags")) if tags else set[str]()
    for tag in tags:
        if tag not in known:
            raise UnknownNameError("tag", tag, known)
    return samples.match_tags(list(tags)) if tags else samples
