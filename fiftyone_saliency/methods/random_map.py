"""A map of random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.methods._noise import generators
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "random_map",
    "Random map",
    family="control",
    paper="https://arxiv.org/abs/1806.10758",
    evidence=False,
    hidden=True,
)
@dataclass(frozen=True)
class RandomMap:
    """Draw a number for each pixel, without a look at the network: what chance scores.

    Values are uniform in [0, 1), without a unit, at the network's resolution; of images too: only the seed decides.

    References:
        Hooker, Erhan, Kindermans, Kim. A Benchmark for Interpretability Methods in Deep Neural Networks.
        NeurIPS 2019, sec. 3 (random baseline). https://arxiv.org/abs/1806.10758
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:  # noqa: ARG002 (all methods take a model)
        """Return the map (N, H, W)."""
        size = batch.images.shape[2:]
        return torch.stack([torch.rand(size, generator=generator) for generator in generators(batch)])
