"""Progress in FiftyOne's manner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fiftyone.core.utils as fou

Progress = bool | Callable[[Any], Any] | None


def track(chunks: Iterable[Any], total: int, progress: Progress, size: Callable[[Any], int] = len) -> Iterator[Any]:
    """Yield the chunks and advance a FiftyOne progress bar by the size of each one that is finished.

    Args:
        chunks: what to iterate over.
        total: sum of all sizes.
        progress: True or False for a bar, None for FiftyOne's default, or a callback as FiftyOne's own verbs
            take it, such as ``fiftyone.report_progress(...)``.
        size: size of one chunk.
    """
    with fou.ProgressBar(total=total, progress=progress) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(size(chunk))
