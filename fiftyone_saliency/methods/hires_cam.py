"""HiResCAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._cam import GradientCam
from fiftyone_saliency.methods._registry import register_method


@register_method("hires_cam", "HiResCAM", family="cam", paper="https://arxiv.org/abs/2011.08891")
@dataclass(frozen=True)
class HiResCam(GradientCam):
    """Multiply the feature maps of a late layer by the gradient of the score, cell by cell.

    Unlike Grad-CAM, which averages the gradient first, it shows only what the score was computed from: where the
    head is linear, the map adds up to the score without its bias. Values are signed, in units of the score.

    References:
        Draelos, Carin. Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks.
        2020, sec. 3. https://arxiv.org/abs/2011.08891
    """

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the sum over channels of gradient times feature."""
        return (gradients * features).sum(dim=1)
