"""How much is done at once: threads that read images, and images in memory."""

from __future__ import annotations

import os

from fiftyone_saliency.core.checks import check_int

_MOST = 8
# Two batches of pictures are in memory at once: at 224 pixels these are 1.2 GB.
MOST_IMAGES = 1024
MOST_THREADS = 256


def count_workers(num_workers: int | None) -> int:
    """Return the given number of threads, or by default one per core, up to 8; 0 means the calling one.

    Raises:
        ArgumentError: if it is not an integer from 0 to 256.
    """
    workers = min(_MOST, os.cpu_count() or 1) if num_workers is None else num_workers
    check_int(workers, "num_workers", 0, MOST_THREADS)
    return workers


def check_batch_size(batch_size: int) -> None:
    """Raise unless it is a number of images that memory has room for.

    Raises:
        ArgumentError: if it is not an integer from 1 to 1,024.
    """
    check_int(batch_size, "batch_size", 1, MOST_IMAGES)
