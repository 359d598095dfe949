"""Noisy copies of images, drawn from each image's own seed and seen in passes of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Generator, Tensor

from fiftyone_saliency.models.batch import Batch


def passes(batch: Batch, samples: int) -> Iterator[list[int]]:
    """Yield the rows of each forward pass as indices of the images that they are copies of.

    A pass holds ``batch.rows`` copies of whatever images. Copy follows copy in the same order for each image, so
    that what is drawn per copy does not depend on how passes are cut.
    """
    rows = (image for _ in range(samples) for image in range(len(batch)))
    while found := list(islice(rows, batch.rows)):
        yield found


def generators(batch: Batch) -> list[Generator]:
    """Return each image's random numbers; on the CPU, so that every device sees the same."""
    return [Generator().manual_seed(seed) for seed in batch.seeds]


def spreads(batch: Batch, noise: float) -> Tensor:
    """Return standard deviations (N, 1, 1, 1): ``noise`` as a share of each image's range of values."""
    values = batch.images.detach().flatten(1)
    return (noise * (values.amax(dim=1) - values.amin(dim=1)))[:, None, None, None]


def copies(batch: Batch, rows: list[int], images: Tensor, seeds: list[int]) -> Batch:
    """Return the batch of one pass: images (M, C, H, W) with the targets of the images that they are copies of."""
    targets = tuple(batch.targets[row] for row in rows)
    return replace(batch, images=images, targets=targets, seeds=tuple(seeds), forward=None)


class Moments:
    """Mean and variance of each image's maps, one copy at a time: memory does not grow with copies.

    Args:
        batch: the images.
    """

    def __init__(self, batch: Batch) -> None:
        self._counts = [0] * len(batch)
        self._means: list[Tensor | float] = [0.0] * len(batch)
        self._squares: list[Tensor | float] = [0.0] * len(batch)

    def add(self, rows: list[int], values: Tensor) -> None:
        """Add maps (M, ...) of the images that ``rows`` names (Welford's update)."""
        for row, value in zip(rows, values, strict=True):
            self._counts[row] += 1
            change = value - self._means[row]
            self._means[row] = self._means[row] + change / self._counts[row]
            self._squares[row] = self._squares[row] + change * (value - self._means[row])

    @property
    def mean(self) -> Tensor:
        """Mean (N, ...)."""
        return torch.stack([torch.as_tensor(mean) for mean in self._means])

    @property
    def variance(self) -> Tensor:
        """Variance (N, ...), divided by the number of copies."""
        pairs = zip(self._squares, self._counts, strict=True)
        return torch.stack([torch.as_tensor(square / count) for square, count in pairs])
