"""VarGrad."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._smoothing import Smoothing
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("var_grad", "VarGrad", family="gradient", paper="https://arxiv.org/abs/1810.03307")
@dataclass(frozen=True)
class VarGrad(Smoothing):
    """Take the variance of a gradient method's attributions over noisy copies of the image.

    Values are not negative, in the squared unit of ``base``, at the network's resolution. High where the network
    is sensitive and bends; a network that is linear there gets 0 from saliency.

    Args:
        base: name of the gradient method, with its own defaults.
        samples: noisy copies per image, 1 to 10,000; the variance of a single copy is 0.
        noise: standard deviation of the noise, as a share of the image's range of values, in [0, 1].

    References:
        Adebayo, Gilmer, Goodfellow, Kim. Local Explanation Methods for Deep Neural Networks Lack Sensitivity to
        Parameter Values. ICLR 2018 (workshop), sec. 2. https://arxiv.org/abs/1810.03307
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        return self.moments(model, batch).variance
