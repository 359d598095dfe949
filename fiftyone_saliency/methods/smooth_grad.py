"""SmoothGrad."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._smoothing import Smoothing
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("smooth_grad", "SmoothGrad", family="gradient", paper="https://arxiv.org/abs/1706.03825")
@dataclass(frozen=True)
class SmoothGrad(Smoothing):
    """Average a gradient method's attributions over noisy copies of the image.

    Sign, unit and resolution are those of ``base``; of saliency: not negative, in units of the score per unit of
    input. We depart from the paper in one thing: it averages the signed gradient and shows the magnitude of the
    average; the saliency of each copy is already a magnitude.

    Args:
        base: name of the gradient method, with its own defaults.
        samples: noisy copies per image, 1 to 10,000.
        noise: standard deviation of the noise, as a share of the image's range of values, in [0, 1].

    References:
        Smilkov et al. SmoothGrad: removing noise by adding noise. 2017, sec. 3.
        https://arxiv.org/abs/1706.03825
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        return self.moments(model, batch).mean
