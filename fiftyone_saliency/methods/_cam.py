"""What all class activation maps share: one recorded forward pass, and a grid of features to weigh."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError, nearest
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.models.forward import Forward, record
from fiftyone_saliency.models.grids import Grid, find_grid
from fiftyone_saliency.models.layers import MapLayer, map_layers


class Cam:
    """Base of all CAMs: it records one layer and shares that one pass through the trunk between targets."""

    def layers(self, model: ModelAdapter) -> tuple[str, ...]:
        """Name the layer to record."""
        return (model.cam_layer,)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the maps (N, h, w) on the grid of the CAM layer."""
        return self.all_targets(model, [batch])[0]

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps of several targets of the same images; the trunk runs once."""
        raise NotImplementedError

    def forward(self, model: ModelAdapter, batch: Batch) -> Forward:
        """Return the pass over the images that was made already, or make it."""
        return batch.forward or record(model, batch.images, self.layers(model))


class GradientCam(Cam):
    """Base of the CAMs that weigh features by gradients; a subclass is its `weigh`.

    The network runs once per image up to its CAM layer without a graph; only the head is differentiated, once per
    target.
    """

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps of several targets of the same images; the trunk runs once."""
        forward = self.forward(model, batches[0])
        grid = grid_of(model, forward.activations[0], batches[0].images, model.cam_layer)
        return [self._one(forward, grid, batch) for batch in batches]

    def weigh(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Turn features and gradients (N, C, h, w), float32 or finer, into maps (N, h, w)."""
        raise NotImplementedError

    def _one(self, forward: Forward, grid: Grid, batch: Batch) -> Tensor:
        (gradients,) = forward.gradients(batch.scores(forward.logits))
        return self.weigh(read(grid, forward.activations[0]), read(grid, gradients))


def grid_of(model: ModelAdapter, output: Tensor, images: Tensor, layer: str) -> Grid:
    """Return how to read a layer's output as a feature map.

    Raises:
        ModelError: if it is none; layers that have one are named.
    """
    try:
        return find_grid(output, images, layer)
    except ModelError as error:
        shapes = {found.name: found.shape for found in usable_layers(model)}
        names = list(dict.fromkeys([*nearest(layer, shapes, 2), *list(shapes)[-1:]]))
        if not names:
            raise
        known = " or ".join(f"`{name}` with output {shapes[name]}" for name in names)
        raise ModelError(f"{error} This network has {known}.") from None


def usable_layers(model: ModelAdapter) -> list[MapLayer]:
    """Return the layers of a model that a CAM can look at, in the order of the network."""
    with model.explaining():
        return map_layers(model.module, lambda: model.logits(model.probe_image()))


def read(grid: Grid, output: Tensor) -> Tensor:
    """Return the features (N, C, h, w) of an output, in float32 or finer."""
    features = grid(output.detach())
    return features if features.dtype == torch.float64 else features.float()
