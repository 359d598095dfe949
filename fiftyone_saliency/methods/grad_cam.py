"""Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.methods._cam import GradientCam
from fiftyone_saliency.methods._registry import register_method


@register_method("grad_cam", "Grad-CAM", family="cam", paper="https://arxiv.org/abs/1610.02391")
@dataclass(frozen=True)
class GradCam(GradientCam):
    """Weight the feature maps of a late layer by the mean gradient of the score, and keep what is positive.

    Coarse (the grid of the layer) and cheap (about one forward pass). Values are not negative, in units of the
    score per unit of feature, and comparable between images of one model and layer only.

    References:
        Selvaraju et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
        ICCV 2017, eq. 1-2. https://arxiv.org/abs/1610.02391
    """

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return relu(sum over channels of mean gradient times feature)."""
        return torch.einsum("nc,nchw->nhw", gradients.mean(dim=(2, 3)), features).relu()
