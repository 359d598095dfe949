"""Integrated Gradients."""

from __future__ import annotations

from dataclasses import dataclass

from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from fiftyone_saliency.core.checks import check_int
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
    network's resolution, and add up to ``score(image) - score(zero)`` as ``steps`` grows (completeness).

    Args:
        steps: points of the Gauss-Legendre quadrature, at least 1; each costs a forward and a backward pass.

    References:
        Sundararajan, Taly, Yan. Axiomatic Attribution for Deep Networks. ICML 2017, eq. 1.
        https://arxiv.org/abs/1703.01365
    """

    steps: int = 24

    def __post_init__(self) -> None:
        check_int(self.steps, "steps", 1)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        return CaptumIntegratedGradients(model.score).attribute(
            batch.images,
            additional_forward_args=(batch.plus, batch.minus),
            n_steps=self.steps,
            # One step of the whole batch at a time: memory is that of the forward pass.
            internal_batch_size=len(batch),
        )
