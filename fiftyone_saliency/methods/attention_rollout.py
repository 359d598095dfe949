"""Attention rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fiftyone_saliency.methods._attention import AttentionMap, follow, on_grid
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "attention_rollout",
    "Attention rollout",
    family="attention",
    paper="https://arxiv.org/abs/2005.00928",
    # Neither the class nor the weights of the head change the map.
    evidence=False,
)
@dataclass(frozen=True)
class AttentionRollout(AttentionMap):
    """Multiply the attention of all layers: how much of each patch can reach the end of a transformer.

    Shows where the network looks, not what speaks for a class: the map is the same for every target, and random
    weights in the head do not change it, so that no verdict may rest on it. In each layer half of a token stays with
    it, and half is the mean attention of the heads. The map is what the class token takes from the patches or, in a
    network without one, what all tokens take on average. Values are shares, from 0 to 1 in sum, on the grid of the
    patches. For transformers whose layers attend among all tokens, so not for Swin.

    References:
        Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020, sec. 3.
        https://arxiv.org/abs/2005.00928
    """

    graph: ClassVar[bool] = False

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the row of the rollout that ends at the class token, or the mean of all rows, for every target."""
        forward, grid = self.start(model, batches[0])
        means = [attention.detach().float().mean(dim=1) for attention in forward.activations]
        layers = [mean / mean.sum(dim=-1, keepdim=True) for mean in means]
        images, count, _ = layers[0].shape
        tokens = layers[0].new_full((images, count), 1 / count)
        if grid.prefix:
            tokens = torch.zeros_like(tokens)
            tokens[:, 0] = 1
        # (identity + attention) / 2 in each layer
        rollout = follow(tokens, reversed(layers)) / 2 ** len(layers)
        return [on_grid(rollout, grid)] * len(batches)
