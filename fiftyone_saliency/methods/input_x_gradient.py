"""Input × Gradient."""

from __future__ import annotations

from dataclasses import dataclass

from captum.attr import InputXGradient as CaptumInputXGradient
from torch import Tensor

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("input_x_gradient", "Input × Gradient", family="gradient", paper="https://arxiv.org/abs/1605.01713")
@dataclass(frozen=True)
class InputXGradient:
    """Multiply each input value by the gradient of the score: the score's first-order part.

    Values are signed, in units of the score, at the network's resolution, and noisy.

    References:
        Shrikumar et al. Not Just a Black Box: Learning Important Features Through Propagating Activation
        Differences. 2016, sec. 3.1. https://arxiv.org/abs/1605.01713
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        # The caller's images must not start to require gradients.
        return CaptumInputXGradient(batch.score_function(model)).attribute(
            batch.images.detach().clone().requires_grad_(True), additional_forward_args=batch.columns
        )
