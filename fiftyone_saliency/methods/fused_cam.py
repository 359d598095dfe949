"""LayerCAM of several layers, fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.methods._cam import Cam, grid_of, read, usable_layers
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("fused_cam", "Fused LayerCAM", family="cam", paper="https://doi.org/10.1109/TIP.2021.3089943")
@dataclass(frozen=True)
class FusedCam(Cam):
    """Fuse LayerCAM maps of several resolutions: coarse and sure from late layers, fine from early ones.

    The map of each layer is scaled by its maximum; those of all but the last layer then pass through
    ``tanh(2 * map)``, which lifts what is weak. All are upsampled bilinearly to the finest grid, and the largest
    value of each cell is kept. Values are in [0, 1], without a unit: where each image's strongest evidence lies, not
    how strong it is. Only the part of the network above the first of the layers is differentiated.

    Args:
        layer_names: dotted names of layers, separated by commas, from early to late; empty takes the last layer of
            each of the last ``levels`` resolutions.
        levels: how many resolutions are taken where no layers are named, 1 to 100.

    References:
        Jiang et al. LayerCAM: Exploring Hierarchical Class Activation Maps for Localization. IEEE Transactions on
        Image Processing 30, 2021, sec. III. https://doi.org/10.1109/TIP.2021.3089943
    """

    layer_names: str = ""
    levels: int = bounded(3, 1, 100)

    def __post_init__(self) -> None:
        check_bounds(self)

    def layers(self, model: ModelAdapter) -> tuple[str, ...]:
        """Name the layers to record, from early to late."""
        named = tuple(name.strip() for name in self.layer_names.split(",") if name.strip())
        return named or _pyramid(model)[-self.levels :]

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps (N, h, w) of several targets of the same images; the trunk runs once."""
        forward = self.forward(model, batches[0])
        names = self.layers(model)
        grids = [
            grid_of(model, output, batches[0].images, name)
            for output, name in zip(forward.activations, names, strict=True)
        ]
        maps = []
        for batch in batches:
            gradients = forward.gradients(batch.scores(forward.logits))
            parts = zip(grids, forward.activations, gradients, strict=True)
            maps.append(_fuse([(read(grid, g).relu() * read(grid, a)).sum(dim=1).relu() for grid, a, g in parts]))
        return maps


_PYRAMIDS: WeakKeyDictionary[ModelAdapter, tuple[str, ...]] = WeakKeyDictionary()


def _pyramid(model: ModelAdapter) -> tuple[str, ...]:
    """Return the last layer of each resolution up to that of the CAM layer, from fine to coarse."""
    if model not in _PYRAMIDS:
        names = [model.cam_layer]
        found = usable_layers(model)
        cells = {layer.name: layer.grid.height * layer.grid.width for layer in found}
        known = [layer.name for layer in found]
        before = known[: known.index(names[0])] if names[0] in known else known
        finest = cells.get(names[0], 0)
        for name in reversed(before):
            if cells[name] > finest:
                finest = cells[name]
                names.append(name)
        _PYRAMIDS[model] = tuple(reversed(names))
    return _PYRAMIDS[model]


def _fuse(maps: Sequence[Tensor]) -> Tensor:
    """Return the cell-wise maximum (N, h, w) on the finest grid of maps from early to late."""
    scaled = [m / m.amax(dim=(1, 2), keepdim=True).where(m.amax(dim=(1, 2), keepdim=True) != 0, 1) for m in maps]
    lifted = [*(torch.tanh(2 * m) for m in scaled[:-1]), scaled[-1]]
    size = max((m.shape[1:] for m in lifted), key=lambda s: s[0] * s[1])
    upsampled = [interpolate(m[:, None], size, mode="bilinear", align_corners=False)[:, 0] for m in lifted]
    return torch.stack(upsampled).amax(dim=0)
