"""Embed one chunk of loaded images by what the network makes of them, and of the parts that a map shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from fiftyone_saliency.core.embeddings import Part
from fiftyone_saliency.core.frames import to_input
from fiftyone_saliency.core.types import Failure, Placement
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.forward import record
from fiftyone_saliency.models.grids import find_grid
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.worker import ChunkResult, Limit, Loaded, isolate, stack

Maps = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """One sample's embeddings, means of a layer's features.

    Args:
        sample_id: id of the sample.
        vectors: float32 (D,) by part: over the whole ``"image"``; weighted by the sample's map, ``"salient"``; weighted
            by what the map leaves, 1 − map / its maximum, ``"rest"``. The last two are missing without a map or
            without evidence in it.
    """

    sample_id: str
    vectors: dict[Part, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Embedder:
    """Embed each image of a chunk by the features of the model's CAM layer.

    The features of the salient region are weighted by the map instead of computed from a masked image: one forward
    pass serves both, and the network sees no image unlike those it knows. A feature near the region's edge still
    sees beyond it, as far as the layer's receptive field reaches.

    Args:
        model: the model.
        limit: how much goes through the network at once.
    """

    model: ModelAdapter
    limit: Limit = field(default_factory=Limit)

    def probe(self) -> None:
        """Look at one drawn image, so that what is wrong with the model stops the run at its start.

        Raises:
            ModelError: if the model has no layer with a feature map, or it does not fit its preprocessing.
        """
        with self.model.explaining(), torch.no_grad(), self.model.probing() as images:
            self._features(images)

    def __call__(self, chunk: Loaded, maps: Maps | None = None) -> ChunkResult[Embedding]:
        """Embed a chunk.

        Args:
            chunk: loaded images.
            maps: saliency map (H, W) in the frame of the whole image by sample id; negative values are ignored.
        """

        def work(images: Sequence[LoadedImage], parts: list[ChunkResult[Embedding]]) -> None:
            self._embed(images, parts[0], maps or {})

        return isolate(chunk, work, 1, self.limit)[0]

    def _embed(self, images: Sequence[LoadedImage], part: ChunkResult[Embedding], maps: Maps) -> None:
        with self.model.explaining(), torch.no_grad():
            features = self._features(stack(images, self.model))
        for image, grid in zip(images, features, strict=True):
            weights = _weights(maps.get(image.item.id), image.placement, grid.shape[1:])
            vectors: dict[Part, NDArray[np.float32]] = {}
            for name, own in weights.items():
                vectors[name] = np.einsum("chw,hw->c", grid, own).astype(np.float32)
            if np.isfinite(vectors["image"]).all():
                part.results.append(Embedding(image.item.id, vectors))
            else:
                part.failures.append(Failure(image.item.id, image.item.filepath, "the features are not finite"))

    def _features(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return the layer's features (N, C, h, w)."""
        layer = self.model.cam_layer
        output = record(self.model, images, [layer]).activations[0].detach()
        return find_grid(output, images, layer)(output).float().cpu().numpy()


def _weights(
    saliency: NDArray[np.float32] | None, placement: Placement, size: tuple[int, ...]
) -> dict[Part, NDArray[np.float32]]:
    """Return by part the weight of each cell of the layer's grid (h, w), adding up to 1."""
    weights: dict[Part, NDArray[np.float32]] = {"image": np.ones((size[0], size[1]), np.float32)}
    if saliency is not None:
        evidence = to_input(np.maximum(saliency, 0), placement, (size[0], size[1]))
        if evidence.any():
            weights |= {"salient": evidence, "rest": 1 - evidence / evidence.max()}
    return {part: own / own.sum() for part, own in weights.items() if own.sum() > 0}
