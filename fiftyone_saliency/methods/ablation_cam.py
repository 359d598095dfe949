"""Ablation-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.methods._cam import Cam, grid_of, read
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._replay import changed_scores
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("ablation_cam", "Ablation-CAM", family="cam", paper="https://doi.org/10.1109/WACV45572.2020.9093360")
@dataclass(frozen=True)
class AblationCam(Cam):
    """Weight each feature map by how far the score falls when it is set to zero.

    Needs no gradient, but one pass through the head per channel, shared between targets. Values are not negative,
    in units of the score times the feature, and comparable between images of one model and layer only. Class tokens
    stay as they are. We depart from the paper in one thing: the fall is not divided by the score, which would turn
    the map around where a logit is negative.

    References:
        Desai, Ramaswamy. Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
        Localization. WACV 2020, sec. 3. https://doi.org/10.1109/WACV45572.2020.9093360
    """

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps (N, h, w) of several targets of the same images; they share the forward passes."""
        output = self.forward(model, batches[0]).activations[0]
        grid = grid_of(model, output, batches[0].images, model.cam_layer)
        features = read(grid, output)
        channels = torch.arange(features.shape[1], device=features.device)

        def remove(values: Tensor, numbers: Tensor) -> None:
            values.mul_((channels != numbers[:, None])[..., None, None])

        # One number more than there are channels: there nothing is removed.
        scores = changed_scores(model, batches, grid, len(channels) + 1, remove)
        falls = [(s[:, -1:] - s[:, :-1])[..., None, None] for s in scores]
        return [(fall * features).sum(dim=1).relu() for fall in falls]
