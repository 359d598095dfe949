"""Decide what is left to do, in which chunks, with which random seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence

from fiftyone_saliency.core.types import SampleItem


def remaining(items: Sequence[SampleItem], done: Collection[str]) -> list[SampleItem]:
    """Return the items whose id is not done, in their order."""
    return [item for item in items if item.id not in done]


def chunks(items: Sequence[SampleItem], size: int) -> Iterator[list[SampleItem]]:
    """Cut the items into lists of at most ``size``."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def sample_seed(seed: int, sample_id: str) -> int:
    """Return a sample's own seed in [0, 2**63), so that its map does not depend on batch, order or resumption."""
    digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
