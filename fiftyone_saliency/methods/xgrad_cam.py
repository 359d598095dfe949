"""XGrad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._cam import GradientCam
from fiftyone_saliency.methods._registry import register_method


@register_method("xgrad_cam", "XGrad-CAM", family="cam", paper="https://arxiv.org/abs/2008.02312")
@dataclass(frozen=True)
class XGradCam(GradientCam):
    """Grad-CAM whose mean gradient is weighted by the feature itself, so that the map conserves the score best.

    Values are not negative, in units of the score per unit of feature. Made for layers whose features are not
    negative, as behind a ReLU: features that cancel out in their sum blow a channel up. A channel whose features
    sum to 0 does not count.

    References:
        Fu et al. Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs. BMVC 2020, sec. 3.
        https://arxiv.org/abs/2008.02312
    """

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return relu(sum of weights times feature); a weight is the mean of gradients weighted by features."""
        total = features.sum(dim=(2, 3), keepdim=True)
        weights = (gradients * features).sum(dim=(2, 3), keepdim=True) / total
        return (weights.where(total != 0, 0) * features).sum(dim=1).relu()
