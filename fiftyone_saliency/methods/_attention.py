"""What all attention maps share: one forward pass that keeps the attention, and the way from tokens to a grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from torch import Tensor

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.attention import record_attention
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.models.forward import Forward
from fiftyone_saliency.models.grids import Grid, grid_or_none


class AttentionMap:
    """Base of the attention maps; a subclass turns the recorded attention into what each token gives to the score.

    The network runs once per image; its graph begins at the first attention.
    """

    graph: ClassVar[bool] = True

    def look(self, model: ModelAdapter, images: Tensor) -> Forward:
        """Make the one forward pass, with the attention of every layer as its activations."""
        return record_attention(model, images, self.graph)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the maps (N, h, w) on the grid of the patches."""
        return self.all_targets(model, [batch])[0]

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps of several targets of the same images; the network runs once."""
        raise NotImplementedError

    def start(self, model: ModelAdapter, batch: Batch) -> tuple[Forward, Grid]:
        """Return the forward pass over a batch, made anew unless the batch carries it, and the grid of its tokens."""
        forward = batch.forward
        if forward is None or not forward.activations:
            forward = self.look(model, batch.images)
        return forward, _find_grid(forward.activations[0], batch.images)


def on_grid(tokens: Tensor, grid: Grid) -> Tensor:
    """Return values of tokens (N, T) as maps (N, h, w)."""
    return grid(tokens[:, :, None])[:, 0]


def follow(tokens: Tensor, layers: Iterable[Tensor]) -> Tensor:
    """Hand weights of the last layer's tokens (N, T) down through ``identity + layer`` to the first layer's tokens.

    The same row of the product of the matrices (N, T, T), but a vector at a time.
    """
    for layer in layers:
        # Not a matrix product: autocast would round it.
        tokens = tokens + (tokens[:, :, None] * layer).sum(dim=1)
    return tokens


def _find_grid(attention: Tensor, images: Tensor) -> Grid:
    count = attention.shape[-1]
    height, width = images.shape[2:]
    grid = grid_or_none((len(images), count, 1), height / width)
    if grid is None:
        raise ModelError(
            f"Expected the tokens to be a grid in the aspect of the image and some before it, but got {count} tokens "
            f"for {height} x {width} pixels. Choose grad_cam."
        )
    return grid
