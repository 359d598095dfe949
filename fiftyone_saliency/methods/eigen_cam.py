"""Eigen-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.methods._cam import Cam, grid_of, read
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("eigen_cam", "Eigen-CAM", family="cam", paper="https://arxiv.org/abs/2008.00299", evidence=False)
@dataclass(frozen=True)
class EigenCam(Cam):
    """Project the feature maps of a late layer on their first principal component.

    It shows what stands out to the network, not what speaks for a class: the map is the same for every target and
    whatever the head, so that it is no evidence. Needs no gradient. Values are not negative, in units of the
    feature. We depart from the paper in two things, as implementations do: the mean of each channel is subtracted
    first, and only the positive side is kept, the one where features are strong.

    References:
        Muhammad, Yeasin. Eigen-CAM: Class Activation Map using Principal Components. IJCNN 2020, sec. III.
        https://arxiv.org/abs/2008.00299
    """

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the one map of each image (N, h, w), for each target."""
        output = self.forward(model, batches[0]).activations[0]
        grid = grid_of(model, output, batches[0].images, model.cam_layer)
        maps = _first_component(read(grid, output))
        return [maps] * len(batches)


def _first_component(features: Tensor) -> Tensor:
    """Return the positive side of the first principal component (N, h, w) of features (N, C, h, w)."""
    cells = features.flatten(2).transpose(1, 2)
    healthy = cells.isfinite().all(dim=(1, 2))
    centred = (cells - cells.mean(dim=1, keepdim=True)).where(healthy[:, None, None], 0)
    directions, lengths, _ = torch.linalg.svd(centred, full_matrices=False)
    along = directions[..., 0] * lengths[:, :1]
    # A singular vector has no sign of its own.
    energy = cells.square().sum(dim=2)
    agrees = ((energy - energy.mean(dim=1, keepdim=True)) * along).sum(dim=1, keepdim=True)
    maps = torch.where(agrees < 0, -along, along).relu().where(healthy[:, None], torch.nan)
    return maps.unflatten(1, features.shape[2:])
