"""GradientSHAP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import Saliency as CaptumSaliency
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.methods._noise import Moments, copies, generators, passes, spreads
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("gradient_shap", "GradientSHAP", family="gradient", paper="https://arxiv.org/abs/1705.07874")
@dataclass(frozen=True)
class GradientShap:
    """Average the gradient at random points between random baselines and the image, times their difference.

    A baseline is zero, the mean colour after normalisation, plus noise. Values are signed, in units of the score,
    at the network's resolution, and in expectation add up to the score's rise from the mean baseline; with few
    samples they do so roughly. An approximation of Shapley values that holds where features are independent and
    the network is close to linear.

    Args:
        samples: baselines per image, 1 to 10,000; each costs a forward and a backward pass.
        noise: standard deviation of the baselines, as a share of the image's range of values, in [0, 1].

    References:
        Lundberg, Lee. A Unified Approach to Interpreting Model Predictions. NeurIPS 2017, eq. 11 and 12.
        https://arxiv.org/abs/1705.07874
        Erion et al. Improving performance of deep learning models with axiomatic attribution priors and expected
        gradients. Nature Machine Intelligence 2021, eq. 2-3. https://arxiv.org/abs/1906.10670
    """

    samples: int = bounded(16, 1, 10_000)
    noise: float = bounded(0.15, 0, 1)

    def __post_init__(self) -> None:
        check_bounds(self)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        random, spread, found = generators(batch), spreads(batch, self.noise), Moments(batch)
        # captum's GradientShap draws from global generators; its gradient at points drawn here is the same.
        gradient = CaptumSaliency(batch.score_function(model))
        for rows in passes(batch, self.samples):
            images = batch.images.detach()[rows]
            drawn = [_draw(random[row], image) for row, image in zip(rows, images, strict=True)]
            noise, share = (torch.stack(values).to(images.device) for values in zip(*drawn, strict=True))
            baselines = spread[rows] * noise
            way = images - baselines
            points = copies(batch, rows, (baselines + share * way).requires_grad_(True), [0] * len(rows))
            slopes = gradient.attribute(points.images, additional_forward_args=points.columns, abs=False)
            found.add(rows, (way * slopes).detach())
        return found.mean


def _draw(random: torch.Generator, image: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a baseline and how far to go from it to the image, in [0, 1)."""
    return torch.randn(image.shape, generator=random), torch.rand(1, 1, 1, generator=random)
