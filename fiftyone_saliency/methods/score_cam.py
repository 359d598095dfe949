"""Score-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fiftyone_saliency.methods._cam import Cam, grid_of, read
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch, score_of


@register_method("score_cam", "Score-CAM", family="cam", paper="https://arxiv.org/abs/1910.01279")
@dataclass(frozen=True)
class ScoreCam(Cam):
    """Weight each feature map by the score of the image seen through it.

    Each map is upsampled bilinearly, scaled to [0, 1] and multiplied with the image; the weights are the softmax
    over channels of the scores, so that all are positive and the score of the baseline, which the paper subtracts,
    cancels out. The score is the run's: a logit unless softmax is asked for. Needs no gradient, but one forward
    pass per channel, shared between targets. Values are not negative, in units of the feature. A channel of one
    value hides the whole image.

    References:
        Wang et al. Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks. CVPR Workshops
        2020, definitions 1-3 and algorithm 1. https://arxiv.org/abs/1910.01279
    """

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps (N, h, w) of several targets of the same images; they share the forward passes."""
        output = self.forward(model, batches[0]).activations[0]
        grid = grid_of(model, output, batches[0].images, model.cam_layer)
        features = read(grid, output)
        maps = []
        for scores in _masked_scores(model, batches, features):
            weights = scores.softmax(dim=1)[:, :, None, None]
            maps.append((weights * features).sum(dim=1).relu())
        return maps


@torch.no_grad()
def _masked_scores(model: ModelAdapter, batches: Sequence[Batch], features: Tensor) -> list[Tensor]:
    """Return the scores (N, C) of the images seen through each channel, per target."""
    images, rows = batches[0].images, batches[0].rows
    flat = features.flatten(0, 1)
    owner = torch.arange(len(images), device=images.device).repeat_interleave(features.shape[1])
    found: list[list[Tensor]] = [[] for _ in batches]
    for start in range(0, len(flat), rows):
        few = slice(start, start + rows)
        masks = _to_unit(interpolate(flat[few, None], images.shape[2:], mode="bilinear", align_corners=False))
        logits = model.logits(images[owner[few]] * masks.to(images.dtype))
        for scores, batch in zip(found, batches, strict=True):
            scores.append(score_of(logits, batch.plus[owner[few]], batch.minus[owner[few]], batch.output))
    return [torch.cat(scores).unflatten(0, features.shape[:2]) for scores in found]


def _to_unit(masks: Tensor) -> Tensor:
    """Scale each mask (M, 1, H, W) to [0, 1]; one of a single value becomes 0."""
    low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
    return ((masks - low) / (high - low)).where(high > low, 0)
