"""Gradient-weighted attention rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.methods._attention import AttentionMap, follow, on_grid
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.models.forward import Forward


@register_method("gradient_rollout", "Gradient rollout", family="attention", paper="https://arxiv.org/abs/2103.15679")
@dataclass(frozen=True)
class GradientRollout(AttentionMap):
    """Weigh the attention of each layer by its gradient, keep what is positive, and follow it back to the patches.

    In each layer a token keeps itself and adds what it takes from the others: the mean over heads of the positive
    part of gradient times attention. The map is what the token that the head reads takes from each patch; where the
    head reads several, as after mean pooling, their mean without what each is of itself. Values are not negative,
    without unit, comparable between images of one model only, on the grid of the patches. For transformers whose
    layers attend among all tokens, so not for Swin.

    References:
        Chefer, Gur, Wolf. Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
        Transformers. ICCV 2021, eq. 5-6. https://arxiv.org/abs/2103.15679
    """

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the relevance of the patches for each target; the network runs once."""
        forward, grid = self.start(model, batches[0])
        return [on_grid(_relevance(forward, batch), grid) for batch in batches]


def _relevance(forward: Forward, batch: Batch) -> Tensor:
    # Autocast would round what is differentiated under it, even where the forward pass ran without.
    with torch.autocast(forward.logits.device.type, enabled=False):
        gradients = forward.gradients(batch.scores(forward.logits))
    layers = [
        (gradient * attention.detach()).relu().float().mean(dim=1)
        for gradient, attention in zip(gradients, forward.activations, strict=True)
    ]
    # No other token's attention in the last layer has a gradient.
    read = (gradients[-1] != 0).any(dim=3).any(dim=1).float()
    read = read / read.sum(dim=1, keepdim=True).clamp(min=1)
    return follow(read, reversed(layers)) - read
