"""How many threads read images."""

from __future__ import annotations

import os

from fiftyone_saliency.core.checks import check_int

_MOST = 8


def count_workers(num_workers: int | None) -> int:
    """Return the given number of threads, or by default one per core, up to 8.

    Raises:
        ArgumentError: if it is not an integer of at least 1.
    """
    workers = min(_MOST, os.cpu_count() or 1) if num_workers is None else num_workers
    check_int(workers, "num_workers", 1)
    return workers
