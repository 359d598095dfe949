"""An edge detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage.filters import sobel
from torch import Tensor

from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "edge_detector",
    "Edge detector",
    family="control",
    paper="https://arxiv.org/abs/1810.03292",
    evidence=False,
    hidden=True,
)
@dataclass(frozen=True)
class EdgeDetector:
    """Draw the edges of the image, without a look at the network: what a map may resemble and explain nothing.

    The Sobel magnitude of the mean over channels of the preprocessed image. Values are not negative, in units of the
    input per pixel, at the network's resolution.

    References:
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018, sec. 5. https://arxiv.org/abs/1810.03292
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:  # noqa: ARG002 (all methods take a model)
        """Return the map (N, H, W)."""
        grey = batch.images.detach().float().mean(dim=1).cpu().numpy()
        return torch.from_numpy(np.stack([sobel(image) for image in grey]))
