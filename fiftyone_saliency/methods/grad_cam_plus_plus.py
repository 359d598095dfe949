"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fiftyone_saliency.methods._cam import GradientCam
from fiftyone_saliency.methods._registry import register_method


@register_method("grad_cam_plus_plus", "Grad-CAM++", family="cam", paper="https://arxiv.org/abs/1710.11063")
@dataclass(frozen=True)
class GradCamPlusPlus(GradientCam):
    """Grad-CAM whose mean is weighted, so that several and small instances of a class count alike.

    Values are not negative, in units of the score per unit of feature, and comparable between images of one model
    and layer only. Made for layers whose features are not negative, as behind a ReLU. We depart from the paper in
    two things: its factor exp(score), the same for the whole map, is left out, and a gradient of any size counts,
    where implementations add a constant to the denominator that hides the small ones.

    References:
        Chattopadhay et al. Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
        Networks. WACV 2018, eq. 19. https://arxiv.org/abs/1710.11063
    """

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return relu(sum of weights times feature); a weight sums relu(gradient) / (2 + gradient * sum of feature)."""
        # Equation 19, g^2 / (2 g^2 + g^3 * sum), divided by g^2.
        below = 2 + gradients * features.sum(dim=(2, 3), keepdim=True)
        shares = (gradients.relu() / below).where(below > 0, 0)
        return (shares.sum(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()
