"""Guided Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods.grad_cam import GradCam
from fiftyone_saliency.methods.guided_backprop import GuidedBackprop
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "guided_grad_cam",
    "Guided Grad-CAM",
    family="gradient",
    paper="https://arxiv.org/abs/1610.02391",
    evidence=False,
)
@dataclass(frozen=True)
class GuidedGradCam:
    """Multiply guided backpropagation by Grad-CAM, stretched bilinearly to the input.

    Does not pass the randomisation check, as guided backpropagation does not (Adebayo et al.): no verdict may rest on
    it. Values are signed, at the network's resolution, and comparable between images of one model and layer only. A
    network without ReLU is refused.

    References:
        Selvaraju et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
        ICCV 2017, sec. 3.2. https://arxiv.org/abs/1610.02391
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. https://arxiv.org/abs/1810.03292
    """

    def layers(self, model: ModelAdapter) -> tuple[str, ...]:
        """Name the layer to record."""
        return GradCam().layers(model)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        cam = GradCam()(model, batch)[:, None]
        size = batch.images.shape[2:]
        return GuidedBackprop()(model, batch) * interpolate(cam, size, mode="bilinear", align_corners=False)
