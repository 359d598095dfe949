"""Recipro-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, one_hot

from fiftyone_saliency.methods._cam import Cam, grid_of
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._replay import changed_scores
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch

_BLUR = ((1 / 16, 1 / 8, 1 / 16), (1 / 8, 1 / 4, 1 / 8), (1 / 16, 1 / 8, 1 / 16))


@register_method("recipro_cam", "Recipro-CAM", family="cam", paper="https://arxiv.org/abs/2209.14074")
@dataclass(frozen=True)
class ReciproCam(Cam):
    """Keep the features of one cell of a late layer and measure how far the score rises.

    Needs no gradient, but one pass through the head per cell, shared between targets. Values are signed, in units of
    the score: that of the cell alone above that of no cell. Class tokens stay as they are. We depart from the paper
    in one thing: it scales each map to [0, 1], so that maps of two images cannot be compared.

    Args:
        blur: whether neighbours are kept in part too, by the paper's 3x3 Gaussian weights, which add up to 1.

    References:
        Byun, Lee. Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks. 2022,
        sec. 3. https://arxiv.org/abs/2209.14074
    """

    blur: bool = True

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps (N, h, w) of several targets of the same images; they share the forward passes."""
        output = self.forward(model, batches[0]).activations[0]
        grid = grid_of(model, output, batches[0].images, model.cam_layer)
        cells = grid.height * grid.width

        def keep(values: Tensor, numbers: Tensor) -> None:
            masks = one_hot(numbers, cells + 1)[:, None, :-1].unflatten(2, (grid.height, grid.width)).to(values)
            if self.blur:
                masks = conv2d(masks, torch.tensor(_BLUR).to(values)[None, None], padding=1)
            values.mul_(masks)

        # One number more than there are cells: there nothing is kept.
        scores = changed_scores(model, batches, grid, cells + 1, keep)
        return [(s[:, :-1] - s[:, -1:]).unflatten(1, (grid.height, grid.width)) for s in scores]
