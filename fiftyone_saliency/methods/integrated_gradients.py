"""Integrated Gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._completeness import completeness_error
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "integrated_gradients",
    "Integrated Gradients",
    family="gradient",
    paper="https://arxiv.org/abs/1703.01365",
)
@dataclass(frozen=True)
class IntegratedGradients:
    """Integrate the gradient along the straight path from a zero input to the image.

    Zero is the mean colour after normalisation, not black. Values are signed, in units of the score, at the
    network's resolution, and add up to ``score(image) - score(zero)`` as ``steps`` grows (completeness); how far
    they are from that is stored with the map.

    Args:
        steps: points of the Gauss-Legendre quadrature, 1 to 1,000; each costs a forward and a backward pass. Placing
            them takes time and memory by their square; float32 rounds before 1,000 are of use.

    References:
        Sundararajan, Taly, Yan. Axiomatic Attribution for Deep Networks. ICML 2017, eq. 1.
        https://arxiv.org/abs/1703.01365
    """

    steps: int = bounded(24, 1, 1000)

    def __post_init__(self) -> None:
        check_bounds(self)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Attribution:
        """Return the attributions (N, C, H, W) and their completeness error."""
        images = batch.images.detach()
        values = CaptumIntegratedGradients(batch.score_function(model)).attribute(
            images,
            additional_forward_args=batch.columns,
            n_steps=self.steps,
            # Steps share a forward pass as far as it may grow: memory does not depend on them.
            internal_batch_size=max(len(batch), batch.rows),
        )
        with torch.no_grad():
            logits = model.logits(torch.cat([images, torch.zeros_like(images[:1])]))
        scores, zero = batch.scores(logits[:-1]), batch.scores(logits[-1:].expand(len(batch), -1))
        return Attribution(values, completeness_error(values, scores, zero))
