"""Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import LayerGradCam
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("grad_cam", "Grad-CAM", family="cam", paper="https://arxiv.org/abs/1610.02391")
@dataclass(frozen=True)
class GradCam:
    """Weight the feature maps of a late layer by the mean gradient of the score, and keep what is positive.

    Coarse (the grid of the layer) and cheap (about one forward pass). Values are not negative, in units of the
    score per unit of feature, and comparable between images of one model and layer only.

    References:
        Selvaraju et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
        ICCV 2017, eq. 1-2. https://arxiv.org/abs/1610.02391
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the maps (N, h, w) on the grid of the model's CAM layer."""
        # A network with frozen parameters has a graph only if its input asks for one.
        images = batch.images.clone().requires_grad_(True)
        layer = model.cam_layer(images.detach())
        calls: list[None] = []
        watch = layer.register_forward_hook(lambda *_: calls.append(None))
        try:
            cam = LayerGradCam(model.score, layer).attribute(
                images, additional_forward_args=(batch.plus, batch.minus), relu_attributions=True
            )
        except AssertionError as error:
            if calls:
                raise
            raise ModelError(
                f"Expected the network to call the CAM layer {model.layer!r}, but it did not. Pass another `layer=`."
            ) from error
        finally:
            watch.remove()
        if not isinstance(cam, torch.Tensor) or cam.ndim != 4:
            got = tuple(cam.shape) if isinstance(cam, torch.Tensor) else type(cam).__name__
            raise ModelError(
                f"Expected the CAM layer to return a feature map (N, C, H, W), but its CAM is {got}. "
                "Pass `layer=` with the name of a convolutional layer."
            )
        return cam[:, 0]
