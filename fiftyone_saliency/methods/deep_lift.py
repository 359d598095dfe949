"""DeepLIFT."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._completeness import completeness_error
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._rescale import Rescale
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch, score_of

_STEPS = 32


@register_method("deep_lift", "DeepLIFT", family="gradient", paper="https://arxiv.org/abs/1704.02685")
@dataclass(frozen=True)
class DeepLift:
    """Hand the score's rise over a zero input back through each layer by slopes instead of gradients.

    Zero is the mean colour after normalisation, not black. Costs one forward and one backward pass. Values are
    signed, in units of the score, at the network's resolution, and add up to ``score(image) - score(zero)`` exactly
    where activations, max pooling and products are all that is not linear. Elsewhere (layer norm, attention) the
    gradient stands in for the slope, and the stored completeness error says how much that misses.

    captum's DeepLift, whose maps these are where its rules hold, refuses networks that share an activation, as
    ResNets do, and passes functional activations over in silence.

    References:
        Shrikumar, Greenside, Kundaje. Learning Important Features Through Propagating Activation Differences.
        ICML 2017, sec. 3.5.1 and 3.5.2 (Rescale). https://arxiv.org/abs/1704.02685
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Attribution:
        """Return the attributions (N, C, H, W) and their completeness error."""
        images = batch.images.detach().clone().requires_grad_(True)
        with Rescale(len(images)):
            logits = model.logits(torch.cat([images, torch.zeros_like(images[:1])]))
        found, reference = logits[:-1], logits[-1:].expand(len(images), -1).detach()
        multipliers = _head(batch, found.detach(), reference)
        (gradient,) = torch.autograd.grad(found, images, multipliers)
        values = images.detach() * gradient
        scores = batch.scores(found.detach())
        return Attribution(values, completeness_error(values, scores, batch.scores(reference)))


def _head(batch: Batch, logits: Tensor, reference: Tensor) -> Tensor:
    """Return the multipliers of the logits: 1 and -1, or the softmax's mean slope on the way from the reference."""
    head = CaptumIntegratedGradients(
        lambda values, plus, minus: score_of(values, plus, minus, batch.output), multiply_by_inputs=False
    )
    return head.attribute(logits, reference, additional_forward_args=batch.columns, n_steps=_STEPS).to(logits.dtype)
