"""Occlusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.methods._perturb import Run, all_scores, full_precision, original_scores
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch

_FINEST = 0.005


@register_method("occlusion", "Occlusion", family="perturbation", paper="https://arxiv.org/abs/1311.2901")
@dataclass(frozen=True)
class Occlusion:
    """Slide a window of zeros over the image and measure by how much the score falls.

    Zero is the mean colour after normalisation. Needs no gradient. Values are signed, in units of the score, at the
    network's resolution: the mean fall over all windows that cover the pixel. A window that reaches over the border
    is cut there. The same for all channels, so only one is returned.

    Args:
        window: side of the window as a share of the input's side, above 0 and up to 1.
        stride: step of the window as a share of the input's side, from 0.005 up to ``window``.

    References:
        Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014, sec. 4.2.
        https://arxiv.org/abs/1311.2901
    """

    window: float = bounded(0.2, 0, 1)
    stride: float = bounded(0.1, 0, 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 0 < self.stride <= self.window:
            raise ArgumentError(
                f"Expected 0 < `stride` <= `window`, but got stride {self.stride} and window {self.window}. "
                "A larger stride would leave gaps that no window covers."
            )
        if self.stride < _FINEST:
            raise ArgumentError(
                f"Expected `stride` to be at least {_FINEST}, which is {round(1 / _FINEST) ** 2:,} forward passes per "
                f"image, but got {self.stride}."
            )

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, H, W)."""
        return self.all_targets(model, [batch])[0]

    @torch.no_grad()
    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the attributions of several targets of the same images; they share every forward pass."""
        images = batches[0].images
        down, across = (self._positions(side) for side in images.shape[2:])
        windows = [(rows, columns) for rows in down for columns in across]

        def hide(run: Run, _: slice, perturbed: Tensor) -> None:
            perturbed.copy_(images[run.image])
            for image, (rows, columns) in zip(perturbed, windows[run.first : run.last], strict=True):
                image[:, rows, columns] = 0

        original = original_scores(model, batches)
        scores = torch.stack(all_scores(model, batches, [len(windows)] * len(images), hide), dim=1)
        falls = (original[:, :, None] - scores).unflatten(2, (len(down), len(across)))
        with full_precision(images):
            height, width = (
                _covered(positions, side, falls)
                for positions, side in zip((down, across), images.shape[2:], strict=True)
            )
            # A pixel lies under every window of its row that is also one of its column.
            return list(height.T @ falls @ width)

    def _positions(self, side: int) -> list[slice]:
        """Return where windows lie along a side; the last one ends at the border or is cut there."""
        window = max(1, round(side * self.window))
        stride = min(window, max(1, round(side * self.stride)))
        return [slice(i * stride, min(i * stride + window, side)) for i in range(ceil((side - window) / stride) + 1)]


def _covered(positions: Sequence[slice], side: int, like: Tensor) -> Tensor:
    """Return (windows, pixels): for each pixel equal weights, adding up to 1, of the windows that cover it."""
    covered = like.new_zeros(len(positions), side)
    for row, position in zip(covered, positions, strict=True):
        row[position] = 1
    return covered / covered.sum(dim=0)
