"""Which region of which sample is hidden, and by what: read in the order of the samples, a chunk at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.types import Failure, SampleItem
from fiftyone_saliency.dataset.regions import region_masks
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.hiding import Scene
from fiftyone_saliency.runtime.loading import LoadedImage, load_ahead
from fiftyone_saliency.runtime.plan import chunks


@dataclass(frozen=True, eq=False)
class Scenes:
    """A region of the samples.

    Args:
        samples: dataset or view.
        regions: label field or name of a stored region specification.
        region: the region.
        size: height and width of the masks.
    """

    samples: Any
    regions: str
    region: str
    size: tuple[int, int]

    def having(self) -> set[str]:
        """Return the ids of the samples that have the region.

        Raises:
            UnknownNameError: if none of them knows it.
        """
        names: set[str] = set()
        found: set[str] = set()
        for sample_id, masks in region_masks(self.samples, self.regions, self.size):
            names |= masks.keys()
            mask = masks.get(self.region)
            if mask is not None and mask.any():
                found.add(sample_id)
        if self.region not in names:
            raise UnknownNameError(f"region of {self.regions!r}", self.region, names)
        return found

    def plain(self, items: Sequence[SampleItem]) -> Iterator[tuple[str, Scene]]:
        """Yield the region of each item, in their order."""
        for sample_id, mask in self._masks(items):
            yield sample_id, Scene(mask)

    def swapped(
        self, items: Sequence[SampleItem], model: ModelAdapter, seed: int, batch_size: int, num_workers: int
    ) -> Iterator[tuple[str, Scene]]:
        """Yield the region of each item, and another item with its image and region, in their order."""
        partners = [items[i] for i in pair([item.truth for item in items], seed)]
        others = _one_by_one(load_ahead(chunks(partners, batch_size), model, num_workers))
        for own, other, theirs in zip(self._masks(items), others, self._masks(partners), strict=True):
            yield own[0], Scene(own[1], other, theirs[1])

    def _masks(self, items: Sequence[SampleItem]) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
        samples = self.samples.select([item.id for item in items], ordered=True)
        for sample_id, masks in region_masks(samples, self.regions, self.size):
            yield sample_id, masks.get(self.region)


def pair(labels: Sequence[Hashable], seed: int) -> list[int]:
    """Draw a partner for each item, so that every item is a partner once.

    No item is its own partner, unless it is alone. No two partners are of one label, as long as no label is that of
    more than half of the items.

    Args:
        labels: label of each item.
        seed: seed of the draw.

    Returns:
        Index of each item's partner.
    """
    drawn = np.random.default_rng(seed).permutation(len(labels))
    by_label = sorted(drawn.tolist(), key=lambda i: str(labels[i]))
    largest = max((len(list(group)) for _, group in groupby(by_label, lambda i: str(labels[i]))), default=0)
    # Where one label is nearly all, shifting by its count could lead back to the item itself.
    shift = largest % len(labels) or 1 if labels else 0
    partners = [0] * len(labels)
    for place, item in enumerate(by_label):
        partners[item] = by_label[(place + shift) % len(labels)]
    return partners


def _one_by_one(loaded: Iterator[list[LoadedImage | Failure]]) -> Iterator[LoadedImage | Failure]:
    for chunk in loaded:
        yield from chunk
