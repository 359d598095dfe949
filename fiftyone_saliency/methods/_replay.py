"""Run a network again and again with one layer's features changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch, score_of
from fiftyone_saliency.models.grids import Grid
from fiftyone_saliency.models.layers import find_layer, tensor_of

Change = Callable[[Tensor, Tensor], object]


@torch.no_grad()
def changed_scores(
    model: ModelAdapter, batches: Sequence[Batch], grid: Grid, count: int, change: Change
) -> list[Tensor]:
    """Return the scores (N, count) of each image under ``count`` changes of its features, per target.

    Memory is that of one forward pass of ``rows`` images, and targets share the passes. The trunk runs on one copy
    of an image per pass; only the head sees all rows. Where a network cannot be fed so, all of it sees them.

    Args:
        model: the model, inside its `explaining`.
        batches: the same images with other targets.
        grid: how to read the CAM layer's output.
        count: number of changes.
        change: ``f(features, numbers)`` changes features (M, C, h, w) in place, each row by its number, int64 (M,).
    """
    images, rows = batches[0].images, batches[0].rows
    place = _Place(model, grid, change)
    quick = place.is_quick_the_same(images[:1], torch.arange(min(2, count), device=images.device))
    found: list[list[Tensor]] = [[] for _ in batches]
    for i in range(len(images)):
        for numbers in torch.arange(count, device=images.device).split(rows):
            logits = place.logits(images[i : i + 1], numbers, quick)
            for scores, batch in zip(found, batches, strict=True):
                plus, minus = (c[i].expand(len(numbers)) for c in batch.columns)
                scores.append(score_of(logits, plus, minus, batch.output))
    return [torch.cat(scores).unflatten(0, (len(images), count)) for scores in found]


@dataclass(frozen=True, eq=False)
class _Place:
    """The CAM layer of a model and what is done to it."""

    model: ModelAdapter
    grid: Grid
    change: Change

    def logits(self, image: Tensor, numbers: Tensor, quick: bool) -> Tensor:
        """Return the logits (M, K) of one image under M changes; quick runs the trunk on one copy of the image."""
        module, kind = self.model.module, self.model.device.type
        autocast = torch.is_autocast_enabled(kind)

        def alter(_module: object, _inputs: object, output: Any) -> Any:
            tensor, put_back = tensor_of(output)
            if tensor is None:
                return output
            # As in the recorded pass: the part above the layer runs in float32.
            torch.set_autocast_enabled(kind, False)
            wide = tensor.float() if autocast else tensor
            copies = wide.expand(len(numbers), *wide.shape[1:]).clone()
            self.change(self.grid(copies), numbers)
            return put_back(copies)

        def narrow(_module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0][:1], *inputs[1:])

        handles = [find_layer(module, self.model.cam_layer).register_forward_hook(alter)]
        if quick:
            handles.append(module.register_forward_pre_hook(narrow))
        try:
            return self.model.logits(image.expand(len(numbers), -1, -1, -1))
        finally:
            torch.set_autocast_enabled(kind, autocast)
            for handle in handles:
                handle.remove()

    def is_quick_the_same(self, image: Tensor, numbers: Tensor) -> bool:
        """Return whether the head takes several rows behind a trunk that saw one: it may have noted the batch's size.

        Branches around the layer broadcast; code that reshapes by the size it saw fails or gives other logits.
        """
        slow = self.logits(image, numbers, quick=False)
        try:
            fast = self.logits(image, numbers, quick=True)
        except Exception:  # noqa: BLE001 - whatever the network raises, the slow way worked
            return False
        return torch.allclose(fast, slow, rtol=1e-4, atol=1e-5 * float(slow.abs().max()), equal_nan=True)
