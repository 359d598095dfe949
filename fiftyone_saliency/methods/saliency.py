"""Saliency: the magnitude of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from captum.attr import Saliency as CaptumSaliency
from torch import Tensor

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("saliency", "Saliency", family="gradient", paper="https://arxiv.org/abs/1312.6034")
@dataclass(frozen=True)
class Saliency:
    """Take the magnitude of the score's gradient by each input value.

    Values are not negative: they say how much a pixel matters, not for or against what. In units of the score per
    unit of input, at the network's resolution, and noisy. We depart from the paper in one thing: it takes the
    largest channel, here channels are summed.

    References:
        Simonyan, Vedaldi, Zisserman. Deep Inside Convolutional Networks: Visualising Image Classification Models
        and Saliency Maps. ICLR 2014 (workshop), sec. 3.1. https://arxiv.org/abs/1312.6034
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        return CaptumSaliency(batch.score_function(model)).attribute(
            # The caller's images must not start to require gradients.
            batch.images.detach().clone().requires_grad_(True),
            additional_forward_args=batch.columns,
            abs=True,
        )
